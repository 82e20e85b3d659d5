//! When a unit is started by the clock.

use serde::{Deserialize, Serialize};

/// Whichever of its times comes first starts a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timer {
    /// Calendar expressions, in `timezone`; the crate `calendar` has read each of them without error.
    pub on_calendar: Vec<String>,
    /// After the machine has booted.
    pub on_boot_ms: Option<u64>,
    /// After the last start of a run.
    pub on_unit_active_ms: Option<u64>,
    /// Name in the zone database: `Europe/Berlin`.
    pub timezone: String,
    /// A calendar time that the machine slept through is made up for once.
    pub persistent: bool,
    /// Each time is put off by a random part of this.
    pub randomized_delay_ms: u64,
    pub concurrency: Concurrency,
    pub history: History,
}

/// What a time means while the run of an earlier one goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Concurrency {
    /// Nothing: this time is skipped.
    Forbid,
    /// The earlier run is stopped.
    Replace,
    /// Another run, at the end of the earlier one.
    Allow,
}

/// How many past runs can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    pub success: u32,
    pub failed: u32,
}

impl Default for Timer {
    /// What a `[timer]` without a time says.
    fn default() -> Self {
        Self {
            on_calendar: Vec::new(),
            on_boot_ms: None,
            on_unit_active_ms: None,
            timezone: "UTC".to_owned(),
            persistent: true,
            randomized_delay_ms: 0,
            concurrency: Concurrency::Forbid,
            history: History::default(),
        }
    }
}

impl Default for History {
    fn default() -> Self {
        Self {
            success: 3,
            failed: 3,
        }
    }
}
