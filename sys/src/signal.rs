//! Signals as messages (signalfd(2)), and their state in other processes.

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

/// What a process does with a signal, from `/proc/<pid>/status` (proc_pid_status(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// Has a handler, or blocks it (and waits for it by sigwait(3) or signalfd(2)), or ignores it on purpose.
    Handled,
    /// The default action. For PID 1 of a PID namespace the kernel then drops the signal (pid_namespaces(7)).
    Default,
}

/// Look at the text of `/proc/<pid>/status`; what can't be read counts as handled.
#[must_use]
pub fn disposition(status: &str, signal: i32) -> Disposition {
    let bit = u32::try_from(signal.saturating_sub(1))
        .ok()
        .and_then(|shift| 1u64.checked_shl(shift))
        .unwrap_or(0);
    let mut found = false;
    for line in status.lines() {
        let Some((key, value)) = line.split_once(':') else {
            continue;
        };
        if matches!(key, "SigBlk" | "SigIgn" | "SigCgt") {
            let Ok(mask) = u64::from_str_radix(value.trim(), 16) else {
                return Disposition::Handled;
            };
            if mask & bit != 0 {
                return Disposition::Handled;
            }
            found = true;
        }
    }
    if found {
        Disposition::Default
    } else {
        Disposition::Handled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_without_handler_is_default() {
        let status = "Name:\tsleep\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001000\nSigCgt:\t0000000000004000\n";
        assert_eq!(
            disposition(status, 15),
            Disposition::Handled,
            "0x4000 is bit 14, SIGTERM"
        );
        assert_eq!(
            disposition(status, 13),
            Disposition::Handled,
            "ignored on purpose"
        );
        assert_eq!(disposition(status, 2), Disposition::Default);
        assert_eq!(disposition("", 2), Disposition::Handled);
    }
}
