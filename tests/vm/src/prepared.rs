//! What all scenarios share: this host made ready, the image built once.

use host::fetch::Freshness;
use host::packages::Need;
use image::oci::{self, Entry, Layer};
use image::{Artefacts, ImageOptions};
use qemu::{BootFrom, Release};
use std::path::PathBuf;
use std::sync::OnceLock;

/// The image of the tests: the release with the demo's archive preloaded, and no units.
///
/// # Panics
/// When it can't be built; with what to do.
pub fn artefacts() -> &'static Artefacts {
    static ARTEFACTS: OnceLock<Artefacts> = OnceLock::new();
    ARTEFACTS.get_or_init(|| {
        let needs = [Need::Qemu, Need::Firmware, Need::Ext4, Need::RedisClient];
        if let Err(error) = host::packages::ensure(&needs) {
            panic!("{error}");
        }
        let options = ImageOptions {
            out: folder().join("image"),
            preload: vec![demo_archive()],
            ..ImageOptions::default()
        };
        match image::build(&options) {
            Ok(artefacts) => artefacts,
            Err(error) => panic!("{error}"),
        }
    })
}

/// A release of its own, in a folder of this name, with what else is asked for.
///
/// # Panics
/// When it can't be built; with what to do.
#[must_use]
pub fn build(name: &str, options: ImageOptions) -> Artefacts {
    let options = ImageOptions {
        out: folder().join(name).join("image"),
        ..options
    };
    match image::build(&options) {
        Ok(artefacts) => artefacts,
        Err(error) => panic!("{error}"),
    }
}

/// As files that QEMU loads by itself.
pub(crate) fn release_of(artefacts: &Artefacts) -> BootFrom {
    BootFrom::Release(Release {
        kernel: artefacts.kernel.clone(),
        initramfs: artefacts.initramfs.clone(),
        command_line: artefacts.cmdline.clone(),
    })
}

/// The demo's image as an archive, made when it is missing.
///
/// # Panics
/// When it can't be made; with what to do.
#[must_use]
pub fn demo_archive() -> PathBuf {
    let archive = image::demo::archive();
    match image::demo::redis(&archive, Freshness::Cached) {
        Ok(()) => archive,
        Err(error) => panic!("{error}"),
    }
}

/// The image [`crate::ACTOR`] as an archive, made when it is missing or older than its program.
///
/// # Panics
/// When it can't be made; with what to do.
#[must_use]
pub fn actor_archive() -> PathBuf {
    static ARCHIVE: OnceLock<PathBuf> = OnceLock::new();
    let archive = ARCHIVE.get_or_init(|| {
        let program = match host::build::program("actor", host::build::Profile::Os) {
            Ok(program) => program,
            Err(error) => panic!("{error}"),
        };
        let bytes = std::fs::read(&program.path).unwrap();
        let mode = 0o755;
        let layer = Layer::from([("actor".to_owned(), Entry::File { mode, bytes })]);
        let config = serde_json::json!({"Entrypoint": ["/actor"]});
        let bytes = oci::archive(&[layer], &config, &[crate::ACTOR.to_owned()]).unwrap();
        let archive = folder().join("actor.oci.tar");
        std::fs::create_dir_all(folder()).unwrap();
        std::fs::write(&archive, bytes).unwrap();
        archive
    });
    archive.clone()
}

/// The unit files of the demo: names and texts.
///
/// # Panics
/// When they can't be read.
#[must_use]
pub fn demo_units() -> Vec<(String, String)> {
    let folder = image::demo::units();
    let entries = std::fs::read_dir(&folder).unwrap();
    entries
        .map(|entry| entry.unwrap())
        .map(|entry| {
            (
                entry.file_name().into_string().unwrap(),
                std::fs::read_to_string(entry.path()).unwrap(),
            )
        })
        .collect()
}

/// Where the tests leave their machines.
pub(crate) fn folder() -> PathBuf {
    host::paths::made().join("tests")
}
