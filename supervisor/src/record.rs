//! What outlives a power cut: the little that `init` keeps on disk for the supervisor.

use alloc::collections::{BTreeMap, BTreeSet};
use serde::{Deserialize, Serialize};
use unit::UnitName;

/// Names, not numbers: the set may be another one after the reboot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// `unless-stopped` units that an operator has stopped.
    #[serde(default)]
    pub stopped: BTreeSet<UnitName>,
    /// The calendar time of the last run that each timer has started (Unix, milliseconds).
    #[serde(default)]
    pub timers: BTreeMap<UnitName, i64>,
    /// Jobs that have succeeded, with the version of their program: they do not run again at the next boot.
    #[serde(default)]
    pub completed: BTreeMap<UnitName, u64>,
}
