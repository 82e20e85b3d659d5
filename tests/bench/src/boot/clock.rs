//! Two clocks of one boot: the guest's, from its kernel's start, and ours, from the start of QEMU.
//!
//! Lines such as `keelson: init 0.1.0 at 2221 ms` carry the guest's time and have ours, at which they were read. A line
//! can only come late (the serial port, the file, our look every 4 ms), so the smallest difference among all lines is
//! the closest to the true offset. Within a boot the guest's clock follows the host's, so one offset serves.

use qemu::Line;
use std::time::Duration;

/// One instant on both clocks, milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Moment {
    pub(crate) guest_ms: u64,
    pub(crate) wall_ms: u64,
}

/// Wall time less guest time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Clock {
    offset_ms: u64,
}

impl Clock {
    /// From the lines that carry a time; none when there is none.
    pub(crate) fn of(lines: &[Line]) -> Option<Self> {
        let offsets = lines
            .iter()
            .filter_map(|line| Some(milliseconds(line.at).saturating_sub(said(&line.text)?)));
        offsets.min().map(|offset_ms| Self { offset_ms })
    }

    /// Of something that the guest has said the time of.
    pub(crate) fn at_guest(self, guest_ms: u64) -> Moment {
        Moment {
            guest_ms,
            wall_ms: guest_ms + self.offset_ms,
        }
    }

    /// Of something that we have seen.
    pub(crate) fn at_wall(self, since_start: Duration) -> Moment {
        let wall_ms = milliseconds(since_start);
        Moment {
            guest_ms: wall_ms.saturating_sub(self.offset_ms),
            wall_ms,
        }
    }
}

pub(crate) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The guest's time in a line that says "now": `… at N ms`, `keelson: ready N units MS ms`.
fn said(line: &str) -> Option<u64> {
    let ours = line.contains("keelson: ") || line.contains("floor: ");
    let now = line.contains(" at ") || line.contains("keelson: ready ");
    let number = line.strip_suffix(" ms")?.rsplit(' ').next()?;
    (ours && now).then(|| number.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(at_ms: u64, text: &str) -> Line {
        Line {
            at: Duration::from_millis(at_ms),
            text: text.to_owned(),
        }
    }

    #[test]
    fn the_line_that_came_least_late_gives_the_offset() {
        let lines = [
            line(100, "keelson: stage early ok 65 ms"),
            line(2800, "keelson: init 0.1.0 at 2221 ms"),
            line(3505, "keelson: ready 5 units 3000 ms"),
        ];
        let clock = Clock::of(&lines).unwrap();
        assert_eq!(clock.at_guest(3000).wall_ms, 3505);
        assert_eq!(clock.at_wall(Duration::from_millis(4000)).guest_ms, 3495);
    }

    #[test]
    fn durations_are_not_taken_for_times() {
        assert_eq!(said("keelson: stage early ok 65 ms"), None);
        assert_eq!(said("floor: redis at 2500 ms"), Some(2500));
        assert_eq!(Clock::of(&[]), None);
    }
}
