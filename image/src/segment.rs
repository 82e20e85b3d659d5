//! The initramfs is a row of compressed cpio archives, one per part that changes at its own pace.
//!
//! ```text
//! ┌── system ───────────────┬── units ──┬── modules ─────────────────┬── preload ───────┐
//! │ folders, programs       │           │ .ko, indexes, modules.boot │ image archives   │
//! └─────────────────────────┴───────────┴────────────────────────────┴──────────────────┘
//! ```
//!
//! The kernel unpacks one after the other. So a part that has not changed is not compressed again, and how much of the
//! file each part takes is simply its length.

use crate::cpio;
use crate::digest;
use crate::error::{BuildError, at};
use crate::tree::Tree;
use std::path::Path;

/// The strongest level that needs no more window (8 MiB) than the kernel has to hold while it unpacks.
const LEVEL: i32 = 19;
/// For parts that are compressed already (image archives): looking harder gains nothing.
const LEVEL_PACKED: i32 = 3;

/// How well a part can be compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    Plain,
    /// Mostly compressed files.
    Packed,
}

/// One compressed archive of the initramfs.
#[derive(Debug, Clone)]
pub(crate) struct Segment {
    pub(crate) name: &'static str,
    /// Of the files, unpacked.
    pub(crate) bytes: u64,
    pub(crate) compressed: Vec<u8>,
}

impl Segment {
    /// Compress a tree, or take it from `cache`, where there is one, when the same tree was compressed before.
    pub(crate) fn new(
        name: &'static str,
        tree: &Tree,
        content: Content,
        cache: Option<&Path>,
    ) -> Result<Self, BuildError> {
        let archive = cpio::archive(tree, cpio::date());
        let level = match content {
            Content::Plain => LEVEL,
            Content::Packed => LEVEL_PACKED,
        };
        let bytes = tree.bytes();
        let Some(cache) = cache else {
            let compressed = compress(&archive, level).map_err(at(name))?;
            return Ok(Self {
                name,
                bytes,
                compressed,
            });
        };
        let file = cache.join(format!("{name}-{}-{level}.zst", digest::of(&archive)));
        if let Ok(compressed) = std::fs::read(&file) {
            return Ok(Self {
                name,
                bytes,
                compressed,
            });
        }
        let compressed = compress(&archive, level).map_err(at(&file))?;
        std::fs::create_dir_all(cache).map_err(at(cache))?;
        forget_others(cache, name);
        write_whole(&file, &compressed)?;
        Ok(Self {
            name,
            bytes,
            compressed,
        })
    }
}

/// One frame, one thread: the same bytes on every machine.
fn compress(bytes: &[u8], level: i32) -> std::io::Result<Vec<u8>> {
    zstd::bulk::compress(bytes, level)
}

/// Compressed size on its own, for the size report.
pub(crate) fn compressed_size(bytes: &[u8]) -> u64 {
    compress(bytes, LEVEL).map_or(0, |compressed| compressed.len() as u64)
}

/// Older versions of a part are kept, but not for ever.
const KEPT: usize = 8;

fn forget_others(cache: &Path, name: &str) {
    let Ok(entries) = std::fs::read_dir(cache) else {
        return;
    };
    let prefix = format!("{name}-");
    let ours = entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix));
    let mut files: Vec<_> = ours
        .map(|entry| {
            (
                entry.metadata().and_then(|about| about.modified()).ok(),
                entry.path(),
            )
        })
        .collect();
    files.sort();
    let surplus = files.len().saturating_sub(KEPT);
    for (_, path) in files.into_iter().take(surplus) {
        let _ = std::fs::remove_file(path);
    }
}

/// Write a file so that its name never stands for half of it; one that has these bytes already is left alone.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), BuildError> {
    let same_size = path
        .metadata()
        .is_ok_and(|about| about.len() == bytes.len() as u64);
    if same_size && std::fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    let temporary = path.with_extension("incoming");
    std::fs::write(&temporary, bytes).map_err(at(&temporary))?;
    std::fs::rename(&temporary, path).map_err(at(path))
}
