//! Children of PID 1 (clone3(2)): born in their cgroup and their namespaces, known by a pidfd.

use crate::descriptor;
use crate::program::Fork;
use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

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
/// As vfork(2) does it, the child uses this address space, on a stack of its own, and the caller stands still until it has
/// executed: page tables are not copied (0.08 ms instead of 31 for a caller of 512 MB), and no page is written twice. So all
/// that the child needs is laid out before, and it does nothing but system calls.
///
/// When execve fails the child ends with status 127; the program to execute is part of the release, so that is a
/// broken image, not an operator's mistake.
///
/// # Errors
/// As clone3(2).
pub fn spawn(spawn: &Spawn<'_>) -> io::Result<Child> {
    let mut pidfd: RawFd = -1;
    let namespaces = u64::from((spawn.namespaces | libc::CLONE_PIDFD).cast_unsigned());
    let shared = u64::from((libc::CLONE_VM | libc::CLONE_VFORK).cast_unsigned());
    let into_cgroup = spawn.cgroup.map_or(0, |_| CLONE_INTO_CGROUP);
    let mut stack: Vec<u8> = Vec::with_capacity(STACK);
    let arguments = CloneArgs {
        flags: namespaces | shared | CLONE_CLEAR_SIGHAND | into_cgroup,
        pidfd: std::ptr::from_mut(&mut pidfd) as u64,
        exit_signal: libc::SIGCHLD as u64,
        // The kernel puts the child at the end of it; the ABI wants that at a multiple of 16.
        stack: (stack.as_mut_ptr() as u64).next_multiple_of(16),
        stack_size: (STACK - 16) as u64,
        cgroup: spawn.cgroup.map_or(0, |group| group.as_raw_fd() as u64),
        ..CloneArgs::default()
    };
    let mut laid_out = LaidOut::new(spawn);
    // No handler of ours may run in the child, which has our memory.
    let mut before = SigSet::empty();
    sigprocmask(
        SigmaskHow::SIG_SETMASK,
        Some(&SigSet::all()),
        Some(&mut before),
    )?;
    // SAFETY: the argument block, `pidfd`, the stack, and everything that `laid_out` points to outlive the child's use of them:
    // with CLONE_VFORK this call comes back when the child has executed or ended. `execute` does what a vforked child may do.
    let pid = unsafe { clone_vm(&arguments, execute, std::ptr::from_mut(&mut laid_out)) };
    // It was possible a moment ago.
    let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&before), None);
    drop(stack);
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
/// The flags must have `CLONE_VM` and `CLONE_VFORK`, the stack must be memory of ours that nobody else uses, and `child` must
/// not come back, nor allocate, nor unwind.
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

/// What the child needs, so that it need not allocate.
struct LaidOut {
    program: *const libc::c_char,
    /// Both end with a null pointer.
    arguments: Vec<*const libc::c_char>,
    environment: Vec<*const libc::c_char>,
    descriptors: descriptor::Placement,
}

impl LaidOut {
    fn new(spawn: &Spawn<'_>) -> Self {
        let list = |texts: &[&CStr]| {
            let texts = texts.iter().map(|text| text.as_ptr());
            texts.chain(std::iter::once(std::ptr::null())).collect()
        };
        Self {
            program: spawn.program.as_ptr(),
            arguments: list(spawn.arguments),
            environment: list(spawn.environment),
            descriptors: descriptor::Placement::new(spawn.descriptors),
        }
    }
}

/// The child's only function: system calls, and nothing else.
extern "C" fn execute(laid_out: *mut LaidOut) -> ! {
    // SAFETY: the caller of clone3 keeps it for us alone, and stands still.
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

fn prepare_child(laid_out: &mut LaidOut) -> io::Result<()> {
    laid_out.descriptors.apply()?;
    crate::signal::reset_for_child()?;
    match nix::unistd::setsid() {
        Ok(_) | Err(Errno::EPERM) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pidfd;
    use std::io::Read;
    use std::os::fd::AsFd;

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
