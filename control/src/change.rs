//! What another set of unit files, or other choices, change.

use serde::{Deserialize, Serialize};
use unit::{Diagnostic, UnitChange};

/// Unit files of one request at most, in bytes of JSON: a thousand units with room to spare.
pub const UNIT_FILES_BYTES_MAX: usize = 8 << 20;

/// From what the machine has now to what it would have, or has from now on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// The units whose definition differs, by name.
    pub units: Vec<UnitChange>,
    /// What happens to units because of it: those that follow a changed one too.
    pub effects: Vec<Effect>,
    /// Of the checker, about the new set.
    pub warnings: Vec<Diagnostic>,
    /// What else an operator should know, one line each.
    pub notes: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effect {
    pub unit: String,
    pub what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    Starts,
    Stops,
    Restarts,
    /// A new container beside the old one, which ends when the new one is ready.
    Replaced,
}

impl What {
    /// `restarts`
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Starts => "starts",
            Self::Stops => "stops",
            Self::Restarts => "restarts",
            Self::Replaced => "is replaced without a gap",
        }
    }
}
