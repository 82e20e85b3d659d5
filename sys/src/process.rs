//! What a child process made by [`std::process::Command`] keeps of its parent: for programs that outlive us, and for
//! those that must not.
//!
//! Either way the child starts with no signal blocked and none ignored (both survive an exec, signal(7)), in a session of
//! its own, so that Ctrl-C on our terminal reaches us and not it.

use crate::signal::reset_for_child;
use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpid, getppid, setsid};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The child lives on when we end.
pub fn outlive_us(command: &mut Command) {
    let prepare = || {
        reset_for_child()?;
        setsid()?;
        Ok(())
    };
    // SAFETY: between fork and exec only system calls are made: no allocation, no lock.
    unsafe { command.pre_exec(prepare) };
}

/// The child is killed when the *thread* that spawns it ends, however it ends (PR_SET_PDEATHSIG in prctl(2)). Spawn it
/// from a thread that waits for it.
pub fn die_with_us(command: &mut Command) {
    let parent = getpid();
    let prepare = move || {
        reset_for_child()?;
        setsid()?;
        prctl::set_pdeathsig(Signal::SIGKILL)?;
        // The parent may have died before the line above.
        if getppid() == parent {
            Ok(())
        } else {
            Err(io::Error::from(Errno::ESRCH))
        }
    };
    // SAFETY: between fork and exec only system calls are made: no allocation, no lock.
    unsafe { command.pre_exec(prepare) };
}

/// The caller runs when nobody else wants the processor (setpriority(2), 19).
///
/// # Errors
/// As setpriority(2).
pub fn yield_to_others() -> io::Result<()> {
    // SAFETY: no pointers; the calling process is meant.
    if unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 19) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Whether the process is there (kill(2) with signal 0). A zombie is.
#[must_use]
pub fn exists(pid: i32) -> bool {
    kill(Pid::from_raw(pid), None) != Err(Errno::ESRCH)
}

/// Whether nothing of a process is left but its end: it runs no more, though the kernel may still wait for others before its
/// parent is told, as it does with the first of a PID namespace (proc_pid_stat(5): `PF_EXITING`, no other thread).
#[must_use]
pub fn is_ending(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| tells_end(&stat))
}

/// From flags and number of threads, the 9th and 20th field; the 2nd ends with the last parenthesis.
fn tells_end(stat: &str) -> bool {
    const PF_EXITING: u64 = 4;
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let mut fields = rest.split_ascii_whitespace().skip(6);
    let flags = fields.next().and_then(|field| field.parse::<u64>().ok());
    let threads = fields.nth(10).and_then(|field| field.parse::<u64>().ok());
    flags.is_some_and(|flags| flags & PF_EXITING != 0) && threads.is_some_and(|count| count <= 1)
}

/// Send `SIGKILL`; one that is gone already is fine.
///
/// # Errors
/// As kill(2).
pub fn kill_now(pid: i32) -> io::Result<()> {
    match kill(Pid::from_raw(pid), Signal::SIGKILL) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn a_child_dies_with_the_thread_that_spawned_it() {
        let spawn = || {
            let mut command = Command::new("sleep");
            die_with_us(command.arg("60"));
            command.spawn().unwrap()
        };
        let mut child = std::thread::spawn(spawn).join().unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "still alive");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn a_process_that_has_ended_and_was_not_waited_for_is_ending() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        assert!(!is_ending(pid) && !is_ending(std::process::id().cast_signed()));
        child.kill().unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while !is_ending(pid) {
            assert!(Instant::now() < deadline, "not ending");
            std::thread::sleep(Duration::from_millis(5));
        }
        child.wait().unwrap();
        // Its first thread has ended, another one goes on.
        let goes_on = "7 (a) b) S 1 7 7 0 -1 4194308 1 2 3 4 5 6 7 8 20 0 2 0 99";
        assert!(!tells_end(goes_on));
        assert!(tells_end(&goes_on.replace("20 0 2", "20 0 1")));
    }

    #[test]
    fn a_detached_child_leads_its_own_session() {
        let mut command = Command::new("sleep");
        outlive_us(command.arg("60"));
        let mut child = command.spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        assert!(exists(pid));
        assert_eq!(
            nix::unistd::getsid(Some(Pid::from_raw(pid))),
            Ok(Pid::from_raw(pid))
        );
        kill_now(pid).unwrap();
        child.wait().unwrap();
        assert!(!exists(pid));
    }
}
