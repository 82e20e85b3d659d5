//! The supervisor in a world where everything goes wrong that can: seeded, so that each bad day can be had again.
//!
//! ```text
//!  seed ──▶ Scenario: units, edges, rules, behaviours, commands
//!               │
//!   World ── commands, deadlines ──▶ Supervisor ── actions ──▶ Kernel (fake: runs, processes)
//!     ▲                                  ▲                        │
//!     │                                  └─── reports, with faults┘
//!     └── Oracle: after each turn, what must always hold; at rest, what must have come about
//! ```
//!
//! A world has three phases: chaos (faults and commands), calm (no new faults; every unit must come to rest where its
//! goal says), and shutdown. The faults are listed in [`Faults`]; the invariants in `oracle` and `world`.
//!
//! A failing seed is replayed with the least commands that still fail: `cargo run --release -p sim -- --seed S --keep 0,4`.
//! Once mended, its number goes into `tests/regressions.rs`. What a real machine has decided is lived through again by
//! `--replay FILE`, with the file that `keelctl trace --dump` writes.

mod at_rest;
mod behaviour;
mod chance;
mod counts;
mod delivery;
mod kernel;
mod known;
mod memory;
mod oracle;
mod perform;
mod rewind;
mod run;
mod scenario;
mod shrink;
mod units;
mod world;

pub use behaviour::Behaviour;
pub use chance::Chance;
pub use counts::Counts;
pub use rewind::replay;
pub use scenario::{Command, Faults, Scenario};
pub use shrink::shrunk;
pub use world::{Violation, run};

/// Seeds `first .. first + count` on all CPUs; `progress` is told how many are done. The failure with the smallest
/// seed among those found, or what all of them together have seen.
///
/// # Errors
/// A violation, not yet shrunk.
pub fn run_seeds(
    first: u64,
    count: u64,
    mutant: Option<supervisor::Mutant>,
    progress: impl Fn(u64) + Sync,
) -> Result<Counts, Box<Violation>> {
    use std::sync::atomic::{AtomicU64, Ordering};
    let next = AtomicU64::new(0);
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let work = || {
        let mut counts = Counts::default();
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            if place >= count {
                return Ok(counts);
            }
            match run(&Scenario::random(first.wrapping_add(place)), None, mutant) {
                Ok(more) => counts.add(&more),
                Err(violation) => {
                    next.store(count, Ordering::Relaxed);
                    return Err(violation);
                }
            }
            progress(place);
        }
    };
    let results: Vec<Result<Counts, Box<Violation>>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        let joined = threads.into_iter().map(std::thread::ScopedJoinHandle::join);
        joined
            .map(|joined| joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    let mut all = Counts::default();
    let mut first_violation: Option<Box<Violation>> = None;
    for result in results {
        match result {
            Ok(counts) => all.add(&counts),
            Err(violation) => {
                let earlier = first_violation
                    .as_ref()
                    .is_none_or(|known| violation.seed < known.seed);
                if earlier {
                    first_violation = Some(violation);
                }
            }
        }
    }
    first_violation.map_or(Ok(all), Err)
}
