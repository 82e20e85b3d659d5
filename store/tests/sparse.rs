//! Sparse files as GNU tar writes them, in each of its four forms: unpacked under their real names, with their content,
//! and with holes where they had some.

mod common;

use common::{TestFolder, TestImage, gzip, is_root};
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::process::Command;

const BLOCK: u64 = 4096;
/// Between two parts of a file, and of its data.
const STEP: u64 = 64 * 1024;

/// Name, size, and where its blocks of data are.
struct Sample {
    name: String,
    size: u64,
    data: Vec<u64>,
}

fn sample(name: &str, size: u64, data: impl IntoIterator<Item = u64>) -> Sample {
    Sample {
        name: name.to_owned(),
        size,
        data: data.into_iter().collect(),
    }
}

fn samples() -> Vec<Sample> {
    let every = |count: u64| (0..count).map(|part| part * STEP);
    vec![
        sample("in-the-middle", 1 << 20, [STEP]),
        sample("at-both-ends", 1 << 20, [0, (1 << 20) - BLOCK]),
        sample("ends-with-a-hole", 3 * STEP + 17, [0]),
        sample("nothing-but-a-hole", 1 << 20, []),
        // More parts than a header, a block after it, and a block of a map have room for.
        sample("four", 4 * STEP, every(4)),
        sample("five", 5 * STEP, every(5)),
        sample("twenty-six", 26 * STEP, every(26)),
        sample("two-hundred", 200 * STEP, every(200)),
        sample(
            &format!("folder/{}/{}", "a".repeat(120), "b".repeat(120)),
            1 << 20,
            [STEP],
        ),
    ]
}

fn content(sample: &Sample) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(sample.size).unwrap()];
    for (part, offset) in sample.data.iter().enumerate() {
        let start = usize::try_from(*offset).unwrap();
        let fill = u8::try_from(part % 250 + 1).unwrap();
        let end = bytes.len().min(start + usize::try_from(BLOCK).unwrap());
        bytes[start..end].fill(fill);
    }
    bytes
}

fn write(folder: &Path, sample: &Sample) {
    let path = folder.join(&sample.name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let file = File::create(path).unwrap();
    file.set_len(sample.size).unwrap();
    let bytes = content(sample);
    for offset in &sample.data {
        let start = usize::try_from(*offset).unwrap();
        let end = bytes.len().min(start + usize::try_from(BLOCK).unwrap());
        file.write_all_at(&bytes[start..end], *offset).unwrap();
    }
}

fn tar(folder: &Path, form: &[&str]) -> Vec<u8> {
    let output = Command::new("tar")
        .args(["--create", "--sparse", "--hole-detection=raw", "--file=-"])
        .args(form)
        .arg("--directory")
        .arg(folder)
        .arg(".")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut left = vec![folder.to_owned()];
    while let Some(place) = left.pop() {
        for entry in fs::read_dir(place).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => left.push(path),
                false => found.push(path.strip_prefix(folder).unwrap().display().to_string()),
            }
        }
    }
    found.sort();
    found
}

#[test]
fn each_form_gives_the_same_files_with_their_holes() {
    if !is_root("unpacking images") {
        return;
    }
    let folder = TestFolder::new();
    let source = folder.path().join("source");
    let samples = samples();
    for sample in &samples {
        write(&source, sample);
    }
    let pax = |version| ["--format=posix", version].to_vec();
    for form in [
        vec!["--format=gnu"],
        pax("--sparse-version=0.0"),
        pax("--sparse-version=0.1"),
        pax("--sparse-version=1.0"),
    ] {
        let folder = TestFolder::new();
        let layer = tar(&source, &form);
        assert!(
            layer.len() < 3 << 20,
            "{form:?}: {} bytes are not sparse",
            layer.len()
        );
        let image = TestImage::new("x", &[layer]).compressed(gzip, "+gzip");
        folder.load(&image.oci()).succeeded();
        let layer = folder.only_layer("x");
        assert_eq!(files(&layer), files(&source), "{form:?}");
        for sample in &samples {
            let path = layer.join(&sample.name);
            assert!(
                fs::read(&path).unwrap() == content(sample),
                "{form:?}: {}",
                sample.name
            );
            let stored = path.metadata().unwrap().blocks() * 512;
            // The file system's own blocks may be larger than ours, and it may count its lists of them.
            let most = sample.data.len() as u64 * 2 * BLOCK + 8 * BLOCK;
            assert!(
                stored <= most,
                "{form:?}: {} takes {stored} bytes, at most {most} are data",
                sample.name
            );
        }
    }
}
