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
//! - It makes no folder for a whiteout of nothing in a folder that is not there; we do.
//! - It makes a folder of aufs' `.wh..wh.orph`; Docker leaves it out, and so do we.
//! - It shows attributes of the root folder, which a container gets from the writable layer; compared by themselves.

#[path = "../common/mod.rs"]
mod common;
mod view;

use common::{Layer, TestFolder, TestImage, gzip, is_root};
use std::fs;
use std::path::Path;
use std::process::Command;
use tar::EntryType;
use view::{Mounted, View, node, view};

/// Times of archives lie before it, that of the test after it.
const ARCHIVES_BEFORE: i64 = 1_700_000_000;

/// What both must agree on: a name, and layers from the bottom.
type Case = (&'static str, Vec<Layer>);

fn entry(kind: EntryType, name: &str, mode: u32, owner: u64) -> tar::Header {
    let mut header = Layer::header(kind, name, "", 0);
    header.set_mode(mode);
    header.set_uid(owner);
    header.set_gid(owner + 1);
    header
}

trait Shorthand {
    fn dir(self, name: &str, mode: u32, owner: u64) -> Self;
    fn attributed(self) -> Self;
}

impl Shorthand for Layer {
    fn dir(self, name: &str, mode: u32, owner: u64) -> Self {
        self.raw(entry(EntryType::Directory, name, mode, owner), &[])
    }

    /// The next entry has an attribute and a time with a fraction.
    fn attributed(self) -> Self {
        self.pax(&[
            ("SCHILY.xattr.user.note", b"n"),
            ("mtime", b"1500000000.25"),
        ])
    }
}

fn cases() -> Vec<Case> {
    let new = Layer::new;
    let tmp = || {
        new()
            .attributed()
            .dir("tmp/", 0o1777, 0)
            .file("tmp/a", b"a")
    };
    vec![
        (
            "a folder without an entry keeps what it has",
            vec![
                tmp()
                    .dir("srv/", 0o711, 3)
                    .attributed()
                    .dir("srv/app/", 0o2750, 1000),
                new().file("tmp/b", b"b").file("srv/app/c", b"c"),
            ],
        ),
        (
            "several layers in a row depend on one another",
            vec![
                tmp().attributed().dir("srv/", 0o750, 1000),
                new().file("srv/x/y", b"1"),
                new().dir("srv/x/", 0o700, 7).file("srv/x/z", b"2"),
                new().file("srv/x/w", b"3").file("tmp/v", b"4"),
                new().file("srv/.wh.x", b""),
                new().file("srv/x/again", b"5"),
            ],
        ),
        (
            "a folder that no layer describes",
            vec![
                new().file("a", b"1"),
                new().file("p/q/r", b"2"),
                new().file("p/q/s", b"3"),
            ],
        ),
        (
            "a folder with nothing but a whiteout",
            vec![
                tmp()
                    .dir("d/", 0o700, 5)
                    .file("d/x", b"1")
                    .file("d/y", b"2"),
                new().file("tmp/.wh.a", b"").file("d/.wh.x", b""),
            ],
        ),
        (
            "the layer describes its folder later",
            vec![tmp(), new().file("tmp/b", b"b").dir("tmp/", 0o700, 9)],
        ),
        (
            "the folder is a link below",
            vec![
                new()
                    .dir("usr/", 0o755, 0)
                    .dir("usr/lib/", 0o700, 5)
                    .symlink("lib", "usr/lib")
                    .symlink("abs", "/usr/lib"),
                new()
                    .file("lib/x", b"1")
                    .file("abs/y", b"2")
                    .dir("lib/z/", 0o711, 3)
                    .file("lib/deep/er", b"3"),
                new()
                    .file("lib/.wh.x", b"")
                    .hard_link("linked", "lib/deep/er"),
            ],
        ),
        (
            "a link of the layer leads to a folder of a lower one",
            vec![
                new().dir("usr/", 0o755, 0).dir("usr/share/", 0o750, 4),
                new()
                    .symlink("s", "usr/share")
                    .file("s/x", b"1")
                    .symlink("t", "usr/share/../lib")
                    .file("t/y", b"2"),
            ],
        ),
        (
            "a folder in the place of a link below",
            vec![
                new()
                    .dir("usr/", 0o755, 0)
                    .file("usr/k", b"1")
                    .symlink("lib", "usr"),
                new().dir("lib/", 0o755, 0).file("lib/x", b"2"),
            ],
        ),
        (
            "a whiteout, then the folder anew",
            vec![
                new()
                    .dir("a/", 0o700, 5)
                    .file("a/old", b"1")
                    .dir("b/", 0o700, 5)
                    .file("b/old", b"1"),
                new()
                    .file(".wh.a", b"")
                    .file("a/x", b"2")
                    .file(".wh.b", b"")
                    .dir("b/", 0o711, 6)
                    .file("b/x", b"3"),
            ],
        ),
        (
            "the folder, then its whiteout",
            vec![
                new()
                    .dir("a/", 0o700, 5)
                    .file("a/old", b"1")
                    .file("f", b"1"),
                new()
                    .file("a/x", b"2")
                    .file(".wh.a", b"")
                    .file("f", b"new")
                    .file(".wh.f", b""),
            ],
        ),
        (
            "opaque, first and last",
            vec![
                new()
                    .dir("a/", 0o700, 5)
                    .file("a/old", b"1")
                    .dir("a/b/", 0o711, 6)
                    .dir("c/", 0o700, 5)
                    .dir("c/b/", 0o711, 6)
                    .file("c/b/old", b"1"),
                new()
                    .file("a/.wh..wh..opq", b"")
                    .file("a/x", b"2")
                    .file("a/b/y", b"3")
                    .file("c/x", b"2")
                    .file("c/b/y", b"3")
                    .file("c/.wh..wh..opq", b""),
            ],
        ),
        (
            "an opaque folder with whiteouts in it",
            vec![
                new()
                    .dir("a/", 0o700, 5)
                    .file("a/x", b"1")
                    .file("a/y", b"1"),
                new()
                    .file("a/.wh.x", b"")
                    .file("a/.wh..wh..opq", b"")
                    .file("a/.wh.y", b"")
                    .file("a/z", b"2"),
            ],
        ),
        (
            "all of the root is hidden",
            vec![
                tmp().file("a", b"1"),
                new().file(".wh..wh..opq", b"").file("b", b"2"),
            ],
        ),
        (
            "hard links to a lower layer's file",
            vec![
                new()
                    .attributed()
                    .raw(entry(EntryType::Regular, "f1", 0o4750, 8), b"")
                    .dir("d/", 0o700, 5)
                    .hard_link("d/f2", "f1")
                    .symlink("s", "nowhere")
                    .file("single", b"1"),
                new()
                    .hard_link("g", "f1")
                    .hard_link("h", "d/f2")
                    .hard_link("t", "s")
                    .hard_link("e/u", "single"),
                new()
                    .hard_link("again", "g")
                    .hard_link("once more", "again"),
            ],
        ),
        (
            "linked to, then removed or replaced",
            vec![
                new()
                    .dir("d/", 0o700, 5)
                    .file("d/a", b"a")
                    .file("b", b"b")
                    .hard_link("b2", "b")
                    .file("c", b"c")
                    .dir("o/", 0o700, 6)
                    .file("o/f", b"f"),
                new()
                    .hard_link("a1", "d/a")
                    .file("d/.wh.a", b"")
                    .hard_link("b1", "b")
                    .file("b", b"new")
                    .hard_link("c1", "c")
                    .dir("c/", 0o700, 7)
                    .hard_link("o1", "o/f")
                    .file("o/.wh..wh..opq", b""),
            ],
        ),
        (
            "a file that becomes a folder, and the other way round",
            vec![
                new()
                    .dir("f/", 0o700, 5)
                    .file("f/old", b"1")
                    .file("g", b"1")
                    .file("h", b"1"),
                new()
                    .file("f", b"2")
                    .dir("f", 0o711, 6)
                    .file("f/new", b"3")
                    .dir("g/", 0o700, 7)
                    .file("g/x", b"4")
                    .file("g", b"5")
                    .symlink("h", "g")
                    .dir("h/", 0o750, 8),
            ],
        ),
        (
            "aufs' marks",
            vec![
                tmp(),
                new()
                    .file(".wh..wh.plnk", b"")
                    .file("tmp/.wh..wh.aufs", b"")
                    .file("tmp/b", b"b"),
            ],
        ),
        (
            "whiteouts of what is not there",
            vec![tmp(), new().file(".wh.none", b"").dir(".wh.tmp/", 0o755, 0)],
        ),
        (
            "the topmost entry of the root counts",
            vec![
                new().dir("./", 0o711, 3).file("a", b"1"),
                new().attributed().dir("./", 0o1775, 4).file("b", b"2"),
                new().file("c", b"3"),
            ],
        ),
        (
            "the lowest layer alone says of the root",
            vec![
                new().dir("./", 0o711, 3).file("a", b"1"),
                new().file("b", b"2"),
            ],
        ),
        (
            "devices and pipes keep their place",
            vec![
                new().dir("dev/", 0o711, 3),
                new().raw(entry(EntryType::Fifo, "dev/p", 0o620, 8), &[]),
                new().hard_link("dev/q", "dev/p"),
            ],
        ),
    ]
}

fn compare(folder: &TestFolder, name: &str, image: &TestImage) {
    let theirs = umoci(folder, image);
    let stored = folder.store().image(&image.name).unwrap();
    let mounted = Mounted::of(&stored.layers, &folder.path().join("empty"));
    let (ours, theirs_view) = (view(&mounted.path()), view(&theirs));
    assert_same(name, ours, &theirs_view);
    let root = |place: &Path| {
        let mut root = node(place, String::new());
        root.modified = (0, 0);
        root
    };
    match &stored.root {
        Some(ours) => assert_eq!(root(ours), root(&theirs), "{name}: the root"),
        None => {
            let plain = folder.path().join("empty");
            assert_eq!(root(&plain), root(&theirs), "{name}: the root");
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

fn image_of(name: &str, layers: Vec<Layer>) -> TestImage {
    let layers: Vec<Vec<u8>> = layers.into_iter().map(Layer::done).collect();
    TestImage::new(name, &layers).compressed(gzip, "+gzip")
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
    for (name, layers) in cases() {
        let folder = TestFolder::new();
        let image = image_of("case", layers);
        for archive in [image.oci(), image.docker()] {
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
