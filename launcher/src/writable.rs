//! The writable layer of a unit: kept over restarts and reboots as long as the image's content stays the same, as Docker
//! keeps a container's; with another image it starts afresh. A run beside another one of its unit has a new one of its own.

use crate::command::Defaults;
use crate::failure::{At, Fault};
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use unit::{LaunchRoot, UnitName};

/// `/var/containers/<unit>`, or `<unit>:<run>`.
#[derive(Debug)]
pub(crate) struct Writable {
    folder: PathBuf,
    layer: Layer,
}

/// Where the layer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layer {
    Kept,
    /// On the stage, which is a tmpfs in the container's own mount namespace.
    OnStage,
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
    pub(crate) fn open(
        containers: &Path,
        unit: &UnitName,
        root: LaunchRoot,
        record: &Record,
    ) -> Result<Self, Fault> {
        let folder = containers.join(root.folder(unit));
        if root == LaunchRoot::Scratch {
            return Self::scratch(folder);
        }
        let layer = Layer::Kept;
        let writable = Self { folder, layer };
        let (upper, work) = (writable.upper(), writable.work());
        let known = Self::record(containers, unit, root);
        if root == LaunchRoot::Kept && known.is_ok_and(|known| known.digest == record.digest) {
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

    /// A layer that is gone with the container, beside the unit's own, which it does not touch.
    fn scratch(folder: PathBuf) -> Result<Self, Fault> {
        let layer = Layer::OnStage;
        let writable = Self { folder, layer };
        make(&writable.folder, 0o700)?;
        make(&writable.stage(), 0o755)?;
        Ok(writable)
    }

    /// Folders that it needs on the stage.
    pub(crate) fn on_stage(&self) -> &'static [&'static str] {
        match self.layer {
            Layer::Kept => &[],
            Layer::OnStage => &["upper", "work"],
        }
    }

    /// Of a layer that has been made.
    pub(crate) fn record(
        containers: &Path,
        unit: &UnitName,
        root: LaunchRoot,
    ) -> Result<Record, Fault> {
        let path = containers.join(root.folder(unit)).join("image.json");
        let bytes = fs::read(&path).at("read", &path)?;
        serde_json::from_slice(&bytes).map_err(|error| Fault::invalid(&path, error.to_string()))
    }

    pub(crate) fn upper(&self) -> PathBuf {
        self.layer().join("upper")
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.layer().join("work")
    }

    fn layer(&self) -> PathBuf {
        match self.layer {
            Layer::Kept => self.folder.clone(),
            Layer::OnStage => self.stage(),
        }
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

    fn root(test: &str) -> PathBuf {
        std::env::temp_dir().join(format!("keelson-writable-{test}-{}", std::process::id()))
    }

    fn name() -> UnitName {
        UnitName::new("web").unwrap()
    }

    #[test]
    fn the_layer_is_kept_for_the_same_image_and_new_for_another() {
        let root = root("kept");
        let kept = LaunchRoot::Kept;
        let open = |digest| Writable::open(&root, &name(), kept, &record(digest)).unwrap();
        fs::write(open("sha256:1").upper().join("file"), "kept").unwrap();
        assert!(open("sha256:1").upper().join("file").exists());
        let digest = Writable::record(&root, &name(), kept).unwrap().digest;
        assert_eq!(digest, "sha256:1");
        let other = open("sha256:2");
        assert!(!other.upper().join("file").exists());
        fs::write(other.upper().join("file"), "half").unwrap();
        fs::remove_file(root.join("web/image.json")).unwrap();
        let after_a_crash = open("sha256:2");
        assert!(!after_a_crash.upper().join("file").exists());
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn a_run_beside_another_never_sees_what_is_there_and_leaves_the_units_layer_alone() {
        let root = root("beside");
        let open = |how| Writable::open(&root, &name(), how, &record("sha256:1")).unwrap();
        fs::write(open(LaunchRoot::Kept).upper().join("file"), "kept").unwrap();
        for _ in 0..2 {
            let beside = open(LaunchRoot::Beside(7));
            assert!(!beside.upper().join("file").exists());
            fs::write(beside.upper().join("file"), "left by another boot").unwrap();
        }
        let kept = fs::read(root.join("web/upper/file")).unwrap();
        assert_eq!(kept, b"kept");
        fs::remove_dir_all(&root).unwrap();
    }
}
