//! When to look at which unit.

use crate::{Timestamp, UnitId};
use alloc::collections::BTreeSet;
use serde::{Deserialize, Serialize};

/// The deadlines of all units, earliest first. A unit has at most one, kept also in its record.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Deadlines(BTreeSet<(Timestamp, UnitId)>);

impl Deadlines {
    /// Replaces the deadline of `unit`, which was `old`.
    pub(crate) fn rearm(&mut self, unit: UnitId, old: Option<Timestamp>, new: Option<Timestamp>) {
        if old == new {
            return;
        }
        if let Some(at) = old {
            self.0.remove(&(at, unit));
        }
        if let Some(at) = new {
            self.0.insert((at, unit));
        }
    }

    pub(crate) fn first(&self) -> Option<Timestamp> {
        self.0.first().map(|(at, _)| *at)
    }

    /// Takes a unit whose deadline has come.
    pub(crate) fn pop_due(&mut self, now: Timestamp) -> Option<UnitId> {
        let (at, unit) = *self.0.first()?;
        if at > now {
            return None;
        }
        self.0.pop_first();
        Some(unit)
    }
}
