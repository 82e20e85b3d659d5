//! SHA-256, as lower-case hexadecimal text.

use sha2::{Digest, Sha256};

pub(crate) fn of(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The first 16 bytes of the digest of `words`: an identity that follows from what it names.
pub(crate) fn id(words: &[&str]) -> [u8; 16] {
    let digest = Sha256::digest(words.join("\n").as_bytes());
    let mut id = [0; 16];
    id.copy_from_slice(&digest[..16]);
    // RFC 9562, version 8 (made from data in a way of our own), variant 1.
    id[6] = (id[6] & 0x0f) | 0x80;
    id[8] = (id[8] & 0x3f) | 0x80;
    id
}
