//! Children of PID 1 (clone3(2)): born in their cgroup and their namespaces, known by a pidfd.

use crate::descriptor;
use crate::program::Fork;
use nix::errno::Errno;
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
/// The caller must be single-threaded (PID 1 is): the child allocates before it executes.
/// When execve fails the child ends with status 127; the program to execute is part of the release, so that is a
/// broken image, not an operator's mistake.
///
/// # Errors
/// As clone3(2).
pub fn spawn(spawn: &Spawn<'_>) -> io::Result<Child> {
    let mut pidfd: RawFd = -1;
    let flags = u64::from((spawn.namespaces | libc::CLONE_PIDFD).cast_unsigned());
    let mut arguments = CloneArgs {
        flags: flags
            | if spawn.cgroup.is_some() {
                CLONE_INTO_CGROUP
            } else {
                0
            },
        pidfd: std::ptr::from_mut(&mut pidfd) as u64,
        exit_signal: libc::SIGCHLD as u64,
        cgroup: spawn.cgroup.map_or(0, |group| group.as_raw_fd() as u64),
        ..CloneArgs::default()
    };
    // SAFETY: no CLONE_VM and no stack: the child goes on with a copy of this address space, as after fork(2). The
    // argument block and `pidfd` outlive the call, and the size given is that of the block.
    let pid = unsafe {
        libc::syscall(
            libc::SYS_clone3,
            std::ptr::from_mut(&mut arguments),
            std::mem::size_of::<CloneArgs>(),
        )
    };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => become_program(spawn),
        pid => Ok(Child {
            pid: i32::try_from(pid).unwrap_or(-1),
            // SAFETY: with CLONE_PIDFD the kernel has stored a new descriptor here, which only we know of.
            pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) },
        }),
    }
}

/// fork(2), into a cgroup v2 folder (`CLONE_INTO_CGROUP`): the child counts there from its birth. The caller must be
/// single-threaded: the child goes on with ordinary code.
///
/// # Errors
/// As clone3(2); `EAGAIN` when the group, or one above it, has as many processes as `pids.max` allows; `ENOENT` when the
/// group is outside of the caller's cgroup namespace (`nsdelegate`).
pub fn fork_into(group: BorrowedFd<'_>) -> io::Result<Fork> {
    let mut pidfd: RawFd = -1;
    let mut arguments = CloneArgs {
        flags: u64::from(libc::CLONE_PIDFD.cast_unsigned()) | CLONE_INTO_CGROUP,
        pidfd: std::ptr::from_mut(&mut pidfd) as u64,
        exit_signal: libc::SIGCHLD as u64,
        cgroup: group.as_raw_fd() as u64,
        ..CloneArgs::default()
    };
    // SAFETY: as in `spawn`; by the contract above there is no other thread that could hold a lock which the child needs.
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

/// linux/sched.h; does not fit the 32 bits of the `libc` constants.
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

fn become_program(spawn: &Spawn<'_>) -> ! {
    let failed = prepare_child(spawn).is_err();
    if !failed {
        let list = |texts: &[&CStr]| -> Vec<*const libc::c_char> {
            texts
                .iter()
                .map(|text| text.as_ptr())
                .chain(std::iter::once(std::ptr::null()))
                .collect()
        };
        let (arguments, environment) = (list(spawn.arguments), list(spawn.environment));
        // SAFETY: both lists end with a null pointer and point to C strings that live until the call has replaced us.
        unsafe {
            libc::execve(
                spawn.program.as_ptr(),
                arguments.as_ptr(),
                environment.as_ptr(),
            )
        };
    }
    // SAFETY: ends this child at once, without running the parent's exit handlers a second time.
    unsafe { libc::_exit(127) }
}

fn prepare_child(spawn: &Spawn<'_>) -> io::Result<()> {
    descriptor::place(spawn.descriptors)?;
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
}
