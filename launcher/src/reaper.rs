//! The reaper: parent of a command in a container, and of whatever the command leaves behind.
//!
//! ```text
//! the command ends ─┬─▶ its group is killed ─▶ every child is reaped, until there is none ─▶ ends with the command's status
//! the lifeline ends ┘
//! ```
//!
//! An orphan in a PID namespace goes to the nearest ancestor in it that asked for orphans, else to its first process, which
//! in most containers never waits for children it does not know: they would stay zombies, each with a place in
//! `resources.pids`. So the reaper is in the namespace. It is in no group of the container, so that what kills the
//! command's group, a time limit or the container's memory, leaves it there to wait.
//!
//! The container sees it as a process named `launcher`. It can't be looked into or traced (`PR_SET_DUMPABLE`), holds no
//! descriptor of the machine but the knobs that kill the command's group, no capability but `CAP_KILL`, and hears no
//! signal but `SIGKILL` and `SIGSTOP`.

use crate::init::status;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;
use sys::caps::{self, Capabilities, number};
use sys::epoll::Interest;
use sys::path::{self, Links};
use sys::pidfd::{Ended, reap_any, wait_any};
use sys::signal::Signals;

/// Where the descriptors that it keeps are: the lifeline, and the knobs of the command's group.
const LIFELINE: RawFd = 0;
const KNOBS: [(&str, &[u8], RawFd); 2] = [
    // No process comes to those that are there; and PID 1 sees by it that the group was killed (init/src/place.rs).
    ("pids.max", b"0", 1),
    ("cgroup.kill", b"1", 2),
];
/// The first that it does not need.
const CLOSE_FROM: u32 = 3;

/// What it works with.
struct Reaper {
    command: i32,
    /// Hangs up when nobody wants the command any more, or `launcher exec` is gone.
    lifeline: OwnedFd,
    /// Each with what is written to it; those that the group has.
    knobs: Vec<(File, &'static [u8])>,
    children: Signals,
}

/// Stay with a command until nothing of it is left, and end with its status. `command` is our child; `group` the folder of
/// its cgroup. Everything else that this process holds is closed.
pub(crate) fn reap(command: i32, group: Option<BorrowedFd<'_>>, lifeline: BorrowedFd<'_>) -> ! {
    let ended = match Reaper::settle(command, group, lifeline) {
        Ok(mut reaper) => reaper.stay(),
        // It goes with us, by its parent-death signal.
        Err(_) => None,
    };
    sys::program::exit_at_once(ended.map_or(125, |ended| i32::from(status(ended))))
}

impl Reaper {
    /// Keep nothing but what is needed.
    fn settle(
        command: i32,
        group: Option<BorrowedFd<'_>>,
        lifeline: BorrowedFd<'_>,
    ) -> io::Result<Self> {
        let open = |name: &str| {
            group.and_then(|group| {
                path::open(group, Path::new(name), path::WRITE, Links::Refuse).ok()
            })
        };
        let opened = KNOBS.map(|(name, text, place)| (open(name), text, place));
        let mut kept = vec![(lifeline, LIFELINE)];
        for (knob, _, place) in &opened {
            kept.extend(knob.iter().map(|knob| (knob.as_fd(), *place)));
        }
        sys::descriptor::place(&kept)?;
        let there = opened.each_ref().map(|(knob, ..)| knob.is_some());
        // Closed by number.
        std::mem::forget(opened);
        sys::program::close_from(CLOSE_FROM)?;
        let mut knobs = Vec::new();
        for ((_, text, place), there) in KNOBS.into_iter().zip(there) {
            let knob = sys::descriptor::inherited(place);
            // What is there without being ours is a stream of the command's, which is closed here.
            if let (Ok(knob), true) = (knob, there) {
                knobs.push((File::from(knob), text));
            }
        }
        let lifeline = sys::descriptor::inherited(LIFELINE)?;
        let children = sys::signal::ends_of_children()?;
        caps::set(Capabilities::of(&[number::KILL]))?;
        sys::credentials::set_no_new_privileges()?;
        Ok(Self {
            command,
            lifeline,
            knobs,
            children,
        })
    }

    fn stay(&mut self) -> Option<Ended> {
        let mut ended = None;
        while !self.reap_ended(&mut ended) {
            let watched = [
                (self.children.as_fd(), Interest::Read),
                (self.lifeline.as_fd(), Interest::Read),
            ];
            match sys::poll::wait(&watched, None) {
                // Nothing is ever written to the lifeline.
                Ok(ready) if ready.iter().any(|ready| ready.token == 1) => break,
                Ok(_) => while sys::signal::has_come(&self.children) {},
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
