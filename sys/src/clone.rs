//! Children of PID 1 (clone3(2)): born in their cgroup and their namespaces, known by a pidfd.

use crate::descriptor;
use crate::program::Fork;
use crate::signal::Blocked;
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU32, Ordering};

/// The namespaces of a container; its network namespace is made by `netd` beforehand and entered by the launcher.
pub const CONTAINER_NAMESPACES: i32 = libc::CLONE_NEWPID
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWCGROUP;

/// What the child is to become.
#[derive(Debug)]
pub struct Spawn<'a> {
    /// `CLONE_NEW…` flags.
    pub namespaces: i32,
    /// The cgroup v2 folder it is born in (`CLONE_INTO_CGROUP`).
    pub cgroup: Option<BorrowedFd<'a>>,
    pub program: &'a CStr,
    pub arguments: &'a [&'a CStr],
    pub environment: &'a [&'a CStr],
    /// Descriptors under their numbers in the child; everything else is closed.
    pub descriptors: &'a [(BorrowedFd<'a>, RawFd)],
}

/// A process that has not been waited for.
#[derive(Debug)]
pub struct Child {
    /// In the caller's PID namespace.
    pub pid: i32,
    pub pidfd: OwnedFd,
}

/// clone3(2) and execve(2). The child has default signal dispositions, nothing blocked, and a session of its own.
///
/// As with vfork(2), the child uses this address space, on a stack of its own, and the caller stands still until it has
/// executed: page tables are not copied (0.08 ms instead of 31 for a caller of 512 MB), and no page is written twice. So all
/// that the child needs is laid out before, and it does nothing but system calls. Other than vfork(2), the caller does not
/// stand still for ever: see [`Birth::end`].
///
/// When execve fails the child ends with status 127; the program to execute is part of the release, so that is a
/// broken image, not an operator's mistake.
///
/// # Errors
/// As clone3(2); `TimedOut` when the child did not come to execute, and was killed.
pub fn spawn(spawn: &Spawn<'_>) -> io::Result<Child> {
    let mut birth = Birth::lay_out(spawn, Signals::Unblocked);
    let _blocked = Blocked::all()?;
    let child = birth.begin()?;
    birth.end(child)
}

/// What the child is born with, and executes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signals {
    Unblocked,
    /// All: none but `SIGKILL` and `SIGSTOP` does anything to it until it wants them.
    Blocked,
}

/// Milliseconds until a child that has not come to execute is looked at, whether somebody has stopped it.
const LOOK_MS: u64 = 20;
/// Milliseconds in which a child comes to execute: the programs are in memory, and a machine under any load needs some
/// tens of milliseconds.
const EXECUTES_MS_MAX: u64 = 10_000;
/// Milliseconds in which one that was killed is gone.
const KILLED_MS_MAX: u64 = 1_000;

/// A child on its way. It uses this memory until it has executed, or has ended.
#[derive(Debug)]
pub(crate) struct Birth<'a> {
    laid_out: LaidOut,
    namespaces: i32,
    cgroup: Option<BorrowedFd<'a>>,
    stack: Vec<u8>,
    /// 1 until the child has left this memory: the kernel writes 0 then, and wakes who waits for it (set_tid_address(2)).
    here: Box<AtomicU32>,
}

impl<'a> Birth<'a> {
    pub(crate) fn lay_out(spawn: &Spawn<'a>, signals: Signals) -> Self {
        Self {
            laid_out: LaidOut::new(spawn, signals),
            namespaces: spawn.namespaces,
            cgroup: spawn.cgroup,
            stack: Vec::with_capacity(STACK),
            here: Box::new(AtomicU32::new(1)),
        }
    }

