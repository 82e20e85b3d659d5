//! Processes by descriptor (pidfd_open(2), pidfd_send_signal(2), waitid(2)): a number that is used again by another
//! process can never be hit.

use nix::errno::Errno;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
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
    loop {
        match waitid(Id::PIDFd(pidfd), WaitPidFlag::WEXITED) {
            Err(Errno::EINTR) => {}
            Ok(status) => {
                if let Some((_, ended)) = ended(status) {
                    return Ok(ended);
                }
            }
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Reap one child that has ended, whichever; `None` when there is none (waitpid(2) with `WNOHANG`).
///
/// # Errors
/// As waitpid(2), but for `ECHILD`.
pub fn reap_any() -> io::Result<Option<(i32, Ended)>> {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Err(Errno::EINTR) => {}
            Err(Errno::ECHILD) | Ok(WaitStatus::StillAlive) => return Ok(None),
            Err(errno) => return Err(errno.into()),
            Ok(status) => {
                if let Some(found) = ended(status) {
                    return Ok(Some(found));
                }
            }
        }
    }
}

/// Wait until a child ends, whichever, and reap it; `None` when there is no child any more (waitpid(2)).
///
/// # Errors
/// As waitpid(2), but for `ECHILD`.
pub fn wait_any() -> io::Result<Option<(i32, Ended)>> {
    loop {
        match waitpid(None, None) {
            Err(Errno::EINTR) => {}
            Err(Errno::ECHILD) => return Ok(None),
            Err(errno) => return Err(errno.into()),
            Ok(status) => {
                if let Some(found) = ended(status) {
                    return Ok(Some(found));
                }
            }
        }
    }
}

fn ended(status: WaitStatus) -> Option<(i32, Ended)> {
    match status {
        WaitStatus::Exited(pid, code) => Some((pid.as_raw(), Ended::Code(code))),
        WaitStatus::Signaled(pid, signal, _) => Some((pid.as_raw(), Ended::Signal(signal as i32))),
        _ => None,
    }
}
