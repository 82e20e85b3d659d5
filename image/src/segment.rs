//! The initramfs is a row of cpio archives, one per part that changes at its own pace.
//!
//! ```text
//! ┌── system ──────────┬── units ──┬── modules ─────────────────┬── hardware ─┬── preload ───────┐
//! │ folders, programs  │           │ .ko, indexes, modules.boot │ .ko.xz      │ image archives   │
//! └───────── LZ4 ──────┴─── LZ4 ───┴─────────── LZ4 ────────────┴── stored ───┴──── stored ──────┘
//! ```
//!
//! The kernel unpacks one after the other before anything else can run, on one processor. So what has to be unpacked is
//! compressed with what unpacks fastest, and what is compressed already is stored (docs/decisions/007). A part that has not
//! changed is not compressed again, and how much of the file each part takes is simply its length.
//!
//! Invariant: each part is a multiple of four bytes long, and a compressed one ends with four zeros at least: with LZ4's
//! old frame format, which is the one that the kernel reads (lib/decompress_unlz4.c), that is how it sees where the
//! archive ends when something follows.

use crate::cpio;
use crate::digest;
use crate::error::{BuildError, at};
use crate::lz4;
use crate::tree::Tree;
use std::path::Path;

/// How a part is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// Programs and text.
    Compressible,
    /// Mostly compressed files: looking harder gains nothing.
    Packed,
}

impl Content {
    /// Part of the name in the cache: what was made in another way is another file.
    fn name(self) -> String {
        match self {
            Self::Compressible => format!("lz4-{}", lz4::LEVEL),
            Self::Packed => "cpio".to_owned(),
        }
    }

    fn pack(self, archive: Vec<u8>) -> std::io::Result<Vec<u8>> {
        match self {
            Self::Compressible => lz4::pack(&archive),
            Self::Packed => Ok(archive),
        }
    }
}

/// One archive of the initramfs.
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
        let bytes = tree.bytes();
        let cache = match content {
            Content::Compressible => cache,
            // Nothing would be saved.
            Content::Packed => None,
        };
        let Some(cache) = cache else {
            let compressed = content.pack(archive).map_err(at(name))?;
            return Ok(Self {
                name,
                bytes,
                compressed,
            });
        };
        let file = cache.join(format!(
            "{name}-{}.{}",
            digest::of(&archive),
            content.name()
        ));
        if let Ok(compressed) = std::fs::read(&file) {
            return Ok(Self {
                name,
                bytes,
                compressed,
            });
        }
        let compressed = content.pack(archive).map_err(at(&file))?;
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

/// Compressed size on its own, for the size report.
pub(crate) fn compressed_size(bytes: &[u8]) -> u64 {
    lz4::pack(bytes).map_or(0, |compressed| compressed.len() as u64)
}

/// The archives of a row, unpacked, one behind the other.
pub(crate) fn archives(mut row: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut all = Vec::new();
    while let Some(first) = row.first() {
        if *first == 0 {
            row = row.get(1..).unwrap_or_default();
        } else if let Some((archive, rest)) = lz4::unpack(row)? {
            all.extend(archive);
            row = rest;
        } else {
            let length = cpio::length(row).ok_or(std::io::ErrorKind::InvalidData)?;
            let (archive, rest) = row.split_at(length);
            all.extend(archive);
            row = rest;
        }
    }
    Ok(all)
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
