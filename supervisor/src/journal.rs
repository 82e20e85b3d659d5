//! The last turns, kept so that a failure in the field can be replayed and explained: decisions depend on nothing but the
//! events and the sets that were applied.

use crate::line;
use crate::{Action, Applied, Event, Rules, State, Timestamp, UnitId};
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Turns kept: about a boot of fifty units, at some 200 bytes each.
pub const JOURNAL_ENTRIES_MAX: usize = 512;

/// Actions and changes kept of one turn; a shutdown has one of each for every unit.
pub const ENTRY_ACTIONS_MAX: usize = 1_000;

/// What a turn was for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    Event(Event),
    Timeout,
    /// Another set was taken over: it is not part of the journal.
    Applied(Applied),
}

/// A unit has entered a state; of several in one turn, the last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    pub unit: UnitId,
    pub state: State,
}

/// One turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub at: Timestamp,
    pub cause: Cause,
    pub actions: Vec<Action>,
    pub changes: Vec<Change>,
}

/// A ring of the last [`JOURNAL_ENTRIES_MAX`] turns.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Journal {
    entries: VecDeque<Entry>,
    /// Turns that the ring has lost.
    lost: u64,
}

impl Journal {
    /// Oldest first.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.entries.iter()
    }

    /// How many older ones there were.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost
    }

    pub(crate) fn record(
        &mut self,
        at: Timestamp,
        cause: Cause,
        actions: &[Action],
        mut changes: Vec<Change>,
    ) {
        while self.entries.len() >= JOURNAL_ENTRIES_MAX {
            self.entries.pop_front();
            self.lost = self.lost.saturating_add(1);
        }
        changes.truncate(ENTRY_ACTIONS_MAX);
        let kept = actions.get(..ENTRY_ACTIONS_MAX).unwrap_or(actions);
        self.entries.push_back(Entry {
            at,
            cause,
            actions: kept.to_vec(),
            changes,
        });
    }
}

impl Entry {
    /// `12.345 exited web run 7: exited with code 1 -> release web run 7, changed web`
    #[must_use]
    pub fn line(&self, rules: &[Rules]) -> String {
        line::entry_line(self, rules)
    }
}
