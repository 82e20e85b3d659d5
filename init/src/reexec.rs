//! PID 1 executes itself anew, and nobody notices.
//!
//! ```text
//! request ─▶ handover ─▶ child: init --check-handover ── can't read it ──▶ refused, nothing has happened
//!                                   │ can
//!            handover, as it is by then ─▶ execve(2) init --take-over N ─▶ the loop goes on ─▶ Done
//! ```
//!
//! All that is known is handed over (`handover`), and every descriptor stays open under its number (`carried`): pidfds, the
//! pipes of containers, network namespaces, the sockets of helpers and of clients, the epoll set with its entries. Children
//! stay children; who ends during the execve(2) waits to be reaped, and its signal, which is blocked, waits as well.
//! Helpers, execs, followers of logs and jobs go on with the new program.

use crate::connection::Waits;
use crate::console;
use crate::handover;
use crate::limits;
use crate::machine::Machine;
use crate::shutdown::End;
use crate::source::{ChildKind, Source};
use control::reply::Reply;
use nix::libc::SIGKILL;
use serde::{Deserialize, Serialize};
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStringExt;
use supervisor::{Event, Supervisor, Ticket};
use sys::clock::since_boot_ms;
use sys::clone::{Child, Spawn, spawn};
use sys::epoll::Interest;
use sys::pidfd::Ended;

const PROGRAM: &CStr = c"/usr/lib/keelson/bin/init";

/// What is known of a re-execution that somebody has asked for.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Reexec {
    /// Connections.
    waiting: Vec<u64>,
    begun_ms: u64,
    /// Never while there is another program.
    #[serde(skip)]
    check: Option<Check>,
    #[serde(skip)]
    due: bool,
    /// So many there were in this boot.
    count: u64,
}

#[derive(Debug)]
struct Check {
    child: Child,
    errors: File,
    until_ms: u64,
    /// It was killed because it took too long.
    late: bool,
}

impl Reexec {
    pub(crate) fn deadline(&self) -> Option<u64> {
        let check = self.check.as_ref().filter(|check| !check.late);
        check.map(|check| check.until_ms)
    }
}

impl Machine {
    pub(crate) fn ask_for_reexec(&mut self, id: u64) {
        self.wait(id, Waits::Reexec);
        self.reexec.waiting.push(id);
        if self.reexec.check.is_some() || self.reexec.due {
            return;
        }
        self.reexec.begun_ms = since_boot_ms();
        match self.start_check() {
            Ok(check) => {
                self.children.insert(check.child.pid, ChildKind::Check);
                self.reexec.check = Some(check);
            }
            Err(error) => self.refuse_reexec(&error),
        }
    }

    fn start_check(&self) -> Result<Check, String> {
        let (file, _) = handover::write(self)?;
        let failed = |error: io::Error| format!("check: {error}");
        let (errors, theirs) = io::pipe().map_err(failed)?;
        let child = spawn(&Spawn {
            namespaces: 0,
            cgroup: None,
            program: PROGRAM,
            arguments: &[c"init", &word(handover::CHECK)],
            environment: &[],
            descriptors: &[
                (self.null.as_fd(), 0),
                (self.null.as_fd(), 1),
                (theirs.as_fd(), 2),
                (file.as_fd(), handover::CHECKED),
            ],
        });
        Ok(Check {
            child: child.map_err(failed)?,
            errors: File::from(OwnedFd::from(errors)),
            until_ms: since_boot_ms().saturating_add(limits::HANDOVER_CHECK_MS),
            late: false,
        })
    }

    pub(crate) fn reexec_timeout(&mut self, now: u64) {
        if let Some(check) = &mut self.reexec.check
            && check.until_ms <= now
            && !check.late
        {
            check.late = true;
            let _ = sys::pidfd::signal(check.child.pidfd.as_fd(), SIGKILL);
        }
    }

    pub(crate) fn handover_checked(&mut self, ended: Ended) {
        let Some(check) = self.reexec.check.take() else {
            return;
        };
        if ended == Ended::Code(0) {
            self.reexec.due = true;
            return;
        }
        let mut said = String::new();
        // It has ended: what it said is in the pipe, and nobody else can write to it.
        let limit = limits::HANDOVER_ERROR_BYTES_MAX;
        let _ = check.errors.take(limit).read_to_string(&mut said);
        let why = match (said.trim(), ended) {
            _ if check.late => format!(
                "it has not read the handover in {} s",
                limits::HANDOVER_CHECK_MS / 1000
            ),
            ("", Ended::Code(code)) => format!("it exited with status {code}"),
            ("", Ended::Signal(signal)) => {
                format!("it was killed by {}", unit::signal::display(signal))
            }
            (said, _) => said.to_owned(),
        };
        self.refuse_reexec(&format!(
            "{} can't go on where the running PID 1 is: {why}",
            PROGRAM.to_string_lossy()
        ));
    }

