//! One change of the store: everything it writes is in `tmp/` until [`Transaction::commit`], which puts it in its
//! place in an order that a power cut can interrupt anywhere.
//!
//! ```text
//! write tmp/… ─▶ syncfs ─▶ rename blobs, layers ─▶ references ─▶ marks          (each: then fsync of their folders)
//! ```
//! A mark says that all before it is done: that an archive of the release was loaded.

use crate::program::error::StoreError;
use crate::program::gc::split_mounted;
use crate::program::meter::Meter;
use crate::program::progress::say;
use crate::{Digest, Lock, Tree};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Holds the writer's lock; what it has not committed is removed when it is dropped, or by the next one.
#[derive(Debug)]
pub(crate) struct Transaction {
    tree: Tree,
    meter: Meter,
    moves: Vec<(PathBuf, PathBuf)>,
    references: Vec<(PathBuf, PathBuf)>,
    marks: Vec<(PathBuf, PathBuf)>,
    _writing: Lock,
}

impl Transaction {
    /// Waits for other writers, makes the tree where it is missing, and empties `tmp/`.
    pub(crate) fn begin(tree: &Tree) -> Result<Self, StoreError> {
        for folder in [
            tree.root().to_owned(),
            tree.blobs(),
            tree.layers(),
            tree.references(),
            tree.preloaded(),
            tree.temporary(),
        ] {
            // Containers reach their layers through the overlay; nobody else has business here.
            let made = fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&folder);
            made.map_err(|error| {
                classify(tree, StoreError::io("cannot make", &folder, error), None)
            })?;
        }
        let lock_path = tree.load_lock();
        let writing = Lock::exclusive(&lock_path).map_err(|error| {
            classify(tree, StoreError::io("cannot lock", &lock_path, error), None)
        })?;
        clean(tree)?;
        let meter = Meter::start(tree.root())
            .map_err(|error| StoreError::io("cannot look at", tree.root(), error))?;
        Ok(Self {
            tree: tree.clone(),
            meter,
            moves: Vec::new(),
            references: Vec::new(),
            marks: Vec::new(),
            _writing: writing,
        })
    }

    pub(crate) fn meter(&self) -> &Meter {
        &self.meter
    }

    pub(crate) fn temporary(&self) -> PathBuf {
        self.tree.temporary()
    }

    /// Where to unpack a layer; [`Transaction::add_layer`] when that is done.
    pub(crate) fn layer_folder(&self, diff_id: &Digest) -> PathBuf {
        self.tree
            .temporary()
            .join(format!("layer-{}", diff_id.hex()))
    }

    /// The layer that was unpacked as `from` gets its name in `layers/`.
    pub(crate) fn add_layer(&mut self, from: &Digest, name: &Digest) {
        self.moves
            .push((self.layer_folder(from), self.tree.layer(name)));
    }

    /// Bytes whose digest was verified.
    pub(crate) fn add_blob(&mut self, digest: &Digest, bytes: &[u8]) -> Result<(), StoreError> {
        let temporary = self.tree.temporary().join(format!("blob-{}", digest.hex()));
        // Images of one archive may share their configuration.
        if self.moves.iter().all(|(known, _)| *known != temporary) {
            self.write(&temporary, bytes)?;
            self.moves.push((temporary, self.tree.blob(digest)));
        }
        Ok(())
    }

    /// A file that makes the others visible: a reference.
    pub(crate) fn add_reference(
        &mut self,
        target: PathBuf,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        let temporary = self
            .tree
            .temporary()
            .join(format!("ref-{}", self.references.len()));
        self.write(&temporary, bytes)?;
        self.references.push((temporary, target));
        Ok(())
    }

    /// A file that comes when all else is there.
    pub(crate) fn add_mark(&mut self, target: PathBuf, bytes: &[u8]) -> Result<(), StoreError> {
        let name = format!("mark-{}", self.marks.len());
        let temporary = self.tree.temporary().join(name);
        self.write(&temporary, bytes)?;
        self.marks.push((temporary, target));
        Ok(())
    }

    /// Makes all of it durable and visible.
    pub(crate) fn commit(mut self) -> Result<(), StoreError> {
        let root = self.tree.root().to_owned();
        let synced = File::open(&root).and_then(|root| Ok(nix::unistd::syncfs(root)?));
        synced.map_err(|error| StoreError::io("cannot sync", &root, error))?;
        let (here, missing) = std::mem::take(&mut self.moves)
            .into_iter()
            .partition(|(_, target)| target.is_dir());
        rename_all(missing)?;
        self.replace(here)?;
        sync_folder(&self.tree.blobs())?;
        sync_folder(&self.tree.layers())?;
        rename_all(std::mem::take(&mut self.references))?;
        sync_folder(&self.tree.references())?;
        let marks = std::mem::take(&mut self.marks);
        if marks.is_empty() {
            return Ok(());
        }
        rename_all(marks)?;
        sync_folder(&self.tree.preloaded())
    }

    /// What an error of this change means for the operator: a full or read-only disk is told as such. To be asked
    /// before the transaction is dropped, which makes room again.
    pub(crate) fn classify(&self, error: StoreError) -> StoreError {
        classify(&self.tree, error, Some(&self.meter))
    }

    /// Layers take the place of those of the same name that an older release unpacked, each in one step. The old ones
    /// go with what is left in `tmp/`; so nobody may be about to mount one, and what is mounted stays.
    fn replace(&self, layers: Vec<(PathBuf, PathBuf)>) -> Result<(), StoreError> {
        if layers.is_empty() {
            return Ok(());
        }
        let lock_path = self.tree.use_lock();
        let _alone = Lock::exclusive(&lock_path)
            .map_err(|error| StoreError::io("cannot lock", &lock_path, error))?;
        let name = |path: &Path| {
            let name = path.file_name().unwrap_or_default();
            name.to_string_lossy().into_owned()
        };
        let names = layers.iter().map(|(_, target)| name(target)).collect();
        let (mounted, _) = split_mounted(names)?;
        for (fresh, target) in layers {
            if mounted.contains(&name(&target)) {
                say(&format!(
                    "layer {} stays as an older release has unpacked it, since a container uses it: load the image \
                     again when that has ended",
                    name(&target)
                ));
                continue;
            }
            sys::exchange::exchange(&fresh, &target)
                .map_err(|error| StoreError::io("cannot replace", &target, error))?;
        }
        Ok(())
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        write_new(path, bytes).map_err(|error| StoreError::io("cannot write", path, error))?;
        self.meter.wrote(bytes.len());
        Ok(())
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        // What can't be removed now is removed by the next transaction, which says why when it can't, either.
        let _ = clean(&self.tree);
    }
}

