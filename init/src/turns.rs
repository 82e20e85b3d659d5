//! How long the loop is busy at a time: nobody is heard and no deadline is kept before a turn is over.

use control::reply::{TURN_CLASSES, Turns as Report};
use serde::{Deserialize, Serialize};
use std::time::Instant;
use sys::clock::since_boot_ms;

/// Since the boot.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Turns {
    by_length: [u64; TURN_CLASSES],
    longest_us: u64,
    longest_at_ms: u64,
    /// Of the present turn.
    #[serde(skip)]
    since: Option<Instant>,
}

impl Turns {
    /// The loop has something to do.
    #[expect(
        clippy::disallowed_methods,
        reason = "how long a turn takes is told, and decides nothing"
    )]
    pub(crate) fn begin(&mut self) {
        self.since = Some(Instant::now());
    }

    /// It has done it.
    pub(crate) fn end(&mut self) {
        if let Some(since) = self.since.take() {
            let us = u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX);
            self.count(us);
        }
    }

    fn count(&mut self, us: u64) {
        let ms = us / 1000;
        // 0 ms are class 0, 1 ms is 1, 2 and 3 ms are 2, 4 to 7 ms are 3.
        let class = usize::try_from(u64::BITS.saturating_sub(ms.leading_zeros())).unwrap_or(0);
        let last = TURN_CLASSES.saturating_sub(1);
        if let Some(count) = self.by_length.get_mut(class.min(last)) {
            *count = count.saturating_add(1);
        }
        if us > self.longest_us {
            self.longest_us = us;
            self.longest_at_ms = since_boot_ms();
        }
    }

    pub(crate) fn report(&self) -> Report {
        Report {
            by_length: self.by_length.to_vec(),
            longest_us: self.longest_us,
            longest_at_ms: self.longest_at_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_counted_by_powers_of_two_of_a_millisecond() {
        let mut turns = Turns::default();
        for us in [0, 999, 1_000, 2_000, 3_999, 4_000, 50_000, u64::MAX] {
            turns.count(us);
        }
        let report = turns.report();
        assert_eq!(report.by_length[..8], [2, 1, 2, 1, 0, 0, 1, 0]);
        assert_eq!(report.by_length.last(), Some(&1));
        assert_eq!(report.longest_us, u64::MAX);
        assert_eq!(report.longer_than_ms(32), 2);
        assert_eq!(report.longer_than_ms(64), 1);
    }
}
