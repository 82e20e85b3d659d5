//! One pipe of a run: looked at, kept, taken.

use crate::line_splitter::{Rest, split};
use crate::peek::{Content, Peek, take};
use crate::record::{Record, StreamKind};
use crate::unit_log::UnitLog;
use crate::watch::{Look, Watch};
use std::fs::File;
use std::io;

/// A line without its end (a prompt) is kept after so long.
pub(crate) const PARTIAL_WAIT_MS: u64 = 500;

/// One read end that PID 1 lent us.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) pipe: File,
    pub(crate) kind: StreamKind,
    pub(crate) run: u64,
    pub(crate) pair: u64,
    /// Beginning of the last line that is not empty.
    pub(crate) last_line: Vec<u8>,
    /// The same of the pair's other stream, when that has ended.
    pub(crate) others_last_line: Vec<u8>,
    /// When the beginning of a line that waits for its end is kept as it is, milliseconds since boot.
    pub(crate) flush_at: Option<u64>,
    pub(crate) ended: bool,
}

/// Looks of one visit, after which the others have their turn. The first takes every line that was in the pipe when it came
/// (a pipe holds no more than is looked at, unless its container has enlarged it), the second sees what is left.
pub(crate) const ROUNDS_MAX: usize = 2;

/// Bytes of a last line that are kept: a screen's width or two.
const LAST_LINE_BYTES_MAX: usize = 512;

/// What a visit found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Visit {
    /// Lines were kept, and the pipe was seen without another.
    Kept,
    /// Lines were kept, and there may be more: nothing but another visit tells, for a change of the pipe is told once.
    More,
    Nothing,
    End,
}

impl Stream {
    /// Of a pair whose other stream has ended before: its last line.
    pub(crate) fn last_line_of_pair(&self) -> Option<String> {
        let (own, other) = (&self.last_line, &self.others_last_line);
        let order = match self.kind {
            StreamKind::Stderr => [own, other],
            StreamKind::Stdout | StreamKind::System => [other, own],
        };
        let line = order.into_iter().find(|line| !line.is_empty())?;
        Some(String::from_utf8_lossy(line).into_owned())
    }

    /// Keep what is ready, at most [`ROUNDS_MAX`] pipes full of it: a container that writes without end must not keep the
    /// others waiting. `watch` goes when it has found what it looks for.
    pub(crate) fn visit(
        &mut self,
        peek: &mut Peek,
        log: &mut UnitLog,
        watch: &mut Option<Watch>,
        now_ms: u64,
    ) -> Visit {
        let mut found = Visit::Nothing;
        for _ in 0..ROUNDS_MAX {
            match peek.look(&self.pipe) {
                Ok(Content::Bytes(content)) => {
                    // What was at the front when the last look came back empty-handed has waited.
                    let rest = if self.flush_at.is_some_and(|at| at <= now_ms) {
                        Rest::Flush
                    } else {
                        Rest::Wait
                    };
                    let taken = self.keep(&content, rest, log, watch);
                    if taken == 0 {
                        self.flush_at
                            .get_or_insert(now_ms.saturating_add(PARTIAL_WAIT_MS));
                        return self.wait_or_end(&content, log, watch, found);
                    }
                    self.flush_at = None;
                    found = Visit::Kept;
                }
                Ok(Content::Empty) => return found,
                Ok(Content::End) => {
                    self.ended = true;
                    return Visit::End;
                }
                Err(error) => {
                    log::error!("run {}: {error}", self.run);
                    self.ended = true;
                    return Visit::End;
                }
            }
        }
        Visit::More
    }

    /// The front is the beginning of a line. When nobody can write any more it is a line.
    fn wait_or_end(
        &mut self,
        content: &[u8],
        log: &mut UnitLog,
        watch: &mut Option<Watch>,
        found: Visit,
    ) -> Visit {
        if !sys::poll::hung_up(&self.pipe) {
            return found;
        }
        self.keep(content, Rest::End, log, watch);
        self.flush_at = None;
        self.ended = true;
        Visit::End
    }

    /// Tell, write, then take. Returns the bytes taken.
    fn keep(
        &mut self,
        content: &[u8],
        rest: Rest,
        log: &mut UnitLog,
        watch: &mut Option<Watch>,
    ) -> usize {
        let (pieces, taken) = split(content, rest);
        if taken == 0 {
            return 0;
        }
        if watch
            .as_ref()
            .is_some_and(|watch| watch.look(&pieces) == Look::Found)
        {
            *watch = None;
        }
        let mut lines = pieces.iter().rev().map(|piece| piece.message);
        if let Some(line) = lines.find(|line| !line.trim_ascii().is_empty()) {
            let end = line.len().min(LAST_LINE_BYTES_MAX);
            self.last_line = line.get(..end).unwrap_or_default().to_vec();
        }
        let time_ms = sys::clock::wall_ms();
        let mut records = Vec::with_capacity(content.len() + pieces.len() * 24);
        if log.dropped > 0 {
            let message = format!(
                "{} lines were dropped: they could not be written",
                log.dropped
            );
            let message = message.as_bytes();
            Record {
                time_ms,
                run: self.run,
                stream: StreamKind::System,
                partial: false,
                message,
            }
            .write(&mut records);
        }
        for piece in &pieces {
            let (stream, partial, message) = (self.kind, piece.partial, piece.message);
            Record {
                time_ms,
                run: self.run,
                stream,
                partial,
                message,
            }
            .write(&mut records);
        }
        match log.append(&records) {
            Ok(()) => log.dropped = 0,
            Err(error) => {
                if log.dropped == 0 {
                    log::error!(
                        "log of run {} can't be written, lines are dropped: {error}",
                        self.run
                    );
                }
                log.dropped = log
                    .dropped
                    .saturating_add(u64::try_from(pieces.len()).unwrap_or(0));
            }
        }
        match take(&mut self.pipe, taken) {
            Ok(()) => taken,
            Err(error) => {
                log::error!("run {}: {error}", self.run);
                self.ended = true;
                taken
            }
        }
    }
}

/// A line of the system's own.
pub(crate) fn note(log: &mut UnitLog, run: u64, message: &str) -> io::Result<()> {
    let mut record = Vec::new();
    let time_ms = sys::clock::wall_ms();
    let message = message.replace('\n', " ");
    let message = message.as_bytes();
    Record {
        time_ms,
        run,
        stream: StreamKind::System,
        partial: false,
        message,
    }
    .write(&mut record);
    log.append(&record)
}
