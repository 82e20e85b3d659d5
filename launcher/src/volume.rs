//! Volumes: folders that outlive containers and images.
//!
//! ```text
//! /var/volumes/<name>/data      what the container sees
//!                    /filling   exists while the image's content is being copied into data
//! ```
//!
//! An empty volume takes over what the image has at its place, with owner and mode, as Docker's do. A copy that was cut
//! off by a crash has left `filling` behind, and is made again.

use crate::copy::copy_content;
use crate::failure::{At, Fault};
use std::fmt::Write;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use sys::folder;
use sys::mount::{Depth, Tree};
use unit::UnitName;

/// Longest name of a file on every Linux file system (NAME_MAX).
const NAME_BYTES_MAX: usize = 255;

/// A named volume, locked: two containers that start at once must not both fill it.
#[derive(Debug)]
pub(crate) struct Volume {
    folder: PathBuf,
    /// flock(2), given back when this is dropped.
    _lock: File,
}

impl Volume {
    /// Open it, or make it.
    pub(crate) fn open(volumes: &Path, name: &str) -> Result<Self, Fault> {
        let folder = volumes.join(name);
        let lock = match File::open(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make(&folder, 0o700)?;
                File::open(&folder)
            }
            other => other,
        };
        let lock = lock.at("open", &folder)?;
        lock.lock().at("lock", &folder)?;
        let volume = Self {
            folder,
            _lock: lock,
        };
        make(&volume.data(), 0o755)?;
        Ok(volume)
    }

    /// Its folder as a mount, filled from `content` (open for reading; what the image has at `target`) if it is empty.
    pub(crate) fn mount(
        &self,
        content: Option<BorrowedFd<'_>>,
        target: &str,
    ) -> Result<Tree, Fault> {
        let path = self.data();
        let data = File::open(&path).at("open", &path)?;
        if let Some(content) = content {
            self.fill(&data, content, target)?;
        }
        Tree::copy(data.as_fd(), Depth::Single).at("mount", &path)
    }

    fn fill(&self, data: &File, content: BorrowedFd<'_>, target: &str) -> Result<(), Fault> {
        let marker = self.folder.join("filling");
        let cut_off = marker.exists();
        if !cut_off && !folder::is_empty(data.as_fd()).at("list", self.data())? {
            return Ok(());
        }
        if folder::is_empty(content).at("list", target)? {
            // Nothing to be copied: owner and mode only, which need no second try.
            let status = folder::Status::of(content).at("look at", target)?;
            return status
                .apply(data.as_fd())
                .at("change the owner", self.data());
        }
        File::create(&marker).at("make", &marker)?;
        copy_content(content, data.as_fd(), Path::new(target))?;
        // The marker must not be gone from the disk before the content is on it.
        folder::sync_file_system(data.as_fd()).at("sync", self.data())?;
        fs::remove_file(&marker).at("remove", &marker)
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }
}

/// The volume for a path that the image declares as VOLUME and the unit says nothing about: it belongs to the unit.
/// The colon keeps it apart from every named volume; `/` becomes `-`, and all that is neither letter, digit nor dot
/// becomes `_` and its code, so that two paths never share one.
pub(crate) fn anonymous_name(unit: &UnitName, target: &str) -> Result<String, Fault> {
    let mut name = format!("{unit}:");
    for byte in target.trim_matches('/').bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' => name.push(byte.into()),
            b'/' => name.push('-'),
            _ => {
                // Writing to a String can't fail.
                let _ = write!(name, "_{byte:02x}");
            }
        }
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(Fault::invalid(
            target,
            "the path is too long for a volume of the image; give it a volume with a name (mounts)",
        ));
    }
    Ok(name)
}

fn make(path: &Path, mode: u32) -> Result<(), Fault> {
    match DirBuilder::new().mode(mode).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => DirBuilder::new()
            .recursive(true)
            .mode(mode)
            .create(path)
            .at("make", path),
        other => other.at("make", path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_of_an_image_have_names_of_their_own() {
        let unit = UnitName::new("redis@1").unwrap();
        let name = |target| anonymous_name(&unit, target).unwrap();
        assert_eq!(name("/var/lib/redis"), "redis@1:var-lib-redis");
        assert_eq!(name("/a-b_c/d/"), "redis@1:a_2db_5fc-d");
        assert!(anonymous_name(&unit, &"/x".repeat(200)).is_err());
    }

    #[test]
    fn a_copy_that_was_cut_off_is_made_again_and_a_used_volume_is_left_alone() {
        let root = std::env::temp_dir().join(format!("keelson-volume-{}", std::process::id()));
        let image = root.join("image");
        fs::create_dir_all(&image).unwrap();
        fs::write(image.join("a"), "a").unwrap();
        fs::write(image.join("b"), "b").unwrap();
        let volumes = root.join("volumes");
        let data = volumes.join("v/data");
        let fill = || {
            let volume = Volume::open(&volumes, "v").unwrap();
            let content = File::open(&image).unwrap();
            let open = File::open(&data).unwrap();
            volume.fill(&open, content.as_fd(), "/data").unwrap();
        };
        fill();
        assert!(data.join("b").exists());
        fs::remove_file(data.join("b")).unwrap();
        fill();
        assert!(!data.join("b").exists(), "in use: left alone");
        File::create(volumes.join("v/filling")).unwrap();
        fill();
        assert!(data.join("b").exists(), "cut off: made again");
        assert!(!volumes.join("v/filling").exists());
        fs::remove_dir_all(&root).unwrap();
    }
}
