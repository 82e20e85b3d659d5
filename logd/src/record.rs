//! One kept line: `TIME RUN STREAM MESSAGE\n`.
//!
//! TIME: milliseconds since 1970-01-01 UTC. RUN: decimal. STREAM: `o` stdout, `e` stderr, `s` the system's own; the
//! capital letter when the line goes on in the next record. MESSAGE: the bytes as written, without line feed.

use control::log::LogLine;
use std::io::Write;

/// Where a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamKind {
    Stdout,
    Stderr,
    System,
}

impl StreamKind {
    fn letter(self, partial: bool) -> u8 {
        let letter = match self {
            Self::Stdout => b'o',
            Self::Stderr => b'e',
            Self::System => b's',
        };
        if partial {
            letter.to_ascii_uppercase()
        } else {
            letter
        }
    }

    fn of(letter: u8) -> Option<Self> {
        match letter.to_ascii_lowercase() {
            b'o' => Some(Self::Stdout),
            b'e' => Some(Self::Stderr),
            b's' => Some(Self::System),
            _ => None,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::System => "system",
        }
    }
}

/// A record as it lies in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    pub(crate) time_ms: i64,
    pub(crate) run: u64,
    pub(crate) stream: StreamKind,
    pub(crate) partial: bool,
    pub(crate) message: &'a [u8],
}

impl<'a> Record<'a> {
    /// `None` for what a power cut left of a line.
    pub(crate) fn parse(line: &'a [u8]) -> Option<Self> {
        let (below_zero, rest) = match line.strip_prefix(b"-") {
            Some(rest) => (true, rest),
            None => (false, line),
        };
        let (time_ms, rest) = number(rest)?;
        let time_ms = i64::try_from(time_ms).ok()?;
        let (run, rest) = number(rest)?;
        let [letter, b' ', message @ ..] = rest else {
            return None;
        };
        Some(Self {
            time_ms: if below_zero { -time_ms } else { time_ms },
            run,
            stream: StreamKind::of(*letter)?,
            partial: letter.is_ascii_uppercase(),
            message,
        })
    }

    pub(crate) fn to_line(&self, unit: &str) -> LogLine {
        LogLine {
            time_ms: self.time_ms,
            unit: unit.to_owned(),
            run: self.run,
            stream: self.stream.name().to_owned(),
            message: String::from_utf8_lossy(self.message).into_owned(),
            partial: self.partial,
        }
    }
}

/// A decimal number and the space behind it, and what follows. Each line that is read has two.
fn number(text: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0u64;
    for (at, byte) in text.iter().enumerate() {
        match byte {
            b'0'..=b'9' => {
                number = number
                    .checked_mul(10)?
                    .checked_add(u64::from(byte - b'0'))?;
            }
            b' ' if at > 0 => return Some((number, text.get(at + 1..)?)),
            _ => return None,
        }
    }
    None
}

/// Records of one batch: they have their time and run in common. Used again and again.
#[derive(Debug, Default)]
pub(crate) struct Records {
    bytes: Vec<u8>,
    /// `TIME RUN `
    prefix: Vec<u8>,
}

/// A batch of very short lines is many times as long as they are; its memory is given back.
const KEPT_BYTES_MAX: usize = 128 << 10;

impl Records {
    pub(crate) fn begin(&mut self, time_ms: i64, run: u64) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES_MAX);
        self.prefix.clear();
        // A Vec takes everything.
        let _ = write!(self.prefix, "{time_ms} {run} ");
    }

    pub(crate) fn add(&mut self, stream: StreamKind, partial: bool, message: &[u8]) {
        self.bytes.extend_from_slice(&self.prefix);
        self.bytes
            .extend_from_slice(&[stream.letter(partial), b' ']);
        self.bytes.extend_from_slice(message);
        self.bytes.push(b'\n');
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_back() {
        let record = Record {
            time_ms: -5,
            run: 7,
            stream: StreamKind::Stderr,
            partial: true,
            message: b"a b  c",
        };
        let mut records = Records::default();
        for _ in 0..2 {
            records.begin(-5, 7);
            records.add(StreamKind::Stderr, true, b"a b  c");
            records.add(StreamKind::System, false, b"");
            assert_eq!(records.bytes(), b"-5 7 E a b  c\n-5 7 s \n");
        }
        let line = records.bytes().split(|byte| *byte == b'\n').next();
        assert_eq!(Record::parse(line.unwrap()), Some(record));
    }

    #[test]
    fn a_torn_line_is_no_record() {
        for torn in [
            &b""[..],
            b"17",
            b"17 ",
            b"17 3 o",
            b"x 3 o y",
            b"17 3 q y",
            b"17 3 oo y",
            b" 3 o y",
            b"17  o y",
            b"-- 3 o y",
            b"99999999999999999999 3 o y",
            b"\0\0\0\0",
        ] {
            assert_eq!(Record::parse(torn), None, "{torn:?}");
        }
        assert!(
            Record::parse(b"17 3 o ").is_some(),
            "an empty line is a line"
        );
    }
}
