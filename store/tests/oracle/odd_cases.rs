//! Layers that few programs write, and that others unpack without a word.

use crate::cases::{Case, Shorthand, entry};
use crate::common::Layer;
use tar::EntryType;

/// As before POSIX: a file without a type, whose name ends with a slash.
fn old_folder(name: &str, size: usize) -> tar::Header {
    let mut header = Layer::header(EntryType::Regular, name, "", size);
    header.as_old_mut().linkflag = [0];
    header.set_mode(0o711);
    header
}

fn null_device(name: &str, size: usize) -> tar::Header {
    let mut header = Layer::header(EntryType::Char, name, "", size);
    header.set_device_major(1).unwrap();
    header.set_device_minor(3).unwrap();
    header
}

/// An access control list as it is stored (linux/posix_acl_xattr.h, version 2): everybody's rights, those of one user, and
/// the mask.
fn acl(owner: u16, user: u32, mask: u16) -> Vec<u8> {
    const NOBODY: u32 = u32::MAX;
    let entries: [(u16, u16, u32); 5] = [
        (0x01, owner, NOBODY),
        (0x02, 4, user),
        (0x04, 4, NOBODY),
        (0x10, mask, NOBODY),
        (0x20, 0, NOBODY),
    ];
    let mut bytes = 2_u32.to_le_bytes().to_vec();
    for (tag, rights, id) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(rights.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

/// cap_net_raw+ep (capabilities(7), revision 2).
const CAPABILITY: &[u8] = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

pub(crate) fn odd_cases() -> Vec<Case> {
    let new = Layer::new;
    vec![
        (
            "lists, capabilities and other attributes, of folders that a layer implies, too",
            vec![
                new()
                    .pax(&[
                        ("SCHILY.xattr.system.posix_acl_access", &acl(7, 1000, 5)),
                        ("SCHILY.xattr.system.posix_acl_default", &acl(7, 1001, 7)),
                        ("SCHILY.xattr.security.capability", CAPABILITY),
                        ("SCHILY.xattr.trusted.note", b"t"),
                    ])
                    .dir("d/", 0o2750, 3)
                    .pax(&[("SCHILY.xattr.system.posix_acl_access", &acl(6, 1002, 4))])
                    .raw(entry(EntryType::Regular, "d/listed", 0o640, 4), b"")
                    .file("d/plain", b"1")
                    .dir("d/e/", 0o711, 5)
                    .pax(&[
                        ("SCHILY.xattr.security.capability", CAPABILITY),
                        ("SCHILY.xattr.security.ima", b"\x01any"),
                        ("SCHILY.xattr.trusted.note", b"t"),
                        ("SCHILY.xattr.user.note", b"u"),
                    ])
                    .raw(entry(EntryType::Regular, "ping", 0o755, 6), b""),
                new()
                    .file("d/e/x", b"2")
                    .file("d/y", b"2")
                    .hard_link("linked", "d/listed")
                    .hard_link("pong", "ping"),
                new().file("d/.wh.plain", b""),
            ],
        ),
        (
            "sizes of what has no content",
            vec![
                new()
                    .file("f", b"1")
                    .sized(EntryType::Link, "g", "f", 1)
                    .file("empty", b"")
                    .sized(EntryType::Link, "h", "f", 700)
                    .file("full", b"2")
                    .sized(EntryType::Directory, "d/", "", 4096)
                    .file("d/x", b"3")
                    .sized(EntryType::Symlink, "s", "f", 1)
                    .sized(EntryType::Fifo, "p", "", 5)
                    .raw(null_device("c", 7), &[])
                    .pax(&[("size", b"5")])
                    .entry(EntryType::Link, "i", "f")
                    .file("last", b"4"),
                new()
                    .raw(old_folder("old/", 512), &[])
                    .file("old/x", b"5")
                    .raw(entry(EntryType::Regular, "slash/", 0o640, 3), b"")
                    .file("f", b"6"),
            ],
        ),
        (
            "names and targets with `..` that stay in the layer",
            vec![
                new()
                    .dir("usr/", 0o711, 3)
                    .dir("usr/lib/", 0o700, 4)
                    .file("usr/lib/x", b"1")
                    .symlink("lib", "usr/lib")
                    .file("usr/../f", b"2")
                    .hard_link("g", "usr/../usr/lib/../lib/x")
                    .hard_link("usr/../h", "/usr/./../f"),
                new()
                    // By their text, whatever the link says.
                    .file("lib/../y", b"3")
                    .file("usr/lib/../../lib/z", b"4")
                    .hard_link("i", "none/../f")
                    .file("none/../.wh.g", b"")
                    .dir("usr/lib/..", 0o750, 5),
            ],
        ),
        (
            "whiteouts in a folder, then one of it, then the folder anew",
            vec![
                new()
                    .dir("a/", 0o711, 3)
                    .dir("a/c/", 0o700, 5)
                    .file("a/c/x", b"1")
                    .dir("b/", 0o711, 3)
                    .dir("b/c/", 0o700, 5)
                    .dir("b/c/d/", 0o750, 6)
                    .file("b/c/d/x", b"1")
                    .dir("e/", 0o700, 5)
                    .file("e/x", b"1")
                    .symlink("l", "a"),
                new()
                    .file("a/c/.wh..wh..opq", b"")
                    .file("a/.wh.c", b"")
                    .file("a/c/y", b"2")
                    .file("b/c/d/.wh.x", b"")
                    .file("b/.wh.c", b"")
                    .file("b/c/d/y", b"2")
                    .file("e/y", b"2")
                    .file("e/.wh.x", b"")
                    .file(".wh.e", b"")
                    .file("e/z", b"2")
                    .file("l/.wh.none", b"")
                    .file(".wh.l", b"")
                    .file("l/x", b"2"),
            ],
        ),
        (
            "whiteouts in what is a file below",
            vec![
                new()
                    .file("b", b"1")
                    .dir("p/", 0o711, 3)
                    .file("p/b", b"1")
                    .file("p/x", b"1")
                    .symlink("l", "b")
                    .file("q", b"1")
                    .file("o", b"1"),
                new()
                    .file("b/.wh.c", b"")
                    .file("p/b/.wh.c", b"")
                    .file("p/b/d/.wh.e", b"")
                    .file("o/.wh..wh..opq", b"")
                    .file("p/.wh.x", b"")
                    .file("own", b"2")
                    .file("own/.wh.c", b"")
                    .file("own/.wh..wh..opq", b""),
                new()
                    .file("b/.wh.c", b"")
                    .hard_link("g", "q")
                    .file("l/.wh.c", b""),
            ],
        ),
    ]
}
