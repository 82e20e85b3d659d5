//! Images of several layers, as a container sees them, compared file by file with what another program unpacks: path,
//! type, mode, owner, attributes, device, link target, content, names of the same file, time.
//!
//! `umoci unpack` differs where it says so here:
//! - It fails where a file is in the way of an entry's folder, and where a hard link to a removed file is followed by
//!   nothing; those cases are in `layers.rs`.
//! - The time of a folder in which it has made a folder is that of the unpacking. Times of folders are compared where
//!   umoci's is one of the archive.
//! - A folder that it makes in a set-group-ID folder of a lower layer has that group; ours is root's, as an engine that
//!   unpacks layers side by side makes it. No case has one.
//! - It makes no folder for a whiteout of nothing in a folder that is not there; Docker and podman do, and so do we.
//! - It makes a folder of aufs' `.wh..wh.orph`; Docker leaves it out, and so do we.
//! - It shows attributes of the root folder, which a container gets from the writable layer; compared by themselves.

mod cases;
#[path = "../common/mod.rs"]
mod common;
mod odd_cases;
mod view;

use cases::{Shorthand, cases};
use common::{Layer, TestFolder, TestImage, gzip, is_root, zstd};
use odd_cases::odd_cases;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::Path;
use std::process::Command;
use view::{Mounted, View, node, view};

/// Times of archives lie before it, that of the test after it.
const ARCHIVES_BEFORE: i64 = 1_700_000_000;

fn compare(folder: &TestFolder, name: &str, image: &TestImage) {
    compare_with(folder, name, image, &umoci(folder, image));
}

fn compare_with(folder: &TestFolder, name: &str, image: &TestImage, theirs: &Path) {
    let stored = folder.store().image(&image.name).unwrap();
    let mounted = Mounted::of(&stored.layers, &folder.path().join("empty"));
    let (ours, theirs_view) = (view(&mounted.path()), view(theirs));
    assert_same(name, ours, &theirs_view);
    let root = |place: &Path| {
        let mut root = node(place, String::new());
        root.modified = (0, 0);
        root
    };
    match &stored.root {
        Some(ours) => assert_eq!(root(ours), root(theirs), "{name}: the root"),
        None => {
            let plain = folder.path().join("empty");
            assert_eq!(root(&plain), root(theirs), "{name}: the root");
        }
    }
}

fn assert_same(name: &str, mut ours: View, theirs: &View) {
    for (path, their) in theirs {
        if let Some(our) = ours.get_mut(path)
            && their.modified.0 > ARCHIVES_BEFORE
        {
            our.modified = their.modified;
        }
    }
    let differ: Vec<_> = ours
        .iter()
        .filter(|(path, node)| theirs.get(*path) != Some(*node))
        .map(|(path, node)| format!("{path}: ours {node:?}\n  theirs {:?}", theirs.get(path)))
        .chain(
            theirs
                .keys()
                .filter(|path| !ours.contains_key(*path))
                .map(|path| format!("{path}: missing")),
        )
        .collect();
    assert!(differ.is_empty(), "{name}\n{}", differ.join("\n"));
}

/// The root that umoci unpacks.
fn umoci(folder: &TestFolder, image: &TestImage) -> std::path::PathBuf {
    let (layout, bundle) = (folder.path().join("layout"), folder.path().join("bundle"));
    let _ = fs::remove_dir_all(&layout);
    let _ = fs::remove_dir_all(&bundle);
    fs::create_dir_all(layout.join("blobs/sha256")).unwrap();
    for (name, bytes) in image.oci_files() {
        fs::write(layout.join(name), bytes).unwrap();
    }
    let output = Command::new("umoci")
        .args(["unpack", "--image"])
        .arg(format!("{}:{}", layout.display(), image.name))
        .arg(&bundle)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    bundle.join("rootfs")
}

/// The image, and the same compressed by zstd, which this umoci can't read.
fn images_of(name: &str, layers: Vec<Layer>) -> (TestImage, TestImage) {
    let layers: Vec<Vec<u8>> = layers.into_iter().map(Layer::done).collect();
    let plain = TestImage::new(name, &layers);
    (
        plain.clone().compressed(gzip, "+gzip"),
        plain.compressed(zstd, "+zstd"),
    )
}

fn ready() -> bool {
    if !is_root("unpacking images") {
        return false;
    }
    host::packages::ensure(&[host::packages::Need::ImageTools])
        .unwrap_or_else(|error| panic!("{error}"));
    true
}

#[test]
fn a_container_sees_what_the_layers_say_one_after_the_other() {
    if !ready() {
        return;
    }
    for (index, (name, layers)) in cases().into_iter().chain(odd_cases()).enumerate() {
        let folder = TestFolder::new();
        let (image, other) = images_of("case", layers);
        // What is here already isn't unpacked again: each case has its turn with one of them.
        let first = if index % 2 == 0 { &image } else { &other };
        for archive in [first.oci(), image.docker()] {
            let outcome = folder.load(&archive);
            assert!(outcome.ok, "{name}: {outcome:?}");
            compare(&folder, name, &image);
        }
        assert_eq!(folder.names("tmp"), [""; 0], "{name}");
        let layers = folder.names("layers").len();
        folder.run(&["gc"]).succeeded();
        assert_eq!(folder.names("layers").len(), layers, "{name}: gc");
    }
}

