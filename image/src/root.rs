//! The read-only root: folders, the skeleton from `rootfs/`, and the programs.

use crate::error::{BuildError, at, content};
use crate::tree::{Node, Tree};
use host::build::{self, Program};
use host::fetch::{self, Freshness};
use std::path::{Path, PathBuf};

const PROGRAMS: &str = "usr/lib/keelson/bin";

/// Places that something is mounted on, and their modes.
const FOLDERS: [(&str, u32); 8] = [
    ("dev", 0o755),
    ("proc", 0o555),
    ("sys", 0o555),
    ("run", 0o755),
    ("var", 0o755),
    ("tmp", 0o1777),
    ("root", 0o700),
    ("mnt", 0o755),
];

/// Path → what it points to.
const LINKS: [(&str, &str); 10] = [
    ("init", "usr/lib/keelson/bin/init"),
    ("bin", "usr/bin"),
    ("sbin", "usr/sbin"),
    ("lib", "usr/lib"),
    // The kernel's own requests for modules; init acts by the name it is called by, and tells the kernel where it is.
    ("usr/lib/keelson/bin/modprobe", "init"),
    ("usr/sbin/fsck.ext4", "../lib/keelson/bin/e2fsck"),
    ("usr/bin/keelctl", "../lib/keelson/bin/keelctl"),
    ("etc/os-release", "../usr/lib/os-release"),
    ("etc/mtab", "../proc/self/mounts"),
    ("etc/resolv.conf", "../run/keelson/resolv.conf"),
];

/// `rootfs/` of the workspace.
pub(crate) fn data() -> PathBuf {
    host::paths::workspace().join("rootfs")
}

/// The kernel opens it for PID 1 before anything is mounted.
pub(crate) fn console(tree: &mut Tree) {
    tree.add(
        "dev/console",
        Node::CharDevice {
            mode: 0o600,
            major: 5,
            minor: 1,
        },
    );
}

/// Everything of the system but modules, units and preloaded images.
pub(crate) fn system(
    programs: &[Program],
    version: &str,
    freshness: Freshness,
) -> Result<Tree, BuildError> {
    let mut tree = Tree::default();
    for (path, mode) in FOLDERS {
        tree.folder(path, mode);
    }
    console(&mut tree);
    for (path, to) in LINKS {
        tree.link(path, to);
    }
    let fill_in = |bytes: Vec<u8>| match String::from_utf8(bytes) {
        Ok(text) => text.replace("@VERSION@", version).into_bytes(),
        Err(error) => error.into_bytes(),
    };
    tree.copy_folder(&data().join("skeleton"), &fill_in)?;
    for program in programs {
        tree.copy(
            &format!("{PROGRAMS}/{}", program.name),
            0o755,
            &program.path,
        )?;
    }
    for name in build::NAMES {
        tree.link(&format!("{PROGRAMS}/{name}"), build::ALL_BUT_INIT);
    }
    tree.copy(&format!("{PROGRAMS}/e2fsck"), 0o755, &e2fsck(freshness)?)?;
    Ok(tree)
}

/// `usr/lib/keelson/built`: seconds since 1970, below which the clock of a machine never stands. `SOURCE_DATE_EPOCH`, or
/// the date of the commit that is built; without either there is no such file. It is not in the system's part, which
/// would have to be compressed again after every commit.
pub(crate) fn built(tree: &mut Tree) {
    let mut git = host::run::command_in(&host::paths::workspace(), "git");
    let commit = || host::run::output(git.args(["log", "-1", "--format=%ct"])).ok();
    let date = std::env::var("SOURCE_DATE_EPOCH").ok().or_else(commit);
    if let Some(seconds) = date.and_then(|text| text.trim().parse::<u64>().ok()) {
        tree.file("usr/lib/keelson/built", 0o644, format!("{seconds}\n"));
    }
}

/// `etc/os-release`, which the boot loader shows too.
pub(crate) fn os_release(version: &str) -> Result<String, BuildError> {
    let path = data().join("skeleton/usr/lib/os-release");
    let text = std::fs::read_to_string(&path).map_err(at(&path))?;
    Ok(text.replace("@VERSION@", version))
}

/// A static e2fsck: Debian's e2fsck-static, or the machine's own where its distribution ships one (Fedora).
fn e2fsck(freshness: Freshness) -> Result<PathBuf, BuildError> {
    let folder = match fetched("e2fsck-static", freshness) {
        Ok(folder) => folder,
        Err(error) if !host::system::System::here().apt => {
            let own = Path::new("/usr/sbin/e2fsck.static");
            return if own.is_file() {
                Ok(own.to_path_buf())
            } else {
                Err(error)
            };
        }
        Err(error) => return Err(error),
    };
    let places = ["usr/sbin/e2fsck.static", "sbin/e2fsck.static"].map(|place| folder.join(place));
    places
        .into_iter()
        .find(|place| place.is_file())
        .ok_or_else(|| content(folder, "no sbin/e2fsck.static in it"))
}

/// Folder of `usr/lib/systemd/boot/efi`: boot loader and stub.
pub(crate) fn systemd_boot(freshness: Freshness) -> Result<PathBuf, BuildError> {
    let tail = "usr/lib/systemd/boot/efi";
    match fetched("systemd-boot-efi", freshness) {
        Ok(folder) => Ok(folder.join(tail)),
        Err(error) => {
            let own = Path::new("/").join(tail);
            if own.join("linuxx64.efi.stub").is_file() {
                Ok(own)
            } else {
                Err(error)
            }
        }
    }
}

fn fetched(package: &str, freshness: Freshness) -> Result<PathBuf, BuildError> {
    if !host::system::System::here().apt {
        let problem = "not an apt machine, and its own static program is not installed; install it or build on Debian or Ubuntu";
        return Err(content(package, problem));
    }
    Ok(fetch::package(package, freshness)?.folder)
}
