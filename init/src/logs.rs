//! What containers write: PID 1 makes the pipes and lends their read ends to `logd`.
//!
//! PID 1 never reads them. It keeps its copies until logd says that both are at their end and written, so a logd that
//! dies takes no line with it, and no container gets SIGPIPE. In the same way it keeps what clients have asked, where the
//! lines go, and how far logd has come, so that the next logd goes on.

use crate::carried;
use crate::limits;
use crate::machine::Machine;
use crate::source::HelperKind;
use control::log::{LogReply, LogRequest};
use control::reply::Reply;
use control::request::LogsRequest;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use supervisor::RunId;
use unit::{Logging, UnitName};

/// Read ends of the pipes of runs and steps, by number of the pair.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Logs {
    pipes: BTreeMap<u64, Pipes>,
    /// Those that logd has not answered, by connection.
    queries: BTreeMap<u64, Query>,
    /// For a logd that is not there.
    #[serde(default)]
    notes: VecDeque<LogRequest>,
    pub flushed: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Pipes {
    pub unit: UnitName,
    pub run: u64,
    pub logging: Logging,
    /// What readiness waits for, until it has been seen.
    pub pattern: Option<String>,
    #[serde(with = "carried")]
    pub stdout: OwnedFd,
    #[serde(with = "carried")]
    pub stderr: OwnedFd,
}

/// What was asked, and where the lines go.
#[derive(Debug, Serialize, Deserialize)]
struct Query {
    query: LogsRequest,
    #[serde(with = "carried")]
    output: OwnedFd,
    /// How far logd has come with it: empty as long as it has not begun. See [`LogRequest::Query`].
    #[serde(default, with = "carried")]
    bookmark: Option<OwnedFd>,
}

impl Query {
    fn has_begun(&self) -> bool {
        let length = |bookmark: OwnedFd| File::from(bookmark).metadata().map(|found| found.len());
        let bookmark = self.bookmark.as_ref().map(OwnedFd::try_clone);
        bookmark.is_some_and(|bookmark| bookmark.and_then(length).is_ok_and(|length| length > 0))
    }

    fn descriptors(&self) -> impl Iterator<Item = &OwnedFd> {
        std::iter::once(&self.output).chain(&self.bookmark)
    }
}

impl Logs {
    /// What a new logd is told, with copies of the descriptors.
    ///
    /// The queries that its predecessor has begun come first: their readers go on where they were before the first line is
    /// added or a file is turned over. Those that nobody has begun come after the pipes and the notes, whose lines they want
    /// to see.
    fn briefing(&mut self) -> Vec<(LogRequest, Vec<OwnedFd>)> {
        let notes = std::mem::take(&mut self.notes);
        let begun = self.queries.iter().filter(|(_, query)| query.has_begun());
        let others = self.queries.iter().filter(|(_, query)| !query.has_begun());
        let ask = |(id, query): (&u64, &Query)| {
            let copies = query.descriptors().map(OwnedFd::try_clone);
            let request = LogRequest::Query {
                id: *id,
                query: query.query.clone(),
            };
            Some((request, copies.collect::<Result<_, _>>().ok()?))
        };
        let lend = |(pair, pipes): (&u64, &Pipes)| {
            let copies = [&pipes.stdout, &pipes.stderr].map(OwnedFd::try_clone);
            let copies = copies.into_iter().collect::<Result<_, _>>().ok()?;
            Some((keep(*pair, pipes), copies))
        };
        begun
            .filter_map(ask)
            .chain(self.pipes.iter().filter_map(lend))
            .chain(notes.into_iter().map(|note| (note, Vec::new())))
            .chain(others.filter_map(ask))
            .collect()
    }
}

/// Of notes for a logd that is not there, the latest are kept.
fn keep_note(notes: &mut VecDeque<LogRequest>, note: LogRequest) {
    if notes.len() >= limits::NOTES_MAX {
        notes.pop_front();
    }
    notes.push_back(note);
}

impl Machine {
    /// Lend the pipes of a new run or step. `pair`: a number of [`Machine::id`].
    pub(crate) fn keep_output(&mut self, pair: u64, pipes: Pipes) {
        if pipes.pattern.is_some() {
            self.hasten_helper(HelperKind::Logd);
        }
        let request = keep(pair, &pipes);
        self.tell_logd(&request, &[pipes.stdout.as_fd(), pipes.stderr.as_fd()]);
        self.logs.pipes.insert(pair, pipes);
        if self.logs.pipes.len() > limits::ENDED_PIPES_MAX.saturating_add(self.units.set().len()) {
            let ended = |(pair, pipes): &(&u64, &Pipes)| {
                !self.runs.contains_key(&pipes.run) && !self.steps.contains_key(pair)
            };
            let ended = self.logs.pipes.iter().find(ended).map(|(pair, _)| *pair);
            if let Some(pipes) = ended.and_then(|pair| self.logs.pipes.remove(&pair)) {
                log::error!(
                    "{}: output of an ended run is given up: logd has not written it for too long",
                    pipes.unit
                );
            }
        }
    }

