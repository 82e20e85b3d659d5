//! One part of an archive, to be read by several threads.

use crate::Digest;
use crate::program::compression::MAGIC_BYTES;
use crate::program::slice::Slice;
use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;

/// One part of an archive.
#[derive(Clone, Debug)]
pub(crate) struct Blob {
    pub(super) file: Arc<File>,
    pub(super) offset: u64,
    pub(super) size: u64,
    pub(super) digest: Option<Digest>,
}

impl Blob {
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Known when the blob was hashed as it passed by.
    pub(crate) fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    pub(crate) fn open(&self) -> Slice {
        Slice::new(Arc::clone(&self.file), self.offset, self.size)
    }

    /// The bytes that tell its compression.
    pub(crate) fn start(&self) -> io::Result<Vec<u8>> {
        let mut start = Vec::new();
        self.open()
            .take(MAGIC_BYTES as u64)
            .read_to_end(&mut start)?;
        Ok(start)
    }
}