    /// clone3(2). Every signal must be blocked until [`Self::end`] has come back: no handler of ours may run in the child, which
    /// has our memory.
    pub(crate) fn begin(&mut self) -> io::Result<Child> {
        let mut pidfd: RawFd = -1;
        let flags = libc::CLONE_PIDFD | libc::CLONE_VM | libc::CLONE_CHILD_CLEARTID;
        let into_cgroup = self.cgroup.map_or(0, |_| CLONE_INTO_CGROUP);
        let arguments = CloneArgs {
            flags: u64::from((self.namespaces | flags).cast_unsigned())
                | CLONE_CLEAR_SIGHAND
                | into_cgroup,
            pidfd: std::ptr::from_mut(&mut pidfd) as u64,
            child_tid: self.here.as_ptr() as u64,
            exit_signal: libc::SIGCHLD as u64,
            // The kernel puts the child at the end of it; the ABI wants that at a multiple of 16.
            stack: (self.stack.as_mut_ptr() as u64).next_multiple_of(16),
            stack_size: (STACK - 16) as u64,
            cgroup: self.cgroup.map_or(0, |group| group.as_raw_fd() as u64),
            ..CloneArgs::default()
        };
        // SAFETY: the argument block and `pidfd` outlive the call. The stack, `here`, and everything that `laid_out` points to are
        // ours until `end` has seen that the child has left them, and are given up for good if it has not. `execute` does what a
        // child with our memory may do.
        let pid = unsafe { clone_vm(&arguments, execute, &raw mut self.laid_out) };
        if pid < 0 {
            let errno = i32::try_from(-pid).unwrap_or(libc::EINVAL);
            return Err(io::Error::from_raw_os_error(errno));
        }
        Ok(Child {
            pid: i32::try_from(pid).unwrap_or(-1),
            // SAFETY: with CLONE_PIDFD the kernel has stored a new descriptor here, which only we know of.
            pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) },
        })
    }

    /// Stand still until the child has executed, or has ended.
    ///
    /// A child that is born among others (`inside`) can be stopped by them before that, and with vfork(2) the caller would
    /// stand still as long as they like. So one that was stopped, even if it goes on again, or takes longer than any that
    /// is left alone, is killed.
    pub(crate) fn end(self, child: Child) -> io::Result<Child> {
        let began = crate::clock::since_boot_ms();
        loop {
            if self.has_left(LOOK_MS) {
                return Ok(child);
            }
            let waited = crate::clock::since_boot_ms().saturating_sub(began);
            if waited >= EXECUTES_MS_MAX || crate::pidfd::was_stopped(child.pidfd.as_fd()) {
                break;
            }
        }
        let _ = crate::pidfd::signal(child.pidfd.as_fd(), libc::SIGKILL);
        if self.has_left(KILLED_MS_MAX) {
            let _ = crate::pidfd::wait(child.pidfd.as_fd());
        } else {
            // It still may come to use it.
            std::mem::forget(self);
        }
        Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "it was stopped before it could begin, or took too long",
        ))
    }

    /// Wait for it, about so long.
    fn has_left(&self, for_ms: u64) -> bool {
        let until = crate::clock::since_boot_ms().saturating_add(for_ms);
        loop {
            if self.here.load(Ordering::Acquire) == 0 {
                return true;
            }
            let left = until.saturating_sub(crate::clock::since_boot_ms());
            if left == 0 {
                return false;
            }
            let time = libc::timespec {
                tv_sec: libc::time_t::try_from(left / 1000).unwrap_or_default(),
                tv_nsec: libc::c_long::try_from(left % 1000 * 1_000_000).unwrap_or_default(),
            };
            // SAFETY: futex(2) reads the word, which lives as long as `self`, and the time. Woken by the kernel when the word
            // has become 0; whatever else ends the wait, the word is looked at again.
            unsafe {
                libc::syscall(
                    libc::SYS_futex,
                    self.here.as_ptr(),
                    libc::FUTEX_WAIT,
                    1,
                    &raw const time,
                )
            };
        }
    }
}

/// fork(2), with the child born in this cgroup v2 folder (`CLONE_INTO_CGROUP`): it counts there from its birth. The caller must be
/// single-threaded: the child goes on with ordinary code.
///
/// # Errors
/// As clone3(2); `EAGAIN` when the group, or one above it, has as many processes as `pids.max` allows; `ENOENT` when the
/// group is outside of the caller's cgroup namespace (`nsdelegate`).
pub fn fork_into(cgroup: Option<BorrowedFd<'_>>) -> io::Result<Fork> {
    let mut pidfd: RawFd = -1;
    let mut arguments = CloneArgs {
        flags: u64::from(libc::CLONE_PIDFD.cast_unsigned())
            | cgroup.map_or(0, |_| CLONE_INTO_CGROUP),
        pidfd: std::ptr::from_mut(&mut pidfd) as u64,
        exit_signal: libc::SIGCHLD as u64,
        cgroup: cgroup.map_or(0, |group| group.as_raw_fd() as u64),
        ..CloneArgs::default()
    };
    // SAFETY: no CLONE_VM and no stack: the child goes on with a copy of this address space, as after fork(2). The argument
    // block and `pidfd` outlive the call, and the size given is that of the block; by the contract above there is no other thread that could hold a lock which the child needs.
    let pid = unsafe {
        libc::syscall(
            libc::SYS_clone3,
            std::ptr::from_mut(&mut arguments),
            std::mem::size_of::<CloneArgs>(),
        )
    };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Fork::Child),
        pid => Ok(Fork::Parent(Child {
            pid: i32::try_from(pid).unwrap_or(-1),
            // SAFETY: with CLONE_PIDFD the kernel has stored a new descriptor here, which only we know of.
            pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) },
        })),
    }
}

