//! Layers made of the distribution's packages: a small base with a shell, and programs with the libraries that they need
//! (found in their ELF files, not guessed).

use crate::elf;
use crate::error::{BuildError, content};
use crate::oci::{Entry, Layer};
use host::fetch::{self, Freshness, Package};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nredis:x:999:999:redis:/data:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n";
const GROUP: &str = "root:x:0:\nredis:x:999:\nnogroup:x:65534:\n";

/// What a person looks for in a container; links to busybox.
const APPLETS: &str = "awk base64 cat chmod chown cp cut date dd df dmesg du echo env false find free grep gzip head hostname id ifconfig \
ip kill ln ls md5sum mkdir mknod mount mv nc netstat nproc nslookup od pgrep ping pkill printf ps pwd readlink rm rmdir route sed seq sh \
sha256sum sleep sort stat stty sync tail tar tee test timeout top touch tr true tty umount uname uniq vi wc wget which whoami xargs yes";

/// Of the packages whose libraries a program may need, only these are looked into: libraries have names of their own.
const LIBRARY_PREFIXES: [&str; 4] = ["lib", "lua", "redis", "zlib"];

#[derive(Debug)]
pub(crate) enum ImageError {
    Io(std::io::Error),
    Missing(String),
}

impl From<std::io::Error> for ImageError {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

impl ImageError {
    pub(crate) fn at(self, path: &Path) -> BuildError {
        match self {
            Self::Io(source) => BuildError::File {
                path: path.to_path_buf(),
                source,
            },
            Self::Missing(name) => content(path, format!("no package has {name}")),
        }
    }
}

/// A package with those that its programs' libraries are in.
///
/// # Errors
/// When they can't be fetched.
pub fn with_libraries(name: &str, freshness: Freshness) -> Result<Vec<Package>, BuildError> {
    let library = |name: &str| {
        LIBRARY_PREFIXES
            .iter()
            .any(|prefix| name.starts_with(prefix))
    };
    Ok(fetch::closure(name, library, freshness)?)
}

/// busybox with its applets, users `root`, `redis` and `nobody`, and the usual folders.
///
/// # Errors
/// When the package can't be fetched or lacks the program.
pub fn base(freshness: Freshness) -> Result<Layer, BuildError> {
    let package = fetch::package("busybox-static", freshness)?;
    base_of(&package).map_err(|error| error.at(&package.folder))
}

/// Programs of these packages, each at `usr/bin/NAME`, over their libraries: two layers.
///
/// # Errors
/// When none of the packages has one of them.
pub fn programs(packages: &[Package], names: &[&str]) -> Result<[Layer; 2], BuildError> {
    let folder = packages.first().map(|package| package.folder.clone());
    programs_at(packages, names, "usr/bin").map_err(|error| error.at(&folder.unwrap_or_default()))
}

pub(crate) fn programs_at(
    packages: &[Package],
    names: &[&str],
    folder: &str,
) -> Result<[Layer; 2], ImageError> {
    let files = all_files(packages)?;
    let find = |name: &str| {
        files
            .get(name)
            .ok_or_else(|| ImageError::Missing(name.to_owned()))
    };
    let (mut programs, mut libraries) = (Layer::new(), Layer::new());
    let mut queue = Vec::new();
    for name in names {
        let bytes = std::fs::read(find(name)?)?;
        queue.extend(elf::needed(&bytes));
        programs.insert(
            format!("{folder}/{name}"),
            Entry::File { mode: 0o755, bytes },
        );
    }
    let mut seen = BTreeSet::new();
    while let Some(name) = queue.pop() {
        if !seen.insert(name.clone()) {
            continue;
        }
        let bytes = std::fs::read(find(&name)?)?;
        queue.extend(elf::needed(&bytes));
        let folder = if name.starts_with("ld-") {
            "usr/lib64"
        } else {
            "usr/lib/x86_64-linux-gnu"
        };
        libraries.insert(
            format!("{folder}/{name}"),
            Entry::File { mode: 0o755, bytes },
        );
    }
    Ok([libraries, programs])
}

pub(crate) fn base_of(busybox: &Package) -> Result<Layer, ImageError> {
    let places = ["usr/bin/busybox", "bin/busybox"].map(|place| busybox.folder.join(place));
    let program = places
        .iter()
        .find(|place| place.is_file())
        .ok_or_else(|| ImageError::Missing("busybox".to_owned()))?;
    let file = |text: &str| Entry::File {
        mode: 0o644,
        bytes: text.as_bytes().to_vec(),
    };
    let link = |to: &str| Entry::Link { to: to.to_owned() };
    let folder = |mode| Entry::Folder { mode, owner: 0 };
    let mut layer = Layer::from([
        ("bin".to_owned(), link("usr/bin")),
        ("sbin".to_owned(), link("usr/sbin")),
        ("lib".to_owned(), link("usr/lib")),
        ("lib64".to_owned(), link("usr/lib64")),
        ("etc/passwd".to_owned(), file(PASSWD)),
        ("etc/group".to_owned(), file(GROUP)),
        ("root".to_owned(), folder(0o700)),
        ("run".to_owned(), folder(0o755)),
        ("tmp".to_owned(), folder(0o1777)),
        ("usr/sbin".to_owned(), folder(0o755)),
        (
            "usr/bin/busybox".to_owned(),
            Entry::File {
                mode: 0o755,
                bytes: std::fs::read(program)?,
            },
        ),
    ]);
    layer.extend(
        APPLETS
            .split_whitespace()
            .map(|name| (format!("usr/bin/{name}"), link("busybox"))),
    );
    Ok(layer)
}

/// File name → path, of all programs and libraries in the packages. A link may point into another package
/// (`redis-server` does): it stands for the file of the name that it points to.
fn all_files(packages: &[Package]) -> Result<BTreeMap<String, PathBuf>, ImageError> {
    let (mut files, mut links) = (BTreeMap::new(), Vec::new());
    for package in packages {
        let places = ["usr/bin", "bin", "usr/lib", "lib", "usr/lib64", "lib64"];
        let mut queue: Vec<PathBuf> = places
            .iter()
            .map(|place| package.folder.join(place))
            .collect();
        while let Some(folder) = queue.pop() {
            let Ok(entries) = std::fs::read_dir(&folder) else {
                continue;
            };
            for entry in entries {
                let path = entry?.path();
                let name = path
                    .file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned();
                if path.is_symlink() {
                    let target = std::fs::read_link(&path)?;
                    let target = target
                        .file_name()
                        .unwrap_or_default()
                        .to_string_lossy()
                        .into_owned();
                    links.push((name, target));
                } else if path.is_dir() {
                    queue.push(path);
                } else {
                    files.entry(name).or_insert(path);
                }
            }
        }
    }
    for (name, target) in links {
        if let Some(path) = files.get(&target).cloned() {
            files.entry(name).or_insert(path);
        }
    }
    Ok(files)
}
