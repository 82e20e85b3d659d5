//! What a [`crate::Graph`] is made from.

use alloc::vec::Vec;
use unit::{DependsOnCondition, UnitKind, UnitName, UnitSet};

/// Pairs `(from, to)` of unit numbers, in any order, repeated or not.
#[derive(Clone, Debug, Default)]
pub struct Edges {
    /// Number of units.
    pub units: u32,
    /// `from` is started after `to`.
    pub after: Vec<(u32, u32)>,
    /// `from` requires `to`.
    pub requires: Vec<(u32, u32)>,
    /// `from` wants `to`.
    pub wants: Vec<(u32, u32)>,
    /// `to` must be active when `from` starts.
    pub requisite: Vec<(u32, u32)>,
    /// `from` requires `to`, and stops when it ends.
    pub binds_to: Vec<(u32, u32)>,
    /// A stop or restart of `to` is one of `from`.
    pub part_of: Vec<(u32, u32)>,
    /// Never both.
    pub conflicts: Vec<(u32, u32)>,
    /// When `from` has failed, `to` is started.
    pub on_failure: Vec<(u32, u32)>,
    /// When `from` has ended with success, `to` is started.
    pub on_success: Vec<(u32, u32)>,
    /// The timer `from` starts `to`.
    pub triggers: Vec<(u32, u32)>,
    /// What `after` and `requires` or `wants` between the two mean in detail.
    pub depends_on: Vec<Condition>,
}

impl Edges {
    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        let pairs = [
            &self.after,
            &self.requires,
            &self.wants,
            &self.requisite,
            &self.binds_to,
            &self.part_of,
            &self.conflicts,
            &self.on_failure,
            &self.on_success,
            &self.triggers,
        ];
        let pairs = pairs.into_iter().map(Vec::len);
        pairs.fold(self.depends_on.len(), usize::saturating_add)
    }
}

/// One `[[unit.depends_on]]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition {
    pub from: u32,
    pub to: u32,
    pub condition: DependsOnCondition,
    pub restart: bool,
}

impl From<&UnitSet> for Edges {
    fn from(set: &UnitSet) -> Self {
        let units = u32::try_from(set.len()).unwrap_or(u32::MAX);
        let pairs = |of: fn(&UnitSet, u32) -> &[u32]| -> Vec<(u32, u32)> {
            let list = |from: u32| of(set, from).iter().map(move |to| (from, *to));
            (0..units).flat_map(list).collect()
        };
        let mut edges = Self {
            units,
            after: pairs(UnitSet::after),
            requires: pairs(UnitSet::requires),
            wants: pairs(UnitSet::wants),
            // Without those that an operator does not let anything start.
            on_failure: pairs(UnitSet::on_failure),
            on_success: pairs(UnitSet::on_success),
            ..Self::default()
        };
        for (from, unit) in (0u32..).zip(set.units()) {
            let all = &unit.dependencies;
            let lists = [
                (&all.requisite, &mut edges.requisite),
                (&all.binds_to, &mut edges.binds_to),
                (&all.part_of, &mut edges.part_of),
                (&all.conflicts, &mut edges.conflicts),
            ];
            for (names, list) in lists {
                let names: &[UnitName] = names;
                let found = names.iter().filter_map(|name| set.find(name));
                list.extend(found.map(|to| (from, to)));
            }
            let conditions = all.depends_on.iter().filter_map(|depends| {
                Some(Condition {
                    from,
                    to: set.find(&depends.unit)?,
                    condition: depends.condition,
                    restart: depends.restart,
                })
            });
            edges.depends_on.extend(conditions);
            if let UnitKind::Timer { unit, .. } = &unit.kind {
                edges.triggers.extend(set.find(unit).map(|to| (from, to)));
            }
        }
        edges
    }
}