/// Bytes of the child's stack, of which it touches a page or two.
const STACK: usize = 64 << 10;

// linux/sched.h; they do not fit the 32 bits of the `libc` constants.
const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// `struct clone_args` of linux/sched.h, as of Linux 5.7.
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// clone3(2) with a stack: a wrapper in C or Rust can't do it, since the child has no frame to return to. Gives the child's
/// number, or a negated error number.
///
/// # Safety
/// The flags must have `CLONE_VM`, the stack and what `with` points to must be memory of ours that nobody else uses until the child
/// has left it, and `child` must not come back, nor allocate, nor unwind.
#[cfg(target_arch = "x86_64")]
unsafe fn clone_vm(
    arguments: &CloneArgs,
    child: extern "C" fn(*mut LaidOut) -> !,
    with: *mut LaidOut,
) -> i64 {
    let result: i64;
    // SAFETY: as the caller promises. The child goes its own way on its own stack, so that for this code the call returns once;
    // the kernel overwrites rcx and r11 (syscall), and the child is given its function and argument in registers that it keeps.
    unsafe {
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r13",
            "call r12",
            "ud2",
            "2:",
            inlateout("rax") libc::SYS_clone3 => result,
            in("rdi") std::ptr::from_ref(arguments),
            in("rsi") std::mem::size_of::<CloneArgs>(),
            in("r12") child,
            in("r13") with,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    result
}

/// What the child needs, so that it need not allocate. What it points to outlives the birth but for a child that did not end.
#[derive(Debug)]
struct LaidOut {
    program: *const libc::c_char,
    /// Both end with a null pointer.
    arguments: Vec<*const libc::c_char>,
    environment: Vec<*const libc::c_char>,
    descriptors: descriptor::Placement,
    signals: Signals,
}

impl LaidOut {
    fn new(spawn: &Spawn<'_>, signals: Signals) -> Self {
        let list = |texts: &[&CStr]| {
            let texts = texts.iter().map(|text| text.as_ptr());
            texts.chain(std::iter::once(std::ptr::null())).collect()
        };
        Self {
            program: spawn.program.as_ptr(),
            arguments: list(spawn.arguments),
            environment: list(spawn.environment),
            descriptors: descriptor::Placement::new(spawn.descriptors),
            signals,
        }
    }
}

/// The child's only function: system calls, and nothing else.
extern "C" fn execute(laid_out: *mut LaidOut) -> ! {
    // SAFETY: the caller of clone3 keeps it for us alone.
    let laid_out = unsafe { &mut *laid_out };
    if prepare_child(laid_out).is_ok() {
        // SAFETY: both lists end with a null pointer and point to C strings that live until the call has replaced us.
        unsafe {
            libc::execve(
                laid_out.program,
                laid_out.arguments.as_ptr(),
                laid_out.environment.as_ptr(),
            )
        };
    }
    // SAFETY: ends this child at once, without running the parent's exit handlers a second time.
    unsafe { libc::_exit(127) }
}

/// The caller does not stand still from the first moment, and has our `errno`: nothing here may go by it.
fn prepare_child(laid_out: &mut LaidOut) -> io::Result<()> {
    laid_out.descriptors.apply()?;
    match laid_out.signals {
        Signals::Unblocked => crate::signal::reset_for_child()?,
        Signals::Blocked => crate::signal::reset_ignored()?,
    }
    // It fails for the leader of a process group only, which a new process is not.
    let _ = nix::unistd::setsid();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pidfd;
    use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
    use std::io::Read;

    #[test]
    fn a_child_writes_to_its_descriptor_and_its_status_is_found() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let child = spawn(&Spawn {
            namespaces: 0,
            cgroup: None,
            program: c"/bin/sh",
            arguments: &[c"sh", c"-c", c"echo out >&7; exit 5"],
            environment: &[],
            descriptors: &[(writer.as_fd(), 7)],
        })
        .unwrap();
        drop(writer);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "out\n");
        assert_eq!(
            pidfd::wait(child.pidfd.as_fd()).unwrap(),
            pidfd::Ended::Code(5)
        );
    }

    #[test]
    fn the_caller_stands_still_until_the_child_has_become_the_program() {
        for _ in 0..20 {
            let child = spawn(&Spawn {
                namespaces: 0,
                cgroup: None,
                program: c"/bin/sleep",
                arguments: &[c"sleep", c"60"],
                environment: &[],
                descriptors: &[],
            })
            .unwrap();
            // A copy of us would still be called as we are.
            let program = std::fs::read_link(format!("/proc/{}/exe", child.pid)).unwrap();
            assert_ne!(program, std::env::current_exe().unwrap());
            pidfd::signal(child.pidfd.as_fd(), libc::SIGKILL).unwrap();
            assert_eq!(
                pidfd::wait(child.pidfd.as_fd()).unwrap(),
                pidfd::Ended::Signal(libc::SIGKILL)
            );
        }
    }

    #[test]
    fn a_child_has_no_handler_and_nothing_blocked_and_the_caller_keeps_both() {
        use nix::sys::signal::{SigHandler, Signal};
        extern "C" fn ignore(_: i32) {}
        // SAFETY: the handler does nothing, and no other test uses this signal.
        unsafe { nix::sys::signal::signal(Signal::SIGWINCH, SigHandler::Handler(ignore)) }.unwrap();
        let blocked = SigSet::from_iter([Signal::SIGUSR2]);
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&blocked), None).unwrap();
        let (mut reader, writer) = std::io::pipe().unwrap();
        let child = spawn(&Spawn {
            namespaces: 0,
            cgroup: None,
            program: c"/bin/cat",
            arguments: &[c"cat", c"/proc/self/status"],
            environment: &[],
            descriptors: &[(writer.as_fd(), 1)],
        })
        .unwrap();
        drop(writer);
        let mut status = String::new();
        reader.read_to_string(&mut status).unwrap();
        pidfd::wait(child.pidfd.as_fd()).unwrap();
        let mask = |text: &str, key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key));
            u64::from_str_radix(line.unwrap().trim(), 16).unwrap()
        };
        let bit = |signal: Signal| 1u64 << (signal as u32 - 1);
        for key in ["SigBlk:", "SigCgt:"] {
            // The runtime's own two (SIGCANCEL and its like) are not ours.
            assert_eq!(mask(&status, key) & 0x7fff_ffff, 0, "{key} {status}");
        }
        // The Rust runtime ignores it; what else is ignored is whoever's that started the tests (nohup(1)).
        assert_eq!(mask(&status, "SigIgn:") & bit(Signal::SIGPIPE), 0);
        let ours = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        assert_eq!(mask(&ours, "SigBlk:"), bit(Signal::SIGUSR2));
        assert_ne!(mask(&ours, "SigCgt:") & bit(Signal::SIGWINCH), 0);
    }

    #[test]
    fn a_child_that_is_stopped_before_it_executes_keeps_nobody_waiting() {
        let sleeps = Spawn {
            namespaces: 0,
            cgroup: None,
            program: c"/bin/sleep",
            arguments: &[c"sleep", c"60"],
            environment: &[],
            descriptors: &[],
        };
        // Some may be faster than the signal.
        for signals in [&[libc::SIGSTOP][..], &[libc::SIGSTOP, libc::SIGCONT]] {
            let stopped = (0..100).any(|_| {
                let mut birth = Birth::lay_out(&sleeps, Signals::Unblocked);
                let _blocked = Blocked::all().unwrap();
                let child = birth.begin().unwrap();
                let pid = child.pid;
                for signal in signals {
                    pidfd::signal(child.pidfd.as_fd(), *signal).unwrap();
                }
                match birth.end(child) {
                    Ok(child) => {
                        pidfd::signal(child.pidfd.as_fd(), libc::SIGKILL).unwrap();
                        pidfd::wait(child.pidfd.as_fd()).unwrap();
                        // Going on at once it may have been fast enough.
                        signals.len() > 1
                    }
                    Err(error) => {
                        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
                        // Killed, and reaped.
                        assert!(!crate::process::exists(pid));
                        true
                    }
                }
            });
            assert!(stopped, "{signals:?}");
        }
    }

    #[test]
    fn a_program_that_is_not_there_is_status_127() {
        let child = spawn(&Spawn {
            namespaces: 0,
            cgroup: None,
            program: c"/no/such/program",
            arguments: &[c"program"],
            environment: &[],
            descriptors: &[],
        })
        .unwrap();
        assert_eq!(
            pidfd::wait(child.pidfd.as_fd()).unwrap(),
            pidfd::Ended::Code(127)
        );
    }
}
