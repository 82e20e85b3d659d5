//! Signals as messages (signalfd(2)), and their state in a child.

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigprocmask};
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
/// What else was ignored when this program was executed stays so: who executes it has to see to that. PID 1 ignores nothing but
/// `SIGPIPE`, and its children have no handler from their birth (`clone::spawn`).
///
/// # Errors
/// As sigprocmask(2) and sigaction(2).
pub fn reset_for_child() -> io::Result<()> {
    set_mask(0)?;
    reset_ignored()
}

/// What the Rust runtime ignores: `SIGPIPE`, and nothing else.
///
/// # Errors
/// As sigaction(2).
pub(crate) fn reset_ignored() -> io::Result<()> {
    // SAFETY: restores the default; no handler of ours is installed or left dangling.
    unsafe { nix::sys::signal::signal(Signal::SIGPIPE, SigHandler::SigDfl) }?;
    Ok(())
}

/// Each signal with its default action, those that the C library keeps for itself (32, 33) included, which is why it is not
/// asked: for who was started by anybody, and starts others that are to have nothing ignored. No handler is left.
pub fn ignore_nothing() {
    for signal in 1..=SIGNAL_MAX {
        // The kernel refuses to change SIGKILL and SIGSTOP, which can't be ignored anyway.
        let default = KernelSigaction::default();
        // SAFETY: the kernel reads one structure of its own layout, all zero: SIG_DFL without flags.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                std::ptr::from_ref(&default),
                std::ptr::null_mut::<KernelSigaction>(),
                std::mem::size_of::<u64>(),
            )
        };
    }
}

/// The last real-time signal of the kernel (_NSIG).
const SIGNAL_MAX: libc::c_int = 64;

/// `struct kernel_sigaction` of the x86_64 and arm64 kernels.
#[repr(C)]
#[derive(Default)]
struct KernelSigaction {
    handler: usize,
    flags: libc::c_ulong,
    restorer: usize,
    mask: u64,
}

/// Block every signal there is, those that the C library keeps for itself (32, 33) included, which is why it is not asked.
/// A blocked signal waits for [`next`], also in the first process of a PID namespace, where an unblocked one without a
/// handler is dropped (pid_namespaces(7)).
///
/// # Errors
/// As sigprocmask(2).
pub fn block_all() -> io::Result<()> {
    set_mask(EVERY_SIGNAL).map(drop)
}

/// One bit for each signal; the kernel leaves SIGKILL and SIGSTOP out by itself.
static EVERY_SIGNAL: u64 = u64::MAX;

/// Every signal is blocked as long as it lives; then those that were before.
#[derive(Debug)]
pub(crate) struct Blocked {
    before: u64,
}

impl Blocked {
    /// # Errors
    /// As sigprocmask(2).
    pub(crate) fn all() -> io::Result<Self> {
        let before = set_mask(EVERY_SIGNAL)?;
        Ok(Self { before })
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // It was possible a moment ago.
        let _ = set_mask(self.before);
    }
}

/// rt_sigprocmask(2); gives what was blocked before.
fn set_mask(mask: u64) -> io::Result<u64> {
    let mut before = 0u64;
    // SAFETY: the kernel reads one mask and writes one, both of the size that it is given.
    let done = unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const mask,
            &raw mut before,
            size_of::<u64>(),
        )
    };
    if done < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(before)
    }
}

/// A signal, and who has sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    pub signal: i32,
    /// A process outside of this one's PID namespace, that is to say of one around it.
    pub from_outside: bool,
}

