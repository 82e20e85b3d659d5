//! The clock never stands before the release was built: certificates and logs would make no sense.

use super::{Boot, StageError};
use crate::console;
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_settime};
use std::fs;
use std::path::Path;

/// A machine that was last seen running so long after its release was built has had a clock that stood wrong then: 15 years,
/// as systemd has it.
const BELIEVED_S: i64 = 15 * 365 * 86_400;
/// Seconds since 1970 at which the release was built.
const BUILT: &str = "/usr/lib/keelson/built";
/// Its modification time is the last moment at which the machine is known to have run.
pub(crate) const LAST_SEEN: &str = "/var/machine/clock";

pub(super) fn run(_: &mut Boot) -> Result<(), StageError> {
    let built = fs::read_to_string(BUILT)
        .ok()
        .and_then(|text| text.trim().parse::<i64>().ok())
        .unwrap_or(0);
    let last_seen = Path::new(LAST_SEEN).metadata().map_or(0, |found| {
        use std::os::unix::fs::MetadataExt;
        found.mtime()
    });
    let now = sys::clock::wall_ms() / 1000;
    let floor = floor(built, last_seen);
    if now >= floor {
        return Ok(());
    }
    clock_settime(ClockId::CLOCK_REALTIME, TimeSpec::new(floor, 0))
        .map_err(|errno| StageError::io("clock", errno))?;
    console::warn(format_args!(
        "the clock stood {} s before it was last seen running: set forward",
        floor - now
    ));
    Ok(())
}

/// Before which it can't be. Seconds since 1970.
fn floor(built: i64, last_seen: i64) -> i64 {
    if last_seen > built.saturating_add(BELIEVED_S) {
        built
    } else {
        built.max(last_seen)
    }
}

#[cfg(test)]
mod tests {
    use super::{BELIEVED_S, floor};

    #[test]
    fn one_wrong_clock_is_not_believed_for_ever() {
        assert_eq!(floor(1000, 0), 1000);
        assert_eq!(floor(1000, 2000), 2000);
        assert_eq!(floor(1000, 1000 + BELIEVED_S), 1000 + BELIEVED_S);
        assert_eq!(floor(1000, 1001 + BELIEVED_S), 1000);
    }
}
