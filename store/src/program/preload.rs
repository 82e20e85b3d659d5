//! `store preload`: the archives that the release carries, each loaded once.
//!
//! One that an older release has loaded, whose layers may be wrong, is loaded once more, for the names that still lead to
//! its images: one that the operator has removed, or given to another image, stays so.
//!
//! `index.json` in their folder lists them: `[{"file":"redis.oci.tar","sha256":"…"}]`. The digest is a key here, by
//! which `preloaded.2/<sha256>` remembers that an archive was loaded: the release is as trustworthy as this program, and
//! what is inside is verified anyway. An image that the operator removed later stays removed.

use crate::program::archive::Source;
use crate::program::error::StoreError;
use crate::program::load::{Naming, load_marked};
use crate::program::progress::say;
use crate::{Digest, Tree};
use serde::Deserialize;
use std::fs;
use std::io;
use std::path::Path;

#[derive(Deserialize)]
struct Item {
    file: String,
    sha256: String,
}

/// Loads what is new in `folder`. One archive that fails doesn't keep the others from being loaded.
pub(crate) fn preload(tree: &Tree, folder: &Path) -> Vec<StoreError> {
    let items = match read_index(folder) {
        Ok(items) => items,
        Err(error) => return vec![error],
    };
    items
        .iter()
        .filter_map(|(file, digest)| {
            let source = Box::new(preload_one(tree, folder, file, digest).err()?);
            let file = file.clone();
            Some(StoreError::Preloaded { file, source })
        })
        .collect()
}

fn preload_one(tree: &Tree, folder: &Path, file: &str, digest: &Digest) -> Result<(), StoreError> {
    let remembered = tree.preloaded().join(digest.hex());
    if remembered.exists() {
        return Ok(());
    }
    let names = match tree.preloaded_before().join(digest.hex()).exists() {
        true => Naming::StillHere,
        false => Naming::Archive,
    };
    say(&format!("loading {file}"));
    let source = Source::Path(folder.join(file));
    let records = load_marked(tree, &source, &names, &remembered, |records| {
        let names: Vec<&str> = records
            .iter()
            .map(|record| record.reference.as_str())
            .collect();
        serde_json::json!({ "file": file, "references": names }).to_string()
    })?;
    for record in &records {
        say(&format!("loaded {} {}", record.reference, record.digest));
    }
    Ok(())
}

fn read_index(folder: &Path) -> Result<Vec<(String, Digest)>, StoreError> {
    let path = folder.join("index.json");
    let bytes = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read.map_err(|error| StoreError::io("cannot read", &path, error))?,
    };
    let malformed = |reason: String| StoreError::malformed(path.display().to_string(), reason);
    let items: Vec<Item> =
        serde_json::from_slice(&bytes).map_err(|error| malformed(error.to_string()))?;
    items
        .into_iter()
        .map(|item| {
            let hex = item.sha256.strip_prefix("sha256:").unwrap_or(&item.sha256);
            let digest = format!("sha256:{hex}")
                .parse()
                .map_err(|error| malformed(format!("{error}")))?;
            match Path::new(&item.file).components().count() == 1
                && !item.file.contains('/')
                && item.file != ".."
            {
                true => Ok((item.file, digest)),
                false => Err(malformed(format!(
                    "`{}` is not a file name",
                    item.file.escape_debug()
                ))),
            }
        })
        .collect()
}
