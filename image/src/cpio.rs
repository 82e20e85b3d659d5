//! The kernel's initramfs format: cpio "newc" (Documentation/driver-api/early-userspace/buffer-format.rst).
//!
//! Reproducible: entries in the order of their paths, inode numbers counted up, owner 0, one date for all.

use crate::tree::{Node, Tree};

const MAGIC: &[u8] = b"070701";
const TRAILER: &str = "TRAILER!!!";
/// Of an entry: the magic and thirteen fields of eight hexadecimal digits.
const HEADER: usize = 110;
/// Numbers of fields.
const FILE_SIZE: usize = 6;
const NAME_SIZE: usize = 11;
const FOLDER: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const LINK: u32 = 0o120_000;
const CHAR_DEVICE: u32 = 0o020_000;

/// Seconds since 1970 that every entry is dated with: `SOURCE_DATE_EPOCH`, or 0.
pub(crate) fn date() -> u32 {
    std::env::var("SOURCE_DATE_EPOCH")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

/// The archive of a tree, complete with its trailer.
pub(crate) fn archive(tree: &Tree, date: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (number, (path, node)) in (1..).zip(tree.nodes()) {
        let (mode, content, device): (u32, &[u8], (u32, u32)) = match node {
            Node::Folder { mode } => (FOLDER | mode, &[], (0, 0)),
            Node::File { mode, bytes } => (FILE | mode, bytes, (0, 0)),
            Node::Link { to } => (LINK | 0o777, to.as_bytes(), (0, 0)),
            Node::CharDevice { mode, major, minor } => (CHAR_DEVICE | mode, &[], (*major, *minor)),
        };
        entry(
            &mut bytes,
            &Entry {
                number,
                mode,
                date,
                device,
                path,
                content,
            },
        );
    }
    entry(
        &mut bytes,
        &Entry {
            number: 0,
            mode: 0,
            date: 0,
            device: (0, 0),
            path: TRAILER,
            content: &[],
        },
    );
    bytes
}

/// Bytes of the archive that begins here, its trailer included.
pub(crate) fn length(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let header = bytes.get(at..)?;
        if !header.starts_with(MAGIC) {
            return None;
        }
        let field = |number: usize| -> Option<usize> {
            let start = MAGIC.len() + 8 * number;
            let digits = std::str::from_utf8(header.get(start..start + 8)?).ok()?;
            usize::from_str_radix(digits, 16).ok()
        };
        let (size, name_size) = (field(FILE_SIZE)?, field(NAME_SIZE)?);
        let name = header.get(HEADER..HEADER.checked_add(name_size)?.checked_sub(1)?)?;
        let content = HEADER.checked_add(name_size)?.checked_next_multiple_of(4)?;
        at = content
            .checked_add(size)?
            .checked_next_multiple_of(4)?
            .checked_add(at)?;
        if name == TRAILER.as_bytes() {
            return (at <= bytes.len()).then_some(at);
        }
    }
}

struct Entry<'a> {
    number: u32,
    mode: u32,
    date: u32,
    device: (u32, u32),
    path: &'a str,
    content: &'a [u8],
}

fn entry(bytes: &mut Vec<u8>, entry: &Entry<'_>) {
    let length = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
    let (major, minor) = entry.device;
    let links = if entry.mode & 0o170_000 == FOLDER {
        2
    } else {
        1
    };
    let fields = [
        entry.number,
        entry.mode,
        0,
        0,
        links,
        entry.date,
        length(entry.content.len()),
        0,
        0,
        major,
        minor,
        length(entry.path.len() + 1),
        0,
    ];
    bytes.extend_from_slice(MAGIC);
    for field in fields {
        bytes.extend_from_slice(format!("{field:08x}").as_bytes());
    }
    bytes.extend_from_slice(entry.path.as_bytes());
    bytes.push(0);
    pad(bytes);
    bytes.extend_from_slice(entry.content);
    pad(bytes);
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_tree_added_in_another_order_gives_the_same_bytes() {
        let mut one = Tree::default();
        one.file("usr/b", 0o644, "b");
        one.file("usr/a", 0o755, "a");
        let mut two = Tree::default();
        two.file("usr/a", 0o755, "a");
        two.file("usr/b", 0o644, "b");
        assert_eq!(archive(&one, 0), archive(&two, 0));
        let mut row = archive(&one, 0);
        assert_eq!(length(&row), Some(row.len()));
        assert_eq!(length(&row[..row.len() - 1]), None, "cut off");
        row.extend(archive(&two, 0));
        assert_eq!(length(&row), Some(row.len() / 2), "of the first");
    }

    #[test]
    fn header_is_as_the_kernel_reads_it() {
        let mut tree = Tree::default();
        tree.file("init", 0o755, "hello");
        let bytes = archive(&tree, 7);
        let text = String::from_utf8(bytes[..110].to_vec()).unwrap();
        assert_eq!(&text[..6], "070701");
        assert_eq!(&text[14..22], "000081ed", "mode");
        assert_eq!(&text[46..54], "00000007", "date");
        assert_eq!(&text[54..62], "00000005", "size");
        assert_eq!(&bytes[110..115], b"init\0");
        assert_eq!(&bytes[116..121], b"hello");
        assert_eq!(bytes.len() % 4, 0);
    }

    #[test]
    fn folder_comes_before_its_files() {
        let mut tree = Tree::default();
        tree.file("usr/lib/x", 0o644, "");
        let paths: Vec<&String> = tree.nodes().map(|(path, _)| path).collect();
        assert_eq!(paths, ["usr", "usr/lib", "usr/lib/x"]);
    }
}
