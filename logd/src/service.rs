//! The loop: what PID 1 asks, and what the pipes hold.

use crate::peek::Peek;
use crate::query::Queries;
use crate::record::StreamKind;
use crate::stream::{Stream, Visit, note};
use crate::unit_log::UnitLog;
use control::log::{LogReply, LogRequest};
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use sys::clock::since_boot_ms;
use sys::epoll::{Epoll, Interest};
use unit::UnitName;

/// PID 1, where it speaks to us.
const CONTROL: i32 = 3;
const CONTROL_TOKEN: u64 = 0;
/// A request: names and a query.
const REQUEST_BYTES_MAX: usize = 64 << 10;
/// Lines older than this are on the disk even when the power is cut.
const SYNC_EVERY_MS: u64 = 5_000;
/// For units that only have notes.
const DEFAULT_MAX_SIZE: u64 = 16 << 20;
const DEFAULT_MAX_FILES: u32 = 4;

/// Everything logd knows.
#[derive(Debug)]
pub(crate) struct Service {
    folder: PathBuf,
    control: Arc<OwnedFd>,
    epoll: Epoll,
    peek: Peek,
    logs: BTreeMap<UnitName, UnitLog>,
    streams: HashMap<u64, (UnitName, Stream)>,
    next_token: u64,
    queries: Queries,
    sync_at: Option<u64>,
}

impl Service {
    pub(crate) fn new(folder: &Path) -> io::Result<Self> {
        let control = Arc::new(sys::descriptor::inherited(CONTROL)?);
        let epoll = Epoll::new()?;
        epoll.add(&*control, Interest::Read, CONTROL_TOKEN)?;
        let queries = Queries::new(folder, Arc::clone(&control));
        Ok(Self {
            folder: folder.to_owned(),
            control,
            epoll,
            peek: Peek::new()?,
            logs: BTreeMap::new(),
            streams: HashMap::new(),
            next_token: CONTROL_TOKEN,
            queries,
            sync_at: None,
        })
    }

    /// Until PID 1 closes its end.
    pub(crate) fn run(mut self) -> io::Result<()> {
        self.say(&LogReply::Ready);
        loop {
            let timeout = self
                .next_deadline()
                .map(|at| at.saturating_sub(since_boot_ms()));
            for ready in self.epoll.wait(timeout)? {
                if ready.token != CONTROL_TOKEN {
                    self.visit(ready.token);
                } else if !self.requests()? {
                    self.flush();
                    return Ok(());
                }
            }
            self.timeouts();
        }
    }

    fn next_deadline(&self) -> Option<u64> {
        self.streams
            .values()
            .filter_map(|(_, stream)| stream.flush_at)
            .chain(self.sync_at)
            .min()
    }

    fn timeouts(&mut self) {
        let now = since_boot_ms();
        let due: Vec<u64> = self
            .streams
            .iter()
            .filter(|(_, (_, stream))| stream.flush_at.is_some_and(|at| at <= now))
            .map(|(token, _)| *token)
            .collect();
        for token in due {
            self.visit(token);
        }
        if self.sync_at.is_some_and(|at| at <= now) {
            self.sync();
        }
    }

    /// One request, if there is one. False: PID 1 has closed its end.
    fn requests(&mut self) -> io::Result<bool> {
        let mut buffer = vec![0; REQUEST_BYTES_MAX];
        let (bytes, descriptors) = sys::socket::receive(self.control.as_fd(), &mut buffer)?;
        if bytes == 0 {
            return Ok(false);
        }
        match serde_json::from_slice(buffer.get(..bytes).unwrap_or_default()) {
            Ok(request) => self.request(request, descriptors),
            Err(error) => log::error!("PID 1: not a message: {error}"),
        }
        Ok(true)
    }

