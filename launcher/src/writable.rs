//! The writable layer of a unit: kept over restarts and reboots as long as the image's content stays the same, as Docker
//! keeps a container's; with another image it starts afresh. A run beside another one of its unit has a new one of its own.

use crate::command::Defaults;
use crate::copy::copy_folder;
use crate::failure::{At, Fault};
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use unit::{LaunchRoot, UnitName};

/// The name of the layer's folder; the container's changes are in it.
pub(crate) const UPPER: &str = "upper";

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
    /// The layer's root has the owner, mode and attributes of the image's. Releases that didn't do that say nothing.
    #[serde(default)]
    pub(crate) has_root: bool,
}

impl Writable {
    /// Open or make the layer for a unit whose image is `record`. `image_root` is the folder that has the attributes of the
    /// image's root, if the image says anything of it.
    pub(crate) fn open(
        containers: &Path,
        unit: &UnitName,
        root: LaunchRoot,
        record: &Record,
        image_root: Option<&Path>,
    ) -> Result<Self, Fault> {
        let folder = containers.join(root.folder(unit));
        if root == LaunchRoot::Scratch {
            return Self::scratch(folder);
        }
        let layer = Layer::Kept;
        let writable = Self { folder, layer };
        let (upper, work) = (writable.upper(), writable.work());
        let known = Self::record(containers, unit, root);
        let known = known.ok().filter(|known| known.digest == record.digest);
        if root == LaunchRoot::Kept
            && let Some(known) = known
        {
            if !known.has_root {
                dress(File::open(&upper).at("open", &upper)?.as_fd(), image_root)?;
                writable.write(record)?;
            }
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
        make(&upper, 0o755)?;
        dress(File::open(&upper).at("open", &upper)?.as_fd(), image_root)?;
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
            Layer::OnStage => &[UPPER, "work"],
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
        self.layer().join(UPPER)
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

/// Gives the root of a writable layer the attributes of the image's root: overlayfs shows those of the topmost layer as
/// the container's `/`.
pub(crate) fn dress(upper: BorrowedFd<'_>, image_root: Option<&Path>) -> Result<(), Fault> {
    let Some(path) = image_root else {
        return Ok(());
    };
    let root = File::open(path).at("open", path)?;
    copy_folder(root.as_fd(), upper).at("take over the attributes of", path)
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
            has_root: true,
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
        let open = |digest| Writable::open(&root, &name(), kept, &record(digest), None).unwrap();
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
        let open = |how| Writable::open(&root, &name(), how, &record("sha256:1"), None).unwrap();
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

    #[test]
    fn the_images_root_is_taken_over_once_by_a_layer_of_an_older_release_too() {
        use std::os::unix::fs::PermissionsExt;
        let root = root("dressed");
        let image = root.join("image");
        fs::create_dir_all(&image).unwrap();
        let set = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o7777;
        set(&image, 0o1711);
        let kept = LaunchRoot::Kept;
        let open = |image: Option<&Path>| {
            Writable::open(&root, &name(), kept, &record("sha256:1"), image).unwrap()
        };
        let upper = open(Some(&image)).upper();
        assert_eq!(mode(&upper), 0o1711);
        // What the container makes of it stays.
        set(&upper, 0o700);
        open(Some(&image));
        assert_eq!(mode(&upper), 0o700);
        let path = root.join("web/image.json");
        let old = fs::read_to_string(&path).unwrap();
        fs::write(&path, old.replace(",\"has_root\":true", "")).unwrap();
        open(Some(&image));
        assert_eq!(mode(&upper), 0o1711);
        set(&upper, 0o700);
        open(Some(&image));
        assert_eq!(mode(&upper), 0o700);
        fs::remove_dir_all(&root).unwrap();
    }
}
