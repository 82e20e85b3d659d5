//! `store load`: an archive's images into the store, all of them or none.

use crate::program::archive::{self, Contents, Source};
use crate::program::error::{Bytes, StoreError};
use crate::program::layer::unpack_layer;
use crate::program::limits::UNPACK_THREADS_MAX;
use crate::program::plan::{ImagePlan, LayerPlan};
use crate::program::progress::say;
use crate::program::transaction::Transaction;
use crate::{Digest, ImageRecord, LayerRecord, Lock, Reference, Store, Tree};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io;
use std::num::NonZero;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Loads what `source` holds, under `name` instead of its own names if given. Returns what it is called now.
pub(crate) fn load(
    tree: &Tree,
    source: &Source,
    name: Option<&Reference>,
) -> Result<Vec<ImageRecord>, StoreError> {
    change(tree, |transaction| prepare(tree, transaction, source, name))
}

/// Loads what `source` holds, and with it writes the file `mark`, whose text tells of what was loaded.
pub(crate) fn load_marked(
    tree: &Tree,
    source: &Source,
    mark: &Path,
    text: impl FnOnce(&[ImageRecord]) -> String,
) -> Result<Vec<ImageRecord>, StoreError> {
    change(tree, |transaction| {
        let records = prepare(tree, transaction, source, None)?;
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
    name: Option<&Reference>,
) -> Result<Vec<ImageRecord>, StoreError> {
    let lock_path = tree.use_lock();
    // Layers that are here already are counted on, so nobody may remove them meanwhile. The writer's lock, which gc
    // takes first, sees to that; this one makes the lock file, so that a read-only store can be used later.
    Lock::shared(&lock_path).map_err(|error| StoreError::io("cannot lock", &lock_path, error))?;
    let contents = Contents::open(source, &transaction.temporary(), transaction.meter())?;
    let mut images = archive::plan(&contents)?;
    if let Some(name) = name {
        let [image] = images.as_mut_slice() else {
            return Err(StoreError::NameForMany {
                images: images.len(),
            });
        };
        image.names = vec![name.clone()];
    }
    let sizes = store_layers(tree, transaction, &images)?;
    let mut records = Vec::new();
    for image in &images {
        transaction.add_blob(&image.digest, &image.manifest)?;
        transaction.add_blob(&image.config_digest, &image.config)?;
        for record in image_records(image, &sizes) {
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

/// One record per name; an image without a name goes by its digest.
fn image_records(image: &ImagePlan, sizes: &HashMap<Digest, u64>) -> Vec<ImageRecord> {
    let layers: Vec<LayerRecord> = image
        .layers
        .iter()
        .map(|layer| LayerRecord {
            diff_id: layer.diff_id.clone(),
            digest: layer.digest.clone(),
            blob_size: layer.blob_size,
            size: sizes.get(&layer.diff_id).copied().unwrap_or_default(),
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

/// Unpacks the layers that are not here yet. Returns the sizes of all.
fn store_layers(
    tree: &Tree,
    transaction: &mut Transaction,
    images: &[ImagePlan],
) -> Result<HashMap<Digest, u64>, StoreError> {
    let mut distinct = BTreeSet::new();
    let layers: Vec<&LayerPlan> = images
        .iter()
        .flat_map(|image| &image.layers)
        .filter(|layer| distinct.insert(layer.diff_id.clone()))
        .collect();
    let (present, missing): (Vec<_>, Vec<_>) = layers
        .into_iter()
        .partition(|layer| tree.layer(&layer.diff_id).is_dir());
    let known = known_sizes(tree);
    let mut sizes = HashMap::new();
    for layer in present {
        say(&format!("{}: already here", layer.label));
        let size = match known.get(&layer.diff_id) {
            Some(size) => *size,
            None => measure(&tree.layer(&layer.diff_id)),
        };
        sizes.insert(layer.diff_id.clone(), size);
    }
    for (diff_id, bytes) in unpack_layers(transaction, &missing)? {
        transaction.add_layer(&diff_id);
        sizes.insert(diff_id, bytes);
    }
    Ok(sizes)
}

/// Unpacks several layers side by side. After a failure no further one is begun, and the first failure is told.
fn unpack_layers(
    transaction: &Transaction,
    layers: &[&LayerPlan],
) -> Result<Vec<(Digest, u64)>, StoreError> {
    // Most layers are compressed, so this is less than what is needed, and what doesn't fit now never will.
    let bytes = layers
        .iter()
        .fold(0, |sum: u64, layer| sum.saturating_add(layer.blob_size));
    let root = transaction.temporary();
    transaction
        .meter()
        .expect(bytes)
        .map_err(|error| StoreError::io("cannot write", &root, error))?;

    let next = AtomicUsize::new(0);
    let finished = Mutex::new(Vec::new());
    let failure = Mutex::new(None);
    let work = || {
        while failure.lock().is_ok_and(|failure| failure.is_none()) {
            let Some(layer) = layers.get(next.fetch_add(1, Ordering::Relaxed)) else {
                return;
            };
            match store_layer(transaction, layer) {
                Ok(bytes) => {
                    if let Ok(mut finished) = finished.lock() {
                        finished.push((layer.diff_id.clone(), bytes));
                    }
                }
                Err(error) => {
                    if let Ok(mut failure) = failure.lock() {
                        failure.get_or_insert(error);
                    }
                }
            }
        }
    };
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    let threads = layers.len().min(processors).min(UNPACK_THREADS_MAX);
    thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
    match failure.into_inner().ok().flatten() {
        Some(error) => Err(error),
        None => Ok(finished.into_inner().unwrap_or_default()),
    }
}

fn store_layer(transaction: &Transaction, layer: &LayerPlan) -> Result<u64, StoreError> {
    let missing = || StoreError::Missing {
        what: layer.label.clone(),
        blob: layer.digest.to_string(),
    };
    let blob = layer.blob.as_ref().ok_or_else(missing)?;
    let unpacked = unpack_layer(
        layer,
        blob,
        &transaction.layer_folder(&layer.diff_id),
        transaction.meter(),
    )?;
    say(&format!(
        "{}: {} in {} entries",
        layer.label,
        Bytes(unpacked.bytes),
        unpacked.entries
    ));
    if unpacked.ignored_attributes > 0 {
        let (label, count) = (&layer.label, unpacked.ignored_attributes);
        say(&format!(
            "{label}: ignoring {count} user attributes, which this file system can't hold"
        ));
    }
    Ok(unpacked.bytes)
}

/// The sizes of layers, as the existing references tell them.
fn known_sizes(tree: &Tree) -> BTreeMap<Digest, u64> {
    let records = Store::at(tree.root()).records().unwrap_or_default();
    records
        .into_iter()
        .flatten()
        .flat_map(|record| record.layers)
        .map(|layer| (layer.diff_id, layer.size))
        .collect()
}

/// The bytes of all files in a layer that no reference knows (a load was cut off after it had moved the layer).
fn measure(folder: &Path) -> u64 {
    let mut folders = vec![folder.to_owned()];
    let mut bytes: u64 = 0;
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder)
            .and_then(Iterator::collect::<io::Result<Vec<_>>>)
            .unwrap_or_default();
        for entry in entries {
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => folders.push(entry.path()),
                Ok(metadata) if metadata.is_file() => bytes = bytes.saturating_add(metadata.len()),
                Ok(_) | Err(_) => {}
            }
        }
    }
    bytes
}
