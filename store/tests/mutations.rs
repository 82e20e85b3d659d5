//! Archives with random faults: whatever they are, the program ends by itself, says one line, and writes nowhere else.

mod common;

use common::{Layer, Outcome, Random, TestFolder, TestImage, gzip, is_root, small_image, zstd};
use std::fs;
use std::path::Path;

/// Each takes some milliseconds.
const ROUNDS: usize = 600;

/// Faults that change bytes as a bad disk does, or blocks as an attacker does.
fn mutate(random: &mut Random, bytes: &mut Vec<u8>) {
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len());
        match random.below(6) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = b"\0\xff/.0~"[random.below(6)],
            2 => bytes.truncate(at.max(1)),
            3 => {
                // Whole blocks change places, so that headers stay headers.
                let block = at / 512 * 512;
                let other = random.below(bytes.len()) / 512 * 512;
                for offset in 0..512.min(bytes.len() - block.max(other)) {
                    bytes.swap(block + offset, other + offset);
                }
            }
            4 => {
                let end = (at + random.below(2000)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            _ => mend_headers(random, bytes),
        }
    }
}

/// Changes a field of some tar header and makes its checksum right again.
fn mend_headers(random: &mut Random, bytes: &mut [u8]) {
    let headers: Vec<usize> = (0..bytes.len() / 512)
        .map(|block| block * 512)
        .filter(|at| &bytes[at + 257..at + 262] == b"ustar")
        .collect();
    let Some(at) = headers.get(random.below(headers.len())) else {
        return;
    };
    let header = &mut bytes[*at..at + 512];
    let field = [0, 100, 108, 124, 136, 156, 157, 257, 329][random.below(9)];
    match random.below(3) {
        0 => header[field] = random.bytes(1)[0],
        1 => header[field..field + 8].copy_from_slice(&random.bytes(8)),
        _ => header[156] = b"0123456LKxgS7"[random.below(13)],
    }
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

fn archives() -> Vec<Vec<u8>> {
    let layer = Layer::new()
        .folder("bin/")
        .pax(&[
            ("SCHILY.xattr.user.a", b"1"),
            ("mtime", b"1.5"),
            ("path", b"bin/renamed"),
        ])
        .file("bin/a", &[7; 3000])
        .hard_link("bin/b", "bin/renamed")
        .symlink("sbin", "bin")
        .file("sbin/c", b"c")
        .file("etc/.wh.gone", b"")
        .file("bin/.wh..wh..opq", b"")
        .done();
    let plain = TestImage::new("fuzz", &[layer.clone(), layer.clone()]);
    let gzipped = plain.clone().compressed(gzip, "+gzip");
    let zstandard = plain.clone().compressed(zstd, "+zstd");
    vec![
        plain.oci(),
        plain.docker(),
        gzipped.oci(),
        zstandard.oci(),
        gzip(&plain.oci()),
        zstd(&plain.docker()),
    ]
}

/// A store with the image `old`, which must outlive every round, and the seed of the rounds: `SEED` or this one. `None`:
/// not root.
fn store_with_an_image(seed: u64) -> Option<(TestFolder, u64)> {
    if !is_root("unpacking images") {
        return None;
    }
    let folder = TestFolder::new();
    folder.load(&small_image("old", b"old").oci()).succeeded();
    let wanted = std::env::var("SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    Some((folder, wanted.unwrap_or(seed)))
}

#[test]
fn no_archive_makes_it_panic_or_write_elsewhere() {
    let Some((folder, seed)) = store_with_an_image(0x6b65_656c) else {
        return;
    };
    let mut random = Random(seed);
    let originals = archives();
    let mut loaded = 0;
    for round in 0..ROUNDS {
        let mut bytes = originals[random.below(originals.len())].clone();
        mutate(&mut random, &mut bytes);
        let outcome = if round % 2 == 0 {
            folder.load(&bytes)
        } else {
            folder.load_stream(&bytes)
        };
        check(&folder, &outcome, seed, round);
        loaded += usize::from(outcome.ok);
    }
    // Otherwise the mutations are too wild to get beyond the first check.
    assert!(
        (10..ROUNDS - 100).contains(&loaded),
        "{loaded} of {ROUNDS} were loaded"
    );
}

/// The same for a layer whose digests are right: made by an attacker, not broken on the way.
#[test]
fn no_layer_with_right_digests_makes_it_panic_or_write_elsewhere() {
    let Some((folder, seed)) = store_with_an_image(0x6c61_7965) else {
        return;
    };
    let mut random = Random(seed);
    let names = [
        "a",
        "a/b",
        "a/b/c",
        "../keelson-x",
        "/a/keelson-x",
        "a/../keelson-x",
        ".wh.a",
        "a/.wh.b",
        "a/.wh..wh..opq",
        "b",
        "b/keelson-x",
        "./",
        "b/../../keelson-x",
        ".wh...",
    ];
    let targets = [
        "a",
        "../..",
        "/",
        "a/b",
        "/proc/self/root",
        "b",
        "../../../../../../tmp",
        "b/keelson-x",
        "",
    ];
    let kinds = [
        tar::EntryType::Regular,
        tar::EntryType::Directory,
        tar::EntryType::Symlink,
        tar::EntryType::Link,
        tar::EntryType::Fifo,
        tar::EntryType::Block,
        tar::EntryType::Symlink,
        tar::EntryType::Directory,
    ];
    let mut loaded = 0;
    for round in 0..ROUNDS {
        let mut layer = Layer::new();
        for _ in 0..random.below(12) {
            let kind = kinds[random.below(kinds.len())];
            // Names that are refused at once end a layer, so most are not.
            let choice = if random.below(8) == 0 { names.len() } else { 3 };
            let (name, target) = (
                names[random.below(choice)],
                targets[random.below(targets.len())],
            );
            layer = match kind {
                tar::EntryType::Regular => layer.file(name, b"content"),
                kind => layer.entry(kind, name, target),
            };
        }
        let outcome = folder.load(&TestImage::new("fuzz", &[layer.done()]).oci());
        check(&folder, &outcome, seed, round);
        loaded += usize::from(outcome.ok);
    }
    assert!(
        (50..ROUNDS - 50).contains(&loaded),
        "{loaded} of {ROUNDS} were loaded"
    );
}

fn check(folder: &TestFolder, outcome: &Outcome, seed: u64, round: usize) {
    let context = format!("seed {seed}, round {round}: {outcome:?}");
    match outcome.code {
        Some(0) => {}
        Some(1) => assert_eq!(outcome.error.lines().count(), 1, "{context}"),
        Some(_) | None => panic!("{context}"),
    }
    let names: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names.len(), 2, "{names:?} {context}");
    let mut tree: Vec<_> = fs::read_dir(folder.root())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    tree.sort();
    assert_eq!(
        tree,
        [
            "blobs",
            "layers",
            "load.lock",
            "lock",
            "preloaded.2",
            "refs",
            "tmp"
        ],
        "{context}"
    );
    assert_eq!(folder.names("tmp"), [""; 0], "{context}");
    assert!(!Path::new("/tmp/keelson-x").exists(), "{context}");
    assert_eq!(
        fs::read(folder.only_layer("old").join("etc/motd")).unwrap(),
        b"old",
        "{context}"
    );
}
