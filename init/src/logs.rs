//! What containers write: PID 1 makes the pipes and lends their read ends to `logd`.
//!
//! PID 1 never reads them. It keeps its copies until logd says that both are at their end and written, so a logd that
//! dies takes no line with it, and no container gets SIGPIPE.

use crate::limits;
use crate::machine::Machine;
use crate::source::HelperKind;
use control::log::{LogReply, LogRequest};
use control::reply::Reply;
use control::request::LogsRequest;
use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use unit::{Logging, UnitName};

/// Read ends of the pipes of runs, by run.
#[derive(Debug, Default)]
pub(crate) struct Logs {
    pipes: BTreeMap<u64, Pipes>,
    /// Queries that logd has not answered: (connection) → what was asked.
    queries: BTreeMap<u64, (LogsRequest, OwnedFd)>,
    pub flushed: bool,
}

#[derive(Debug)]
struct Pipes {
    unit: UnitName,
    logging: Logging,
    stdout: OwnedFd,
    stderr: OwnedFd,
}

impl Machine {
    /// Lend the pipes of a new run.
    pub(crate) fn keep_output(
        &mut self,
        run: u64,
        unit: UnitName,
        logging: Logging,
        stdout: OwnedFd,
        stderr: OwnedFd,
    ) {
        let pipes = Pipes {
            unit,
            logging,
            stdout,
            stderr,
        };
        let request = keep(run, &pipes);
        self.tell_logd(&request, &[pipes.stdout.as_fd(), pipes.stderr.as_fd()]);
        self.logs.pipes.insert(run, pipes);
        if self.logs.pipes.len() > limits::ENDED_PIPES_MAX.saturating_add(self.set.len()) {
            let ended = self
                .logs
                .pipes
                .keys()
                .find(|run| !self.runs.contains_key(run))
                .copied();
            if let Some(pipes) = ended.and_then(|run| self.logs.pipes.remove(&run)) {
                log::error!(
                    "{}: output of an ended run is given up: logd has not written it for too long",
                    pipes.unit
                );
            }
        }
    }

    /// A line of the system's own among a unit's output.
    pub(crate) fn note(&mut self, unit: &UnitName, run: u64, message: String) {
        self.tell_logd(
            &LogRequest::Note {
                unit: unit.clone(),
                run,
                message,
            },
            &[],
        );
    }

    /// A new logd: all pipes again, and the queries that its predecessor left open.
    pub(crate) fn brief_logd(&mut self) {
        let mut messages = Vec::new();
        for (run, pipes) in &self.logs.pipes {
            if let (Ok(stdout), Ok(stderr)) = (pipes.stdout.try_clone(), pipes.stderr.try_clone()) {
                messages.push((keep(*run, pipes), vec![stdout, stderr]));
            }
        }
        for (id, (query, output)) in &self.logs.queries {
            // From its start again would repeat lines: a follower goes on from now, anything else has failed.
            if let Ok(output) = output.try_clone() {
                let query = LogsRequest {
                    tail: Some(0),
                    ..query.clone()
                };
                messages.push((LogRequest::Query { id: *id, query }, vec![output]));
            }
        }
        for (message, owned) in messages {
            let descriptors: Vec<BorrowedFd<'_>> = owned.iter().map(AsFd::as_fd).collect();
            self.tell_logd(&message, &descriptors);
        }
    }

    pub(crate) fn query_logs(&mut self, connection: u64, query: LogsRequest, output: OwnedFd) {
        self.tell_logd(
            &LogRequest::Query {
                id: connection,
                query: query.clone(),
            },
            &[output.as_fd()],
        );
        self.logs.queries.insert(connection, (query, output));
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
            Ok(LogReply::Drained { run, .. }) => {
                self.logs.pipes.remove(&run);
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

fn keep(run: u64, pipes: &Pipes) -> LogRequest {
    LogRequest::Keep {
        unit: pipes.unit.clone(),
        run,
        max_size: pipes.logging.max_size,
        max_files: pipes.logging.max_files,
    }
}
