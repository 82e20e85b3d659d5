//! Programs that the build and the tests need on this machine, and how they get there.
//!
//! A need is met when its programs and files are there. Otherwise, on an apt machine where we may install (root, or
//! sudo without a password), its packages are installed; elsewhere one error names them for the machine's own package
//! manager.

use crate::apt::{self, AptError, Archive, Pin};
use crate::progress::{self, Step};
use crate::system::{self, Rights, System};
use crate::{qemu, run};
use std::fmt;
use std::path::Path;
use std::process::Command;

/// Something that the build host must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Need {
    /// The emulator and qemu-img.
    Qemu,
    /// UEFI firmware for it (OVMF).
    Firmware,
    /// mkfs.ext4 and debugfs.
    Ext4,
    /// A real Redis client, for the demo's user and the tests.
    RedisClient,
    /// `umoci`, another program that unpacks images: what it makes of one is compared with what the store makes.
    ImageTools,
    /// `ip`, which makes the networks that netd is tested in.
    NetworkTools,
}

/// How a need is recognised and what it is called.
struct About {
    programs: &'static [&'static str],
    /// One of these files must be there.
    files: &'static [&'static str],
    debian: &'static [&'static str],
    /// Package names for dnf, pacman and zypper users.
    others: &'static str,
}

impl Need {
    fn about(self) -> About {
        match self {
            Self::Qemu => About {
                programs: &[qemu::PROGRAM, "qemu-img"],
                files: &[],
                debian: &["qemu-system-x86", "qemu-utils"],
                others: "qemu-system-x86_64 and qemu-img (Fedora: qemu-system-x86-core qemu-img; Arch: qemu-system-x86 qemu-img; openSUSE: qemu-x86 qemu-tools)",
            },
            Self::Firmware => About {
                programs: &[],
                files: &FIRMWARE,
                debian: &["ovmf"],
                others: "UEFI firmware for QEMU (Fedora, Arch: edk2-ovmf; openSUSE: qemu-ovmf-x86_64)",
            },
            Self::Ext4 => About {
                programs: &["mkfs.ext4", "debugfs"],
                files: &[],
                debian: &["e2fsprogs"],
                others: "mkfs.ext4 and debugfs (e2fsprogs)",
            },
            Self::RedisClient => About {
                programs: &["redis-cli"],
                files: &[],
                debian: &["redis-tools"],
                others: "redis-cli (redis or valkey-compat-redis)",
            },
            Self::ImageTools => About {
                programs: &["umoci"],
                files: &[],
                debian: &["umoci"],
                others: "umoci (openSUSE, Arch: umoci; elsewhere https://umo.ci)",
            },
            Self::NetworkTools => About {
                programs: &["ip"],
                files: &[],
                debian: &["iproute2"],
                others: "ip (iproute2; Fedora: iproute)",
            },
        }
    }

    /// Nothing has to be installed for it.
    #[must_use]
    pub fn met(self) -> bool {
        let about = self.about();
        let files =
            about.files.is_empty() || about.files.iter().any(|file| Path::new(file).is_file());
        files
            && about
                .programs
                .iter()
                .all(|program| run::find(program).is_some())
    }
}

/// Where distributions put OVMF's code volume, 4 MiB builds first (2 MiB ones are no longer made by Debian).
pub const FIRMWARE: [&str; 5] = [
    "/usr/share/OVMF/OVMF_CODE_4M.fd",
    "/usr/share/OVMF/OVMF_CODE.fd",
    "/usr/share/edk2/ovmf/OVMF_CODE.fd",
    "/usr/share/edk2/x64/OVMF_CODE.4m.fd",
    "/usr/share/qemu/ovmf-x86_64-code.bin",
];

/// Packages built with QEMU or for it: from one suite together, or apt refuses.
const QEMU_FAMILY: &str = "qemu-* seabios ipxe-qemu libslirp* libfdt*";

/// A need that could not be met.
#[derive(Debug)]
pub enum EnsureError {
    /// Not an apt machine: the user has to install.
    OtherSystem {
        system: String,
        wanted: Vec<&'static str>,
    },
    /// An apt machine on which we may not install.
    NoRights { packages: Vec<&'static str> },
    /// apt failed.
    Apt(AptError),
    /// Installed, and still not there.
    StillMissing { packages: Vec<&'static str> },
}

impl fmt::Display for EnsureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherSystem { system, wanted } => {
                let system = if system.is_empty() {
                    "this system"
                } else {
                    system
                };
                write!(f, "{system} has no apt, so please install by hand:")?;
                wanted.iter().try_for_each(|line| write!(f, "\n  - {line}"))
            }
            Self::NoRights { packages } => {
                write!(
                    f,
                    "not root and no sudo without a password; run: sudo apt-get install {}",
                    packages.join(" ")
                )
            }
            Self::Apt(error) => error.fmt(f),
            Self::StillMissing { packages } => {
                write!(
                    f,
                    "{} installed, but what they should bring is not in PATH or /usr/share",
                    packages.join(" ")
                )
            }
        }
    }
}

