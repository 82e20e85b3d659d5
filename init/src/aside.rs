//! What takes long and changes nothing is done aside: by a copy of this process (fork(2)), while PID 1 goes on answering.
//!
//! ```text
//! PID 1 ── fork ─▶ copy: sees the machine as it was, writes its answer into a memory file, ends
//!   └── goes on                       └── SIGCHLD ─▶ the answer is read, and used for its purpose
//! ```
//!
//! The copy does nothing but compute and read files: it performs no action, and no descriptor that it has is used by it but
//! its own answer. Where no copy can be made, PID 1 does the work itself.

use crate::carried;
use crate::change::{Checked, Chosen};
use crate::limits;
use crate::machine::Machine;
use crate::source::ChildKind;
use control::reply::Reply;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::OwnedFd;
use sys::clock::since_boot_ms;
use sys::pidfd::Ended;
use sys::program::Fork;

/// Under way, by number.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Aside {
    purpose: Purpose,
    pid: i32,
    /// When it is given up.
    pub(crate) until_ms: u64,
    #[serde(with = "carried")]
    answer: File,
}

/// What the answer is for.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Purpose {
    /// It is the last reply of a connection, as a frame.
    Reply { connection: u64 },
    /// Of unit files that may be taken over.
    Checked(Checked),
    /// Of the units under other choices.
    Chosen(Chosen),
    /// The supervisor's state at this turn.
    Base { turn: u64 },
    /// The text of a dump.
    Dump {
        connection: u64,
        #[serde(with = "carried")]
        pipe: OwnedFd,
    },
}

impl Machine {
    /// Have `work` done by a copy, and its answer used.
    pub(crate) fn aside(
        &mut self,
        purpose: Purpose,
        work: impl FnOnce(&mut Self) -> io::Result<Vec<u8>>,
    ) {
        let copy = sys::memfd::open("aside").and_then(|file| Ok((file, sys::program::fork()?)));
        match copy {
            Ok((file, Fork::Child)) => {
                let done = work(self).and_then(|answer| File::from(file).write_all(&answer));
                sys::program::exit_at_once(i32::from(done.is_err()))
            }
            Ok((file, Fork::Parent(child))) => {
                let id = self.id();
                self.children.insert(child.pid, ChildKind::Aside { id });
                let aside = Aside {
                    purpose,
                    pid: child.pid,
                    until_ms: since_boot_ms().saturating_add(limits::ASIDE_MS),
                    answer: File::from(file),
                };
                self.asides.insert(id, aside);
            }
            Err(error) => {
                log::warn!("no copy of PID 1 can be made: {error}; it does the work itself");
                let answer = work(self);
                self.answered(purpose, answer);
            }
        }
    }

    /// Answer a request with what is known: aside where there are so many units or more.
    pub(crate) fn reply_aside(
        &mut self,
        connection: u64,
        units_min: usize,
        reply: impl FnOnce(&Self) -> Reply,
    ) {
        if self.units.set().len() < units_min {
            let reply = reply(self);
            return self.reply_last(connection, &reply);
        }
        self.aside(Purpose::Reply { connection }, |it| {
            reply(it).frame().map_err(io::Error::other)
        });
    }

    pub(crate) fn aside_ended(&mut self, id: u64, ended: Ended) {
        let Some(Aside {
            purpose,
            mut answer,
            ..
        }) = self.asides.remove(&id)
        else {
            return;
        };
        let answer = match ended {
            Ended::Code(0) => {
                let mut bytes = Vec::new();
                let read = answer
                    .rewind()
                    .and_then(|()| answer.read_to_end(&mut bytes));
                read.map(|_| bytes)
            }
            Ended::Code(code) => Err(io::Error::other(format!("it exited with status {code}"))),
            Ended::Signal(signal) => Err(io::Error::other(format!(
                "it was killed by {}",
                unit::signal::display(signal)
            ))),
        };
        self.answered(purpose, answer);
    }

    /// A copy that waits in the kernel for a disk may not even end when it is killed; whoever waits for it is told, and
    /// others have their turn.
    pub(crate) fn aside_timeouts(&mut self, now: u64) {
        let late = self.asides.extract_if(.., |_, aside| aside.until_ms <= now);
        for (_, aside) in late.collect::<Vec<_>>() {
            crate::helpers::kill(aside.pid);
            let seconds = limits::ASIDE_MS / 1000;
            let error = format!("it was not done after {seconds} s: does a disk not answer?");
            self.answered(aside.purpose, Err(io::Error::other(error)));
        }
    }

    fn answered(&mut self, purpose: Purpose, answer: io::Result<Vec<u8>>) {
        let failed = |error: &io::Error| Reply::Failed {
            message: format!("a copy of PID 1 that was to work this out has failed: {error}"),
        };
        match (purpose, answer) {
            (Purpose::Reply { connection }, Ok(frame)) => self.reply_frame(connection, frame),
            (Purpose::Checked(checked), Ok(answer)) => self.checked(checked, &answer),
            (Purpose::Chosen(chosen), Ok(answer)) => self.chosen_loaded(chosen, &answer),
            (Purpose::Base { turn }, Ok(state)) => self.base_kept(turn, state),
            (Purpose::Dump { connection, pipe }, Ok(text)) => {
                self.send_dump(connection, pipe, text);
            }
            (Purpose::Base { .. }, Err(error)) => log::warn!("trace: {error}"),
            (
                Purpose::Reply { connection }
                | Purpose::Checked(Checked { connection, .. })
                | Purpose::Chosen(Chosen { connection, .. })
                | Purpose::Dump { connection, .. },
                Err(error),
            ) => self.reply_last(connection, &failed(&error)),
        }
    }

    /// Another set of units is being worked out.
    pub(crate) fn change_is_worked_out(&self) -> bool {
        self.asides.values().any(|aside| match aside.purpose {
            Purpose::Checked(_) | Purpose::Chosen(_) => true,
            Purpose::Reply { .. } | Purpose::Base { .. } | Purpose::Dump { .. } => false,
        })
    }

    pub(crate) fn base_is_being_kept(&self) -> bool {
        let mut all = self.asides.values();
        all.any(|aside| matches!(aside.purpose, Purpose::Base { .. }))
    }
}
