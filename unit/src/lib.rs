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
//! To add a key: `schema.rs` (its name), `file/` (as written), its type, and `validate/` (from the one to the other);
//! `keys/` (what changes), `launch.rs` if it acts in the container; a golden case under `tests/cases`, a line in `docs/units.md`.

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

pub mod bytes;
mod check;
mod choices;
mod conditions;
mod cycles;
mod dependencies;
mod diagnostic;
mod diff;
mod document;
mod draft;
pub mod duration;
mod edges;
mod fault;
mod file;
mod file_name;
mod files;
mod graph;
mod habits;
mod health;
mod ids;
pub mod image_reference;
mod keys;
pub mod launch;
mod load;
mod loaded;
mod memory;
mod merge;
mod mount_options;
pub mod mount_target;
pub mod name;
mod nearest;
mod neighbours;
pub mod port_text;
mod promises;
mod publish;
mod reader;
mod readiness;
mod references;
#[cfg(feature = "render")]
mod render;
mod resolve;
mod schema;
mod service;
mod set;
pub mod signal;
mod source;
mod spoken_of;
mod timer;
pub mod unit;
mod update;
mod validate;
mod variable;
mod words;

pub use choices::{Bar, Choices, Enablement};
pub use conditions::Conditions;
pub use dependencies::*;
pub use diagnostic::{Diagnostic, Place, Related, Severity};
pub use diff::{Change, KeyChange, UnitChange, diff, diff_units};
pub use fault::Fault;
pub use health::*;
pub use ids::ID_MAX;
pub use keys::Needs;
pub use launch::*;
pub use load::{Layer, check, load, load_layers, load_sources, strays};
pub use loaded::{BadUnit, Loaded};
pub use memory::over_commitment;
pub use mount_options::MountOptions;
pub use name::*;
pub use readiness::*;
#[cfg(feature = "render")]
pub use render::{Colour, render};
pub use service::*;
pub use set::{DependsOnEdge, UnitSet};
pub use source::Source;
pub use timer::*;
pub use unit::*;
pub use update::*;