    /// A line of the system's own among a unit's output.
    pub(crate) fn note(&mut self, unit: &UnitName, run: u64, message: String) {
        let note = LogRequest::Note {
            unit: unit.clone(),
            run,
            message,
        };
        let mut helpers = self.helpers.iter();
        if helpers.any(|helper| helper.kind == HelperKind::Logd && helper.socket.is_some()) {
            self.tell_logd(&note, &[]);
        } else {
            keep_note(&mut self.logs.notes, note);
        }
    }

    /// A new logd: all pipes again, and the queries that its predecessor left open.
    pub(crate) fn brief_logd(&mut self) {
        for (message, owned) in self.logs.briefing() {
            let descriptors: Vec<BorrowedFd<'_>> = owned.iter().map(AsFd::as_fd).collect();
            self.tell_logd(&message, &descriptors);
        }
    }

    pub(crate) fn query_logs(&mut self, connection: u64, query: LogsRequest, output: OwnedFd) {
        let bookmark = match sys::memfd::open("bookmark") {
            Ok(bookmark) => bookmark,
            Err(error) => {
                let message = format!("bookmark of the reader: {error}");
                return self.reply_last(connection, &Reply::Failed { message });
            }
        };
        let request = LogRequest::Query {
            id: connection,
            query: query.clone(),
        };
        self.tell_logd(&request, &[output.as_fd(), bookmark.as_fd()]);
        let query = Query {
            query,
            output,
            bookmark: Some(bookmark),
        };
        self.logs.queries.insert(connection, query);
    }

    pub(crate) fn cancel_query(&mut self, connection: u64) {
        if self.logs.queries.remove(&connection).is_some() {
            self.tell_logd(&LogRequest::Cancel { id: connection }, &[]);
        }
    }

    pub(crate) fn tell_logd(&mut self, request: &LogRequest, descriptors: &[BorrowedFd<'_>]) {
        if let Ok(bytes) = serde_json::to_vec(request) {
            self.tell_helper(HelperKind::Logd, bytes, descriptors);
        }
    }

    pub(crate) fn logd_says(&mut self, bytes: &[u8]) {
        match serde_json::from_slice(bytes) {
            Ok(LogReply::Ready) => {}
            Ok(LogReply::Drained { pair, last_line }) => {
                self.logs.pipes.remove(&pair);
                self.step_drained(pair, last_line);
            }
            Ok(LogReply::Matched { pair }) => {
                if let Some(pipes) = self.logs.pipes.get_mut(&pair) {
                    pipes.pattern = None;
                    let run = RunId(pipes.run);
                    self.saw_readiness(run);
                }
            }
            Ok(LogReply::QueryDone { id, error }) => {
                self.logs.queries.remove(&id);
                let reply = error.map_or(Reply::Done, |message| Reply::Failed { message });
                self.reply_last(id, &reply);
            }
            Ok(LogReply::Flushed) => self.logs.flushed = true,
            Err(error) => log::error!("logd: not a message: {error}"),
        }
    }
}

fn keep(pair: u64, pipes: &Pipes) -> LogRequest {
    LogRequest::Keep {
        unit: pipes.unit.clone(),
        run: pipes.run,
        pair,
        max_size: pipes.logging.max_size,
        max_files: pipes.logging.max_files,
        pattern: pipes.pattern.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_new_logd_is_asked_what_was_asked_and_goes_on_first() {
        let open = || sys::memfd::open("test").unwrap();
        let asked = LogsRequest {
            units: vec!["web".to_owned()],
            ..LogsRequest::default()
        };
        let mut logs = Logs::default();
        for (id, begun) in [(1, false), (2, true)] {
            let mut bookmark = File::from(open());
            if begun {
                bookmark.write_all(b"-").unwrap();
            }
            let query = Query {
                query: asked.clone(),
                output: open(),
                bookmark: Some(bookmark.into()),
            };
            logs.queries.insert(id, query);
        }
        let pipes = Pipes {
            unit: UnitName::new("web").unwrap(),
            run: 7,
            logging: Logging {
                max_size: 1 << 20,
                max_files: 2,
            },
            pattern: None,
            stdout: open(),
            stderr: open(),
        };
        let lent = keep(3, &pipes);
        logs.pipes.insert(3, pipes);
        let note = |number: usize| LogRequest::Note {
            unit: UnitName::new("web").unwrap(),
            run: 7,
            message: number.to_string(),
        };
        for number in 0..=limits::NOTES_MAX {
            keep_note(&mut logs.notes, note(number));
        }
        let (requests, descriptors): (Vec<_>, Vec<_>) = logs.briefing().into_iter().unzip();
        let query = |id| LogRequest::Query {
            id,
            query: asked.clone(),
        };
        let notes = (1..=limits::NOTES_MAX).map(note);
        let expected = [query(2), lent].into_iter().chain(notes).chain([query(1)]);
        assert_eq!(requests, expected.collect::<Vec<_>>());
        let lent = |copies: &&Vec<OwnedFd>| copies.len() == 2;
        assert_eq!(descriptors.iter().filter(lent).count(), 3);
        assert!(logs.notes.is_empty());
    }
}
