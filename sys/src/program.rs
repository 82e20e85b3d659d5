//! To become another program, or to start one as a child with code of ours in between (execve(2), fork(2), setsid(2)).

use crate::clone::Child;
use crate::pidfd;
use nix::unistd::ForkResult;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

/// A session of our own, without controlling terminal (setsid(2)). To be its leader already is not an error.
///
/// # Errors
/// As setsid(2).
pub fn start_session() -> io::Result<()> {
    match nix::unistd::setsid() {
        Ok(_) | Err(nix::errno::Errno::EPERM) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// In a child: `SIGKILL` when the parent ends (`PR_SET_PDEATHSIG`), which a later change of ids would undo.
/// `first` is what [`parent`] said right after the fork.
///
/// # Errors
/// `ESRCH` when it has ended already.
pub fn die_with_parent(first: i32) -> io::Result<()> {
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
    if parent() == first {
        Ok(())
    } else {
        Err(nix::errno::Errno::ESRCH.into())
    }
}

/// The parent's number (getppid(2)); 0 when it is in an outer PID namespace.
#[must_use]
pub fn parent() -> i32 {
    nix::unistd::getppid().as_raw()
}

/// From here on, whoever of this process's descendants loses its parent gets this one as its parent, and not the first
/// process of the PID namespace (`PR_SET_CHILD_SUBREAPER`). Children that are there already are left out.
///
/// # Errors
/// As prctl(2).
pub fn adopt_orphans() -> io::Result<()> {
    nix::sys::prctl::set_child_subreaper(true)?;
    Ok(())
}

/// The children of this process, those that it has adopted included, by their numbers in the PID namespace of /proc
/// (proc_pid_task(5), `children`); none where it can't be read.
#[must_use]
pub fn children() -> Vec<i32> {
    let list = std::fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
    let numbers = list.split_ascii_whitespace();
    numbers.filter_map(|number| number.parse().ok()).collect()
}

/// Which of the two processes after [`fork`] this is.
#[derive(Debug)]
pub enum Fork {
    Parent(Child),
    Child,
}

/// fork(2). The caller must be single-threaded: the child goes on with ordinary code.
///
/// # Errors
/// As fork(2); `ENOMEM` in a PID namespace whose first process has ended. There is no child then.
pub fn fork() -> io::Result<Fork> {
    // SAFETY: by the contract above there is no other thread that could hold a lock which the child then needs.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Child => Ok(Fork::Child),
        // The child can't be reaped by anyone else, so its number can't have been used again.
        ForkResult::Parent { child } => match pidfd::open(child.as_raw()) {
            Ok(pidfd) => Ok(Fork::Parent(Child {
                pid: child.as_raw(),
                pidfd,
            })),
            Err(error) => {
                let _ = nix::sys::signal::kill(child, nix::sys::signal::Signal::SIGKILL);
                let _ = nix::sys::wait::waitpid(child, None);
                Err(error)
            }
        },
    }
}

/// End this process without anything of what the parent of a [`fork`] would do at its end (_exit(2)).
pub fn exit_at_once(status: i32) -> ! {
    // SAFETY: it does not come back, and runs nothing of this process.
    unsafe { libc::_exit(status) }
}

/// Become another program (execve(2)); comes back only with the reason why not.
#[must_use]
pub fn execute(program: &CStr, arguments: &[CString], environment: &[CString]) -> io::Error {
    match nix::unistd::execve(program, arguments, environment) {
        Err(errno) => errno.into(),
        Ok(never) => match never {},
    }
}

/// As [`execute`], the program being an open file (execveat(2) with `AT_EMPTY_PATH`): one that no path leads to any more.
#[must_use]
pub fn execute_file(
    program: BorrowedFd<'_>,
    arguments: &[CString],
    environment: &[CString],
) -> io::Error {
    let flags = nix::fcntl::AtFlags::AT_EMPTY_PATH;
    match nix::unistd::execveat(program, c"", arguments, environment, flags) {
        Err(errno) => errno.into(),
        Ok(never) => match never {},
    }
}

/// This program itself, for [`execute_file`].
///
/// # Errors
/// As open(2) of `/proc/self/exe`.
pub fn own_file() -> io::Result<OwnedFd> {
    Ok(std::fs::File::open("/proc/self/exe")?.into())
}

/// A process group of our own in the same session (setpgid(2)).
///
/// # Errors
/// As setpgid(2).
pub fn start_group() -> io::Result<()> {
    let us = nix::unistd::Pid::from_raw(0);
    nix::unistd::setpgid(us, us)?;
    Ok(())
}

/// The name that /proc/PID/comm and `ps` show, at most 15 bytes of it (`PR_SET_NAME`).
///
/// # Errors
/// As prctl(2).
pub fn set_name(name: &CStr) -> io::Result<()> {
    nix::sys::prctl::set_name(name)?;
    Ok(())
}

/// Close everything from this number upward (close_range(2)), whoever holds it. For the last moment before [`execute`]
/// or exit, when nobody uses a descriptor any more: a program named `/proc/self/fd/N` must find nothing there
/// (CVE-2024-21626).
///
/// # Errors
/// As close_range(2).
pub fn close_from(first: u32) -> io::Result<()> {
    crate::descriptor::close_range(first, 0)
}

/// execve(2)'s `E2BIG`: arguments and environment are too large, or one of them.
pub const TOO_LONG: i32 = libc::E2BIG;
/// execve(2)'s `EPERM`: the program is to get capabilities that this process can't have.
pub const NOT_PERMITTED: i32 = libc::EPERM;

/// How many bytes of arguments and environment execve(2) takes: a quarter of the limit of the stack, between 128 KiB
/// (ARG_MAX of linux/limits.h) and 6 MiB (three quarters of the kernel's own default, fs/exec.c).
#[must_use]
pub fn texts_bytes_max() -> u64 {
    let limit = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_STACK);
    let quarter = limit.map_or(0, |(soft, _)| soft / 4);
    quarter.clamp(128 << 10, 6 << 20)
}

/// execve(2)'s `ENOEXEC`: the kernel knows no format that the file has.
pub const NOT_A_PROGRAM: i32 = libc::ENOEXEC;
