//! Where in a container something can be mounted: the one list that the check and the launcher go by.
//!
//! To add a place: a row in [`RESERVED`]; the launcher refuses it from then on, and the check with it.

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
    only(
        "/dev/ptmx",
        "it is a link to the container's own terminals; mount elsewhere",
    ),
    all_of("/dev/fd", LINK),
    only("/dev/stdin", LINK),
    only("/dev/stdout", LINK),
    only("/dev/stderr", LINK),
    only("/dev/core", LINK),
    only(
        NOTIFY_SOCKET,
        "the notify socket has its place there; mount elsewhere",
    ),
];

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
    match RESERVED.iter().find(|reserved| reserved.covers(&normal)) {
        Some(reserved) => Err(TargetError::Reserved(*reserved)),
        None => Ok(normal),
    }
}

impl Reserved {
    /// `target` is normalised.
    fn covers(&self, target: &str) -> bool {
        match target.strip_prefix(self.path) {
            Some("") => true,
            Some(rest) => self.below && rest.starts_with('/'),
            None => false,
        }
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
}
