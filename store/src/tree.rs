//! The names in the store's tree (drawn at the head of the crate).

use crate::{Digest, Reference};
use std::path::{Path, PathBuf};

/// Paths below one root.
#[derive(Clone, Debug)]
pub struct Tree {
    root: PathBuf,
}

impl Tree {
    #[must_use]
    pub fn at(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    #[must_use]
    pub fn blobs(&self) -> PathBuf {
        self.root.join("blobs/sha256")
    }

    #[must_use]
    pub fn blob(&self, digest: &Digest) -> PathBuf {
        self.blobs().join(digest.hex())
    }

    #[must_use]
    pub fn layers(&self) -> PathBuf {
        self.root.join("layers")
    }

    #[must_use]
    pub fn layer(&self, diff_id: &Digest) -> PathBuf {
        self.layers().join(diff_id.hex())
    }

    #[must_use]
    pub fn references(&self) -> PathBuf {
        self.root.join("refs")
    }

    #[must_use]
    pub fn reference(&self, reference: &Reference) -> PathBuf {
        self.references().join(reference.file_name())
    }

    #[must_use]
    pub fn preloaded(&self) -> PathBuf {
        self.root.join(sys::paths::PRELOADED)
    }

    /// The same of releases whose layers are as they were before they could depend on each other.
    #[must_use]
    pub fn preloaded_before(&self) -> PathBuf {
        self.root.join("preloaded")
    }

    #[must_use]
    pub fn temporary(&self) -> PathBuf {
        self.root.join("tmp")
    }

    #[must_use]
    pub fn use_lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    #[must_use]
    pub fn load_lock(&self) -> PathBuf {
        self.root.join("load.lock")
    }
}
