//! Entering namespaces (setns(2)), and what one of them holds: the host name (uts_namespaces(7)).

use nix::sched::CloneFlags;
use std::io;
use std::os::fd::BorrowedFd;

/// Enter a network namespace by its descriptor.
///
/// # Errors
/// `EINVAL` when the descriptor is not a network namespace.
pub fn enter_network(namespace: BorrowedFd<'_>) -> io::Result<()> {
    nix::sched::setns(namespace, CloneFlags::CLONE_NEWNET)?;
    Ok(())
}

/// A mount namespace of the caller's own, from which nothing is seen outside (unshare(2), `CLONE_NEWNS`).
///
/// # Errors
/// As unshare(2).
pub fn separate_mounts() -> io::Result<()> {
    nix::sched::unshare(CloneFlags::CLONE_NEWNS)?;
    crate::mount::make_all_private()
}

/// A network namespace of the caller's own, with nothing but loopback, down (unshare(2), `CLONE_NEWNET`).
///
/// # Errors
/// As unshare(2).
pub fn separate_network() -> io::Result<()> {
    nix::sched::unshare(CloneFlags::CLONE_NEWNET)?;
    Ok(())
}

/// Enter the namespaces of a process at once (Linux 5.8), but for its user namespace, its cgroup namespace
/// ([`enter_cgroups`]), and its PID namespace, in which only a child can be born (`inside`). Root and current folder become
/// the other process's.
///
/// # Errors
/// `ESRCH` when the process has ended.
pub fn enter_process(pidfd: BorrowedFd<'_>) -> io::Result<()> {
    let all = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWNET;
    nix::sched::setns(pidfd, all)?;
    Ok(())
}

/// Enter the cgroup namespace of a process. Where namespaces delegate (`nsdelegate`), nobody in it can have a child born
/// in a group outside of it any more.
///
/// # Errors
/// `ESRCH` when the process has ended.
pub fn enter_cgroups(pidfd: BorrowedFd<'_>) -> io::Result<()> {
    nix::sched::setns(pidfd, CloneFlags::CLONE_NEWCGROUP)?;
    Ok(())
}

/// The name of this UTS namespace (sethostname(2)); at most 64 bytes.
///
/// # Errors
/// `EINVAL` for a longer one.
pub fn set_host_name(name: &str) -> io::Result<()> {
    nix::unistd::sethostname(name)?;
    Ok(())
}

/// The NIS domain name of this UTS namespace (setdomainname(2)).
///
/// # Errors
/// `EINVAL` when longer than 64 bytes.
pub fn set_domain_name(name: &str) -> io::Result<()> {
    // SAFETY: the kernel reads `len` bytes from a pointer to that many.
    let done = unsafe { libc::setdomainname(name.as_ptr().cast(), name.len()) };
    if done < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// `major.minor` of the running kernel (uname(2)); (0, 0) when its name says nothing of the kind.
#[must_use]
pub fn kernel_version() -> (u32, u32) {
    let Ok(name) = nix::sys::utsname::uname() else {
        return (0, 0);
    };
    parse_version(&name.release().to_string_lossy())
}

fn parse_version(release: &str) -> (u32, u32) {
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(|digits| digits.parse().unwrap_or(0));
    (
        numbers.next().unwrap_or_default(),
        numbers.next().unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_versions_are_read() {
        assert_eq!(parse_version("6.12.48+deb13-cloud-amd64"), (6, 12));
        assert_eq!(parse_version("6.1.0-18-amd64"), (6, 1));
        assert_eq!(parse_version("7.2"), (7, 2));
        assert_eq!(parse_version("odd"), (0, 0));
    }
}
