//! Small files that survive a power cut: written beside, synced, renamed over (rename(2)).

use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Replace `path` as a whole: after a power cut it holds the old bytes or the new ones.
///
/// # Errors
/// As open(2), write(2), fsync(2), rename(2).
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_with(path, bytes, 0o644)
}

/// The same for what nobody but us may read.
///
/// # Errors
/// As [`write`].
pub(crate) fn write_secret(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_with(path, bytes, 0o600)
}

/// The same without waiting for the disk: after a power cut the last seconds may be missing. It is one of the two whole
/// files all the same: ext4 writes a new file's bytes before the rename that replaces an old one by it (ext4(5),
/// `auto_da_alloc` and `data=ordered`).
///
/// # Errors
/// As open(2), write(2), rename(2).
pub(crate) fn write_without_sync(path: &Path, bytes: &[u8]) -> io::Result<()> {
    put_beside(path, bytes, 0o644).and_then(|(_, temporary)| fs::rename(temporary, path))
}

fn write_with(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let (file, temporary) = put_beside(path, bytes, mode)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

fn put_beside(path: &Path, bytes: &[u8], mode: u32) -> io::Result<(File, PathBuf)> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let temporary = path.with_file_name(name);
    // What a power cut has left there may have another mode.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(mode);
    let mut file = options.open(&temporary)?;
    file.write_all(bytes)?;
    Ok((file, temporary))
}

/// Between two attempts to write what could not be written: a full disk is not full for ever.
const RETRY_MS: u64 = 10_000;

/// When a write that has failed is tried again.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Retry {
    at_ms: Option<u64>,
}

impl Retry {
    /// It has failed. Whether that is to be said: it was not put off before.
    pub(crate) fn put_off(&mut self, now_ms: u64) -> bool {
        self.at_ms
            .replace(now_ms.saturating_add(RETRY_MS))
            .is_none()
    }

    pub(crate) fn is_due(&self, now_ms: u64) -> bool {
        self.at_ms.is_some_and(|at| at <= now_ms)
    }

    pub(crate) fn deadline(&self) -> Option<u64> {
        self.at_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_failed_is_said_once_and_tried_again() {
        let mut retry = Retry::default();
        assert!(!retry.is_due(u64::MAX));
        assert!(retry.put_off(5));
        assert!(!retry.is_due(5 + RETRY_MS - 1) && retry.is_due(5 + RETRY_MS));
        assert!(!retry.put_off(5 + RETRY_MS));
        assert_eq!(retry.deadline(), Some(5 + 2 * RETRY_MS));
    }
}
