//! The demo's container image: Redis from the distribution's package, as an OCI archive.
//!
//! Three layers, as images have them: a small base (busybox, so that `keelctl exec -it … sh` has a shell), the shared
//! libraries that Redis needs (found in its ELF files, not guessed), and Redis itself with its client.

use crate::elf;
use crate::error::{BuildError, at, content};
use crate::oci::{self, Entry, Layer};
use crate::segment::write_whole;
use host::fetch::{self, Freshness, Package};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Counted up when this code makes another image of the same packages.
const FORMAT: u32 = 1;
/// The user that Redis runs as; the number that Docker's official image has.
const USER: u64 = 999;
const REPOSITORY: &str = "docker.io/library/redis";

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nredis:x:999:999:redis:/data:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n";
const GROUP: &str = "root:x:0:\nredis:x:999:\nnogroup:x:65534:\n";

/// What a person looks for in a container; links to busybox.
const APPLETS: &str = "awk base64 cat chmod chown cp cut date dd df dmesg du echo env false find free grep gzip head hostname id ifconfig \
ip kill ln ls md5sum mkdir mknod mount mv nc netstat nproc nslookup od pgrep ping pkill printf ps pwd readlink rm rmdir route sed seq sh \
sha256sum sleep sort stat stty sync tail tar tee test timeout top touch tr true tty umount uname uniq vi wc wget which whoami xargs yes";

/// Where the demo's archive is kept.
#[must_use]
pub fn archive() -> PathBuf {
    host::paths::cache().join("redis.oci.tar")
}

/// The folder of the demo's units.
#[must_use]
pub fn units() -> PathBuf {
    crate::root::data().join("demo")
}

/// Make the archive `out`; one that was made of the same packages is left as it is.
///
/// # Errors
/// When the packages can't be fetched or the archive can't be written.
pub fn redis(out: &Path, freshness: Freshness) -> Result<(), BuildError> {
    if !host::system::System::here().apt {
        let system = host::system::System::here().name;
        return Err(content(
            out,
            format!(
                "the demo image is made of Debian or Ubuntu packages, and {system} has no apt; give an archive with --preload"
            ),
        ));
    }
    let libraries = |name: &str| {
        ["lib", "lua", "redis", "zlib"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
    };
    let packages = fetch::closure("redis-server", libraries, freshness)?;
    let busybox = fetch::package("busybox-static", freshness)?;
    let inputs = packages
        .iter()
        .chain([&busybox])
        .map(|package| format!("{} {}\n", package.name, package.sha256));
    let inputs = format!("{FORMAT}\n{}", inputs.collect::<String>());
    let stamp = out.with_extension("inputs");
    if out.is_file() && std::fs::read_to_string(&stamp).ok().as_ref() == Some(&inputs) {
        return Ok(());
    }
    let step = host::progress::step("make the Redis image");
    let bytes = image(&packages, &busybox).map_err(|error| with_path(error, out))?;
    if let Some(parent) = out.parent() {
        std::fs::create_dir_all(parent).map_err(at(parent))?;
    }
    write_whole(out, &bytes)?;
    write_whole(&stamp, inputs.as_bytes())?;
    step.done(&format!("{}, {} KiB", out.display(), bytes.len() / 1024));
    Ok(())
}

enum ImageError {
    Io(std::io::Error),
    Missing(String),
}

impl From<std::io::Error> for ImageError {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

fn with_path(error: ImageError, path: &Path) -> BuildError {
    match error {
        ImageError::Io(source) => BuildError::File {
            path: path.to_path_buf(),
            source,
        },
        ImageError::Missing(name) => content(path, format!("no package has {name}")),
    }
}

fn image(packages: &[Package], busybox: &Package) -> Result<Vec<u8>, ImageError> {
    let files = all_files(packages)?;
    let find = |name: &str| {
        files
            .get(name)
            .ok_or_else(|| ImageError::Missing(name.to_owned()))
    };
    let mut programs = Layer::from([(
        "data".to_owned(),
        Entry::Folder {
            mode: 0o755,
            owner: USER,
        },
    )]);
    let mut queue = Vec::new();
    for name in ["redis-server", "redis-cli"] {
        let bytes = std::fs::read(find(name)?)?;
        queue.extend(elf::needed(&bytes));
        programs.insert(
            format!("usr/local/bin/{name}"),
            Entry::File { mode: 0o755, bytes },
        );
    }
    let mut libraries = Layer::new();
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
    let config = json!({
        "User": "redis",
        "ExposedPorts": {"6379/tcp": {}},
        "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
        "Entrypoint": ["redis-server"],
        "Cmd": ["--protected-mode", "no", "--save", ""],
        "WorkingDir": "/data",
    });
    let version = version(packages);
    let major = version.split('.').next().unwrap_or(&version);
    let references = ["latest", major, &version].map(|tag| format!("{REPOSITORY}:{tag}"));
    Ok(oci::archive(
        &[base(busybox)?, libraries, programs],
        &config,
        &references,
    )?)
}

/// `5:8.0.2-3+deb13u2` → `8.0.2`
fn version(packages: &[Package]) -> String {
    let full = packages
        .iter()
        .find(|package| package.name == "redis-server")
        .map_or("", |package| &package.version);
    let upstream = full.split_once(':').map_or(full, |(_, rest)| rest);
    upstream
        .split(['-', '+', '~'])
        .next()
        .unwrap_or(upstream)
        .to_owned()
}

fn base(busybox: &Package) -> Result<Layer, ImageError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_is_the_upstream_part() {
        let package = |version: &str| Package {
            name: "redis-server".into(),
            version: version.into(),
            sha256: String::new(),
            folder: PathBuf::new(),
        };
        assert_eq!(version(&[package("5:8.0.2-3+deb13u2")]), "8.0.2");
        assert_eq!(version(&[package("7.0.15")]), "7.0.15");
    }
}
