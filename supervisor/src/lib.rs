//! The life cycle of units: a pure function from events to actions.
//!
//! ```text
//!                  ┌────────────── handle(now, Event) ──────────────┐
//!  init: facts ───▶│ goals propagate by a queue, then each touched  │──▶ Actions ──▶ init performs them,
//!  requests, time  │ unit advances as far as it can                 │                and reports back as Events
//!                  └────────────────────────────────────────────────┘
//! ```
//!
//! No I/O, no clock, no thread, no recursion. The wish ([`Goal`]) stands beside the fact ([`State`]); restart is
//! "wish up, fact down". Every start has a new [`RunId`]; a report of an older run is dropped.
#![no_std]

extern crate alloc;

mod event;

pub use event::*;
