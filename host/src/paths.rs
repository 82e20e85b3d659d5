//! Where things are on the build host. Everything made goes under `target/keelson`.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// The root of the workspace: the folder with `Cargo.lock`, looked for from the running crate's folder (cargo tells it)
/// or the current one upwards, else the place this program was built in.
#[must_use]
pub fn workspace() -> PathBuf {
    let start = std::env::var_os("CARGO_MANIFEST_DIR")
        .map(PathBuf::from)
        .or_else(|| std::env::current_dir().ok());
    let found = start
        .as_deref()
        .and_then(|start| start.ancestors().find(|folder| is_workspace(folder)));
    match found {
        Some(folder) => folder.to_path_buf(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join(".."),
    }
}

fn is_workspace(folder: &Path) -> bool {
    folder.join("Cargo.lock").is_file() && folder.join("rootfs/modules.toml").is_file()
}

/// `target/keelson`.
#[must_use]
pub fn made() -> PathBuf {
    workspace().join("target/keelson")
}

/// What was fetched: packages and their unpacked folders.
#[must_use]
pub fn cache() -> PathBuf {
    made().join("cache")
}

/// Artefacts of the image.
#[must_use]
pub fn image() -> PathBuf {
    made().join("image")
}

/// Take the lock `name` for as long as the returned file lives; two builds in one tree wait for each other.
///
/// # Errors
/// When the lock file can't be made or locked.
pub fn lock(name: &str) -> io::Result<File> {
    let file = lock_file(name)?;
    file.lock()?;
    Ok(file)
}

/// Take the lock `name` if it is free.
///
/// # Errors
/// `WouldBlock` when somebody holds it; else as [`lock`].
pub fn try_lock(name: &str) -> Result<File, TryLockError> {
    let file = lock_file(name).map_err(TryLockError::Error)?;
    file.try_lock()?;
    Ok(file)
}

fn lock_file(name: &str) -> io::Result<File> {
    let folder = made();
    std::fs::create_dir_all(&folder)?;
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(folder.join(format!("{name}.lock")))
}
