//! Why units are as they are, when they run next, and how they hang together.

use serde::{Deserialize, Serialize};

/// One link of the chain of events that led to a unit's state.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct WhyStep {
    /// Since boot.
    pub at_ms: u64,
    /// Before now.
    pub age_ms: u64,
    /// Whose state it is.
    pub unit: String,
    /// `exited db run 7: exited with code 1`
    pub cause: String,
    /// Where the unit came by it: `failed: exited with code 1`.
    pub state: String,
}

/// A run that has ended, of a unit whose command is meant to end.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct PastRun {
    pub run: u64,
    /// The calendar time that it was for, milliseconds since 1970 UTC.
    pub scheduled_ms: Option<i64>,
    /// Milliseconds since 1970 UTC.
    pub began_ms: i64,
    pub duration_ms: u64,
    pub succeeded: bool,
    /// `exited with code 0`
    pub outcome: String,
}

/// A unit that the clock starts, or a timer that starts another one.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct TimerStatus {
    pub name: String,
    /// What it starts.
    pub unit: String,
    /// Of the timer.
    pub state: String,
    /// Milliseconds since 1970 UTC; none: it is not armed, or nothing more comes.
    pub next_ms: Option<i64>,
    /// The latest time that has come.
    pub last_ms: Option<i64>,
    /// Times that came while a run was under way.
    pub missed: u64,
    /// Calendar expressions, and `on_boot 5m`, `on_unit_active 1h`.
    pub times: Vec<String>,
    pub timezone: String,
}

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq, Default)]
pub struct UnitGraph {
    pub units: Vec<GraphUnit>,
    pub edges: Vec<GraphEdge>,
}

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct GraphUnit {
    pub name: String,
    /// `container`, `target`, `timer`
    pub kind: String,
    pub state: String,
}

/// As the key of the unit file says: `from` requires, wants … `to`.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct GraphEdge {
    pub from: String,
    pub to: String,
    /// `requires`, `binds_to`, `requisite`, `wants`, `after`, `part_of`, `conflicts`, `on_failure`, `on_success`, `starts`
    pub kind: String,
}