    /// The running program stays.
    fn refuse_reexec(&mut self, why: &str) {
        self.reexec.due = false;
        let message = format!("PID 1 was not re-executed, and goes on as it is: {why}");
        console::warn(&message);
        for id in std::mem::take(&mut self.reexec.waiting) {
            let message = message.clone();
            self.reply_last(id, &Reply::Failed { message });
        }
    }

    /// Comes back only when it is not due, or has failed.
    pub(crate) fn reexecute_if_due(&mut self) {
        if !self.reexec.due {
            return;
        }
        if self.ending.is_some() {
            return self.refuse_reexec("the machine is going down");
        }
        match handover::write(self) {
            Ok((file, mut numbers)) => {
                numbers.push(file.as_raw_fd());
                let error = become_next(file.as_fd(), &numbers);
                self.refuse_reexec(&error);
            }
            Err(error) => self.refuse_reexec(&error),
        }
    }

    /// The new program has everything.
    ///
    /// # Errors
    /// When the kernel refuses to wait.
    pub(crate) fn go_on(mut self) -> io::Result<End> {
        self.registry.forget(Source::Signals);
        self.registry
            .watch(&self.signals, Interest::Read, Source::Signals)?;
        self.registry.forget(Source::Clock);
        self.resume_timers()?;
        self.withdraw_orphans();
        // Whatever its version says: two builds of one version may differ.
        let units = &self.units;
        if self
            .supervisor
            .recompute_fingerprints(|unit| units.get(unit))
        {
            // It is no decision of the journal, from which what came before could be lived through again.
            self.forget_bases();
        }
        self.reexec.count = self.reexec.count.saturating_add(1);
        let took = since_boot_ms().saturating_sub(self.reexec.begun_ms);
        console::say(format_args!(
            "PID 1 re-executed in {took} ms, {} so far in this boot",
            self.reexec.count
        ));
        for id in std::mem::take(&mut self.reexec.waiting) {
            self.reply_last(id, &Reply::Done);
        }
        self.serve()
    }

    fn withdraw_orphans(&mut self) {
        let known = |id: u64| self.connections.contains_key(&id);
        for ticket in orphans(&self.supervisor, known) {
            self.event(Event::Withdrawn { ticket });
        }
    }
}

/// The requests of connections that were closed while nobody told the supervisor, as programs before this one did.
fn orphans(supervisor: &Supervisor, connections: impl Fn(u64) -> bool) -> Vec<Ticket> {
    let tickets = supervisor.waiting_tickets();
    tickets.filter(|ticket| !connections(ticket.0)).collect()
}

/// execve(2) with these descriptors open; comes back only with the reason why not, and with all of them as before.
fn become_next(file: BorrowedFd<'_>, numbers: &[RawFd]) -> String {
    if let Err(error) = sys::descriptor::keep_open(numbers, true) {
        let _ = sys::descriptor::keep_open(numbers, false);
        return format!("descriptors: {error}");
    }
    let arguments = [
        c"init".to_owned(),
        word(handover::TAKE_OVER),
        word(&file.as_raw_fd().to_string()),
    ];
    let environment: Vec<CString> = std::env::vars_os()
        .filter_map(|(mut name, value)| {
            name.push("=");
            name.push(value);
            CString::new(name.into_vec()).ok()
        })
        .collect();
    let error = sys::program::execute(PROGRAM, &arguments, &environment);
    let _ = sys::descriptor::keep_open(numbers, false);
    format!("{}: {error}", PROGRAM.to_string_lossy())
}

fn word(text: &str) -> CString {
    CString::new(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use supervisor::{Timestamp, UnitId};
    use unit::{Source as File, load_sources};

    #[test]
    fn requests_whose_connections_are_gone_are_found() {
        let file = "web.container.toml".to_owned();
        let text = "[container]\nimage = \"x\"\n".to_owned();
        let set = load_sources(vec![File { file, text }]).set;
        let mut supervisor = Supervisor::new(&set);
        for ticket in [7, 8, 9].map(|id| Some(Ticket(id))) {
            let units = vec![UnitId(1)];
            let start = Event::Start { units, ticket };
            supervisor.handle(Timestamp(0), start, &mut Vec::new());
        }
        let gone = orphans(&supervisor, |id| id == 8);
        assert_eq!(gone, [Ticket(7), Ticket(9)]);
    }
}
