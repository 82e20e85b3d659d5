//! The mounts that every container has: /proc, /dev and what lies below, /sys. Which devices it may use is a
//! matter of its cgroup (init/src/launcher.rs).

use crate::failure::{At, Fault};
use crate::root::Root;
use std::ffi::CStr;
use std::os::fd::AsFd;
use std::path::Path;
use sys::mount::{FileSystem, attribute};
use sys::path::{self, Links};

/// Name, major, minor (Documentation/admin-guide/devices.txt): the device files of the OCI runtime-spec.
const DEVICES: [(&str, (u64, u64)); 6] = [
    ("null", (1, 3)),
    ("zero", (1, 5)),
    ("full", (1, 7)),
    ("random", (1, 8)),
    ("urandom", (1, 9)),
    ("tty", (5, 0)),
];

/// Name and target of the symbolic links of the OCI runtime-spec, and `ptmx` of this devpts.
const LINKS: [(&str, &str); 6] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("core", "/proc/kcore"),
    ("ptmx", "pts/ptmx"),
];

/// A file system of its own for a container.
struct SystemMount {
    kind: &'static CStr,
    target: &'static str,
    options: &'static [(&'static CStr, &'static CStr)],
    flags: &'static [&'static CStr],
    attributes: u64,
    /// Left out where the unit mounts something itself.
    yields: bool,
}

const PROC: SystemMount = SystemMount {
    kind: c"proc",
    target: "/proc",
    options: &[],
    flags: &[],
    attributes: attribute::DATA_ONLY,
    yields: false,
};

/// Group 5 is `tty` on every distribution; grantpt(3) expects it.
const PTS: SystemMount = SystemMount {
    kind: c"devpts",
    target: "/dev/pts",
    options: &[(c"mode", c"0620"), (c"ptmxmode", c"0666"), (c"gid", c"5")],
    flags: &[c"newinstance"],
    attributes: attribute::NOSUID | attribute::NOEXEC,
    yields: false,
};

/// 64 MiB: Docker's default of `shm_size`.
const SHM: SystemMount = SystemMount {
    kind: c"tmpfs",
    target: "/dev/shm",
    options: &[(c"mode", c"1777"), (c"size", c"65536k")],
    flags: &[],
    attributes: attribute::DATA_ONLY,
    yields: true,
};

const MQUEUE: SystemMount = SystemMount {
    kind: c"mqueue",
    target: "/dev/mqueue",
    options: &[],
    flags: &[],
    attributes: attribute::DATA_ONLY,
    yields: true,
};

const SYS: SystemMount = SystemMount {
    kind: c"sysfs",
    target: "/sys",
    options: &[],
    flags: &[],
    attributes: attribute::DATA_ONLY | attribute::READ_ONLY,
    yields: false,
};

/// In a cgroup namespace of its own its root is the container's group.
const CGROUP: SystemMount = SystemMount {
    kind: c"cgroup2",
    target: "/sys/fs/cgroup",
    options: &[],
    flags: &[],
    attributes: attribute::DATA_ONLY | attribute::READ_ONLY,
    yields: true,
};

const IN_DEV: [SystemMount; 3] = [PTS, SHM, MQUEUE];
const IN_SYS: [SystemMount; 2] = [SYS, CGROUP];

impl SystemMount {
    fn mount_unless(&self, root: &Root, has_own: &impl Fn(&str) -> bool) -> Result<(), Fault> {
        if self.yields && has_own(self.target) {
            return Ok(());
        }
        self.mount(root)
    }

    fn mount(&self, root: &Root) -> Result<(), Fault> {
        let target = root.system_folder(self.target)?;
        let system = FileSystem::open(self.kind).at("mount", self.target)?;
        for (key, value) in self.options {
            system.set(key, value).at("mount", self.target)?;
        }
        for flag in self.flags {
            system.set_flag(flag).at("mount", self.target)?;
        }
        let tree = system.mount(self.attributes).at("mount", self.target)?;
        tree.attach(target.as_fd()).at("mount on", self.target)
    }
}

pub(crate) fn mount_proc(root: &Root) -> Result<(), Fault> {
    PROC.mount(root)
}

/// `has_own(target)`: the unit mounts something there itself.
pub(crate) fn mount_dev(root: &Root, has_own: impl Fn(&str) -> bool) -> Result<(), Fault> {
    let dev = path::folder(root.stage(), Path::new("dev"), Links::Refuse).at("open", "/dev")?;
    for (name, number) in DEVICES {
        sys::device::make_character(dev.as_fd(), name, 0o666, number)
            .at("make", format!("/dev/{name}"))?;
    }
    for (name, target) in LINKS {
        path::make_link(dev.as_fd(), name, target).at("make", format!("/dev/{name}"))?;
    }
    for name in ["pts", "shm", "mqueue"] {
        path::make_one_folder(dev.as_fd(), name).at("make", format!("/dev/{name}"))?;
    }
    let target = root.system_folder("/dev")?;
    root.copy_of_stage(c"dev")?
        .attach(target.as_fd())
        .at("mount on", "/dev")?;
    let mut mounts = IN_DEV.iter();
    mounts.try_for_each(|system| system.mount_unless(root, &has_own))
}

/// As [`mount_dev`].
pub(crate) fn mount_sys(root: &Root, has_own: impl Fn(&str) -> bool) -> Result<(), Fault> {
    let mut mounts = IN_SYS.iter();
    mounts.try_for_each(|system| system.mount_unless(root, &has_own))
}

#[cfg(test)]
mod tests {
    use super::*;
    use unit::mount_target::{self, closed, normalise};

    #[test]
    fn a_unit_mounts_where_the_systems_mount_yields_and_nowhere_else() {
        for system in [&PROC].into_iter().chain(&IN_DEV).chain(&IN_SYS) {
            let target = system.target;
            assert_eq!(normalise(target).is_ok(), system.yields, "{target}");
            let takes_folders = system.kind == c"tmpfs";
            let below = format!("{target}/below");
            let refused = normalise(&below).is_err() || closed(&below).is_some();
            assert_eq!(refused, !takes_folders, "{below}");
        }
    }

    #[test]
    fn what_is_made_in_dev_is_known_to_the_check() {
        for (name, _) in LINKS {
            assert!(normalise(&format!("/dev/{name}")).is_err(), "{name}");
        }
        let mut names: Vec<String> = DEVICES
            .iter()
            .map(|(name, _)| format!("/dev/{name}"))
            .collect();
        names.sort();
        assert_eq!(names, mount_target::DEVICES);
    }
}
