//! Clocks (clock_gettime(2)).

use nix::time::{ClockId, clock_gettime};

/// Milliseconds since the kernel's start, suspend included (`CLOCK_BOOTTIME`). 0 if the kernel has no such clock.
#[must_use]
pub fn since_boot_ms() -> u64 {
    milliseconds(ClockId::CLOCK_BOOTTIME)
}

/// Milliseconds since 1970-01-01 UTC (`CLOCK_REALTIME`).
#[must_use]
pub fn wall_ms() -> i64 {
    i64::try_from(milliseconds(ClockId::CLOCK_REALTIME)).unwrap_or(i64::MAX)
}

fn milliseconds(clock: ClockId) -> u64 {
    let Ok(time) = clock_gettime(clock) else {
        return 0;
    };
    let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
    let rest = u64::try_from(time.tv_nsec() / 1_000_000).unwrap_or(0);
    seconds.saturating_mul(1000).saturating_add(rest)
}
