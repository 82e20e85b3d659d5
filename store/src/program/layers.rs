//! The layers of a load: which are here, which are unpacked, and for which layers below them.
//!
//! ```text
//! all that are missing, side by side, without a look below ──▶ self-sufficient: layers/<diff_id>, for every image
//!                                                         └──▶ others, image by image, bottom first:
//!                                                                folders take over what is below, or the layer is
//!                                                                unpacked once more, with a view of what is below
//!                                                                ──▶ layers/<chain id>
//! ```
//!
//! The chain id (OCI image-spec, config.md, "Layer ChainID") names a layer together with all below it. The lowest
//! layer's is its diff_id.

use crate::mark::Mark;
use crate::program::attributes::LeftOut;
use crate::program::below::Below;
use crate::program::cleaning::clean;
use crate::program::error::{Bytes, StoreError};
use crate::program::hashing::digest_of;
use crate::program::layer::unpack_layer;
use crate::program::limits::UNPACK_THREADS_MAX;
use crate::program::plan::{ImagePlan, LayerPlan};
use crate::program::progress::say;
use crate::program::transaction::Transaction;
use crate::program::unpack::{Ground, Unpacked};
use crate::program::unpack_error::UnpackError;
use crate::{Digest, Store, Tree};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs;
use std::io;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Where the layers of a load are.
#[derive(Debug, Default)]
pub(crate) struct Layers {
    /// Chain id → name in `layers/`.
    names: HashMap<Digest, Digest>,
    /// Name in `layers/` → bytes.
    sizes: HashMap<Digest, u64>,
    /// Attributes that are in the archive and not in the store; by diff_id, since a layer may be unpacked twice.
    left_out: BTreeMap<Digest, LeftOut>,
}

impl Layers {
    /// Of all layers that were unpacked.
    pub(crate) fn left_out(&self) -> LeftOut {
        let mut all = LeftOut::default();
        for left_out in self.left_out.values() {
            all.add_all(left_out);
        }
        all
    }

    /// Name in `layers/` and bytes of each layer of an image, bottom first.
    pub(crate) fn of(&self, image: &ImagePlan) -> Vec<(Digest, u64)> {
        chain_ids(image)
            .iter()
            .zip(&image.layers)
            .map(|(chain, layer)| {
                let name = self.names.get(chain).unwrap_or(&layer.diff_id).clone();
                let size = self.sizes.get(&name).copied().unwrap_or_default();
                (name, size)
            })
            .collect()
    }
}

/// Unpacks what `images` need and the store doesn't have yet.
pub(crate) fn store_layers(
    tree: &Tree,
    transaction: &mut Transaction,
    images: &[ImagePlan],
) -> Result<Layers, StoreError> {
    let mut load = Load {
        tree,
        transaction,
        lowest: images
            .iter()
            .filter_map(|image| image.layers.first())
            .map(|layer| layer.diff_id.clone())
            .collect(),
        known: known_sizes(tree),
        first: HashMap::new(),
        fresh: HashMap::new(),
        layers: Layers::default(),
    };
    load.unpack_missing(images)?;
    for image in images {
        load.place(image)?;
    }
    Ok(load.layers)
}

/// The chain ids of an image's layers, bottom first.
fn chain_ids(image: &ImagePlan) -> Vec<Digest> {
    let mut chain: Option<Digest> = None;
    let ids = image.layers.iter().map(|layer| {
        let id = match &chain {
            None => layer.diff_id.clone(),
            Some(below) => digest_of(format!("{below} {}", layer.diff_id).as_bytes()),
        };
        chain = Some(id.clone());
        id
    });
    ids.collect()
}

struct Load<'a> {
    tree: &'a Tree,
    transaction: &'a mut Transaction,
    /// Layers that some image of the archive has at the bottom.
    lowest: HashSet<Digest>,
    /// By the existing references.
    known: BTreeMap<Digest, u64>,
    /// What came out of a layer that was unpacked without a look below; `None`: it couldn't be. In its temporary folder
    /// as long as nobody took it.
    first: HashMap<Digest, Option<Unpacked>>,
    /// Name in `layers/` → where it is until the commit.
    fresh: HashMap<Digest, PathBuf>,
    layers: Layers,
}

