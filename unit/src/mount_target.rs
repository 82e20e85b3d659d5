//! Where in a container something can be mounted: the one list that the check and the launcher go by.
//!
//! To add a place: a row in [`RESERVED`], [`MASKED`] or another list of these; the launcher goes by it from then on, and the
//! check with it. The launcher's own tests walk what it mounts and makes, and hold that against this page.

use crate::launch::NOTIFY_SOCKET;

/// Why nothing can be mounted there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetError {
    /// It does not start with `/`.
    Relative,
    /// It has `..` in it.
    Parent,
    /// The container has something of its own there.
    Reserved(Reserved),
    /// Neither does the kernel have this in /sys, nor can it be made there.
    NotInSys,
}

/// A place with something of the container's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reserved {
    pub path: &'static str,
    /// Whether all that lies below is reserved too.
    pub below: bool,
    /// Why, and what to do, in one line.
    pub reason: &'static str,
}

const OWN: &str = "every container has its own there; mount below it or elsewhere";
const OWN_WITH_ALL: &str =
    "every container has its own there, with all that is in it; mount elsewhere";
const LINK: &str = "it leads into the container's own /proc; mount elsewhere";
const HIDDEN: &str =
    "it is hidden from every container, with whatever is mounted there; mount elsewhere";
const DEVICE: &str = "it is a device file, and nothing can be below it; mount elsewhere";
const NOT_IN_SYS: &str =
    "the kernel has no such folder in /sys, and nothing can be made there; mount elsewhere";

const fn only(path: &'static str, reason: &'static str) -> Reserved {
    Reserved {
        path,
        below: false,
        reason,
    }
}

const fn all_of(path: &'static str, reason: &'static str) -> Reserved {
    Reserved {
        path,
        below: true,
        reason,
    }
}

/// The mounts, links and sockets that the launcher makes in every container. What hides /proc, or a part of it, hides what
/// security modules read and write there (CVE-2019-19921).
const RESERVED: &[Reserved] = &[
    only("/", "the root is the image's; mount below it"),
    all_of("/proc", OWN_WITH_ALL),
    only("/sys", OWN),
    only("/dev", OWN),
    all_of("/dev/pts", OWN_WITH_ALL),
    all_of(
        "/dev/ptmx",
        "it is a link to the container's own terminals; mount elsewhere",
    ),
    all_of("/dev/fd", LINK),
    all_of("/dev/stdin", LINK),
    all_of("/dev/stdout", LINK),
    all_of("/dev/stderr", LINK),
    all_of("/dev/core", LINK),
    all_of(
        NOTIFY_SOCKET,
        "the notify socket has its place there; mount elsewhere",
    ),
];

/// What the launcher hides when everything is mounted: Docker's (moby, daemon/pkg/oci/defaults.go), sorted.
pub const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// What it makes read-only then; from the same place.
pub const READ_ONLY: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// The device files of the OCI runtime-spec, which every container has. Another file can be bound to one of them.
pub const DEVICES: [&str; 6] = [
    "/dev/full",
    "/dev/null",
    "/dev/random",
    "/dev/tty",
    "/dev/urandom",
    "/dev/zero",
];

/// What is in /sys (the kernel's drivers/base and fs, kernel/ksysfs.c): sysfs is read-only, so that a mount needs something
/// to lie on. What is below these differs between machines, and programs such as lxcfs mount on files there.
const IN_SYS: [&str; 11] = [
    "block",
    "bus",
    "class",
    "dev",
    "devices",
    "firmware",
    "fs",
    "hypervisor",
    "kernel",
    "module",
    "power",
];

/// A mount of the launcher's in which nothing can be made, and which a unit's mount replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    pub path: &'static str,
    /// Why, and what to do, in one line.
    pub reason: &'static str,
}

const CLOSED: [Closed; 2] = [
    Closed {
        path: "/sys/fs/cgroup",
        reason: "no folder can be made in the container's own /sys/fs/cgroup; mount elsewhere, or mount something at /sys/fs/cgroup too",
    },
    Closed {
        path: "/dev/mqueue",
        reason: "no folder can be made among the container's message queues; mount elsewhere, or mount something at /dev/mqueue too",
    },
];

/// The mount that a normalised target lies in and cannot be made in, as long as the unit mounts nothing of its own there.
#[must_use]
pub fn closed(target: &str) -> Option<Closed> {
    let mut closed = CLOSED.into_iter();
    closed.find(|closed| is_below(target, closed.path))
}

