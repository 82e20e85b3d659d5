//! What all scenarios share: this host made ready, the image built once.

use host::fetch::Freshness;
use host::packages::Need;
use image::{Artefacts, ImageOptions};
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
