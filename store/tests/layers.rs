//! What a layer's entries become, and that nothing of them gets out of the layer.

mod common;

use common::{Layer, TestFolder, TestImage, gzip, is_root};
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use tar::EntryType;

fn unpacked(folder: &TestFolder, layer: Layer) -> PathBuf {
    folder
        .load(
            &TestImage::new("x", &[layer.done()])
                .compressed(gzip, "+gzip")
                .oci(),
        )
        .succeeded();
    folder.only_layer("x")
}

fn attribute(path: &Path, name: &std::ffi::CStr) -> Option<Vec<u8>> {
    sys::xattr::get(fs::File::open(path).unwrap().as_fd(), name, 256).unwrap()
}

fn is_whiteout(path: &Path) -> bool {
    fs::symlink_metadata(path)
        .is_ok_and(|metadata| metadata.file_type().is_char_device() && metadata.rdev() == 0)
}

fn is_opaque(path: &Path) -> bool {
    attribute(path, c"trusted.overlay.opaque").as_deref() == Some(b"y")
}

#[test]
fn whiteouts_become_overlay_form() {
    if !is_root("whiteouts") {
        return;
    }
    let folder = TestFolder::new();
    let layer = Layer::new()
        .file("etc/.wh.removed", b"")
        .folder("opaque/")
        .file("opaque/.wh..wh..opq", b"")
        .file("opaque/new", b"1")
        .file(".wh.becomes-folder", b"")
        .folder("becomes-folder/")
        .file("becomes-folder/new", b"1")
        .file(".wh.becomes-implied/", b"")
        .file("becomes-implied/new", b"1")
        .file(".wh.becomes-file", b"")
        .file("becomes-file", b"1")
        .folder("stays/")
        .file(".wh.stays", b"")
        .file("kept", b"1")
        .file(".wh.kept", b"")
        .file(".wh..wh.plnk", b"");
    // In the lowest layer they mean nothing.
    let below = Layer::new().file("etc/removed", b"");
    let image = TestImage::new("x", &[below.done(), layer.done()]);
    folder.load(&image.oci()).succeeded();
    let root = folder.store().image("x").unwrap().layers[1].clone();
    assert!(is_whiteout(&root.join("etc/removed")));
    assert!(is_opaque(&root.join("opaque")));
    assert!(!is_opaque(&root.join("etc")));
    // A folder in the place of what the layer removed hides the folder below, it isn't merged with it.
    assert!(is_opaque(&root.join("becomes-folder")));
    assert!(is_opaque(&root.join("becomes-implied")));
    assert!(is_opaque(&root.join("stays")));
    // Whiteouts concern lower layers only.
    assert_eq!(fs::read(root.join("becomes-file")).unwrap(), b"1");
    assert_eq!(fs::read(root.join("kept")).unwrap(), b"1");
    let names: Vec<_> = fs::read_dir(&root)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert!(
        names
            .iter()
            .all(|name| !name.to_str().unwrap().starts_with(".wh.")),
        "{names:?}"
    );
}

#[test]
fn overlayfs_hides_what_a_layer_removed() {
    if !is_root("mounting an overlay") {
        return;
    }
    let folder = TestFolder::new();
    let bottom = Layer::new()
        .file("a/old", b"")
        .file("b/old", b"")
        .file("c", b"")
        .done();
    let top = Layer::new()
        .file("a/.wh..wh..opq", b"")
        .file("a/new", b"")
        .file("b/.wh.old", b"")
        .file(".wh.c", b"")
        .done();
    folder
        .load(&TestImage::new("x", &[bottom, top]).oci())
        .succeeded();
    let image = folder.store().image("x").unwrap();
    let script = format!(
        "mount -t tmpfs none /mnt; mkdir /mnt/root; mount -t overlay overlay -o lowerdir={}:{} /mnt/root; cd /mnt/root; find . | sort",
        image.layers[1].display(),
        image.layers[0].display()
    );
    let outcome = common::in_mount_namespace(&folder, &script).succeeded();
    assert_eq!(outcome.out, ".\n./a\n./a/new\n./b\n");
}

