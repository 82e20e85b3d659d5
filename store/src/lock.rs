//! flock(2) on a file of the store. The kernel gives it back when its holder dies, so no lock is ever stale.

use std::fs::File;
use std::io;
use std::path::Path;

/// A lock, held until it is dropped.
#[derive(Debug)]
pub struct Lock {
    /// None on a read-only store that was never locked: nobody can remove anything from it.
    _file: Option<File>,
}

impl Lock {
    /// Beside other holders of shared locks. Waits for an exclusive one.
    ///
    /// # Errors
    /// Of open(2) and flock(2).
    pub fn shared(path: &Path) -> io::Result<Self> {
        // A lock needs no right to write, so a read-only store can be used.
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => match create(path) {
                Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
                    return Ok(Self { _file: None });
                }
                created => created?,
            },
            opened => opened?,
        };
        file.lock_shared()?;
        Ok(Self { _file: Some(file) })
    }

    /// Alone. Waits for all others.
    ///
    /// # Errors
    /// Of open(2) and flock(2).
    pub fn exclusive(path: &Path) -> io::Result<Self> {
        let file = create(path)?;
        file.lock()?;
        Ok(Self { _file: Some(file) })
    }
}

fn create(path: &Path) -> io::Result<File> {
    File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
}
