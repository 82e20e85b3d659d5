//! Processes by descriptor (pidfd_open(2), pidfd_send_signal(2), waitid(2)): a number that is used again by another
//! process can never be hit.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Code(i32),
    Signal(i32),
}

/// A descriptor for a living process.
///
/// # Errors
/// As pidfd_open(2).
pub fn open(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: pidfd_open(2) takes two integers.
    let descriptor = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let descriptor = RawFd::try_from(descriptor).unwrap_or(-1);
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor (close-on-exec) for us.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Send a signal. A process that has ended already is not an error.
///
/// # Errors
/// As pidfd_send_signal(2), but for `ESRCH`.
pub fn signal(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    let none = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: a null siginfo is allowed: the kernel fills it as kill(2) does.
    let done = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            none,
            0,
        )
    };
    if done == 0 {
        return Ok(());
    }
    match io::Error::last_os_error() {
        error if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
        error => Err(error),
    }
}

/// Wait for a child's end and reap it.
///
/// # Errors
/// As waitid(2); `ECHILD` when it is not our child or was reaped already.
pub fn wait(pidfd: BorrowedFd<'_>) -> io::Result<Ended> {
    let which = libc::id_t::try_from(pidfd.as_raw_fd()).unwrap_or(libc::id_t::MAX);
    loop {
        if let Some((_, ended)) = wait_for(libc::P_PIDFD, which, libc::WEXITED)? {
            return Ok(ended);
        }
    }
}

/// Reap one child that has ended, whichever; `None` when there is none (waitid(2) with `WNOHANG`).
///
/// # Errors
/// As waitid(2), but for `ECHILD`.
pub fn reap_any() -> io::Result<Option<(i32, Ended)>> {
    match wait_for(libc::P_ALL, 0, libc::WEXITED | libc::WNOHANG) {
        Err(error) if error.raw_os_error() == Some(libc::ECHILD) => Ok(None),
        other => other,
    }
}

/// Whether this process has a child, be it one that has ended and was not waited for (waitid(2), `WNOWAIT`).
#[must_use]
pub fn has_children() -> bool {
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    match wait_for(libc::P_ALL, 0, flags) {
        Ok(_) => true,
        Err(error) => error.raw_os_error() != Some(libc::ECHILD),
    }
}

/// Wait until a child ends, whichever, and reap it; `None` when there is no child any more (waitid(2)).
///
/// # Errors
/// As waitid(2), but for `ECHILD`.
pub fn wait_any() -> io::Result<Option<(i32, Ended)>> {
    loop {
        match wait_for(libc::P_ALL, 0, libc::WEXITED) {
            Ok(None) => {}
            Err(error) if error.raw_os_error() == Some(libc::ECHILD) => return Ok(None),
            other => return other,
        }
    }
}

/// Whether a child of ours is stopped, or was and goes on again, by a signal (waitid(2), `WSTOPPED` and `WCONTINUED`).
#[must_use]
pub(crate) fn was_stopped(pidfd: BorrowedFd<'_>) -> bool {
    let which = libc::id_t::try_from(pidfd.as_raw_fd()).unwrap_or(libc::id_t::MAX);
    let flags = libc::WSTOPPED | libc::WCONTINUED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: all zero is a valid siginfo_t, and what a call with WNOHANG leaves when there is nothing to tell.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes one siginfo_t to `info`, which lives through the call.
    let done = unsafe { libc::waitid(libc::P_PIDFD, which, &raw mut info, flags) };
    done == 0 && matches!(info.si_code, libc::CLD_STOPPED | libc::CLD_CONTINUED)
}

/// waitid(2) itself: nix knows no end by a real-time signal, and would say `EINVAL` of a child that it has reaped.
fn wait_for(
    kind: libc::idtype_t,
    which: libc::id_t,
    options: libc::c_int,
) -> io::Result<Option<(i32, Ended)>> {
    loop {
        // SAFETY: all zero is a valid siginfo_t, and what a call with WNOHANG leaves when there is nothing to tell.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        // SAFETY: the kernel writes one siginfo_t to `info`, which lives through the call.
        if unsafe { libc::waitid(kind, which, &raw mut info, options) } < 0 {
            match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => continue,
                error => return Err(error),
            }
        }
        // SAFETY: waitid(2) has filled the fields of a child's state, or left all of them zero.
        let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
        return Ok(match info.si_code {
            libc::CLD_EXITED => Some((pid, Ended::Code(status))),
            libc::CLD_KILLED | libc::CLD_DUMPED => Some((pid, Ended::Signal(status))),
            _ => None,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clone::{Spawn, spawn};
    use std::os::fd::AsFd;

    #[test]
    fn an_end_by_a_real_time_signal_is_one() {
        let child = spawn(&Spawn {
            namespaces: 0,
            cgroup: None,
            program: c"/bin/sleep",
            arguments: &[c"sleep", c"60"],
            environment: &[],
            descriptors: &[],
        })
        .unwrap();
        signal(child.pidfd.as_fd(), 37).unwrap();
        assert_eq!(wait(child.pidfd.as_fd()).unwrap(), Ended::Signal(37));
    }
}
