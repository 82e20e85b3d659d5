//! Units that are removed and put back before their old run has ended.
//!
//! ```text
//! removed, run under way ── put back ──▶ its old place; goal up; the new run follows Released
//!                            │           (a run that was not asked to stop yet goes on, if nothing has changed)
//!                            └── another kind, or only a version is left that gave way in a replacement:
//!                                        a new place, which waits for the old one like a rival
//! ```

use crate::apply::Change;
use crate::life::Life;
use crate::mutant::Mutant;
use crate::{Edges, Goal, Rules, Supervisor, UnitId};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use unit::UnitName;

impl Supervisor {
    /// Its old run may still be on its way down: the unit has this place again, and is as new for the rest.
    pub(crate) fn take_back(&mut self, home: UnitId, rules: &Rules, change: &mut Change) {
        change.applied.homes.push(home);
        change.applied.places.push(home);
        change.applied.added.push(home);
        change.returned.insert(home);
        let Some((life, old)) = self.both(home) else {
            return;
        };
        life.leaves = false;
        if old.program != rules.program {
            life.completed = false;
        }
        if old.fingerprint != rules.fingerprint {
            change.returned_changed.insert(home);
        }
        if let Some(old) = self.rules.get_mut(crate::adjacency::index(home.0)) {
            *old = rules.clone();
        }
    }

    /// A unit whose name another place still has, and that could not get that place, waits like a rival until it is given
    /// back. A version that gives way to the unit, or has not become it, is no rival to a unit that has been there all along.
    pub(crate) fn keep_apart_from_leaving(&self, edges: &mut Edges, change: &Change) {
        if self.planted(Mutant::ReturnedUnitsStartTwice) {
            return;
        }
        let leaves = |life: &Life| life.leaves && !life.vacant;
        let left = self
            .units()
            .filter(|unit| self.life(*unit).is_some_and(leaves));
        // Of a name whose kind is another one now, the old place leaves with this change.
        let leaving: Vec<UnitId> = left.chain(change.applied.removed.iter().copied()).collect();
        if leaving.is_empty() {
            return;
        }
        let named = |unit: UnitId| self.rules_of(unit).map(|rules| &rules.name);
        let homes: BTreeMap<&UnitName, UnitId> = change
            .applied
            .homes
            .iter()
            .filter_map(|home| Some((named(*home)?, *home)))
            .collect();
        for unit in leaving {
            let home = named(unit).and_then(|name| homes.get(name)).copied();
            let Some(home) = home else { continue };
            let is_new = change.applied.added.contains(&home) && !change.returned.contains(&home);
            if is_new || self.graph.conflicts(unit).contains(&home) {
                edges.conflicts.push((home.0, unit.0));
            }
        }
    }

    /// A run may not have been asked to stop yet, because others have to stop first: it must not go on as the run of another
    /// definition.
    pub(crate) fn end_before_return(&mut self, units: &BTreeSet<UnitId>) {
        for unit in units {
            if let Some(life) = self.life_mut(*unit)
                && life.state.is_active()
            {
                life.bounce = true;
            }
        }
    }

    /// Nobody has wanted these up after all: a stop is no restart.
    pub(crate) fn forget_ends(&mut self, units: &BTreeSet<UnitId>) {
        for unit in units {
            if let Some(life) = self.life_mut(*unit)
                && life.goal == Goal::Down
            {
                life.bounce = false;
            }
        }
    }
}
