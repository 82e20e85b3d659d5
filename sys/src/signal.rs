//! Signals as messages (signalfd(2)), and their state in a child.

use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, sigprocmask};
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
