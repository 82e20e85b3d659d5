//! What the layers of the compared images are.

use crate::common::Layer;
use tar::EntryType;

/// What both must agree on: a name, and layers from the bottom.
pub(crate) type Case = (&'static str, Vec<Layer>);

pub(crate) fn entry(kind: EntryType, name: &str, mode: u32, owner: u64) -> tar::Header {
    let mut header = Layer::header(kind, name, "", 0);
    header.set_mode(mode);
    header.set_uid(owner);
    header.set_gid(owner + 1);
    header
}

pub(crate) trait Shorthand {
    fn dir(self, name: &str, mode: u32, owner: u64) -> Self;
    fn attributed(self) -> Self;
    /// Says to have so many bytes, and has none.
    fn sized(self, kind: EntryType, name: &str, link: &str, size: usize) -> Self;
}

impl Shorthand for Layer {
    fn sized(self, kind: EntryType, name: &str, link: &str, size: usize) -> Self {
        let mut header = Layer::header(kind, name, link, size);
        header.set_mode(0o755);
        self.raw(header, &[])
    }

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

pub(crate) fn cases() -> Vec<Case> {
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
            "a whiteout in a folder, then one of the folder",
            vec![
                tmp()
                    .dir("d/", 0o700, 5)
                    .file("d/x", b"1")
                    .file("d/y", b"2")
                    .dir("d/e/", 0o711, 6)
                    .file("d/e/z", b"3"),
                new().file("d/.wh.x", b"").file(".wh.d", b""),
                new().file("tmp/.wh.a", b"").file("tmp/.wh.none", b""),
            ],
        ),
        (
            "whiteouts on the way to a folder that is removed, which comes again",
            vec![
                tmp()
                    .dir("d/", 0o700, 5)
                    .dir("d/e/", 0o711, 6)
                    .file("d/e/z", b"3")
                    .file("d/e/y", b"4"),
                new()
                    .file("d/e/.wh.z", b"")
                    .file("d/.wh.e", b"")
                    .file("tmp/b", b"5"),
                new().file("d/e/new", b"6"),
            ],
        ),
        (
            "whiteouts in and of folders of the lowest layer, where nothing is below",
            vec![
                new()
                    .dir("a/", 0o711, 3)
                    .file("a/b/.wh.x", b"")
                    .file("a/.wh.b", b"")
                    .file("a/z", b"1")
                    .dir("c/", 0o711, 3)
                    .file("c/d/.wh..wh..opq", b"")
                    .file("c/.wh.d", b"")
                    .file("c/z", b"1")
                    .dir("e/", 0o711, 3)
                    .file("e/f/g/.wh.x", b"")
                    .file("e/f/.wh.g", b"")
                    .file("e/.wh.f", b""),
                new().file("a/y", b"2").file("c/d/x", b"2"),
            ],
        ),
        (
            "whiteouts of what is not there",
            vec![tmp(), new().file(".wh.none", b"").dir(".wh.tmp/", 0o755, 0)],
        ),
        (
            "whiteouts in folders that are not there any more",
            vec![
                tmp(),
                new().file("some/.wh.x", b"").file("some/y", b"1"),
                new()
                    .file(".wh.some", b"")
                    .file("some/.wh.y", b"")
                    .file("some/more/.wh.z", b""),
                new().dir("tmp/", 0o1700, 4).file("tmp/.wh.none", b""),
            ],
        ),
        (
            "whiteouts of nothing in folders of the layer's own",
            vec![
                tmp(),
                new()
                    .dir("own/", 0o711, 3)
                    .file("own/.wh.x", b"")
                    .dir("tmp/", 0o1777, 0)
                    .dir("tmp/own/", 0o700, 4)
                    .file("tmp/own/.wh.y", b"")
                    .file("tmp/own/z", b"1"),
            ],
        ),
        (
            "opaque in what a whiteout or a mark above it removes",
            vec![
                new()
                    .dir("d/", 0o700, 5)
                    .dir("d/e/", 0o711, 6)
                    .file("d/e/x", b"1")
                    .dir("f/", 0o700, 5)
                    .dir("f/e/", 0o711, 6)
                    .file("f/e/x", b"1"),
                new()
                    .file("d/e/.wh..wh..opq", b"")
                    .file("d/.wh..wh..opq", b"")
                    .file("f/e/.wh..wh..opq", b"")
                    .file(".wh.f", b""),
            ],
        ),
        (
            "whiteouts in a folder that is removed and made anew",
            vec![
                new()
                    .dir("d/", 0o700, 5)
                    .dir("d/e/", 0o711, 6)
                    .file("d/e/x", b"1")
                    .file("d/y", b"1"),
                new()
                    .file("d/e/.wh.x", b"")
                    .file(".wh.d", b"")
                    .file("d/z", b"2"),
                new()
                    .file("d/.wh.z", b"")
                    .file(".wh.d", b"")
                    .dir("d/", 0o750, 7),
            ],
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
