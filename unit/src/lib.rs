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

pub mod launch;
pub mod name;
pub mod unit;

pub use launch::*;
pub use name::*;
pub use unit::*;