pub(crate) fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|error| StoreError::io("cannot sync", folder, error))
}

/// Empties `tmp/`: only the holder of the writer's lock writes there, so all of it is left over.
fn clean(tree: &Tree) -> Result<(), StoreError> {
    let folder = tree.temporary();
    let failed = |error| StoreError::io("cannot clean", &folder, error);
    for entry in fs::read_dir(&folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let removed = match entry.file_type().map_err(failed)?.is_dir() {
            true => fs::remove_dir_all(entry.path()),
            false => fs::remove_file(entry.path()),
        };
        removed.map_err(|error| StoreError::io("cannot remove", &entry.path(), error))?;
    }
    Ok(())
}

fn classify(tree: &Tree, error: StoreError, meter: Option<&Meter>) -> StoreError {
    match (error.write_error(), meter) {
        (Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded), Some(meter)) => {
            StoreError::NoSpace {
                root: tree.root().to_owned(),
                medium: meter.medium(),
                shortage: meter.shortage(),
            }
        }
        (Some(io::ErrorKind::ReadOnlyFilesystem), _) => StoreError::ReadOnly {
            root: tree.root().to_owned(),
        },
        (Some(_) | None, _) => error,
    }
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    io::Write::write_all(&mut file, bytes)
}

fn rename_all(moves: Vec<(PathBuf, PathBuf)>) -> Result<(), StoreError> {
    for (from, to) in moves {
        fs::rename(&from, &to)
            .map_err(|error| StoreError::io("cannot move a finished part to", &to, error))?;
    }
    Ok(())
}
