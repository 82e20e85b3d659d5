//! One pipe of a run: looked at, kept, taken.

use crate::line_splitter::{Rest, split};
use crate::peek::{Content, Peek, take};
use crate::record::{Record, StreamKind};
use crate::unit_log::UnitLog;
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
    /// When the beginning of a line that waits for its end is kept as it is, milliseconds since boot.
    pub(crate) flush_at: Option<u64>,
    pub(crate) ended: bool,
}

/// What a visit found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Visit {
    /// Lines were kept.
    Kept,
    Nothing,
    End,
}

impl Stream {
    /// Keep everything that is ready.
    pub(crate) fn visit(&mut self, peek: &mut Peek, log: &mut UnitLog, now_ms: u64) -> Visit {
        let mut found = Visit::Nothing;
        loop {
            match peek.look(&self.pipe) {
                Ok(Content::Bytes(content)) => {
                    // What was at the front when the last look came back empty-handed has waited.
                    let rest = if self.flush_at.is_some_and(|at| at <= now_ms) {
                        Rest::Flush
                    } else {
                        Rest::Wait
                    };
                    let taken = self.keep(&content, rest, log);
                    if taken == 0 {
                        self.flush_at
                            .get_or_insert(now_ms.saturating_add(PARTIAL_WAIT_MS));
                        return self.wait_or_end(&content, log, found);
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
    }

    /// The front is the beginning of a line. When nobody can write any more it is a line.
    fn wait_or_end(&mut self, content: &[u8], log: &mut UnitLog, found: Visit) -> Visit {
        if !sys::poll::hung_up(&self.pipe) {
            return found;
        }
        self.keep(content, Rest::End, log);
        self.flush_at = None;
        self.ended = true;
        Visit::End
    }

    /// Write, then take. Returns the bytes taken.
    fn keep(&mut self, content: &[u8], rest: Rest, log: &mut UnitLog) -> usize {
        let (pieces, taken) = split(content, rest);
        if taken == 0 {
            return 0;
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