impl Load<'_> {
    /// The first pass, over all layers that the store has in no usable form.
    fn unpack_missing(&mut self, images: &[ImagePlan]) -> Result<(), StoreError> {
        let mut seen = BTreeSet::new();
        let mut missing = Vec::new();
        for image in images {
            for (chain, layer) in chain_ids(image).iter().zip(&image.layers) {
                if !seen.insert(chain.clone()) {
                    continue;
                }
                if let Some(name) = self.here(chain, layer) {
                    say(&format!("{}: already here", layer.label));
                    let size = self.known.get(&name).copied();
                    let size = size.unwrap_or_else(|| measure(&self.tree.layer(&name)));
                    self.layers.sizes.insert(name.clone(), size);
                    self.layers.names.insert(chain.clone(), name);
                } else if !missing
                    .iter()
                    .any(|known: &&LayerPlan| known.diff_id == layer.diff_id)
                {
                    missing.push(layer);
                }
            }
        }
        self.first = unpack_layers(self.transaction, &missing, &self.lowest)?;
        let unpacked = self.first.iter().filter_map(|(name, first)| {
            let left_out = first.as_ref()?.left_out.clone();
            Some((name.clone(), left_out))
        });
        self.layers.left_out.extend(unpacked);
        Ok(())
    }

    /// The name under which the store has a layer in the form that it needs above this chain.
    fn here(&self, chain: &Digest, layer: &LayerPlan) -> Option<Digest> {
        let shared = self.tree.layer(&layer.diff_id);
        match Mark::read(&shared) {
            Some(mark) if !mark.depends || *chain == layer.diff_id => {
                return Some(layer.diff_id.clone());
            }
            // By an older release: it is unpacked once more, to see whether it depends on what is below.
            None if shared.is_dir() && layer.blob.is_none() => return Some(layer.diff_id.clone()),
            Some(_) | None => {}
        }
        self.tree
            .layer(chain)
            .is_dir()
            .then(|| chain.clone())
            .filter(|_| *chain != layer.diff_id)
    }

    /// The second pass, over one image: every layer gets its name.
    fn place(&mut self, image: &ImagePlan) -> Result<(), StoreError> {
        let chains = chain_ids(image);
        for (index, (chain, layer)) in chains.iter().zip(&image.layers).enumerate() {
            if self.layers.names.contains_key(chain) {
                continue;
            }
            let below = chains.get(..index).unwrap_or_default();
            let name = match self.first.get(&layer.diff_id) {
                Some(Some(first)) if index == 0 || first.is_sufficient() => {
                    self.take_shared(layer)?
                }
                Some(_) | None => self.take_dependent(chain, layer, below)?,
            };
            self.layers.names.insert(chain.clone(), name);
        }
        Ok(())
    }

    /// For every image.
    fn take_shared(&mut self, layer: &LayerPlan) -> Result<Digest, StoreError> {
        let name = &layer.diff_id;
        let Some(Some(first)) = self.first.get(name) else {
            return Ok(name.clone());
        };
        if self.fresh.contains_key(name) {
            return Ok(name.clone());
        }
        let mark = Mark {
            depends: !first.is_sufficient(),
            root: first.has_root,
        };
        let bytes = first.bytes;
        let folder = self.transaction.layer_folder(name);
        mark.write(&folder)
            .map_err(|error| StoreError::io("cannot mark", &folder, error))?;
        // It replaces what an older release unpacked, which knew less of archives.
        self.transaction.add_layer(name, name);
        self.fresh.insert(name.clone(), folder);
        self.layers.sizes.insert(name.clone(), bytes);
        Ok(name.clone())
    }

    /// For images with these layers below.
    fn take_dependent(
        &mut self,
        chain: &Digest,
        layer: &LayerPlan,
        below: &[Digest],
    ) -> Result<Digest, StoreError> {
        let ground: Vec<PathBuf> = below
            .iter()
            .filter_map(|chain| self.layers.names.get(chain))
            .map(|name| match self.fresh.get(name) {
                Some(folder) => folder.clone(),
                None => self.tree.layer(name),
            })
            .collect();
        let open_failed =
            |error| StoreError::io("cannot open the layers below", self.tree.root(), error);
        // The first pass' folder stays what it is when an image has the layer at the bottom, too.
        let first = match self.lowest.contains(&layer.diff_id) {
            true => None,
            false => self.first.insert(layer.diff_id.clone(), None).flatten(),
        };
        if let Some(first) = first {
            let folder = self.transaction.layer_folder(&layer.diff_id);
            let mut ground = Below::open(&ground).map_err(open_failed)?;
            let inherited = first.implied.inherit(&folder, &mut ground);
            let done = inherited.map_err(|error| {
                StoreError::io("cannot set the owners of folders in", &folder, error)
            })?;
            if done {
                clean(&first, &folder, &mut ground)?;
                return self.keep(chain, &layer.diff_id, &first);
            }
        }
        let below = Below::open(&ground).map_err(open_failed)?;
        let unpacked = store_layer(self.transaction, layer, chain, Ground::Layers(below))?;
        let left_out = unpacked.left_out.clone();
        self.layers.left_out.insert(layer.diff_id.clone(), left_out);
        let folder = self.transaction.layer_folder(chain);
        let mut below = Below::open(&ground).map_err(open_failed)?;
        let inherited = unpacked.implied.inherit(&folder, &mut below);
        inherited.map_err(|error| {
            StoreError::io("cannot set the owners of folders in", &folder, error)
        })?;
        clean(&unpacked, &folder, &mut below)?;
        self.keep(chain, chain, &unpacked)
    }

    /// The layer in the temporary folder `from` is that of the chain.
    fn keep(
        &mut self,
        chain: &Digest,
        from: &Digest,
        unpacked: &Unpacked,
    ) -> Result<Digest, StoreError> {
        let folder = self.transaction.layer_folder(from);
        let mark = Mark {
            depends: true,
            root: unpacked.has_root,
        };
        mark.write(&folder)
            .map_err(|error| StoreError::io("cannot mark", &folder, error))?;
        self.transaction.add_layer(from, chain);
        self.fresh.insert(chain.clone(), folder);
        self.layers.sizes.insert(chain.clone(), unpacked.bytes);
        Ok(chain.clone())
    }
}