/// `/a//b/` → `/a/b`.
///
/// # Errors
/// Why nothing can be mounted there.
pub fn normalise(target: &str) -> Result<String, TargetError> {
    if !target.starts_with('/') {
        return Err(TargetError::Relative);
    }
    let mut normal = String::with_capacity(target.len());
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => return Err(TargetError::Parent),
            name => {
                normal.push('/');
                normal.push_str(name);
            }
        }
    }
    if normal.is_empty() {
        normal.push('/');
    }
    let rows = RESERVED.iter().copied();
    let hidden = MASKED.into_iter().map(|path| all_of(path, HIDDEN));
    let reserved = rows.chain(hidden).find(|it| it.covers(&normal));
    let below = |device: &&str| is_below(&normal, device);
    let device = DEVICES.into_iter().find(below);
    let reserved = reserved.or_else(|| device.map(|path| all_of(path, DEVICE)));
    let in_sys = normal.strip_prefix("/sys/").map(first_part);
    match (reserved, in_sys) {
        (Some(reserved), _) => Err(TargetError::Reserved(reserved)),
        (None, Some(name)) if !IN_SYS.contains(&name) => Err(TargetError::NotInSys),
        (None, _) => Ok(normal),
    }
}

fn first_part(path: &str) -> &str {
    path.split('/').next().unwrap_or(path)
}

/// Both normalised; a place is not below itself.
fn is_below(target: &str, place: &str) -> bool {
    let rest = target.strip_prefix(place);
    rest.is_some_and(|rest| rest.starts_with('/'))
}

impl Reserved {
    /// `target` is normalised.
    fn covers(&self, target: &str) -> bool {
        target == self.path || (self.below && is_below(target, self.path))
    }
}

impl TargetError {
    /// Why, and what to do, in one line.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Relative => "give an absolute target",
            Self::Parent => "give a target without `..`",
            Self::Reserved(reserved) => reserved.reason,
            Self::NotInSys => NOT_IN_SYS,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_written_in_one_way() {
        for (text, normal) in [("/a//b/", "/a/b"), ("/./a", "/a"), ("/a/b", "/a/b")] {
            assert_eq!(normalise(text).as_deref(), Ok(normal));
        }
        assert_eq!(normalise("a"), Err(TargetError::Relative));
        assert_eq!(normalise("/a/../b"), Err(TargetError::Parent));
    }

    #[test]
    fn the_places_of_the_container_itself_are_refused_in_every_spelling() {
        for target in [
            "/",
            "//",
            "/.",
            "/proc",
            "/proc/",
            "//proc//sys",
            "/sys",
            "/sys/",
            "/dev",
            "/dev/.",
            "/dev/pts",
            "/dev/pts/0",
            "/dev/ptmx",
            "/dev/fd",
            "/dev/fd/3",
            "/dev/stdout",
            "/run/keelson/notify",
            "/run/keelson/notify/x",
            "/dev/ptmx/x",
            "/dev/null/x",
            "/sys/firmware",
            "/sys/firmware/efi/efivars",
            "/sys//devices/virtual/powercap/",
            "/sys/devices/virtual/powercap/intel-rapl",
        ] {
            assert!(
                matches!(normalise(target), Err(TargetError::Reserved(_))),
                "{target}"
            );
        }
    }

    #[test]
    fn what_lies_beside_or_below_is_free() {
        for target in [
            "/processes",
            "/system",
            "/device",
            "/sys/fs/cgroup",
            "/sys/class/net",
            "/sys/devices/system/cpu/online",
            "/sys/devices/virtual",
            "/sys/kernel/debug",
            "/dev/null",
            "/dev/shm",
            "/dev/mqueue",
            "/dev/case",
            "/dev/ptsx",
            "/host/proc",
            "/run",
            "/etc/hosts",
        ] {
            assert_eq!(normalise(target).as_deref(), Ok(target));
        }
    }
    #[test]
    fn what_neither_is_in_sys_nor_can_be_made_there_is_refused() {
        for target in ["/sys/foo", "/sys/foo/bar", "/sys/firmwares", "/sys/f"] {
            assert_eq!(normalise(target), Err(TargetError::NotInSys), "{target}");
        }
        let inside = |target| closed(target).map(|closed| closed.path);
        assert_eq!(inside("/sys/fs/cgroup/systemd"), Some("/sys/fs/cgroup"));
        assert_eq!(inside("/dev/mqueue/a/b"), Some("/dev/mqueue"));
        for target in ["/sys/fs/cgroup", "/sys/fs/cgroups/x", "/dev/shm/x"] {
            assert_eq!(inside(target), None, "{target}");
        }
    }
}
