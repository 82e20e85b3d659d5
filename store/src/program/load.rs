//! `store load`: an archive's images into the store, all of them or none.

use crate::program::archive::{self, Contents, Source};
use crate::program::error::StoreError;
use crate::program::layers::{Layers, store_layers};
use crate::program::plan::ImagePlan;
use crate::program::progress::say;
use crate::program::transaction::Transaction;
use crate::{Digest, ImageRecord, LayerRecord, Lock, Reference, ReferenceError, Store, Tree};
use std::collections::HashSet;
use std::path::Path;

/// What the images of an archive are called.
#[derive(Debug)]
pub(crate) enum Naming {
    /// As the archive says.
    Archive,
    /// So too; for an archive of one image.
    Also(Reference),
    /// As the archive says, but only what leads to the same image already.
    StillHere,
}

/// Loads what `source` holds, which is called `name`, too, if that is given. Returns what it is called now.
pub(crate) fn load(
    tree: &Tree,
    source: &Source,
    name: Option<Reference>,
) -> Result<Vec<ImageRecord>, StoreError> {
    let naming = name.map_or(Naming::Archive, Naming::Also);
    change(tree, |transaction| {
        prepare(tree, transaction, source, &naming)
    })
}

/// Loads what `source` holds, and with it writes the file `mark`, whose text tells of what was loaded.
pub(crate) fn load_marked(
    tree: &Tree,
    source: &Source,
    naming: &Naming,
    mark: &Path,
    text: impl FnOnce(&[ImageRecord]) -> String,
) -> Result<Vec<ImageRecord>, StoreError> {
    change(tree, |transaction| {
        let records = prepare(tree, transaction, source, naming)?;
        transaction.add_mark(mark.to_owned(), text(&records).as_bytes())?;
        Ok(records)
    })
}

fn change(
    tree: &Tree,
    prepare: impl FnOnce(&mut Transaction) -> Result<Vec<ImageRecord>, StoreError>,
) -> Result<Vec<ImageRecord>, StoreError> {
    let mut transaction = Transaction::begin(tree)?;
    match prepare(&mut transaction) {
        Ok(records) => transaction.commit().map(|()| records),
        Err(error) => Err(transaction.classify(error)),
    }
}

fn prepare(
    tree: &Tree,
    transaction: &mut Transaction,
    source: &Source,
    naming: &Naming,
) -> Result<Vec<ImageRecord>, StoreError> {
    let lock_path = tree.use_lock();
    // Layers that are here already are counted on, so nobody may remove them meanwhile. The writer's lock, which gc
    // takes first, sees to that; this one makes the lock file, so that a read-only store can be used later.
    Lock::shared(&lock_path).map_err(|error| StoreError::io("cannot lock", &lock_path, error))?;
    let contents = Contents::open(source, &transaction.temporary(), transaction.meter())?;
    let mut images = archive::plan(&contents)?;
    for ReferenceError { text, reason } in images.iter().flat_map(|image| &image.unusable_names) {
        let text = text.escape_debug();
        say(&format!(
            "ignoring the name `{text}` of the archive, which is no image reference: {reason}"
        ));
    }
    match naming {
        Naming::Archive => {}
        Naming::Also(name) => {
            let [image] = images.as_mut_slice() else {
                return Err(StoreError::NameForMany {
                    images: images.len(),
                });
            };
            if !image.names.contains(name) {
                image.names.push(name.clone());
            }
        }
        Naming::StillHere => keep_known_names(tree, &mut images)?,
    }
    let layers = store_layers(tree, transaction, &images)?;
    let left_out = layers.left_out();
    if !left_out.is_empty() {
        say(&format!("left out attributes of files: {left_out}"));
    }
    let mut records = Vec::new();
    for image in &images {
        transaction.add_blob(&image.digest, &image.manifest)?;
        transaction.add_blob(&image.config_digest, &image.config)?;
        for record in image_records(image, &layers) {
            let text = serde_json::to_vec_pretty(&record).map_err(|error| {
                StoreError::malformed(format!("the record of {}", record.reference), error)
            })?;
            let reference: Reference = record.reference.parse().map_err(StoreError::Reference)?;
            transaction.add_reference(tree.reference(&reference), &text)?;
            records.push(record);
        }
    }
    Ok(records)
}

/// Leaves out names that lead elsewhere or nowhere, and images that have none left.
fn keep_known_names(tree: &Tree, images: &mut Vec<ImagePlan>) -> Result<(), StoreError> {
    let records = Store::at(tree.root())
        .records()
        .map_err(StoreError::Image)?;
    let known: HashSet<(String, Digest)> = records
        .into_iter()
        .flatten()
        .map(|record| (record.reference, record.digest))
        .collect();
    for image in images.iter_mut() {
        let digest = image.digest.clone();
        let names = std::mem::take(&mut image.names);
        image.names = match names.is_empty() {
            true => vec![Reference::of_digest(digest.clone())],
            false => names,
        };
        image
            .names
            .retain(|name| known.contains(&(name.to_string(), digest.clone())));
    }
    images.retain(|image| !image.names.is_empty());
    Ok(())
}

/// One record per name; an image without a name goes by its digest.
fn image_records(image: &ImagePlan, stored: &Layers) -> Vec<ImageRecord> {
    let layers: Vec<LayerRecord> = image
        .layers
        .iter()
        .zip(stored.of(image))
        .map(|(layer, (folder, size))| LayerRecord {
            content: (folder != layer.diff_id).then(|| layer.diff_id.clone()),
            folder,
            digest: layer.digest.clone(),
            blob_size: layer.blob_size,
            size,
        })
        .collect();
    let names = match image.names.as_slice() {
        [] => vec![Reference::of_digest(image.digest.clone())],
        names => names.to_vec(),
    };
    names
        .iter()
        .map(|name| ImageRecord {
            reference: name.to_string(),
            digest: image.digest.clone(),
            config: image.config_digest.clone(),
            layers: layers.clone(),
            created: image.created.clone(),
        })
        .collect()
}
