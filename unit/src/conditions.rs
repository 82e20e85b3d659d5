//! When a unit has a place on this machine at all.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// All must be met when the unit is to start; otherwise it is skipped, which is no failure.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conditions {
    /// Absolute paths of the machine.
    pub path_exists: Vec<String>,
    /// Words of the kernel command line: `debug` is met by `debug` and by `debug=…`, `role=web` by that word only.
    pub kernel_cmdline: Vec<String>,
    /// Bytes of memory that the machine has.
    pub memory_min: Option<u64>,
    /// Labels of the machine and their values.
    pub label: BTreeMap<String, String>,
}

impl Conditions {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
