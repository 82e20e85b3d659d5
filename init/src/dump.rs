//! `keelctl trace --dump`: the last decisions, and the state from which they were made, for `sim --replay`.
//!
//! ```text
//! boot's set ── or ── base ········ base ········ now          every BASE_TURNS turns the state is kept, as JSON
//!                       └ entries of the journal ──┘            the older of two goes as far back as the journal may
//! ```
//!
//! The journal is a ring, so the older base may be further back than it reaches, for a while: then the newer one counts.

use crate::aside::Purpose;
use crate::carried;
use crate::connection::Waits;
use crate::machine::Machine;
use crate::source::Source;
use control::reply::Reply;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use supervisor::{Entry, JOURNAL_ENTRIES_MAX, Supervisor};
use sys::clock::since_boot_ms;
use sys::epoll::Interest;

/// Half of what the journal holds, so that one of two bases is always within it.
const BASE_TURNS: u64 = JOURNAL_ENTRIES_MAX as u64 / 2;

/// While very much happens, keeping bases would be the most of the work.
const BASE_INTERVAL_MS: u64 = 1_000;

/// States of some turns ago; about 3 KiB for each unit.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Recorder {
    /// Older, newer.
    bases: [Option<Base>; 2],
    kept_at_ms: u64,
    /// The state before the first turn can't be made from the present set any more.
    changed: bool,
    /// What was decided before this turn can't be decided again.
    #[serde(default)]
    since_turn: u64,
    dumps: BTreeMap<u64, Dump>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Base {
    turn: u64,
    #[serde(with = "carried::bytes")]
    state: Vec<u8>,
}

/// On its way to a client.
#[derive(Debug, Serialize, Deserialize)]
struct Dump {
    #[serde(with = "carried")]
    pipe: File,
    token: u64,
    #[serde(with = "carried::bytes")]
    text: Vec<u8>,
    written: usize,
}

impl Machine {
    /// To be called before the loop sleeps.
    pub(crate) fn keep_base(&mut self) {
        let turns = self.supervisor.turns();
        let [_, newer] = &self.recorder.bases;
        let last = newer.as_ref().map_or(0, |base| base.turn);
        let now = since_boot_ms();
        let due = turns.saturating_sub(last) >= BASE_TURNS
            && now.saturating_sub(self.recorder.kept_at_ms) >= BASE_INTERVAL_MS;
        if due && !self.base_is_being_kept() {
            self.keep_base_now();
        }
    }

    /// Another set was applied: what was decided before can't be decided again without the old one.
    pub(crate) fn forget_bases(&mut self) {
        self.recorder.bases = [None, None];
        self.recorder.changed = true;
        self.recorder.since_turn = self.supervisor.turns();
        self.keep_base_now();
    }

    /// Aside: of many units it is a long text.
    fn keep_base_now(&mut self) {
        self.recorder.kept_at_ms = since_boot_ms();
        let turn = self.supervisor.turns();
        self.aside(Purpose::Base { turn }, |it| {
            Ok(it.supervisor.snapshot(serde_json::to_vec)?)
        });
    }

    pub(crate) fn base_kept(&mut self, turn: u64, state: Vec<u8>) {
        // Another set has been applied meanwhile.
        if turn < self.recorder.since_turn {
            return;
        }
        let [older, newer] = &mut self.recorder.bases;
        *older = newer.replace(Base { turn, state });
    }

    pub(crate) fn dump(&mut self, connection: u64, pipe: OwnedFd) {
        self.aside(Purpose::Dump { connection, pipe }, Self::dump_text);
    }

    /// As the client takes it.
    pub(crate) fn send_dump(&mut self, connection: u64, pipe: OwnedFd, text: Vec<u8>) {
        if !self.connections.contains_key(&connection) {
            return;
        }
        let watched = sys::descriptor::set_nonblocking(pipe.as_fd(), true).and_then(|()| {
            let source = Source::Dump { connection };
            self.registry.watch(&pipe, Interest::Write, source)
        });
        match watched {
            Ok(token) => {
                self.wait(connection, Waits::Dump);
                let dump = Dump {
                    pipe: File::from(pipe),
                    token,
                    text,
                    written: 0,
                };
                self.recorder.dumps.insert(connection, dump);
            }
            Err(error) => {
                let message = format!("trace: {error}");
                self.reply_last(connection, &Reply::Failed { message });
            }
        }
    }

    /// As [`supervisor::Dump`], piece by piece.
    fn dump_text(&mut self) -> io::Result<Vec<u8>> {
        let present = self.supervisor.snapshot(serde_json::to_vec)?;
        let bases = self.recorder.bases.iter().flatten();
        let reaching = bases
            .map(|base| (base.turn, base.state.as_slice()))
            .find_map(|(turn, state)| Some((state, self.supervisor.entries_since(turn)?)));
        let first;
        let (base, entries): (&[u8], Vec<&Entry>) = match reaching {
            Some((state, entries)) => (state, entries.collect()),
            None if self.recorder.changed => (&present, Vec::new()),
            None => match self.supervisor.entries_since(0) {
                Some(entries) => {
                    first = serde_json::to_vec(&self.first_state())?;
                    (&first, entries.collect())
                }
                None => (&present, Vec::new()),
            },
        };
        let mut text = Vec::new();
        write!(
            text,
            "{{\"release\":\"{}\",\"base\":",
            env!("CARGO_PKG_VERSION")
        )?;
        text.extend_from_slice(base);
        text.extend_from_slice(b",\"entries\":");
        serde_json::to_writer(&mut text, &entries)?;
        text.extend_from_slice(b",\"present\":");
        text.extend_from_slice(&present);
        text.extend_from_slice(b"}\n");
        Ok(text)
    }

    /// As [`Machine::run`] has begun.
    fn first_state(&self) -> Supervisor {
        let mut first = Supervisor::new(self.units.set());
        first.set_machine_seed(self.machine_seed());
        first
    }

    pub(crate) fn dump_ready(&mut self, connection: u64) {
        let Some(dump) = self.recorder.dumps.get_mut(&connection) else {
            return;
        };
        let ended = loop {
            match dump.text.get(dump.written..).filter(|it| !it.is_empty()) {
                None => break Ok(()),
                Some(rest) => match dump.pipe.write(rest) {
                    Ok(bytes) => dump.written = dump.written.saturating_add(bytes),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => break Err(error),
                },
            }
        };
        self.cancel_dump(connection);
        let reply = match ended {
            Ok(()) => Reply::Done,
            Err(error) => Reply::Failed {
                message: format!("trace: {error}"),
            },
        };
        self.wait(connection, Waits::Nothing);
        self.reply_last(connection, &reply);
    }

    pub(crate) fn cancel_dump(&mut self, connection: u64) {
        if let Some(dump) = self.recorder.dumps.remove(&connection) {
            self.registry.unwatch(&dump.pipe, dump.token);
        }
    }
}
