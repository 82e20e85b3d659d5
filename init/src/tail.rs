//! The end of what a command prints: read as it comes, forgotten but for the last line.

use crate::carried;
use crate::limits;
use crate::registry::Registry;
use crate::source::Source;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use sys::epoll::Interest;

/// A pipe whose content nobody keeps.
///
/// A command that writes without end does not keep PID 1 busy: after each [`limits::TAIL_TURN_BYTES`] it waits.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Tail {
    #[serde(with = "carried")]
    pipe: File,
    token: Option<u64>,
    #[serde(with = "carried::bytes")]
    text: Vec<u8>,
    /// When to read on, milliseconds since boot.
    again_at: Option<u64>,
}

impl Tail {
    /// `pipe` must be non-blocking.
    pub(crate) fn new(pipe: OwnedFd) -> Self {
        Self {
            pipe: File::from(pipe),
            token: None,
            text: Vec::new(),
            again_at: None,
        }
    }

    pub(crate) fn watch(&mut self, registry: &mut Registry, step: u64) {
        self.again_at = None;
        let source = Source::StepOutput { id: step };
        self.token = registry.watch(&self.pipe, Interest::Read, source).ok();
    }

    pub(crate) fn deadline(&self) -> Option<u64> {
        self.again_at
    }

    fn unwatch(&mut self, registry: &mut Registry) {
        if let Some(token) = self.token.take() {
            registry.unwatch(&self.pipe, token);
        }
    }

    pub(crate) fn read(&mut self, registry: &mut Registry, step: u64, now_ms: u64) {
        self.unwatch(registry);
        match self.take() {
            Taken::All => self.watch(registry, step),
            Taken::Enough => self.again_at = Some(now_ms.saturating_add(limits::TAIL_PAUSE_MS)),
            Taken::End => {}
        }
    }

    fn take(&mut self) -> Taken {
        let mut buffer = [0; 4096];
        let mut taken: usize = 0;
        while taken < limits::TAIL_TURN_BYTES {
            match self.pipe.read(&mut buffer) {
                Ok(0) => return Taken::End,
                Ok(bytes) => {
                    taken = taken.saturating_add(bytes);
                    let new = buffer.get(..bytes).unwrap_or_default();
                    self.text.extend_from_slice(new);
                    let excess = self.text.len().saturating_sub(limits::TAIL_BYTES_MAX);
                    self.text.drain(..excess);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Taken::All,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Taken::End,
            }
        }
        Taken::Enough
    }

    /// The command has ended: what is the last thing that it said?
    pub(crate) fn end(mut self, registry: &mut Registry) -> Option<String> {
        self.unwatch(registry);
        self.take();
        last_line(&self.text)
    }
}

/// What a turn of reading has met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    All,
    /// There may be more.
    Enough,
    End,
}

/// The last line with something on it, fit to be shown in a line of ours.
pub(crate) fn last_line(text: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(text);
    let line = text.lines().map(str::trim).rfind(|line| !line.is_empty())?;
    let shown = |c: char| if c.is_control() { ' ' } else { c };
    Some(
        line.chars()
            .take(limits::LINE_CHARS_MAX)
            .map(shown)
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_with_something_on_it_is_shown() {
        let cases: [(&[u8], Option<&str>); 5] = [
            (b"", None),
            (b"\n \n", None),
            (b"one\n two \n\n", Some("two")),
            (b"no end", Some("no end")),
            (b"\x1b[31mred\xff\n", Some(" [31mred\u{fffd}")),
        ];
        for (text, line) in cases {
            assert_eq!(last_line(text).as_deref(), line, "{text:?}");
        }
        let long = "x".repeat(5000);
        let shown = last_line(long.as_bytes()).unwrap();
        assert_eq!(shown.len(), limits::LINE_CHARS_MAX);
    }

    #[test]
    fn a_command_that_writes_without_end_is_read_piece_by_piece() {
        let (reader, mut writer) = io::pipe().unwrap();
        let reader = OwnedFd::from(reader);
        sys::descriptor::set_nonblocking(std::os::fd::AsFd::as_fd(&reader), true).unwrap();
        let mut tail = Tail::new(reader);
        io::Write::write_all(&mut writer, &[b'x'; 65_536]).unwrap();
        assert_eq!(tail.take(), Taken::Enough);
        assert!(tail.text.len() <= limits::TAIL_BYTES_MAX);
        while tail.take() == Taken::Enough {}
        io::Write::write_all(&mut writer, b"\nlast\n").unwrap();
        drop(writer);
        assert_eq!(tail.take(), Taken::End);
        assert_eq!(last_line(&tail.text).as_deref(), Some("last"));
    }
}
