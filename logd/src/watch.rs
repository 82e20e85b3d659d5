//! A pattern that a run's output is looked through for: `[readiness]` with `mode = "log"`.
//!
//! Told to PID 1 before the line is written and taken out of its pipe: whoever kills logd in between leaves the line to
//! the next one.

use crate::answer::say;
use crate::line_splitter::Pieces;
use control::log::LogReply;
use regex_lite::Regex;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// The pattern of one pair of pipes, until it is found.
#[derive(Debug)]
pub(crate) struct Watch {
    pattern: Regex,
    pair: u64,
    control: Arc<OwnedFd>,
}

/// Whether to go on looking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    NotYet,
    Found,
}

impl Watch {
    /// # Errors
    /// When it is not a pattern: PID 1 has checked that.
    pub(crate) fn new(
        pattern: &str,
        pair: u64,
        control: Arc<OwnedFd>,
    ) -> Result<Self, regex_lite::Error> {
        Ok(Self {
            pattern: Regex::new(pattern)?,
            pair,
            control,
        })
    }

    /// Look through lines, or the pieces of one that is too long to be kept whole: each is looked at by itself.
    pub(crate) fn look(&self, mut pieces: Pieces<'_>) -> Look {
        if !pieces.any(|piece| self.matches(piece.message)) {
            return Look::NotYet;
        }
        say(&self.control, &LogReply::Matched { pair: self.pair });
        Look::Found
    }

    fn matches(&self, line: &[u8]) -> bool {
        // Of a program that writes for a terminal.
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        self.pattern.is_match(&String::from_utf8_lossy(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sys::socket::seqpacket_pair;

    #[test]
    fn a_line_is_found_whatever_bytes_are_beside_it() {
        let (ours, _theirs) = seqpacket_pair().unwrap();
        let watch = Watch::new("^Ready to accept (tcp|unix)$", 1, Arc::new(ours)).unwrap();
        assert!(watch.matches(b"Ready to accept tcp"));
        assert!(watch.matches(b"Ready to accept unix\r"));
        assert!(!watch.matches(b"Not Ready to accept tcp"));
        let any = Watch {
            pattern: Regex::new("Ready").unwrap(),
            ..watch
        };
        assert!(any.matches(b"\xff\xfe Ready \x00"));
    }
}