impl std::error::Error for EnsureError {}

impl From<AptError> for EnsureError {
    fn from(error: AptError) -> Self {
        Self::Apt(error)
    }
}

/// See that everything in `needs` is there. Runs nothing when it is.
///
/// # Errors
/// [`EnsureError`], which says what the user has to do.
pub fn ensure(needs: &[Need]) -> Result<(), EnsureError> {
    let missing: Vec<Need> = needs.iter().copied().filter(|need| !need.met()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let system = System::here();
    if !system.apt {
        let wanted = missing.iter().map(|need| need.about().others).collect();
        return Err(EnsureError::OtherSystem {
            system: system.name,
            wanted,
        });
    }
    let packages: Vec<&'static str> = missing
        .iter()
        .flat_map(|need| need.about().debian)
        .copied()
        .collect();
    let rights = system::rights();
    if rights == Rights::None {
        return Err(EnsureError::NoRights { packages });
    }
    let mut step = progress::step(&format!("install {}", packages.join(" ")));
    let archive = choose_archive(&system, &missing, &mut step)?;
    archive.simulate(&packages)?;
    install(&archive, &packages, rights, &mut step)?;
    step.done("");
    if missing.iter().all(|need| need.met()) {
        Ok(())
    } else {
        Err(EnsureError::StillMissing { packages })
    }
}

/// The sources to install from: the machine's own, unless QEMU is wanted and they have only an unsound one (or one that
/// does not fit to QEMU packages that are already installed from elsewhere) and Debian's backports have a better.
fn choose_archive(system: &System, missing: &[Need], step: &mut Step) -> Result<Archive, AptError> {
    let own = Archive::system("system", step)?;
    if !missing.contains(&Need::Qemu) || !system.is_debian() {
        return Ok(own);
    }
    let sound = |archive: &Archive| {
        let version = archive
            .candidate("qemu-system-x86")
            .and_then(|version| qemu::parse_version(&version));
        let packages = Need::Qemu.about().debian;
        version.is_some_and(|(major, _)| major >= qemu::SOUND_SINCE)
            && archive.simulate(packages).is_ok()
    };
    if sound(&own) {
        return Ok(own);
    }
    let backports = format!("{}-backports", system.codename);
    let suites = ["", "-updates", "-security", "-backports"]
        .map(|tail| format!("{}{tail}", system.codename));
    let pin = Pin {
        packages: QEMU_FAMILY,
        suite: &backports,
    };
    match Archive::debian("backports", &suites, Some(pin), step) {
        Ok(archive) if sound(&archive) => Ok(archive),
        // An older QEMU works too, with a feature masked (`qemu::masked_features`).
        Ok(_) | Err(_) => Ok(own),
    }
}

fn install(
    archive: &Archive,
    packages: &[&str],
    rights: Rights,
    step: &mut Step,
) -> Result<(), AptError> {
    let mut command = match rights {
        Rights::Sudo => Command::new("sudo"),
        Rights::Root | Rights::None => Command::new("env"),
    };
    if rights == Rights::Sudo {
        command.args(["-n", "env"]);
    }
    command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]);
    command.args(archive.configuration());
    command.args(["install", "--yes", "--no-install-recommends"]);
    run::watched(command.args(packages), step)?;
    Ok(())
}

/// The package that brings a program, for error texts.
#[must_use]
pub fn hint(need: Need) -> String {
    let about = need.about();
    if System::here().apt {
        format!("apt-get install {}", about.debian.join(" "))
    } else {
        about.others.to_owned()
    }
}

/// `true` when apt knows the package without our help (used to tell whether the machine's lists are usable).
#[must_use]
pub fn known(package: &str) -> bool {
    apt::system_candidate(package).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_system_is_told_each_package_to_install() {
        let wanted = [Need::Qemu, Need::Firmware]
            .iter()
            .map(|need| need.about().others)
            .collect();
        let text = EnsureError::OtherSystem {
            system: "Fedora Linux 43".into(),
            wanted,
        }
        .to_string();
        assert!(
            text.contains("Fedora Linux 43")
                && text.contains("qemu-img")
                && text.contains("edk2-ovmf"),
            "{text}"
        );
    }

    #[test]
    fn without_rights_the_command_to_type_is_given() {
        let text = EnsureError::NoRights {
            packages: vec!["ovmf"],
        }
        .to_string();
        assert!(text.ends_with("sudo apt-get install ovmf"), "{text}");
    }
}