/// All of them in one store, so that layers are shared between images with other layers below.
#[test]
fn the_same_layers_in_several_images() {
    if !ready() {
        return;
    }
    let base = |mode, owner| {
        let base = Layer::new().dir("srv/", mode, owner).dir("tmp/", 0o1777, 0);
        base.file("f", format!("{owner}").as_bytes()).done()
    };
    let own = Layer::new()
        .dir("own/", 0o700, 1)
        .file("own/x", b"1")
        .done();
    let depends = Layer::new().file("srv/x", b"2").file("tmp/y", b"3").done();
    let links = Layer::new().hard_link("g", "f").done();
    let image = |name: &str, layers: &[&Vec<u8>]| {
        let layers: Vec<Vec<u8>> = layers.iter().copied().cloned().collect();
        TestImage::new(name, &layers)
    };
    let (one, other) = (base(0o2750, 1000), base(0o711, 3));
    let images = [
        image("one", &[&one, &own, &depends, &links]),
        image("other", &[&other, &depends, &own, &links]),
        image("bottom", &[&depends, &own]),
        image("twice", &[&one, &depends, &other, &depends]),
    ];
    for together in [false, true] {
        let folder = TestFolder::new();
        if together {
            let mut files: Vec<_> = images.iter().flat_map(TestImage::blobs).collect();
            let descriptors: Vec<_> = images.iter().map(TestImage::descriptor).collect();
            files.extend(common::oci_index(&descriptors));
            folder.load(&common::archive(&files)).succeeded();
        } else {
            for image in &images {
                folder.load(&image.oci()).succeeded();
            }
        }
        for image in &images {
            compare(&folder, &image.name, image);
        }
        // own, two bases; `depends` at the bottom and above four others; `links` above two.
        assert_eq!(folder.names("layers").len(), 3 + 5 + 2);
        folder.run(&["rm", "one"]).succeeded();
        assert_eq!(
            folder.run(&["gc"]).succeeded().out,
            "removed 2 layers and 2 blobs\n"
        );
        let again = folder.load(&images[1].oci()).succeeded();
        assert_eq!(again.out.matches("already here").count(), 4, "{again:?}");
    }
}

/// As `docker save` writes a layer that occurs twice, and in all other ways.
#[test]
fn layers_of_a_docker_archive_that_are_links() {
    if !ready() {
        return;
    }
    let base = Layer::new().dir("srv/", 0o2750, 1000).file("f", b"1");
    let upper = Layer::new().file("srv/x", b"2").hard_link("g", "f");
    let (base, upper) = (base.done(), upper.done());
    let image = TestImage::new(
        "case",
        &[base.clone(), upper.clone(), base.clone(), upper.clone()],
    );
    let list = serde_json::json!([{
        "Config": "c.json", "RepoTags": ["case"],
        "Layers": ["a/layer.tar", "b/layer.tar", "c/layer.tar", "d.tar"],
    }]);
    let archive = Layer::new()
        .symlink("c/layer.tar", "../a/../a/layer.tar")
        .symlink("d.tar", "/e/layer.tar")
        .symlink("e", "b")
        .file("a/layer.tar", &base)
        .file("shared/upper", &upper)
        .hard_link("b/layer.tar", "shared/upper")
        .file("c.json", &image.config_bytes())
        .file("manifest.json", list.to_string().as_bytes())
        .done();
    for load in [TestFolder::load, TestFolder::load_stream] {
        let folder = TestFolder::new();
        load(&folder, &archive).succeeded();
        compare(&folder, "links", &image);
    }
}

/// Each form that GNU tar writes, as it unpacks it (whether there are holes, `sparse.rs` looks).
#[test]
fn sparse_files_have_their_content() {
    if !ready() {
        return;
    }
    let source = TestFolder::new();
    for (name, size, parts) in [
        ("few", 1 << 20, 1),
        ("many", 9 << 20, 130),
        ("none", 1 << 20, 0),
    ] {
        let file = fs::File::create(source.path().join(name)).unwrap();
        file.set_len(size).unwrap();
        for part in 0..parts {
            let bytes = format!("part {part}").repeat(600);
            file.write_all_at(bytes.as_bytes(), 4096 + part * 65536)
                .unwrap();
        }
    }
    let forms: [&[&str]; 4] = [
        &["--format=gnu"],
        &["--format=posix", "--sparse-version=0.0"],
        &["--format=posix", "--sparse-version=0.1"],
        &["--format=posix", "--sparse-version=1.0"],
    ];
    for form in forms {
        let output = Command::new("tar")
            .args(["--create", "--sparse", "--hole-detection=raw", "--file=-"])
            .args(form)
            .arg("--mtime=@1500000000")
            .arg("--directory")
            .args([
                source.path(),
                Path::new("few"),
                Path::new("many"),
                Path::new("none"),
            ])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let folder = TestFolder::new();
        let (layer, theirs) = (
            folder.write("layer", &output.stdout),
            folder.path().join("tar"),
        );
        let image = TestImage::new("case", &[output.stdout]).compressed(gzip, "+gzip");
        folder.load(&image.oci()).succeeded();
        fs::DirBuilder::new().mode(0o755).create(&theirs).unwrap();
        let extract = [
            "--extract",
            "--preserve-permissions",
            "--same-owner",
            "--directory",
        ];
        let extract = Command::new("tar")
            .args(extract)
            .arg(&theirs)
            .arg("--file")
            .arg(layer)
            .status();
        assert!(extract.unwrap().success());
        compare_with(&folder, &form.join(" "), &image, &theirs);
    }
}
