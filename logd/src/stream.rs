//! One pipe of a run: looked at, kept, taken.

use crate::ledger::{Ledger, Slot};
use crate::line_splitter::{Rest, split};
use crate::peek::{Content, LOOK_BYTES_MAX, Peek};
use crate::record::{Records, StreamKind};
use crate::unit_log::UnitLog;
use crate::watch::{Look, Watch};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;

/// A line without its end (a prompt) is kept after so long.
pub(crate) const PARTIAL_WAIT_MS: u64 = 500;

/// A pipe that was not empty when a write began tells nothing of it before it is done: not even when it is full and the writer
/// waits (pipe_write() of the kernel). So where the beginning of a line stays in it, it is looked at again after so long, and
/// each time nothing has come of it, after twice as long.
const LOOK_AGAIN_MS: u64 = 5;

/// One read end that PID 1 lent us.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) pipe: File,
    pub(crate) kind: StreamKind,
    pub(crate) run: u64,
    pub(crate) pair: u64,
    pub(crate) slot: Slot,
    /// Beginning of the last line that is not empty.
    pub(crate) last_line: Vec<u8>,
    /// The same of the pair's other stream, when that has ended.
    pub(crate) others_last_line: Vec<u8>,
    /// When the beginning of a line that waits for its end is kept as it is, milliseconds since boot.
    pub(crate) flush_at: Option<u64>,
    /// When it is looked at again though nothing was told of it, and after how long the time after that.
    pub(crate) look_at: Option<u64>,
    pub(crate) pause_ms: u64,
    pub(crate) ended: bool,
    /// How often it was found half full.
    pub(crate) half_full: u32,
}

/// What all streams are worked on with, one after the other.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) peek: Peek,
    pub(crate) records: Records,
    pub(crate) ledger: Ledger,
}

/// Looks of one visit, after which the others have their turn. The first takes every line that was in the pipe when it came
/// (a pipe holds no more than is looked at, unless its container has enlarged it), the second sees what is left.
pub(crate) const ROUNDS_MAX: usize = 2;

/// A pipe that is found half full again and again is full by the next turn, and its writer waits: it holds more from then on,
/// at the expense of whoever writes that much (the kernel counts a pipe's pages with its writers').
const GROWN_BYTES: usize = 256 << 10;
const HALF_FULL_MAX: u32 = 16;

/// Bytes of a last line that are kept: a screen's width or two.
const LAST_LINE_BYTES_MAX: usize = 512;

/// What a visit found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Visit {
    /// Lines were kept, so many bytes of them, and the pipe was seen without another.
    Kept(usize),
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
        desk: &mut Desk,
        log: &mut UnitLog,
        watch: &mut Option<Watch>,
        now_ms: u64,
    ) -> Visit {
        let mut found = Visit::Nothing;
        for _ in 0..ROUNDS_MAX {
            let Desk {
                peek,
                records,
                ledger,
            } = &mut *desk;
            let content = match peek.look(&self.pipe) {
                Ok(Content::Bytes(content)) => content,
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
            };
            // What was at the front when the last look came back empty-handed has waited.
            let rest = if self.flush_at.is_some_and(|at| at <= now_ms) {
                Rest::Flush
            } else {
                Rest::Wait
            };
            let mut taken = self.keep(content, rest, records, ledger, log, watch);
            if taken == 0 {
                let flush_at = now_ms.saturating_add(PARTIAL_WAIT_MS);
                let flush_at = *self.flush_at.get_or_insert(flush_at);
                self.pause_ms = match found {
                    Visit::Nothing => self.pause_ms.saturating_mul(2).max(LOOK_AGAIN_MS),
                    _ => LOOK_AGAIN_MS,
                };
                self.look_at = Some(flush_at.min(now_ms.saturating_add(self.pause_ms)));
                if !sys::poll::hung_up(&self.pipe) {
                    return found;
                }
                // The front is the beginning of a line. When nobody can write any more it is a line.
                taken = self.keep(content, Rest::End, records, ledger, log, watch);
                self.ended = taken > 0;
            }
            (self.flush_at, self.look_at) = (None, None);
            if self.ended {
                return Visit::End;
            }
            if taken >= LOOK_BYTES_MAX / 2 {
                self.half_full = self.half_full.saturating_add(1);
                if self.half_full == HALF_FULL_MAX {
                    // A pipe that stays as it is does as well.
                    let _ = sys::splice::grow(self.pipe.as_fd(), GROWN_BYTES);
                }
            }
            found = Visit::Kept(taken);
        }
        Visit::More
    }

    /// Tell, write, then take. Returns the bytes taken.
    fn keep(
        &mut self,
        content: &[u8],
        rest: Rest,
        records: &mut Records,
        ledger: &Ledger,
        log: &mut UnitLog,
        watch: &mut Option<Watch>,
    ) -> usize {
        let mut pieces = split(content, rest);
        if watch
            .as_ref()
            .is_some_and(|watch| watch.look(pieces.clone()) == Look::Found)
        {
            *watch = None;
        }
        records.begin(sys::clock::wall_ms(), self.run);
        if log.dropped > 0 {
            let message = format!(
                "{} lines were dropped: they could not be written",
                log.dropped
            );
            records.add(StreamKind::System, false, message.as_bytes());
        }
        let (mut lines, mut last_line) = (0u64, None);
        for piece in pieces.by_ref() {
            records.add(self.kind, piece.partial, piece.message);
            lines += 1;
            if !piece.message.trim_ascii_start().is_empty() {
                last_line = Some(piece.message);
            }
        }
        let taken = pieces.taken;
        if taken == 0 {
            return 0;
        }
        if let Some(line) = last_line {
            let end = line.len().min(LAST_LINE_BYTES_MAX);
            self.last_line.clear();
            self.last_line
                .extend_from_slice(line.get(..end).unwrap_or_default());
        }
        let written = log.make_room(records.bytes().len()).and_then(|end| {
            ledger.begin(self.slot, end, taken);
            log.write(records.bytes())
        });
        match written {
            Ok(()) => log.dropped = 0,
            Err(error) => {
                if log.dropped == 0 {
                    log::error!(
                        "log of run {} can't be written, lines are dropped: {error}",
                        self.run
                    );
                }
                log.dropped = log.dropped.saturating_add(lines);
            }
        }
        ledger.written(self.slot, taken);
        if let Err(error) = ledger.take(self.slot, &self.pipe) {
            log::error!("run {}: {error}", self.run);
            self.ended = true;
        }
        taken
    }
}

/// A line of the system's own.
pub(crate) fn note(
    records: &mut Records,
    log: &mut UnitLog,
    run: u64,
    message: &str,
) -> io::Result<()> {
    records.begin(sys::clock::wall_ms(), run);
    let message = message.replace('\n', " ");
    records.add(StreamKind::System, false, message.as_bytes());
    log.append(records.bytes())
}
