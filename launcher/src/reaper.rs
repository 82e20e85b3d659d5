//! The reaper: parent of a command in a container, and of whatever the command leaves behind.
//!
//! ```text
//! the command ends ─────┬─▶ its group is killed ─▶ every child is reaped, until there is none ─▶ ends with the command's status
//! PID 1 says `SIGTERM` ─┘
//! ```
//!
//! An orphan in a PID namespace goes to the nearest ancestor in it that asked for orphans, else to its first process, which
//! in most containers never waits for children it does not know: they would stay zombies, each with a place in
//! `resources.pids`. So the reaper is in the namespace. It is in no group of the container, so that what kills the
//! command's group, a time limit or the container's memory, leaves it there to wait. PID 1 is its parent.
//!
//! The container sees it as a process named `launcher`. It can't be looked into or traced (`PR_SET_DUMPABLE`), holds no
//! descriptor but the knobs that kill the command's group, no capability but `CAP_KILL`, and hears no signal of the
//! container's but `SIGKILL` and `SIGSTOP`.

use crate::init::status;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use sys::caps::{self, Capabilities, number};
use sys::path::{self, Links};
use sys::pidfd::{Ended, reap_any, wait_any};

/// Knobs of the command's group, and what is written to them to kill it.
const KNOBS: [(&str, &[u8]); 2] = [
    // No process comes to those that are there; and PID 1 sees by it that the group was killed (init/src/place.rs).
    ("pids.max", b"0"),
    ("cgroup.kill", b"1"),
];

/// What it works with.
struct Reaper {
    command: i32,
    /// Those that the group has.
    knobs: Vec<(File, &'static [u8])>,
}

/// Stay with a command until nothing of it is left, and end with its status. `command` is our child; `group` the folder of
/// its cgroup. Everything else that this process holds is closed. Every signal must be blocked.
pub(crate) fn reap(command: i32, group: Option<BorrowedFd<'_>>) -> ! {
    let ended = match Reaper::settle(command, group) {
        Ok(mut reaper) => reaper.stay(),
        // It goes with us, by its parent-death signal.
        Err(_) => None,
    };
    sys::program::exit_at_once(ended.map_or(125, |ended| i32::from(status(ended))))
}

impl Reaper {
    /// Keep nothing but what is needed. The command's own streams go too: whoever reads them must see their end with its end.
    fn settle(command: i32, group: Option<BorrowedFd<'_>>) -> io::Result<Self> {
        let knobs: Vec<(File, &'static [u8])> = KNOBS
            .iter()
            .filter_map(|(name, text)| {
                let knob = path::open(group?, Path::new(name), path::WRITE, Links::Refuse);
                Some((File::from(knob.ok()?), *text))
            })
            .collect();
        let kept: Vec<BorrowedFd<'_>> = knobs.iter().map(|(knob, _)| knob.as_fd()).collect();
        sys::descriptor::close_all_but(&kept)?;
        caps::set(Capabilities::of(&[number::KILL]))?;
        sys::credentials::set_no_new_privileges()?;
        Ok(Self { command, knobs })
    }

    fn stay(&mut self) -> Option<Ended> {
        let mut ended = None;
        while !self.reap_ended(&mut ended) {
            match sys::signal::next_told() {
                Ok(told) if told.signal == sys::signal::END && told.from_outside => break,
                // A child has ended; or somebody in the container wants something of us.
                Ok(_) => {}
                Err(_) => break,
            }
        }
        self.end_rest(&mut ended);
        ended
    }

    /// Whoever has ended meanwhile, orphans included; true: the command has.
    fn reap_ended(&self, ended: &mut Option<Ended>) -> bool {
        while let Ok(Some(child)) = reap_any() {
            self.saw(child, ended);
        }
        ended.is_some()
    }

    /// Kill and reap until there is no child. Those who have left the group are killed as children, one generation after
    /// the other. A group in which nothing is left is not killed: it can be used again.
    fn end_rest(&mut self, ended: &mut Option<Ended>) {
        loop {
            self.reap_ended(ended);
            if !sys::pidfd::has_children() {
                return;
            }
            for (knob, text) in &mut self.knobs {
                let _ = knob.write_all(text);
            }
            for child in sys::program::children() {
                let _ = sys::process::kill_now(child);
            }
            match wait_any() {
                Ok(Some(child)) => self.saw(child, ended),
                Ok(None) | Err(_) => return,
            }
        }
    }

    fn saw(&self, (child, how): (i32, Ended), ended: &mut Option<Ended>) {
        if child == self.command {
            *ended = Some(how);
        }
    }
}
