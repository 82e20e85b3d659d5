//! Names of entries that are no files of a layer, but say something of those below it (OCI image-spec, layer.md,
//! "Whiteouts"), and those of aufs.

use crate::program::layer_path::split;

pub(crate) const WHITEOUT_PREFIX: &[u8] = b".wh.";
pub(crate) const OPAQUE_NAME: &[u8] = b".wh..wh..opq";
/// Other marks of aufs, which mean nothing elsewhere.
const AUFS_PREFIX: &[u8] = b".wh..wh.";
/// Aufs' folder of files of many names: hard links lead to it.
pub(crate) const AUFS_LINKS: &[u8] = b".wh..wh.plnk";

/// What an entry's name says of it.
pub(crate) enum Marks {
    None,
    Whiteout,
    /// Of aufs, to be left out.
    Aufs,
    /// In aufs' folder of files of many names.
    Link,
}

pub(crate) fn marks(path: &[u8]) -> Marks {
    let (folder, name) = split(path).unwrap_or_default();
    let mut folders = folder.split(|byte| *byte == b'/');
    if folders.clone().next() == Some(AUFS_LINKS) {
        return Marks::Link;
    }
    if folders.any(|name| name.starts_with(AUFS_PREFIX)) {
        return Marks::Aufs;
    }
    match name {
        OPAQUE_NAME => Marks::Whiteout,
        name if name.starts_with(AUFS_PREFIX) => Marks::Aufs,
        name if name.starts_with(WHITEOUT_PREFIX) => Marks::Whiteout,
        _ => Marks::None,
    }
}