#[test]
fn owner_mode_time_and_attributes_are_kept() {
    if !is_root("owners") {
        return;
    }
    let folder = TestFolder::new();
    let with = |kind, name: &str, link: &str, size, mode, uid| {
        let mut header = Layer::header(kind, name, link, size);
        header.set_mode(mode);
        header.set_uid(uid);
        header.set_gid(4242);
        header
    };
    // cap_net_raw+ep, revision 2 (capabilities(7), "File capability extended attribute versioning").
    let capability = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let mut device = with(EntryType::Char, "null", "", 0, 0o666, 7);
    device.set_device_major(1).unwrap();
    device.set_device_minor(3).unwrap();
    let layer = Layer::new()
        .raw(with(EntryType::Directory, "./", "", 0, 0o751, 5), &[])
        .raw(with(EntryType::Directory, "closed/", "", 0, 0o1500, 0), &[])
        .pax(&[
            ("SCHILY.xattr.security.capability", capability),
            ("SCHILY.xattr.user.note", b"n"),
            ("SCHILY.xattr.trusted.overlay.redirect", b"/etc"),
            ("SCHILY.xattr.user.overlay.opaque", b"y"),
            ("mtime", b"1500000000.25"),
        ])
        .raw(
            with(EntryType::Regular, "closed/ping", "", 4, 0o4755, 33),
            b"ping",
        )
        .raw(
            with(EntryType::Symlink, "closed/link", "/nowhere", 0, 0o777, 33),
            &[],
        )
        .hard_link("pong", "closed/ping")
        .raw(device, &[])
        .raw(with(EntryType::Fifo, "pipe", "", 0, 0o620, 8), &[]);
    let root = unpacked(&folder, layer);
    let stat = |name: &str| fs::symlink_metadata(root.join(name)).unwrap();
    assert_eq!(
        (stat("").mode() & 0o7777, stat("").uid(), stat("").gid()),
        (0o751, 5, 4242)
    );
    assert_eq!(
        (stat("closed").mode() & 0o7777, stat("closed").mtime()),
        (0o1500, 1_600_000_000)
    );
    let ping = stat("closed/ping");
    assert_eq!(
        (ping.mode() & 0o7777, ping.uid(), ping.gid()),
        (0o4755, 33, 4242)
    );
    assert_eq!(
        (ping.mtime(), ping.mtime_nsec()),
        (1_500_000_000, 250_000_000)
    );
    assert_eq!((stat("pong").ino(), ping.nlink()), (ping.ino(), 2));
    assert_eq!(
        (stat("closed/link").uid(), stat("closed/link").mtime()),
        (33, 1_600_000_000)
    );
    assert_eq!(
        (
            stat("null").rdev(),
            stat("null").mode() & 0o777,
            stat("null").uid()
        ),
        (0x103, 0o666, 7)
    );
    assert!(stat("pipe").file_type().is_fifo() && stat("pipe").mode() & 0o777 == 0o620);
    let file = root.join("closed/ping");
    assert_eq!(
        attribute(&file, c"security.capability").unwrap(),
        capability
    );
    assert_eq!(attribute(&file, c"user.note").unwrap(), b"n");
    assert_eq!(attribute(&file, c"trusted.overlay.redirect"), None);
    assert_eq!(attribute(&file, c"user.overlay.opaque"), None);
}

#[test]
fn attributes_that_are_left_out_are_told_once() {
    if !is_root("unpacking images") {
        return;
    }
    let folder = TestFolder::new();
    let label = ("SCHILY.xattr.security.selinux", &b"label"[..]);
    let lower = Layer::new().pax(&[label]).file("a", b"1").done();
    let upper = Layer::new()
        .pax(&[label, ("SCHILY.xattr.trusted.overlay.redirect", b"/etc")])
        .file("b", b"2")
        .pax(&[
            ("SCHILY.xattr.system.posix_acl_default", b"2"),
            ("SCHILY.acl.access", b"user::rw-"),
        ])
        .file("c", b"3")
        .pax(&[("SCHILY.xattr.trusted.note", b"n")])
        .symlink("d", "c")
        // Unpacked twice: first without a look below.
        .hard_link("e", "a")
        .done();
    let image = TestImage::new("x", &[lower, upper]);
    let outcome = folder.load(&image.oci()).succeeded();
    let told = "left out attributes of files: SCHILY.acl.access (1), security.selinux (2), \
                system.posix_acl_default (1), trusted.note (1), trusted.overlay.redirect (1)\n";
    assert_eq!(outcome.out.matches("left out").count(), 1, "{outcome:?}");
    assert!(outcome.out.contains(told), "{outcome:?}");
    let again = folder.load(&image.oci()).succeeded();
    assert!(!again.out.contains("left out"), "{again:?}");
}

