//! The life cycle of units: a pure function from events to actions.
//!
//! ```text
//!                  ┌──────────────────── one turn ────────────────────┐
//!  init: facts ───▶│ goal / report / deadline folds the event in,     │──▶ Actions ──▶ init performs them,
//!  requests, time  │ then each touched unit advances as far as it can │                and reports back as Events
//!                  └──────────────────────────────────────────────────┘
//!
//!  Inactive ─▶ Waiting ─▶ Preparing ─▶ PreStart ─▶ Starting ─▶ Started ─▶ Running ─▶ PreStop ─▶ Stopping
//!   │  ▲          ▲  ▲         │           └───────────┴──────────┴─────────┴───────────┴─────────┤ the run has ended
//!   ▼  │          │  │         ▼                                                                  ▼
//!  Scheduled ─────┘  └── Backoff, Finished, Skipped, Failed ◀────────── Releasing ◀─────────── PostStop
//!                              └── goal down ──▶ Inactive
//! ```
//!
//! Rules of the design:
//!
//! 1. No I/O, no clock, no thread, no recursion, no panic. The same events and sets give the same actions.
//! 2. The wish ([`Goal`]) stands beside the fact ([`State`]); a restart is "wish up, fact down".
//! 3. Every start has a new [`RunId`]; a report of another run than the present one is dropped.
//! 4. One place decides: requests, reports and deadlines only change a unit's record, and `advance` acts on it.
//! 5. Units see of each other nothing but a few bits (`standing`). Each unit counts the neighbours that hold it back,
//!    and whoever changes a bit adjusts the counts along its edges, so a boot costs O((units + edges) log units).
//! 6. Deadlines, not timers: the state says when it wants to be looked at, [`Supervisor::next_deadline`] is the earliest.
//! 7. Each `Prepare` is followed by exactly one `Release`, whatever happens in between; the next `Prepare` of the same
//!    unit comes after `Released`. Each `RunHook` has one `HookEnded`.
//! 8. A goal that is up holds up the goals of all that the unit requires; one that is down, down of all that require it.
//!    Of two units that conflict, at most one goal is up.
//! 9. Every queue and retry has a named limit.
//! 10. Places ([`UnitId`]) outlive a change of the set; a successor has a place of its own until it takes its unit's.
//! 11. The whole of it is data: serialised and read again, it goes on where it was.
//!
//! To add a rule: the record in `life` (or `present`, if it ends with the run), the decision in `advance` or `restart`, a
//! row in `tests/transitions/table.rs`, an invariant in `tests/sim`, and a mutant that breaks it.
#![no_std]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::wildcard_enum_match_arm
    )
)]

extern crate alloc;

mod action;
mod adjacency;
mod advance;
mod apply;
mod check;
mod clock;
mod deadline;
mod dump;
mod edges;
mod event;
mod fact;
mod fingerprint;
mod goal;
mod graph;
mod group;
mod health;
mod history;
mod hook;
mod journal;
mod life;
mod line;
mod mutant;
mod operate;
mod present;
mod ready;
mod record;
mod replace;
mod report;
mod request;
mod rest;
mod restart;
mod retime;
mod returned;
mod rules;
mod settle;
mod shutdown;
mod standing;
mod state;
mod stop;
mod supervisor;
mod text;
mod view;
mod why;

pub use action::{Action, Outcome};
pub use apply::{Applied, Plan};
pub use clock::TIMER_RUNS_QUEUED_MAX;
pub use dump::{Divergence, Dump};
pub use edges::{Condition, Edges};
pub use event::*;
pub use fact::{Failure, HookStep, State};
pub use graph::{Graph, Link, Need};
pub use health::{HealthStatus, PROBE_GRACE_MS};
pub use history::{HISTORY_MAX, PastRun};
pub use journal::{Cause, Change, ENTRY_ACTIONS_MAX, Entry, JOURNAL_ENTRIES_MAX, Journal};
#[cfg(feature = "mutants")]
pub use mutant::Mutant;
pub use record::Record;
pub use request::REQUESTS_MAX;
pub use rest::TRIGGER_INTERVAL_MS_MIN;
pub use restart::{
    IMMEDIATE_RESTART_SERVED_MS_MIN, RESTART_DELAY_MS_AFTER_NONE, RESTART_DELAY_MS_MIN,
    START_LIMIT_BURST_MAX,
};
pub use rules::Rules;
pub use shutdown::SHUTDOWN_GRACE_MS;
pub use standing::FAILURES_STUCK;
pub use supervisor::Supervisor;
pub use view::{Explanation, HealthView, Limit, ReadyCounts};
pub use why::{WHY_STEPS_MAX, WhyStep};
