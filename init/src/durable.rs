//! Small files that survive a power cut: written beside, synced, renamed over (rename(2)).

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Replace `path` as a whole: after a power cut it holds the old bytes or the new ones.
///
/// # Errors
/// As open(2), write(2), fsync(2), rename(2).
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let temporary = path.with_file_name(name);
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}
