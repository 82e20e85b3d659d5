//! `store gc`: removes layers and blobs that no reference needs and no container has mounted.
//!
//! A removed reference may be one that a running container was started from. Its layers are found in the mount tables
//! of all processes: the overlay of a container is mounted in its own mount namespace, with the layers' paths in its
//! options.

use crate::program::error::StoreError;
use crate::program::transaction::{Transaction, sync_folder};
use crate::{ImageError, Lock, Store, Tree};
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

/// How much was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Collected {
    pub(crate) layers: usize,
    pub(crate) blobs: usize,
    /// Unused, but mounted.
    pub(crate) mounted: usize,
}

/// Removes everything that isn't needed, when all references can be read.
pub(crate) fn collect(tree: &Tree) -> Result<Collected, StoreError> {
    // What is removed moves to tmp/, which the end of the transaction empties: nobody waits for that.
    let transaction = Transaction::begin(tree)?;
    let lock_path = tree.use_lock();
    let alone = Lock::exclusive(&lock_path)
        .map_err(|error| StoreError::io("cannot lock", &lock_path, error))?;
    let mut layers = BTreeSet::new();
    let mut blobs = BTreeSet::new();
    for record in Store::at(tree.root())
        .records()
        .map_err(StoreError::Image)?
    {
        let record = record.map_err(StoreError::DamagedReference)?;
        layers.extend(
            record
                .layers
                .iter()
                .map(|layer| layer.folder.hex().to_owned()),
        );
        blobs.extend([
            record.digest.hex().to_owned(),
            record.config.hex().to_owned(),
        ]);
    }
    let unused_blobs = unused(&tree.blobs(), &blobs)?;
    let (mounted, unused_layers) = split_mounted(unused(&tree.layers(), &layers)?)?;
    let trash = transaction.temporary();
    discard(&tree.layers(), &unused_layers, &trash, "layer")?;
    discard(&tree.blobs(), &unused_blobs, &trash, "blob")?;
    drop(alone);
    Ok(Collected {
        layers: unused_layers.len(),
        blobs: unused_blobs.len(),
        mounted: mounted.len(),
    })
}

/// Removes a reference. What it leads to stays until [`collect`].
pub(crate) fn remove_reference(tree: &Tree, name: &str) -> Result<String, StoreError> {
    let reference: crate::Reference = name.parse().map_err(StoreError::Reference)?;
    let path = tree.reference(&reference);
    if !path.exists() {
        // The store's own lookup knows what is near.
        let found = Store::at(tree.root())
            .image(name)
            .map_err(StoreError::Image)?;
        let reason = "it is the digest of an image that has names: remove those";
        return Err(StoreError::malformed(found.reference.clone(), reason));
    }
    let _transaction = Transaction::begin(tree)?;
    let lock_path = tree.use_lock();
    let _alone = Lock::exclusive(&lock_path)
        .map_err(|error| StoreError::io("cannot lock", &lock_path, error))?;
    fs::remove_file(&path).map_err(|error| {
        StoreError::Image(ImageError::Io {
            path: path.clone(),
            source: error,
        })
    })?;
    sync_folder(&tree.references())?;
    Ok(reference.to_string())
}

fn unused(folder: &Path, used: &BTreeSet<String>) -> Result<Vec<String>, StoreError> {
    let failed = |error| StoreError::io("cannot list", folder, error);
    let entries = fs::read_dir(folder)
        .and_then(Iterator::collect::<io::Result<Vec<_>>>)
        .map_err(failed)?;
    let names = entries
        .iter()
        .map(|entry| entry.file_name().to_string_lossy().into_owned());
    Ok(names.filter(|name| !used.contains(name)).collect())
}

/// (mounted by some process, not mounted). Options of overlay mounts name layers by their 64 digits, whatever the path
/// before them.
pub(crate) fn split_mounted(layers: Vec<String>) -> Result<(Vec<String>, Vec<String>), StoreError> {
    if layers.is_empty() {
        return Ok((Vec::new(), layers));
    }
    let mut mounted = BTreeSet::new();
    let processes = Path::new("/proc");
    for process in
        fs::read_dir(processes).map_err(|error| StoreError::io("cannot list", processes, error))?
    {
        let Ok(process) = process else { continue };
        // Not a process, or one that has ended.
        let Ok(table) = fs::read_to_string(process.path().join("mountinfo")) else {
            continue;
        };
        for line in table.lines().filter(|line| line.contains(" - overlay ")) {
            mounted.extend(
                layers
                    .iter()
                    .filter(|layer| line.contains(layer.as_str()))
                    .cloned(),
            );
        }
    }
    Ok(layers
        .into_iter()
        .partition(|layer| mounted.contains(layer)))
}

fn discard(folder: &Path, names: &[String], trash: &Path, kind: &str) -> Result<(), StoreError> {
    for name in names {
        let path = folder.join(name);
        fs::rename(&path, trash.join(format!("removed-{kind}-{name}")))
            .map_err(|error| StoreError::io("cannot remove", &path, error))?;
    }
    sync_folder(folder)
}