    fn request(&mut self, request: LogRequest, descriptors: Vec<OwnedFd>) {
        match request {
            LogRequest::Keep {
                unit,
                run,
                max_size,
                max_files,
            } => {
                let log = self.log(&unit);
                (log.max_size, log.max_files) = (max_size, max_files);
                let kinds = [StreamKind::Stdout, StreamKind::Stderr];
                for (pipe, kind) in descriptors.into_iter().zip(kinds) {
                    if let Err(error) = self.keep(&unit, run, kind, pipe) {
                        log::error!("{unit}: its {} can't be read: {error}", kind.name());
                    }
                }
            }
            LogRequest::Note { unit, run, message } => {
                // What the run itself wrote before comes first.
                self.visit_run(run);
                if let Err(error) = note(self.log(&unit), run, &message) {
                    log::error!("{unit}: {message}: {error}");
                }
                self.written();
            }
            LogRequest::Query { id, query } => match descriptors.into_iter().next() {
                Some(output) => {
                    self.visit_all();
                    self.queries.start(id, query, File::from(output));
                }
                None => self.say(&LogReply::QueryDone {
                    id,
                    error: Some("no descriptor to write to".into()),
                }),
            },
            LogRequest::Cancel { id } => self.queries.cancel(id),
            LogRequest::Flush => {
                self.flush();
                self.say(&LogReply::Flushed);
            }
        }
    }

    fn keep(
        &mut self,
        unit: &UnitName,
        run: u64,
        kind: StreamKind,
        pipe: OwnedFd,
    ) -> io::Result<()> {
        self.next_token += 1;
        let token = self.next_token;
        // Level-triggered would wake us for ever for a line that waits for its end.
        self.epoll.add(&pipe, Interest::Edges, token)?;
        let stream = Stream {
            pipe: File::from(pipe),
            kind,
            run,
            flush_at: None,
            ended: false,
        };
        self.streams.insert(token, (unit.clone(), stream));
        self.visit(token);
        Ok(())
    }

    fn log(&mut self, unit: &UnitName) -> &mut UnitLog {
        let folder = self.folder.join(unit.as_str());
        self.logs
            .entry(unit.clone())
            .or_insert_with(|| UnitLog::new(folder, DEFAULT_MAX_SIZE, DEFAULT_MAX_FILES))
    }

    fn visit(&mut self, token: u64) {
        let Some((unit, stream)) = self.streams.get_mut(&token) else {
            return;
        };
        let Some(log) = self.logs.get_mut(unit) else {
            return;
        };
        match stream.visit(&mut self.peek, log, since_boot_ms()) {
            Visit::Kept => self.written(),
            Visit::Nothing => {}
            Visit::End => {
                self.written();
                self.ended(token);
            }
        }
    }

    fn visit_run(&mut self, run: u64) {
        let tokens: Vec<u64> = self
            .streams
            .iter()
            .filter(|(_, (_, stream))| stream.run == run)
            .map(|(token, _)| *token)
            .collect();
        for token in tokens {
            self.visit(token);
        }
    }

    fn visit_all(&mut self) {
        let tokens: Vec<u64> = self.streams.keys().copied().collect();
        for token in tokens {
            self.visit(token);
        }
    }

    /// The pipe is at its end; when both of its run are, PID 1 may forget them.
    fn ended(&mut self, token: u64) {
        let Some((unit, stream)) = self.streams.remove(&token) else {
            return;
        };
        let _ = self.epoll.remove(&stream.pipe);
        if !self
            .streams
            .values()
            .any(|(_, other)| other.run == stream.run)
        {
            self.say(&LogReply::Drained {
                unit,
                run: stream.run,
            });
        }
    }

    /// Followers look again, and the disk gets it within [`SYNC_EVERY_MS`].
    fn written(&mut self) {
        self.sync_at
            .get_or_insert(since_boot_ms().saturating_add(SYNC_EVERY_MS));
        self.queries.wake();
    }

    fn sync(&mut self) {
        self.sync_at = None;
        for (unit, log) in &mut self.logs {
            if let Err(error) = log.sync() {
                log::error!("{unit}: {error}");
            }
        }
    }

    fn flush(&mut self) {
        self.visit_all();
        self.sync();
    }

    fn say(&self, reply: &LogReply) {
        say(&self.control, reply);
    }
}

/// Tell PID 1; a PID 1 that has closed its end needs no answer.
pub(crate) fn say(control: &OwnedFd, reply: &LogReply) {
    if let Ok(bytes) = serde_json::to_vec(reply)
        && let Err(error) = sys::socket::send(control.as_fd(), &bytes, &[])
    {
        log::warn!("PID 1: {error}");
    }
}
