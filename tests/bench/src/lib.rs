//! Benchmarks of the whole system, each beside floors and peers that are measured in the same run.
//!
//! ```text
//! cargo run --release -p bench -- boot     boots under QEMU ──▶ measurements ──▶ medians ──▶ docs/performance.md
//! cargo run --release -p bench -- launch   one boot, measured from within ─┘
//! cargo run --release -p bench -- log    logd on this host ──▶ lines for a CPU second, before and now ──▶ the same
//! cargo run --release -p bench -- order  one boot, its programs' calls recorded ──▶ programs/order.ld (no number)
//! ```
//!
//! - A number in the document comes from a run of this program, or is marked as quoted.
//! - What is compared runs on the same kernel, machine and disk, in turns, so that a slow minute of the build host
//!   falls on all alike.
//! - A boot that fails ends the benchmark: there is no table with holes. Only one that the emulator's own crash ended
//!   is repeated, and counted in the table.
//!
//! To add a benchmark: a module with `run`, a subcommand in `main`, a block of its own in `docs/performance.md`.

pub mod boot;
mod disturbance;
mod document;
mod host_machine;
pub mod launch;
pub mod log;
pub mod order;
mod statistics;
mod table;

use std::error::Error;

/// What a benchmark ends with when it can't measure: a text for whoever started it.
pub type Failure = Box<dyn Error + Send + Sync>;
