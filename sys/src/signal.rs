//! Signals as messages (signalfd(2)), and their state in a child.

use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, sigprocmask};
pub use nix::sys::signalfd::SignalFd as Signals;
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::io;

/// Block these signals and get them as messages instead.
///
/// # Errors
/// As sigprocmask(2) and signalfd(2).
pub fn descriptor(signals: &[Signal]) -> io::Result<SignalFd> {
    let set: SigSet = signals.iter().copied().collect();
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set), None)?;
    Ok(SignalFd::with_flags(
        &set,
        SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK,
    )?)
}

/// Whether a message has come; it is taken.
#[must_use]
pub fn has_come(signals: &SignalFd) -> bool {
    matches!(signals.read_signal(), Ok(Some(_)))
}

/// The ends of children, as [`descriptor`].
///
/// # Errors
/// As [`descriptor`].
pub fn ends_of_children() -> io::Result<SignalFd> {
    descriptor(&[Signal::SIGCHLD])
}

/// Somebody asks this process to end (`SIGTERM`), as [`descriptor`].
///
/// # Errors
/// As [`descriptor`].
pub fn wish_to_end() -> io::Result<SignalFd> {
    descriptor(&[Signal::SIGTERM])
}

/// In a child before execve(2): nothing blocked, nothing ignored (both survive an exec, signal(7)).
///
/// # Errors
/// As sigprocmask(2) and sigaction(2).
pub fn reset_for_child() -> io::Result<()> {
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
    // SAFETY: restores the default; no handler of ours is installed or left dangling. The Rust runtime ignores SIGPIPE.
    unsafe { nix::sys::signal::signal(Signal::SIGPIPE, SigHandler::SigDfl) }?;
    Ok(())
}

/// Block every signal there is, those that the C library keeps for itself (32, 33) included, which is why it is not asked.
/// A blocked signal waits for [`next`], also in the first process of a PID namespace, where an unblocked one without a
/// handler is dropped (pid_namespaces(7)).
///
/// # Errors
/// As sigprocmask(2).
pub fn block_all() -> io::Result<()> {
    // SAFETY: the kernel reads one mask of the size that it is given; the old mask is not asked for.
    let done = unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const EVERY_SIGNAL,
            std::ptr::null_mut::<u64>(),
            size_of::<u64>(),
        )
    };
    if done < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// One bit for each signal; the kernel leaves SIGKILL and SIGSTOP out by itself.
static EVERY_SIGNAL: u64 = u64::MAX;

/// The number of the next signal, which is waited for as long as it takes (sigtimedwait(2)); all must be blocked.
///
/// # Errors
/// As sigtimedwait(2), but for `EINTR`.
pub fn next() -> io::Result<i32> {
    loop {
        // SAFETY: the kernel reads one mask of the size that it is given; neither details nor a time limit are asked for.
        let signal = unsafe {
            libc::syscall(
                libc::SYS_rt_sigtimedwait,
                &raw const EVERY_SIGNAL,
                std::ptr::null_mut::<libc::siginfo_t>(),
                std::ptr::null::<libc::timespec>(),
                size_of::<u64>(),
            )
        };
        if signal > 0 {
            return Ok(i32::try_from(signal).unwrap_or(libc::SIGTERM));
        }
        match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::Interrupted => {}
            error => return Err(error),
        }
    }
}

/// A child has ended.
pub const CHILD: i32 = libc::SIGCHLD;

/// Send a signal to a child of ours that has not been reaped: nobody else can have its number (kill(2)).
///
/// # Errors
/// As kill(2).
pub fn send_to_child(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: kill(2) takes two integers. nix knows no real-time signals.
    if unsafe { libc::kill(pid, signal) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
