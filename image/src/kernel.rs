//! The kernel: a distribution's package from the cache, or files that the user names.
//!
//! Debian's general amd64 flavour, not the cloud one: the cloud flavour has no e1000(e), no USB, no server disks or
//! networks, and one image has to boot everywhere.

use crate::config::Config;
use crate::error::{BuildError, at, content};
use crate::module::Unpacking;
use host::fetch::{self, Freshness, Package};
use host::system::System;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// The oldest kernel that has what we use (idmapped overlay mounts, cgroup.kill, …).
const OLDEST: (u32, u32) = (6, 1);

/// A kernel to put into an image.
#[derive(Debug, Clone)]
pub(crate) struct Kernel {
    /// The bootable file (bzImage).
    pub(crate) image: PathBuf,
    /// `6.12.107+deb13-amd64`
    pub(crate) release: String,
    /// The folder with `kernel/` and `modules.builtin`; without one the kernel has everything inside.
    pub(crate) modules: Option<PathBuf>,
    pub(crate) unpacking: Unpacking,
    pub(crate) origin: Origin,
}

/// Where a kernel is from.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "from", rename_all = "lowercase")]
pub(crate) enum Origin {
    Package {
        name: String,
        version: String,
        sha256: String,
    },
    Files,
}

/// Files that stand in for the packaged kernel.
#[derive(Debug, Clone, Default)]
pub struct KernelFiles {
    /// bzImage.
    pub kernel: PathBuf,
    /// Its `/lib/modules/<release>`.
    pub modules: Option<PathBuf>,
    /// What it was built with, where that is neither beside it nor among its modules.
    pub config: Option<PathBuf>,
}

impl Kernel {
    /// The distribution's kernel, fetched into the cache when it isn't there.
    pub(crate) fn packaged(freshness: Freshness) -> Result<Self, BuildError> {
        let system = System::here();
        let meta = match system.id.as_str() {
            "debian" if system.apt => "linux-image-amd64",
            "ubuntu" if system.apt => "linux-image-generic",
            _ => {
                return Err(BuildError::NoKernel {
                    system: system.name,
                });
            }
        };
        let parts =
            |name: &str| name.starts_with("linux-image-") || name.starts_with("linux-modules-");
        let packages = fetch::closure(meta, parts, freshness)?;
        let image = packages
            .iter()
            .find_map(|package| Some((package, boot_file(&package.folder)?)));
        let Some((package, image)) = image else {
            return Err(content(meta, "none of its packages has boot/vmlinuz-*"));
        };
        let release = release_of(&image)?;
        let modules = merged_modules(&packages, &release)?;
        // Ubuntu's is in another package than its kernel.
        let mut folders = packages.iter().map(|package| package.folder.join("boot"));
        let config = folders.find(|folder| folder.join(format!("config-{release}")).is_file());
        let config = config.map(|folder| Config::beside(&folder.join("vmlinuz"), None, &release));
        let unpacking = check(config.transpose()?.flatten(), &release, true)?;
        let origin = Origin::Package {
            name: package.name.clone(),
            version: package.version.clone(),
            sha256: package.sha256.clone(),
        };
        Ok(Self {
            image,
            release,
            modules: Some(modules),
            unpacking,
            origin,
        })
    }

    /// The kernel that the user names.
    pub(crate) fn files(files: &KernelFiles) -> Result<Self, BuildError> {
        let release = release_of(&files.kernel)?;
        let modules = match &files.modules {
            None => None,
            Some(folder) if folder.join("modules.builtin").is_file() => Some(folder.clone()),
            Some(folder) if folder.join(&release).join("modules.builtin").is_file() => {
                Some(folder.join(&release))
            }
            Some(folder) => {
                return Err(content(
                    folder,
                    format!("no modules of kernel {release} (no modules.builtin)"),
                ));
            }
        };
        let config = match &files.config {
            Some(config) => Some(Config::read(config)?),
            None => Config::beside(&files.kernel, modules.as_deref(), &release)?,
        };
        let unpacking = check(config, &release, modules.is_some())?;
        Ok(Self {
            image: files.kernel.clone(),
            release,
            modules,
            unpacking,
            origin: Origin::Files,
        })
    }
}

/// Whether the kernel has what we need, as far as its configuration is known, and what it can unpack by itself.
fn check(config: Option<Config>, release: &str, modules: bool) -> Result<Unpacking, BuildError> {
    let Some(config) = config else {
        eprintln!(
            "note: whether kernel {release} has what Keelson needs is not known: its configuration is neither beside it \
             (config-{release}) nor among its modules (config); --config FILE names it"
        );
        return Ok(Unpacking::Never);
    };
    config.check(release, modules)?;
    Ok(if config.is_inside("MODULE_DECOMPRESS") {
        Unpacking::ByKernel
    } else {
        Unpacking::Never
    })
}

fn boot_file(folder: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder.join("boot")).ok()?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .collect();
    files.sort();
    files.into_iter().find(|file| {
        file.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz-"))
    })
}

/// The version string of a bzImage: a pointer at 0x20e of its header (Documentation/arch/x86/boot.rst).
fn release_of(image: &Path) -> Result<String, BuildError> {
    let bytes = std::fs::read(image).map_err(at(image))?;
    let foreign = || content(image, "not a bzImage");
    if bytes.get(0x202..0x206) != Some(b"HdrS") {
        return Err(foreign());
    }
    let pointer = bytes
        .get(0x20e..0x210)
        .map(|field| usize::from(u16::from_le_bytes([field[0], field[1]])));
    let text = pointer
        .and_then(|pointer| bytes.get(pointer + 0x200..))
        .ok_or_else(foreign)?;
    let word: Vec<u8> = text
        .iter()
        .copied()
        .take_while(|byte| !matches!(byte, 0 | b' '))
        .collect();
    let release = String::from_utf8(word).map_err(|_| foreign())?;
    let mut numbers = release
        .split(['.', '-'])
        .map(|word| word.parse().unwrap_or(0));
    if (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) < OLDEST {
        return Err(content(
            image,
            format!("kernel {release} is older than {}.{}", OLDEST.0, OLDEST.1),
        ));
    }
    Ok(release)
}

/// The modules folder. Where they come in several packages (Ubuntu), one folder of links to all of them.
fn merged_modules(packages: &[Package], release: &str) -> Result<PathBuf, BuildError> {
    let place = |package: &Package| {
        let places = ["usr/lib/modules", "lib/modules"]
            .map(|folder| package.folder.join(folder).join(release));
        places.into_iter().find(|folder| folder.is_dir())
    };
    let folders: Vec<PathBuf> = packages.iter().filter_map(place).collect();
    match folders.as_slice() {
        [] => Err(content(release, "no package has its modules")),
        [one] => Ok(one.clone()),
        several => {
            let merged = host::paths::cache().join("modules").join(release);
            let _ = std::fs::remove_dir_all(&merged);
            for folder in several {
                link_all(folder, &merged)?;
            }
            Ok(merged)
        }
    }
}

fn link_all(from: &Path, to: &Path) -> Result<(), BuildError> {
    std::fs::create_dir_all(to).map_err(at(to))?;
    for entry in std::fs::read_dir(from).map_err(at(from))? {
        let path = entry.map_err(at(from))?.path();
        let target = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            link_all(&path, &target)?;
        } else if !target.exists() {
            std::os::unix::fs::symlink(&path, &target).map_err(at(&target))?;
        }
    }
    Ok(())
}
