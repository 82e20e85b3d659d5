//! SHA-256 of what passes by, so that nothing is read twice.

use crate::Digest;
use sha2::{Digest as _, Sha256};
use std::io::{self, Read};

/// A reader that hashes and counts what is read through it.
#[derive(Debug)]
pub(crate) struct HashingReader<R> {
    inner: R,
    hasher: Sha256,
    bytes: u64,
    bytes_max: u64,
}

impl<R: Read> HashingReader<R> {
    /// Reading more than `bytes_max` is an error of kind `FileTooLarge`.
    pub(crate) fn new(inner: R, bytes_max: u64) -> Self {
        Self {
            inner,
            hasher: Sha256::new(),
            bytes: 0,
            bytes_max,
        }
    }

    /// The digest of all bytes so far, and what was read from.
    pub(crate) fn finish(self) -> (Digest, R) {
        (Digest::from_bytes(&self.hasher.finalize()), self.inner)
    }
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        self.bytes += count as u64;
        if self.bytes > self.bytes_max {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(count)
    }
}

/// The digest of bytes in memory.
pub(crate) fn digest_of(bytes: &[u8]) -> Digest {
    Digest::from_bytes(&Sha256::digest(bytes))
}