/// The next signal, which is waited for as long as it takes (sigtimedwait(2)); all must be blocked.
///
/// That it comes from outside can't be forged. The kernel writes 0 for a sender whom the receiver can't see
/// (pid_namespaces(7)). Who sends details along (rt_sigqueueinfo(2), pidfd_send_signal(2)) may write 0 too, but not that the
/// signal is one of kill(2) (`SI_USER`), except to himself; nor has one of those that the kernel makes for somebody that code
/// (timers, `F_SETSIG` of fcntl(2), terminals).
///
/// # Errors
/// As sigtimedwait(2), but for `EINTR`.
pub fn next_told() -> io::Result<Told> {
    loop {
        // SAFETY: all zero is a valid siginfo_t.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        // SAFETY: the kernel reads one mask of the size that it is given and writes one siginfo_t; no time limit is asked for.
        let signal = unsafe {
            libc::syscall(
                libc::SYS_rt_sigtimedwait,
                &raw const EVERY_SIGNAL,
                &raw mut info,
                std::ptr::null::<libc::timespec>(),
                size_of::<u64>(),
            )
        };
        if signal > 0 {
            // SAFETY: a plain number, whatever the kernel has written, and meant as the sender only with SI_USER.
            let sender = unsafe { info.si_pid() };
            return Ok(Told {
                signal: i32::try_from(signal).unwrap_or(libc::SIGTERM),
                from_outside: info.si_code == libc::SI_USER && sender == 0,
            });
        }
        match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::Interrupted => {}
            error => return Err(error),
        }
    }
}

/// Only its number, as [`next_told`].
///
/// # Errors
/// As [`next_told`].
pub fn next() -> io::Result<i32> {
    next_told().map(|told| told.signal)
}

/// No `SIGCHLD` for children that are stopped or go on (sigaction(2), `SA_NOCLDSTOP`): nobody waits for that, and who can stop
/// a child could wake its parent as often as he likes. execve(2) undoes it.
///
/// # Errors
/// As sigaction(2).
pub fn only_ends_of_children() -> io::Result<()> {
    let flags = SaFlags::SA_NOCLDSTOP;
    let action = SigAction::new(SigHandler::SigDfl, flags, SigSet::empty());
    // SAFETY: the default action, which runs nothing of ours.
    unsafe { nix::sys::signal::sigaction(Signal::SIGCHLD, &action) }?;
    Ok(())
}

/// A child has ended.
pub const CHILD: i32 = libc::SIGCHLD;
/// Somebody asks this process to end.
pub const END: i32 = libc::SIGTERM;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pidfd::{self, Ended};
    use crate::program::{Fork, exit_at_once, fork};
    use std::os::fd::AsFd;

    /// What a process hears of the signal that `send` sends it: its number, and 100 more when it is from outside.
    fn heard(send: impl FnOnce(i32)) -> Ended {
        let blocked = Blocked::all().unwrap();
        match fork().unwrap() {
            Fork::Parent(child) => {
                drop(blocked);
                send(child.pid);
                pidfd::wait(child.pidfd.as_fd()).unwrap()
            }
            Fork::Child => match next_told() {
                Ok(told) => exit_at_once(told.signal + i32::from(told.from_outside) * 100),
                Err(_) => exit_at_once(0),
            },
        }
    }

    #[test]
    fn a_sender_inside_is_known_as_one_whatever_he_says() {
        assert_eq!(
            heard(|pid| send_to_child(pid, END).unwrap()),
            Ended::Code(15)
        );
        // A sender of one's own making, which the kernel takes from whoever may send a signal.
        let forged = |pid: i32| {
            // SAFETY: all zero is a valid siginfo_t; the sender's number in it is 0.
            let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
            info.si_code = libc::SI_QUEUE;
            // SAFETY: the kernel reads one siginfo_t.
            let done = unsafe { libc::syscall(libc::SYS_rt_sigqueueinfo, pid, END, &raw mut info) };
            assert_eq!(done, 0);
        };
        assert_eq!(heard(forged), Ended::Code(15));
        // And the code of kill(2) is refused.
        let refused = |pid: i32| {
            // SAFETY: as above.
            let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
            info.si_code = libc::SI_USER;
            // SAFETY: as above.
            let done = unsafe { libc::syscall(libc::SYS_rt_sigqueueinfo, pid, END, &raw mut info) };
            assert_eq!(done, -1);
            send_to_child(pid, libc::SIGHUP).unwrap();
        };
        assert_eq!(heard(refused), Ended::Code(libc::SIGHUP));
    }
}
