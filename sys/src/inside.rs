//! Children in the PID namespace of another process (setns(2), pid_namespaces(7)).
//!
//! ```text
//! ours ── setns: their PID and network namespace ──▶ clone3 ──▶ the child
//!   ◀──── setns: our own, whatever came of it ─────────┘
//! ```
//!
//! Of the PID namespace only what children are born in changes, never the caller's own. The network namespace goes with it
//! because whoever is in the PID namespace can read `/proc/PID/net` of the child from its first moment, which takes no right to
//! trace it. The rest the child enters by itself (`namespace::enter_process`): to be in another mount namespace the caller
//! would have to give up its root.

use crate::clone::{Birth, Child, Signals, Spawn};
use crate::signal::Blocked;
use nix::sched::{CloneFlags, setns};
use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::OnceLock;
use std::time::Duration;

/// How often, and after how long a pause, the way back is tried again. It fails for want of a few hundred bytes of kernel memory
/// only, for which the kernel rather kills somebody than to refuse them.
const TRIES_MAX: usize = 100;
const PAUSE: Duration = Duration::from_millis(10);

/// Why there is no child.
#[derive(Debug)]
pub enum SpawnInsideError {
    /// As if nothing had been tried.
    Failed(io::Error),
    /// The caller could not return to its own namespaces: its children, and its sockets, would be the other process's. It must not
    /// go on.
    Astray(io::Error),
}

impl fmt::Display for SpawnInsideError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => error.fmt(f),
            Self::Astray(error) => write!(f, "no way back from a container's namespaces: {error}"),
        }
    }
}

impl std::error::Error for SpawnInsideError {}

/// As [`crate::clone::spawn`], the child being born in the PID and network namespaces of a process, and executing with every
/// signal blocked: whoever is there can send it some. All threads of the caller must be in the namespaces in which they were when
/// this was called first.
///
/// # Errors
/// [`SpawnInsideError::Failed`]: as setns(2), `ESRCH` when the process has ended; as clone3(2), `ENOMEM` when it ends just now;
/// as [`crate::clone::spawn`] when somebody there has stopped the child.
pub fn spawn(process: BorrowedFd<'_>, spawn: &Spawn<'_>) -> Result<Child, SpawnInsideError> {
    let failed = SpawnInsideError::Failed;
    let home = Home::get().map_err(failed)?;
    let mut birth = Birth::lay_out(spawn, Signals::Blocked);
    let _blocked = Blocked::all().map_err(failed)?;
    let both = CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNET;
    setns(process, both).map_err(|errno| failed(errno.into()))?;
    let born = birth.begin();
    // Before anything else, and whatever came of it.
    let back = home.come_back();
    match (born, back) {
        (Ok(child), Ok(())) => birth.end(child).map_err(failed),
        (Err(error), Ok(())) => Err(failed(error)),
        (Ok(child), Err(error)) => {
            let _ = crate::pidfd::signal(child.pidfd.as_fd(), libc::SIGKILL);
            let _ = birth.end(child);
            Err(SpawnInsideError::Astray(error))
        }
        (Err(_), Err(error)) => Err(SpawnInsideError::Astray(error)),
    }
}

/// The namespaces of this process.
#[derive(Debug)]
struct Home {
    pid: File,
    network: File,
}

/// Opened once, when this process is where it belongs; then the way back needs no path and no descriptor any more.
static HOME: OnceLock<Home> = OnceLock::new();

impl Home {
    fn get() -> io::Result<&'static Self> {
        if let Some(home) = HOME.get() {
            return Ok(home);
        }
        let home = Self {
            pid: File::open("/proc/thread-self/ns/pid")?,
            network: File::open("/proc/thread-self/ns/net")?,
        };
        Ok(HOME.get_or_init(|| home))
    }

    fn come_back(&self) -> io::Result<()> {
        persist(|| setns(&self.network, CloneFlags::CLONE_NEWNET))?;
        persist(|| setns(&self.pid, CloneFlags::CLONE_NEWPID))
    }
}