#[test]
fn long_names_and_names_that_are_not_utf8_are_kept() {
    if !is_root("unpacking images") {
        return;
    }
    let folder = TestFolder::new();
    let long = format!("{}/{}", "d".repeat(200), "f".repeat(250));
    let mut builder = tar::Builder::new(Vec::new());
    builder
        .append_data(
            &mut Layer::header(EntryType::Regular, "", "", 1),
            &long,
            &b"1"[..],
        )
        .unwrap();
    builder
        .append_link(
            &mut Layer::header(EntryType::Link, "", "", 0),
            "link",
            &long,
        )
        .unwrap();
    let mut header = Layer::header(EntryType::Regular, "", "", 0);
    header.as_old_mut().name[..3].copy_from_slice(b"\xff\xfe!");
    header.set_cksum();
    builder.append(&header, &[][..]).unwrap();
    let bytes = builder.into_inner().unwrap();
    folder
        .load(&TestImage::new("x", &[bytes]).oci())
        .succeeded();
    let root = folder.only_layer("x");
    assert_eq!(fs::read(root.join(&long)).unwrap(), b"1");
    assert_eq!(fs::read(root.join("link")).unwrap(), b"1");
    let strange = std::os::unix::ffi::OsStrExt::from_bytes(b"\xff\xfe!");
    assert!(root.join(<&std::ffi::OsStr>::clone(&strange)).exists());
}

#[test]
fn a_later_entry_replaces_an_earlier_one() {
    if !is_root("unpacking images") {
        return;
    }
    let folder = TestFolder::new();
    let layer = Layer::new()
        .file("file", b"old")
        .file("file", b"new")
        .file("folder/below/x", b"")
        .file("folder", b"now a file")
        .symlink("link", "file")
        .folder("link/")
        .file("link/x", b"1")
        .file("self", b"kept")
        .hard_link("self", "self");
    let root = unpacked(&folder, layer);
    assert_eq!(fs::read(root.join("file")).unwrap(), b"new");
    assert_eq!(fs::read(root.join("folder")).unwrap(), b"now a file");
    assert_eq!(fs::read(root.join("link/x")).unwrap(), b"1");
    assert_eq!(fs::read(root.join("self")).unwrap(), b"kept");
}

#[test]
fn links_of_a_layer_are_followed_inside_it_only() {
    if !is_root("unpacking images") {
        return;
    }
    let folder = TestFolder::new();
    let outside = folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), b"secret").unwrap();
    let outside_text = outside.to_str().unwrap();
    let inside_of_layer = outside_text.trim_start_matches('/');
    let layer = Layer::new()
        .folder(&format!("{inside_of_layer}/"))
        .symlink("absolute", outside_text)
        .file("absolute/written", b"1")
        .folder("up/")
        .symlink("up/relative", "../../../../../../../../../../../../tmp")
        .folder("tmp/")
        .file("up/relative/written", b"2")
        .folder("usr/")
        .symlink("bin", "usr")
        .file("bin/tool", b"3")
        .symlink("magic", "/proc/self/root")
        .file("magic/tmp/keelson-escaped", b"4");
    let root = unpacked(&folder, layer);
    assert_eq!(
        fs::read_dir(&outside).unwrap().count(),
        1,
        "written outside"
    );
    assert_eq!(
        fs::read(root.join(inside_of_layer).join("written")).unwrap(),
        b"1"
    );
    assert_eq!(fs::read(root.join("tmp/written")).unwrap(), b"2");
    assert_eq!(fs::read(root.join("usr/tool")).unwrap(), b"3");
    assert_eq!(
        fs::read(root.join("proc/self/root/tmp/keelson-escaped")).unwrap(),
        b"4"
    );
    assert!(!Path::new("/tmp/keelson-escaped").exists());
}

