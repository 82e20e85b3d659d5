//! The demo's container image: Redis from the distribution's package, as an OCI archive.
//!
//! Three layers, as images have them: a small base (busybox, so that `keelctl exec -it … sh` has a shell), the shared
//! libraries that Redis needs (found in its ELF files, not guessed), and Redis itself with its client.

use crate::error::{BuildError, at, content};
use crate::oci::{self, Entry};
use crate::packages::{self, ImageError, base_of, programs_at};
use crate::segment::write_whole;
use host::fetch::{self, Freshness, Package};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Counted up when this code makes another image of the same packages.
const FORMAT: u32 = 1;
/// The user that Redis runs as; the number that Docker's official image has.
const USER: u64 = 999;
const REPOSITORY: &str = "docker.io/library/redis";

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
    let packages = packages::with_libraries("redis-server", freshness)?;
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
    let bytes = image(&packages, &busybox).map_err(|error| error.at(out))?;
    if let Some(parent) = out.parent() {
        std::fs::create_dir_all(parent).map_err(at(parent))?;
    }
    write_whole(out, &bytes)?;
    write_whole(&stamp, inputs.as_bytes())?;
    step.done(&format!("{}, {} KiB", out.display(), bytes.len() / 1024));
    Ok(())
}

fn image(packages: &[Package], busybox: &Package) -> Result<Vec<u8>, ImageError> {
    let [libraries, mut programs] =
        programs_at(packages, &["redis-server", "redis-cli"], "usr/local/bin")?;
    programs.insert(
        "data".to_owned(),
        Entry::Folder {
            mode: 0o755,
            owner: USER,
        },
    );
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
        &[base_of(busybox)?, libraries, programs],
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
