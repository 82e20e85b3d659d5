//! What containers write.

use std::fs::File;
use std::io::{self, Write};
use std::time::{Duration, Instant};

/// Bytes of a line, with its line feed.
const LINE_BYTES: usize = 100;

/// A load, and how much of it is enough to be measured.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) name: &'static str,
    /// Each writes to a pipe of its own, in turns.
    pub(crate) containers: usize,
    pub(crate) followers: usize,
    /// Of all containers together.
    pub(crate) lines: usize,
    /// Lines of one write(2).
    lines_at_once: usize,
    /// Lines of a second, of all containers together; none: as fast as they are taken.
    rate: Option<u32>,
}

pub(crate) const ALL: &[Load] = &[
    Load {
        name: "a line at a time, 20,000 a second",
        containers: 1,
        followers: 0,
        lines: 40_000,
        lines_at_once: 1,
        rate: Some(20_000),
    },
    Load {
        name: "the same, of 100 containers",
        containers: 100,
        followers: 0,
        lines: 40_000,
        lines_at_once: 1,
        rate: Some(20_000),
    },
    Load {
        name: "a line at a time, without a pause",
        containers: 1,
        followers: 0,
        lines: 400_000,
        lines_at_once: 1,
        rate: None,
    },
    Load {
        name: "40 lines at a time (4 KB), without a pause",
        containers: 1,
        followers: 0,
        lines: 2_000_000,
        lines_at_once: 40,
        rate: None,
    },
    Load {
        name: "the same, read by two followers",
        containers: 1,
        followers: 2,
        lines: 1_000_000,
        lines_at_once: 40,
        rate: None,
    },
];

/// So far ahead of its rate a writer rests.
const AHEAD: Duration = Duration::from_micros(100);

impl Load {
    /// Write all of it.
    pub(crate) fn write(&self, containers: &mut [File]) -> io::Result<()> {
        let mut line = vec![b'x'; LINE_BYTES - 1];
        line.push(b'\n');
        let text = line.repeat(self.lines_at_once);
        let start = Instant::now();
        let mut written = 0;
        while written < self.lines {
            for container in &mut *containers {
                container.write_all(&text)?;
                written += self.lines_at_once;
                self.pace(start, written);
            }
        }
        Ok(())
    }

    fn pace(&self, start: Instant, written: usize) {
        let Some(rate) = self.rate else { return };
        let lines = u32::try_from(written).unwrap_or(u32::MAX);
        let due = Duration::from_secs(1) * lines / rate;
        let ahead = due.saturating_sub(start.elapsed());
        if ahead > AHEAD {
            std::thread::sleep(ahead);
        }
    }
}
