//! `store ls`: what is in the store, for people or as JSON (the fields of the control protocol's `ImageSummary`).

use crate::program::error::{Bytes, StoreError};
use crate::{ImageRecord, Store, Tree};
use serde::Serialize;

#[derive(Serialize)]
struct Summary {
    reference: String,
    digest: String,
    /// Bytes of the layers as stored.
    size: u64,
    layers: usize,
    created: String,
}

/// The images that can be read, as text, and what is wrong with the others.
pub(crate) fn list(tree: &Tree, format: Format) -> Result<(String, Vec<StoreError>), StoreError> {
    let mut records = Vec::new();
    let mut damaged = Vec::new();
    for record in Store::at(tree.root())
        .records()
        .map_err(StoreError::Image)?
    {
        match record {
            Ok(record) => records.push(record),
            Err(error) => damaged.push(StoreError::Image(error)),
        }
    }
    let text = match format {
        Format::Json => json(&records).map_err(|error| StoreError::malformed("the list", error))?,
        Format::Table => table(&records),
    };
    Ok((text, damaged))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Table,
    Json,
}

fn json(records: &[ImageRecord]) -> Result<String, serde_json::Error> {
    let summaries: Vec<Summary> = records
        .iter()
        .map(|record| Summary {
            reference: record.reference.clone(),
            digest: record.digest.to_string(),
            size: record.size(),
            layers: record.layers.len(),
            created: record.created.clone(),
        })
        .collect();
    Ok(serde_json::to_string(&summaries)? + "\n")
}

fn table(records: &[ImageRecord]) -> String {
    let width = records
        .iter()
        .map(|record| record.reference.len())
        .max()
        .unwrap_or_default()
        .max("REFERENCE".len());
    let line = |reference: &str, digest: &str, size: &str, layers: &str, created: &str| {
        format!("{reference:width$}  {digest:12}  {size:>10}  {layers:>6}  {created}")
            .trim_end()
            .to_owned()
            + "\n"
    };
    let mut text = line("REFERENCE", "DIGEST", "SIZE", "LAYERS", "CREATED");
    for record in records {
        let (size, layers) = (
            Bytes(record.size()).to_string(),
            record.layers.len().to_string(),
        );
        text += &line(
            &record.reference,
            record.digest.short(),
            &size,
            &layers,
            &record.created,
        );
    }
    text
}