#[test]
fn an_entry_that_would_leave_the_layer_is_refused() {
    if !is_root("unpacking images") {
        return;
    }
    let folder = TestFolder::new();
    let secret = folder.write("secret", b"secret");
    let secret = secret.to_str().unwrap();
    let cases = [
        (
            Layer::new().file("../keelson-escaped", b""),
            "leads out of the layer",
        ),
        (
            Layer::new().file("a/../../keelson-escaped", b""),
            "leads out of the layer",
        ),
        (
            Layer::new().folder("../../keelson-escaped/"),
            "leads out of the layer",
        ),
        (
            Layer::new().hard_link("x", secret),
            "which neither the layer nor those below it have",
        ),
        (
            Layer::new().hard_link("x", "../../secret"),
            "leads out of the layer",
        ),
        (
            Layer::new()
                .symlink("s", "../..")
                .hard_link("x", "s/secret"),
            "which neither the layer nor those below it have",
        ),
        (Layer::new().file("x/.wh...", b""), "a whiteout of no file"),
        (Layer::new().file(".wh..", b""), "a whiteout of no file"),
        (Layer::new().file("x/.wh.", b""), "a whiteout of no file"),
        (
            Layer::new().entry(EntryType::Char, "removed", ""),
            "overlayfs' own mark",
        ),
        (Layer::new().symlink("./", "/"), "the place of the root"),
        (
            Layer::new().file("f", b"").hard_link("x", "nothing"),
            "which neither the layer nor those below it have",
        ),
        (
            Layer::new()
                .pax(&[("path", b"../keelson-escaped")])
                .file("x", b""),
            "leads out of the layer",
        ),
        (
            Layer::new().pax(&[("path", b"a\0b")]).file("x", b""),
            "contains a NUL",
        ),
        (
            Layer::new()
                .pax(&[("GNU.sparse.major", b"1")])
                .file("x", b""),
            "the map of a sparse file has no end",
        ),
        (
            Layer::new()
                .pax(&[("GNU.sparse.major", b"2")])
                .file("x", b""),
            "sparse files of version 2.0 are not supported",
        ),
        (
            Layer::new()
                .pax(&[("GNU.sparse.size", b"9"), ("GNU.sparse.map", b"8,2")])
                .file("x", b"12"),
            "lies beyond its end",
        ),
        (
            Layer::new()
                .symlink("a", "b")
                .symlink("b", "a")
                .file("a/x", b""),
            "a/x",
        ),
    ];
    for (layer, message) in cases {
        let image = TestImage::new("evil", &[layer.done()]);
        for outcome in [
            folder.load(&image.oci()),
            folder.load_stream(&image.docker()),
        ] {
            outcome.failed(&[
                "layer 1 of 1 of docker.io/library/evil:latest",
                message,
                "nothing was changed",
            ]);
        }
        assert!(
            !folder.path().join("keelson-escaped").exists()
                && !folder.root().join("keelson-escaped").exists()
        );
        assert!(!Path::new("/tmp/keelson-escaped").exists());
        assert_eq!(fs::metadata(secret).unwrap().nlink(), 1);
        assert_eq!(folder.names("tmp"), [""; 0]);
        assert_eq!(folder.names("layers"), [""; 0]);
    }
}

#[test]
fn a_layer_without_the_padding_after_its_last_file_is_whole() {
    if !is_root("unpacking images") {
        return;
    }
    // As umoci writes it; the digest says that nothing is missing.
    let folder = TestFolder::new();
    let mut bytes = Layer::new().file("a", b"1").file("b", b"22").done();
    bytes.truncate(3 * 512 + 2);
    folder
        .load(
            &TestImage::new("x", &[bytes])
                .compressed(gzip, "+gzip")
                .oci(),
        )
        .succeeded();
    assert_eq!(fs::read(folder.only_layer("x").join("b")).unwrap(), b"22");
}