/// Again, with pauses, until it succeeds.
fn persist(mut act: impl FnMut() -> nix::Result<()>) -> io::Result<()> {
    let mut tries = 1;
    loop {
        match act() {
            Ok(()) => return Ok(()),
            Err(errno) if tries == TRIES_MAX => return Err(errno.into()),
            Err(_) => {}
        }
        tries = tries.saturating_add(1);
        // Nothing else may be done from where we are.
        std::thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pidfd::{self, Ended};
    use std::io::Read;

    fn shell<'a>(arguments: &'a [&'a std::ffi::CStr], namespaces: i32) -> Spawn<'a> {
        Spawn {
            namespaces,
            cgroup: None,
            program: c"/bin/sh",
            arguments,
            environment: &[],
            descriptors: &[],
        }
    }

    /// The first process of a namespace, which ends with the test.
    struct First(Child);

    impl Drop for First {
        fn drop(&mut self) {
            let _ = pidfd::signal(self.0.pidfd.as_fd(), libc::SIGKILL);
            let _ = pidfd::wait(self.0.pidfd.as_fd());
        }
    }

    /// None without the privilege.
    fn first() -> Option<First> {
        let sleeps = shell(
            &[c"sh", c"-c", c"while :; do sleep 60; done"],
            libc::CLONE_NEWPID | libc::CLONE_NEWNET,
        );
        crate::clone::spawn(&sleeps).ok().map(First)
    }

    fn namespaces() -> [std::path::PathBuf; 3] {
        ["net", "pid", "pid_for_children"]
            .map(|name| std::fs::read_link(format!("/proc/thread-self/ns/{name}")).unwrap())
    }

    #[test]
    fn a_child_is_born_there_and_the_caller_is_where_it_was() {
        let Some(first) = first() else {
            return;
        };
        let before = namespaces();
        let (mut reader, writer) = std::io::pipe().unwrap();
        let cat = Spawn {
            program: c"/bin/cat",
            descriptors: &[(writer.as_fd(), 1)],
            ..shell(&[c"cat", c"/proc/self/status"], 0)
        };
        let child = spawn(first.0.pidfd.as_fd(), &cat).unwrap();
        drop(writer);
        let mut status = String::new();
        reader.read_to_string(&mut status).unwrap();
        assert_eq!(pidfd::wait(child.pidfd.as_fd()).unwrap(), Ended::Code(0));
        let field = |status: &str, name| -> Vec<String> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let words = line.unwrap_or_default().split_whitespace();
            words.map(str::to_owned).collect()
        };
        // One more than we have, in the one namespace that is further in.
        let ours = std::fs::read_to_string("/proc/self/status").unwrap();
        let numbers = |status| field(status, "NSpid:").len();
        assert_eq!(numbers(&status), numbers(&ours) + 1, "{status}");
        // All but SIGKILL and SIGSTOP.
        assert_eq!(field(&status, "SigBlk:"), ["fffffffffffbfeff"]);
        assert_eq!(namespaces(), before);
        let namespace_of = |pid: i32, name| std::fs::read_link(format!("/proc/{pid}/ns/{name}"));
        let sleeps = shell(&[c"sh", c"-c", c"sleep 60"], 0);
        let child = spawn(first.0.pidfd.as_fd(), &sleeps).unwrap();
        for name in ["pid", "net"] {
            assert_eq!(
                namespace_of(child.pid, name).unwrap(),
                namespace_of(first.0.pid, name).unwrap()
            );
        }
        pidfd::signal(child.pidfd.as_fd(), libc::SIGKILL).unwrap();
        pidfd::wait(child.pidfd.as_fd()).unwrap();
    }

    #[test]
    fn the_caller_is_where_it_was_when_nobody_can_be_born_there() {
        let Some(first) = first() else {
            return;
        };
        let before = namespaces();
        // A file that is no cgroup: the clone itself fails.
        let not_a_group = File::open("/dev/null").unwrap();
        let spawned = Spawn {
            cgroup: Some(not_a_group.as_fd()),
            ..shell(&[c"sh"], 0)
        };
        let error = spawn(first.0.pidfd.as_fd(), &spawned).unwrap_err();
        assert!(matches!(error, SpawnInsideError::Failed(_)), "{error:?}");
        assert_eq!(namespaces(), before);
        // Ended, and not waited for.
        let there = File::open(format!("/proc/{}/ns/pid", first.0.pid)).unwrap();
        pidfd::signal(first.0.pidfd.as_fd(), libc::SIGKILL).unwrap();
        pidfd::wait(first.0.pidfd.as_fd()).unwrap();
        let error = spawn(first.0.pidfd.as_fd(), &shell(&[c"sh"], 0)).unwrap_err();
        assert!(matches!(error, SpawnInsideError::Failed(_)), "{error:?}");
        assert_eq!(namespaces(), before);
        // The namespace is still there by its file, and nobody can be born in it.
        setns(&there, CloneFlags::CLONE_NEWPID).unwrap();
        let born = crate::clone::spawn(&shell(&[c"sh"], 0));
        assert_eq!(born.unwrap_err().raw_os_error(), Some(libc::ENOMEM));
        Home::get().unwrap().come_back().unwrap();
        assert_eq!(namespaces(), before);
    }

    const TRIES_TO_BE_STOPPED: u32 = 2_000;

    #[test]
    fn whoever_stops_all_there_is_keeps_nobody_waiting_outside() {
        let script = c"while :; do kill -STOP -1; done 2>/dev/null";
        let script = [c"sh", c"-c", script];
        let stops = shell(&script, libc::CLONE_NEWPID | libc::CLONE_NEWNET);
        let Ok(first) = crate::clone::spawn(&stops).map(First) else {
            return;
        };
        // That it comes back each time is the rule. Whether a child is stopped before it executes is luck, all the more on a
        // busy host: until it was so once.
        let mut stopped = 0;
        for _ in 0..TRIES_TO_BE_STOPPED {
            let spawned = spawn(
                first.0.pidfd.as_fd(),
                &shell(&[c"sh", c"-c", c"sleep 60"], 0),
            );
            match spawned {
                Ok(child) => {
                    pidfd::signal(child.pidfd.as_fd(), libc::SIGKILL).unwrap();
                    pidfd::wait(child.pidfd.as_fd()).unwrap();
                }
                Err(SpawnInsideError::Failed(error)) => {
                    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
                    stopped += 1;
                    break;
                }
                Err(error) => panic!("{error}"),
            }
        }
        assert!(stopped > 0, "nobody was stopped in time");
    }

    #[test]
    fn the_way_back_is_tried_again_and_not_for_ever() {
        let mut tries = 0;
        let third = || {
            tries += 1;
            if tries < 3 {
                Err(nix::errno::Errno::ENOMEM)
            } else {
                Ok(())
            }
        };
        persist(third).unwrap();
        assert_eq!(tries, 3);
        let never = persist(|| Err(nix::errno::Errno::ENOMEM));
        assert_eq!(never.unwrap_err().raw_os_error(), Some(libc::ENOMEM));
    }
}
