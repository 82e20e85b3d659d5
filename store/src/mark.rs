//! What the folder of an unpacked layer says of itself, in an extended attribute: it comes and goes with the folder.
//!
//! A folder without it was unpacked by a release that didn't look at what is below a layer.

use serde::{Deserialize, Serialize};
use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The attribute that makes a folder hide those of the same name below it (overlayfs, "whiteouts and opaque
/// directories").
pub(crate) const OPAQUE: &CStr = c"trusted.overlay.opaque";
const NAME: &CStr = c"trusted.keelson.layer";
/// Far more than its keys need.
const BYTES_MAX: usize = 4096;
/// Mode, owner and group of a root folder that no entry describes.
const ROOT_UNDESCRIBED: (u32, u32, u32) = (0o755, 0, 0);

/// JSON. Keys are added, never renamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    /// Its files are right only with the layers below that it was unpacked for.
    pub(crate) depends: bool,
    /// It describes its root folder.
    pub(crate) root: bool,
}

impl Mark {
    pub(crate) fn write(self, folder: &Path) -> io::Result<()> {
        let text = serde_json::to_vec(&self)?;
        sys::xattr::set(File::open(folder)?.as_fd(), NAME, &text)
    }

    /// `None`: the folder has none, or is not there.
    pub(crate) fn read(folder: &Path) -> Option<Self> {
        let text = sys::xattr::of_path(folder, NAME, BYTES_MAX).ok()??;
        serde_json::from_slice(&text).ok()
    }
}

/// Whether the layer in `folder` describes its root. Of one without a mark, what is not as it is by default was described.
pub(crate) fn has_root(folder: &Path) -> bool {
    match Mark::read(folder) {
        Some(mark) => mark.root,
        None => folder
            .metadata()
            .is_ok_and(|root| (root.mode() & 0o7777, root.uid(), root.gid()) != ROOT_UNDESCRIBED),
    }
}

/// How many of these layers (bottom first) nothing is seen of, since one above them has an opaque root folder
/// (`.wh..wh..opq` at the top of its archive). Overlayfs doesn't look at that mark of a layer's root.
pub(crate) fn hidden_layers(layers: &[PathBuf]) -> usize {
    let opaque = |layer: &PathBuf| sys::xattr::of_path(layer, OPAQUE, 1).ok()?;
    layers
        .iter()
        .rposition(|layer| opaque(layer).as_deref() == Some(b"y"))
        .unwrap_or(0)
}
