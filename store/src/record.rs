//! A file of `refs/`: what a reference leads to.

use crate::Digest;
use serde::{Deserialize, Serialize};

/// JSON. Keys are added, never renamed: an older release must read what a newer one wrote, after a roll-back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRecord {
    /// Normalised.
    pub reference: String,
    /// Of the manifest. An archive without manifests (`docker save` before version 25) gets one made from its
    /// configuration and its layers.
    pub digest: Digest,
    pub config: Digest,
    /// Bottom first.
    pub layers: Vec<LayerRecord>,
    /// RFC 3339, from the configuration; empty: unknown.
    #[serde(default)]
    pub created: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerRecord {
    /// The layer's name in `layers/`: its diff_id (SHA-256 of the uncompressed tar), or its chain id if it depends on
    /// what is below. The key is that of the first releases, which know the folder by it.
    #[serde(rename = "diff_id")]
    pub folder: Digest,
    /// Its diff_id, where that is not its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Digest>,
    /// SHA-256 of the blob that it came as.
    pub digest: Digest,
    /// Bytes of that blob.
    pub blob_size: u64,
    /// Bytes of the files as unpacked, without the file system's own.
    pub size: u64,
}

impl ImageRecord {
    /// Bytes of all layers as stored; a layer that occurs twice counts once.
    #[must_use]
    pub fn size(&self) -> u64 {
        let mut seen = std::collections::BTreeSet::new();
        self.layers
            .iter()
            .filter(|layer| seen.insert(&layer.folder))
            .fold(0, |sum, layer| sum.saturating_add(layer.size))
    }
}
