//! The same inputs give the same bytes: a whole build, twice, in two folders, nothing reused.

use image::{ImageOptions, Reuse};
use std::path::PathBuf;

fn build(name: &str) -> image::Artefacts {
    let folder = host::paths::made().join("test").join(name);
    std::fs::create_dir_all(&folder).unwrap();
    // Not an image, but something to bake in: the builder does not look into archives.
    let archive = folder.join("small.oci.tar");
    std::fs::write(&archive, [7; 5000]).unwrap();
    let options = ImageOptions {
        out: folder,
        units: vec![image::demo::units()],
        preload: vec![archive],
        reuse: Reuse::Nothing,
        ..ImageOptions::default()
    };
    match image::build(&options) {
        Ok(artefacts) => artefacts,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn two_builds_give_the_same_bytes() {
    let (one, two) = (build("reproducible-1"), build("reproducible-2"));
    let files = |artefacts: &image::Artefacts| -> Vec<PathBuf> {
        let mut files = vec![
            artefacts.kernel.clone(),
            artefacts.initramfs.clone(),
            artefacts.release.clone(),
            artefacts.manifest.clone(),
        ];
        files.extend(artefacts.disk.clone());
        files
    };
    for (left, right) in files(&one).iter().zip(files(&two)) {
        let same = std::fs::read(left).unwrap() == std::fs::read(&right).unwrap();
        assert!(same, "{} and {} differ", left.display(), right.display());
    }
    for artefacts in [one, two] {
        std::fs::remove_dir_all(artefacts.folder).unwrap();
    }
}
