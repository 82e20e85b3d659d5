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
    fn letter(self) -> u8 {
        match self {
            Self::Stdout => b'o',
            Self::Stderr => b'e',
            Self::System => b's',
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
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let letter = self.stream.letter();
        let letter = if self.partial {
            letter.to_ascii_uppercase()
        } else {
            letter
        };
        // A Vec takes everything.
        let _ = write!(out, "{} {} {} ", self.time_ms, self.run, char::from(letter));
        out.extend_from_slice(self.message);
        out.push(b'\n');
    }

    /// `None` for what a power cut left of a line.
    pub(crate) fn parse(line: &'a [u8]) -> Option<Self> {
        let mut parts = line.splitn(4, |byte| *byte == b' ');
        let number = |part: &[u8]| std::str::from_utf8(part).ok().map(str::to_owned);
        let time_ms = number(parts.next()?)?.parse().ok()?;
        let run = number(parts.next()?)?.parse().ok()?;
        let [letter] = parts.next()? else { return None };
        let stream = StreamKind::of(*letter)?;
        let message = parts.next()?;
        Some(Self {
            time_ms,
            run,
            stream,
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
        let mut bytes = Vec::new();
        record.write(&mut bytes);
        assert_eq!(bytes, b"-5 7 E a b  c\n");
        assert_eq!(Record::parse(&bytes[..bytes.len() - 1]), Some(record));
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
