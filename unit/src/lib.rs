//! Unit files: TOML text → `UnitFile` (as written) → `Unit` (validated) → `UnitSet` (resolved).
//!
//! ```text
//! web.container.toml ──file──▶ UnitFile ──unit──▶ Unit ──set──▶ UnitSet ──▶ supervisor
//!                        │                 │              │
//!                        └──── Diagnostic{file, line, column, found, expected, hint} ────▶ check, status
//! ```
//!
//! A bad unit never stops the others: `load` gives every unit that is good and every diagnostic there is.
//! `LaunchSpec` is the third form, as run: what PID 1 hands to the launcher for one run.
//!
//! To add a key: `file.rs` (as written), `unit.rs` (validated), `launch.rs` if it acts in the container, a golden
//! case under `tests/cases`, one line in `docs/units.md`.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::indexing_slicing,
        clippy::wildcard_enum_match_arm
    )
)]

mod diagnostic;
mod draft;
mod graph;
pub mod launch;
pub mod name;
mod nearest;
mod publish;
mod resolve;
mod set;
pub mod unit;

pub use diagnostic::{Diagnostic, Place, Severity};
pub use launch::*;
pub use name::*;
pub use resolve::{BadUnit, Loaded};
pub use set::UnitSet;
pub use unit::*;