/// Unpacks several layers side by side. After a failure no further one is begun, and the first failure is told.
fn unpack_layers(
    transaction: &Transaction,
    layers: &[&LayerPlan],
    lowest: &HashSet<Digest>,
) -> Result<HashMap<Digest, Option<Unpacked>>, StoreError> {
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
    let finished = Mutex::new(HashMap::new());
    let failure = Mutex::new(None);
    let work = || {
        while failure.lock().is_ok_and(|failure| failure.is_none()) {
            let Some(layer) = layers.get(next.fetch_add(1, Ordering::Relaxed)) else {
                return;
            };
            let ground = match lowest.contains(&layer.diff_id) {
                true => Ground::Bottom,
                false => Ground::Unknown,
            };
            let unpacked = match store_layer(transaction, layer, &layer.diff_id, ground) {
                Ok(unpacked) => Some(unpacked),
                Err(StoreError::Unpack {
                    source: UnpackError::NeedsBelow,
                    ..
                }) => None,
                Err(error) => {
                    if let Ok(mut failure) = failure.lock() {
                        failure.get_or_insert(error);
                    }
                    continue;
                }
            };
            if let Ok(mut finished) = finished.lock() {
                finished.insert(layer.diff_id.clone(), unpacked);
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

/// Unpacks a layer into the temporary folder `name`.
fn store_layer(
    transaction: &Transaction,
    layer: &LayerPlan,
    name: &Digest,
    ground: Ground,
) -> Result<Unpacked, StoreError> {
    let missing = || StoreError::Missing {
        what: layer.label.clone(),
        blob: layer.digest.to_string(),
    };
    let blob = layer.blob.as_ref().ok_or_else(missing)?;
    let folder = transaction.layer_folder(name);
    let unpacked = unpack_layer(layer, blob, &folder, ground, transaction.meter())?;
    say(&format!(
        "{}: {} in {} entries",
        layer.label,
        Bytes(unpacked.bytes),
        unpacked.entries
    ));
    Ok(unpacked)
}

/// The sizes of layers, as the existing references tell them.
fn known_sizes(tree: &Tree) -> BTreeMap<Digest, u64> {
    let records = Store::at(tree.root()).records().unwrap_or_default();
    records
        .into_iter()
        .flatten()
        .flat_map(|record| record.layers)
        .map(|layer| (layer.folder, layer.size))
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
