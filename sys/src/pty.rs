//! Pseudo-terminals (pty(7)).

use crate::path::{self, Links};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::Path;

/// `DEVPTS_SUPER_MAGIC` of linux/magic.h.
const DEVPTS_MAGIC: i64 = 0x1cd1;

/// Both ends.
#[derive(Debug)]
pub struct Pty {
    /// Who types.
    pub master: OwnedFd,
    /// What the program sees.
    pub slave: OwnedFd,
}

/// A new terminal of the devpts that is mounted at `/dev/pts` of `root`. The slave is opened through the master
/// (`TIOCGPTPEER`), not by its path, which the container could have replaced.
///
/// # Errors
/// `ENODEV` when `/dev/pts/ptmx` is not devpts's own; else as open(2) and ioctl_tty(2).
pub fn open(root: BorrowedFd<'_>) -> io::Result<Pty> {
    let master = path::open(
        root,
        Path::new("/dev/pts/ptmx"),
        libc::O_RDWR | libc::O_NOCTTY,
        Links::Refuse,
    )?;
    if path::file_system_magic(std::os::fd::AsFd::as_fd(&master))? != DEVPTS_MAGIC {
        return Err(io::Error::from_raw_os_error(libc::ENODEV));
    }
    let unlocked: libc::c_int = 0;
    // SAFETY: TIOCSPTLCK reads one int.
    let done = unsafe {
        libc::ioctl(
            master.as_raw_fd(),
            libc::TIOCSPTLCK,
            std::ptr::from_ref(&unlocked),
        )
    };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: TIOCGPTPEER takes open flags and makes a new descriptor.
    let slave = unsafe {
        libc::ioctl(
            master.as_raw_fd(),
            libc::TIOCGPTPEER,
            libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC,
        )
    };
    if slave < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us.
    let slave = unsafe { OwnedFd::from_raw_fd(slave) };
    Ok(Pty { master, slave })
}

/// Whether it is a terminal (isatty(3)).
#[must_use]
pub fn is_terminal(descriptor: BorrowedFd<'_>) -> bool {
    nix::unistd::isatty(descriptor).unwrap_or(false)
}

/// Make it the controlling terminal of our session, which we lead and which has none (`TIOCSCTTY`).
///
/// # Errors
/// `EPERM` when we lead no session or it has a terminal.
pub fn take_control(slave: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: TIOCSCTTY takes an integer.
    let done = unsafe { libc::ioctl(slave.as_raw_fd(), libc::TIOCSCTTY, 0) };
    if done < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
