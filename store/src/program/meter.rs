//! What a load has written, and whether the rest will fit.

use crate::program::error::{Medium, Shortage};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use sys::space::space;

/// Files below that are written without asking for the free space first: the write says it, too.
const ASK_FROM_BYTES: u64 = 8 << 20;

/// Shared by the threads that write.
#[derive(Debug)]
pub(crate) struct Meter {
    root: PathBuf,
    /// Bytes, when the load began. The store runs as root, so it may use the reserve.
    free: u64,
    medium: Medium,
    written: AtomicU64,
    /// The largest sum of what was written and what was about to be.
    needed: AtomicU64,
}

impl Meter {
    pub(crate) fn start(root: &Path) -> io::Result<Self> {
        let now = space(root)?;
        Ok(Self {
            root: root.to_owned(),
            free: now.free,
            medium: match now.in_memory {
                true => Medium::Memory,
                false => Medium::Disk,
            },
            written: AtomicU64::new(0),
            needed: AtomicU64::new(0),
        })
    }

    /// To be called before so many bytes are written in one go.
    ///
    /// # Errors
    /// `StorageFull` when they can't fit, before the disk has been filled for nothing.
    pub(crate) fn expect(&self, bytes: u64) -> io::Result<()> {
        let total = self.written.load(Ordering::Relaxed).saturating_add(bytes);
        self.needed.fetch_max(total, Ordering::Relaxed);
        if bytes >= ASK_FROM_BYTES && bytes > space(&self.root)?.free {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    pub(crate) fn wrote(&self, bytes: usize) {
        self.written.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn medium(&self) -> Medium {
        self.medium
    }

    /// What ran out, to be asked before anything is cleaned up.
    pub(crate) fn shortage(&self) -> Shortage {
        match space(&self.root) {
            Ok(now) if now.files > 0 && now.files_free == 0 => Shortage::Files,
            Ok(_) | Err(_) => {
                let written = self.written.load(Ordering::Relaxed);
                Shortage::Bytes {
                    free: self.free,
                    needed: self.needed.load(Ordering::Relaxed).max(written),
                }
            }
        }
    }
}
