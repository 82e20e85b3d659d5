//! What the VM tests are made of: a guest, and rules that are checked about it.
//!
//! ```text
//! Setup ──boot──▶ Guest ── keelctl, exec, redis, status ──▶ what an operator does and sees
//!                   │ as many at a time as the host has processors: see `turn`
//!                   └ every boot's whole serial log is read, by `Guest::serial_log_is_clean`
//! Checks::that("rule", …)   many rules about one guest: a boot under emulation costs seconds
//! ```
//!
//! Invariants:
//! - No test needs another, and none leaves anything but its folder `target/keelson/tests/NAME`, with the console's log.
//! - Times are printed, never asserted: limits of time only tell a machine that is slow from one that hangs.
//! - The image is that of `cargo boot`, with the demo's Redis in it: its busybox is the only other program that is needed,
//!   but for `actor` (its own folder), which says and does what a shell can't.
//!
//! `KEELSON_LONG=1` repeats what is done a few times as often as `docs/proofs.md` claims.
//!
//! A scenario that fails is run once more, alone; when it passes then, the suite passes and names it as unsteady at its end,
//! with the logs of both (`scenario`). None may be.
//!
//! To add a scenario: a file in `tests/suite`, its units as text, one `Setup`, a `Checks` with the rules, and its function in
//! the list of `tests/suite/main.rs`.

mod checks;
mod disk;
mod guest;
mod hardware_clock;
mod load;
mod prepared;
mod redis;
mod scenario;
mod terminal;
mod text;
mod turn;

pub use checks::{Checks, measured, progress, until};
pub use disk::{StatePartition, digest};
pub use guest::{Guest, Setup};
pub use load::{Load, Outcome};
pub use prepared::{actor_archive, artefacts, build, demo_archive, demo_units};
pub use redis::Redis;
pub use scenario::{Scenario, run};
pub use terminal::in_a_terminal;
pub use text::{ACTOR, REDIS, actor, container};
pub use turn::Turn;

/// How often something is repeated: `few` in every run, `many` with `KEELSON_LONG=1`.
#[must_use]
pub fn times(few: usize, many: usize) -> usize {
    let long = std::env::var_os("KEELSON_LONG").is_some_and(|value| !value.is_empty());
    if long { many } else { few }
}
