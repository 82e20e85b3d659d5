//! The writable layer of a unit: kept over restarts and reboots as long as the image's content stays the same, as Docker
//! keeps a container's; with another image it starts afresh.

use crate::command::Defaults;
use crate::failure::{At, Fault};
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// `/var/containers/<unit>`.
#[derive(Debug)]
pub(crate) struct Writable {
    folder: PathBuf,
}

/// `image.json`: which image the layer lies on, and what `exec` needs of that image's configuration. Written last, so
/// a layer without it is not one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) digest: String,
    pub(crate) defaults: Defaults,
}

impl Writable {
    /// Open or make the layer for a unit whose image is `record`.
    pub(crate) fn open(containers: &Path, unit: &str, record: &Record) -> Result<Self, Fault> {
        let folder = containers.join(unit);
        let writable = Self { folder };
        let (upper, work) = (writable.upper(), writable.work());
        let known = Self::record(containers, unit);
        if known.is_ok_and(|known| known.digest == record.digest) {
            return Ok(writable);
        }
        // What other containers' users could read here is none of their business.
        make(&writable.folder, 0o700)?;
        remove(&writable.folder.join("image.json"), |path| {
            fs::remove_file(path)
        })?;
        for part in [&upper, &work] {
            remove(part, |path| fs::remove_dir_all(path))?;
        }
        // The upper layer's mode and owner are those of the container's `/`.
        make(&upper, 0o755)?;
        make(&work, 0o700)?;
        make(&writable.stage(), 0o755)?;
        writable.write(record)?;
        Ok(writable)
    }

    /// Of a layer that has been made.
    pub(crate) fn record(containers: &Path, unit: &str) -> Result<Record, Fault> {
        let path = containers.join(unit).join("image.json");
        let bytes = fs::read(&path).at("read", &path)?;
        serde_json::from_slice(&bytes).map_err(|error| Fault::invalid(&path, error.to_string()))
    }

    pub(crate) fn upper(&self) -> PathBuf {
        self.folder.join("upper")
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.folder.join("work")
    }

    /// Where things are mounted while the root is being built.
    pub(crate) fn stage(&self) -> PathBuf {
        self.folder.join("stage")
    }

    fn write(&self, record: &Record) -> Result<(), Fault> {
        let (path, new) = (
            self.folder.join("image.json"),
            self.folder.join("image.json.new"),
        );
        let text =
            serde_json::to_vec(record).map_err(|error| Fault::invalid(&path, error.to_string()))?;
        fs::write(&new, text).at("write", &new)?;
        fs::rename(&new, &path).at("rename", &new)
    }
}

fn make(path: &Path, mode: u32) -> Result<(), Fault> {
    match DirBuilder::new().mode(mode).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut builder = DirBuilder::new();
            builder
                .recursive(true)
                .mode(mode)
                .create(path)
                .at("make", path)
        }
        other => other.at("make", path),
    }
}

fn remove(path: &Path, how: impl Fn(&Path) -> io::Result<()>) -> Result<(), Fault> {
    match how(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.at("remove", path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(digest: &str) -> Record {
        Record {
            digest: digest.to_owned(),
            defaults: Defaults::default(),
        }
    }

    #[test]
    fn the_layer_is_kept_for_the_same_image_and_new_for_another() {
        let root = std::env::temp_dir().join(format!("keelson-writable-{}", std::process::id()));
        let one = Writable::open(&root, "web", &record("sha256:1")).unwrap();
        fs::write(one.upper().join("file"), "kept").unwrap();
        let again = Writable::open(&root, "web", &record("sha256:1")).unwrap();
        assert!(again.upper().join("file").exists());
        assert_eq!(Writable::record(&root, "web").unwrap().digest, "sha256:1");
        let other = Writable::open(&root, "web", &record("sha256:2")).unwrap();
        assert!(!other.upper().join("file").exists());
        fs::write(other.upper().join("file"), "half").unwrap();
        fs::remove_file(root.join("web/image.json")).unwrap();
        let after_a_crash = Writable::open(&root, "web", &record("sha256:2")).unwrap();
        assert!(!after_a_crash.upper().join("file").exists());
        fs::remove_dir_all(&root).unwrap();
    }
}
