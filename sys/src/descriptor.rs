//! Descriptors across execve(2): taken over by number, put in place by number.

use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Take over a descriptor that the parent left open under `number`, and make it close-on-exec.
/// Call it once per number, before anything else opens descriptors.
///
/// # Errors
/// `EBADF` when the parent left none.
pub fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: fcntl(2) with F_SETFD has no memory effects; an unknown number is EBADF.
    if unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the number is open, and by the contract above nobody else in this process owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Set or clear `FD_CLOEXEC` (fcntl(2)).
///
/// # Errors
/// As fcntl(2).
pub fn set_close_on_exec(descriptor: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    let flags = if on {
        FdFlag::FD_CLOEXEC
    } else {
        FdFlag::empty()
    };
    fcntl(descriptor, FcntlArg::F_SETFD(flags))?;
    Ok(())
}

/// Have these numbers stay open over execve(2), or be closed by it as usual.
///
/// # Errors
/// `EBADF` for one that is not open; the rest is as it was.
pub fn keep_open(numbers: &[RawFd], yes: bool) -> io::Result<()> {
    let flags = if yes { 0 } else { libc::FD_CLOEXEC };
    for number in numbers {
        // SAFETY: fcntl(2) with F_SETFD has no memory effects, and changes nobody's ownership.
        if unsafe { libc::fcntl(*number, libc::F_SETFD, flags) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Set or clear `O_NONBLOCK` (fcntl(2)). It is a flag of the open file: everyone who shares it sees the change.
///
/// # Errors
/// As fcntl(2).
pub fn set_nonblocking(descriptor: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    let mut flags = OFlag::from_bits_retain(fcntl(descriptor, FcntlArg::F_GETFL)?);
    flags.set(OFlag::O_NONBLOCK, on);
    fcntl(descriptor, FcntlArg::F_SETFL(flags))?;
    Ok(())
}

/// In a process just before execve(2): put each descriptor under its number and keep it open over the exec. Everything
/// else from `first_free` upward is closed by the exec (all descriptors are close-on-exec from birth; close_range(2)
/// makes sure of it).
///
/// # Errors
/// As fcntl(2), dup3(2), close_range(2).
pub fn place(plan: &[(BorrowedFd<'_>, RawFd)]) -> io::Result<()> {
    Placement::new(plan).apply()
}

/// The plan of [`place`], laid out so that following it needs no memory.
#[derive(Debug)]
pub(crate) struct Placement {
    /// Source, and the number it is to have.
    moves: Vec<(RawFd, RawFd)>,
    first_free: RawFd,
}

impl Placement {
    /// The sources must be open when it is applied.
    pub(crate) fn new(plan: &[(BorrowedFd<'_>, RawFd)]) -> Self {
        let moves: Vec<_> = plan
            .iter()
            .map(|(source, number)| (source.as_raw_fd(), *number))
            .collect();
        let beyond = moves.iter().map(|(_, number)| number.saturating_add(1));
        Self {
            first_free: beyond.max().unwrap_or(3).max(3),
            moves,
        }
    }

    /// System calls, and nothing else: for a child that has its parent's memory.
    pub(crate) fn apply(&mut self) -> io::Result<()> {
        // Copies above every target first, so that no target overwrites a source that is still to come.
        for (source, _) in &mut self.moves {
            // SAFETY: fcntl(2) with F_DUPFD_CLOEXEC has no memory effects; the copy is nobody's but this process's, which is about to
            // be replaced by execve.
            let copy = unsafe { libc::fcntl(*source, libc::F_DUPFD_CLOEXEC, self.first_free) };
            if copy < 0 {
                return Err(io::Error::last_os_error());
            }
            *source = copy;
        }
        for (copy, number) in &self.moves {
            // SAFETY: dup2(2) has no memory effects; whoever owned `number` in this process is about to be replaced by execve.
            if unsafe { libc::dup2(*copy, *number) } < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        let from = u32::try_from(self.first_free).unwrap_or(3);
        close_range(from, CLOSE_RANGE_CLOEXEC)
    }
}

/// linux/close_range.h
const CLOSE_RANGE_CLOEXEC: u32 = 4;

/// close_range(2) from `first` upward; musl has no wrapper of it.
pub(crate) fn close_range(first: u32, flags: u32) -> io::Result<()> {
    close_between(first, u32::MAX, flags)
}

fn close_between(first: u32, last: u32, flags: u32) -> io::Result<()> {
    // SAFETY: close_range(2) has no memory effects; the callers see to it that no owner is left behind.
    let done = unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) };
    if done < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Close everything but these (close_range(2)), whoever holds it. For a process that has nothing to do any more but what it
/// does with these, and ends by [`crate::program::exit_at_once`].
///
/// # Errors
/// As close_range(2).
pub fn close_all_but(kept: &[BorrowedFd<'_>]) -> io::Result<()> {
    let numbers = kept.iter().map(AsRawFd::as_raw_fd);
    let mut numbers: Vec<u32> = numbers
        .filter_map(|number| number.try_into().ok())
        .collect();
    numbers.sort_unstable();
    let mut first = 0;
    for number in numbers {
        if let Some(last) = number.checked_sub(1).filter(|last| *last >= first) {
            close_between(first, last, 0)?;
        }
        first = number.saturating_add(1);
    }
    close_between(first, u32::MAX, 0)
}

/// A second descriptor of the same open file, close-on-exec.
///
/// # Errors
/// As fcntl(2).
pub fn duplicate(descriptor: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    descriptor.try_clone_to_owned()
}

/// The number, for messages.
#[must_use]
pub fn number(descriptor: BorrowedFd<'_>) -> RawFd {
    descriptor.as_raw_fd()
}
