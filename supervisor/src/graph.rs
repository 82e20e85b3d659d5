//! Who depends on whom, as flat arrays.
//!
//! ```text
//!            after ──▶           before ──▶ (the same edges, turned round)
//!   web ───────────▶ db      db ───────────▶ web
//!        Need, required: how far db must be, and whether web can do without
//!
//!   pulls         web ─▶ db   goal up                 requires, binds_to
//!   needs         web ─▶ db   web fails with db       requires, binds_to, requisite
//!   stopped_with  db ─▶ web   goal down               those and part_of, turned round
//!   restarted_with db ─▶ web  restart                 those, unless depends_on says no
//! ```
//!
//! Invariants: every edge leads to a unit of the graph; no edge twice; `after` has no cycle.

use crate::adjacency::{Adjacency, index, without_cycles};
use crate::{Edges, UnitId};
use alloc::collections::{BTreeMap, BTreeSet};
use serde::{Deserialize, Serialize};
use unit::{DependsOnCondition, UnitSet};

/// How far another unit must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Need {
    /// Ready, or finished, or skipped.
    Ready,
    /// Running and ready, or finished as a oneshot does.
    Active,
    /// Its health check says so; without one, ready.
    Healthy,
    /// Ended with success.
    Completed,
    /// Both: of one that is bound to it, or has it as a requisite, and names the condition too. What was skipped is
    /// neither.
    ActiveHealthy,
    ActiveCompleted,
}

/// The other end of an `after` edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Link {
    pub unit: UnitId,
    pub need: Need,
    /// The later unit cannot start without.
    pub required: bool,
}

/// The other end of an edge of requirement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Requirement {
    pub(crate) unit: UnitId,
    pub(crate) need: Need,
}

/// The other end of an edge along which restarts go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Follower {
    pub(crate) unit: UnitId,
    /// It says so itself (`restart`, `part_of`, `binds_to`), so it follows a replacement without a gap too.
    pub(crate) declared: bool,
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Graph {
    len: usize,
    after: Adjacency<Link>,
    before: Adjacency<Link>,
    requires: Adjacency<UnitId>,
    wants: Adjacency<UnitId>,
    pulls: Adjacency<UnitId>,
    needs: Adjacency<Requirement>,
    needed_by: Adjacency<Requirement>,
    requisite: Adjacency<UnitId>,
    binds_to: Adjacency<UnitId>,
    bound_by: Adjacency<UnitId>,
    stopped_with: Adjacency<UnitId>,
    restarted_with: Adjacency<Follower>,
    conflicts: Adjacency<UnitId>,
    on_failure: Adjacency<UnitId>,
    on_success: Adjacency<UnitId>,
    triggers: Adjacency<UnitId>,
    triggered_by: Adjacency<UnitId>,
}

type Pairs = BTreeSet<(u32, u32)>;

impl Graph {
    /// Edges that lead nowhere, to themselves, or into a cycle of `after` are left out: `unit` has reported them.
    #[must_use]
    pub fn new(edges: &Edges) -> Self {
        let known = |&(from, to): &(u32, u32)| from != to && from < edges.units && to < edges.units;
        let set = |pairs: &[(u32, u32)]| -> Pairs { pairs.iter().copied().filter(known).collect() };
        let union = |sets: &[&Pairs]| -> Pairs {
            sets.iter().flat_map(|set| set.iter().copied()).collect()
        };
        let len = index(edges.units);
        let after = without_cycles(len, set(&edges.after));
        let requires = set(&edges.requires);
        let (binds_to, requisite) = (set(&edges.binds_to), set(&edges.requisite));
        let part_of = set(&edges.part_of);
        let pulls = union(&[&requires, &binds_to]);
        let needs = union(&[&pulls, &requisite]);
        let mut conflicts = set(&edges.conflicts);
        conflicts.extend(turned(&conflicts));
        let conditions: BTreeMap<(u32, u32), _> = edges
            .depends_on
            .iter()
            .map(|it| ((it.from, it.to), *it))
            .collect();
        let need = |pair: &(u32, u32)| {
            let must_be_active = binds_to.contains(pair) || requisite.contains(pair);
            match conditions.get(pair).map(|it| it.condition) {
                Some(DependsOnCondition::CompletedSuccessfully) if must_be_active => {
                    Need::ActiveCompleted
                }
                Some(DependsOnCondition::CompletedSuccessfully) => Need::Completed,
                Some(DependsOnCondition::Healthy) if must_be_active => Need::ActiveHealthy,
                Some(DependsOnCondition::Healthy) => Need::Healthy,
                Some(DependsOnCondition::Started) | None if must_be_active => Need::Active,
                Some(DependsOnCondition::Started) | None => Need::Ready,
            }
        };
        let link = |pair: (u32, u32), end: u32| Link {
            unit: UnitId(end),
            need: need(&pair),
            required: needs.contains(&pair),
        };
        let requirement = |pair: (u32, u32), end: u32| Requirement {
            unit: UnitId(end),
            need: need(&pair),
        };
        let says = |pair: &(u32, u32)| conditions.get(pair).map(|it| it.restart);
        let declared = |pair: &(u32, u32)| {
            part_of.contains(pair) || binds_to.contains(pair) || says(pair) == Some(true)
        };
        let told: Pairs = conditions.keys().copied().filter(known).collect();
        let follows = union(&[&needs, &part_of, &told]);
        let follows = follows
            .iter()
            .filter(|pair| declared(pair) || (needs.contains(pair) && says(pair) != Some(false)));
        let follower = |&(from, to): &(u32, u32)| {
            let follower = Follower {
                unit: UnitId(from),
                declared: declared(&(from, to)),
            };
            (to, follower)
        };
        let forward =
            |pairs: &Pairs| Adjacency::new(len, pairs.iter().map(|&(a, b)| (a, UnitId(b))));
        Self {
            len,
            after: Adjacency::new(len, after.iter().map(|&(a, b)| (a, link((a, b), b)))),
            before: Adjacency::new(len, after.iter().map(|&(a, b)| (b, link((a, b), a)))),
            requires: forward(&requires),
            wants: forward(&set(&edges.wants)),
            pulls: forward(&pulls),
            needs: Adjacency::new(len, needs.iter().map(|&(a, b)| (a, requirement((a, b), b)))),
            needed_by: Adjacency::new(len, needs.iter().map(|&(a, b)| (b, requirement((a, b), a)))),
            requisite: forward(&requisite),
            binds_to: forward(&binds_to),
            bound_by: forward(&turned(&binds_to)),
            stopped_with: forward(&turned(&union(&[&needs, &part_of]))),
            restarted_with: Adjacency::new(len, follows.map(follower)),
            conflicts: forward(&conflicts),
            on_failure: forward(&set(&edges.on_failure)),
            on_success: forward(&set(&edges.on_success)),
            triggers: forward(&set(&edges.triggers)),
            triggered_by: forward(&turned(&set(&edges.triggers))),
        }
    }

    /// Number of places for units.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What `unit` waits for when it starts.
    #[must_use]
    pub fn after(&self, unit: UnitId) -> &[Link] {
        self.after.of(unit)
    }

    /// Who waits for `unit` when it starts, and whom it waits for when it stops.
    #[must_use]
    pub fn before(&self, unit: UnitId) -> &[Link] {
        self.before.of(unit)
    }

    #[must_use]
    pub fn requires(&self, unit: UnitId) -> &[UnitId] {
        self.requires.of(unit)
    }

    #[must_use]
    pub fn wants(&self, unit: UnitId) -> &[UnitId] {
        self.wants.of(unit)
    }

    #[must_use]
    pub fn requisite(&self, unit: UnitId) -> &[UnitId] {
        self.requisite.of(unit)
    }

    #[must_use]
    pub fn binds_to(&self, unit: UnitId) -> &[UnitId] {
        self.binds_to.of(unit)
    }

    /// In both directions.
    #[must_use]
    pub fn conflicts(&self, unit: UnitId) -> &[UnitId] {
        self.conflicts.of(unit)
    }

    #[must_use]
    pub fn on_failure(&self, unit: UnitId) -> &[UnitId] {
        self.on_failure.of(unit)
    }

    #[must_use]
    pub fn on_success(&self, unit: UnitId) -> &[UnitId] {
        self.on_success.of(unit)
    }

    /// What the timer starts.
    #[must_use]
    pub fn triggers(&self, unit: UnitId) -> &[UnitId] {
        self.triggers.of(unit)
    }

    /// Whose goal is up when the goal of `unit` is.
    #[must_use]
    pub fn pulls(&self, unit: UnitId) -> &[UnitId] {
        self.pulls.of(unit)
    }

    /// Who stops when `unit` is stopped.
    #[must_use]
    pub fn stopped_with(&self, unit: UnitId) -> &[UnitId] {
        self.stopped_with.of(unit)
    }

    pub(crate) fn triggered_by(&self, unit: UnitId) -> &[UnitId] {
        self.triggered_by.of(unit)
    }

    pub(crate) fn needs(&self, unit: UnitId) -> &[Requirement] {
        self.needs.of(unit)
    }

    pub(crate) fn needed_by(&self, unit: UnitId) -> &[Requirement] {
        self.needed_by.of(unit)
    }

    pub(crate) fn bound_by(&self, unit: UnitId) -> &[UnitId] {
        self.bound_by.of(unit)
    }

    pub(crate) fn restarted_with(&self, unit: UnitId) -> &[Follower] {
        self.restarted_with.of(unit)
    }

    pub(crate) fn has_conflicts(&self) -> bool {
        !self.conflicts.is_empty()
    }
}

impl From<&UnitSet> for Graph {
    fn from(set: &UnitSet) -> Self {
        Self::new(&Edges::from(set))
    }
}

fn turned(pairs: &Pairs) -> Pairs {
    pairs.iter().map(|&(from, to)| (to, from)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;

    fn units(links: &[Link]) -> Vec<u32> {
        links.iter().map(|link| link.unit.0).collect()
    }

    #[test]
    fn an_edge_is_seen_from_both_ends_and_knows_whether_it_is_a_requirement() {
        let graph = Graph::new(&Edges {
            units: 3,
            after: vec![(2, 0), (2, 1), (2, 1)],
            requires: vec![(2, 0)],
            wants: vec![(2, 1), (2, 9)],
            ..Edges::default()
        });
        let link = |unit, required| Link {
            unit: UnitId(unit),
            need: Need::Ready,
            required,
        };
        assert_eq!(graph.after(UnitId(2)), [link(0, true), link(1, false)]);
        assert_eq!(graph.before(UnitId(0)), [link(2, true)]);
        assert_eq!(graph.stopped_with(UnitId(0)), [UnitId(2)]);
        assert_eq!(graph.wants(UnitId(2)), [UnitId(1)]);
        assert!(graph.after(UnitId(7)).is_empty());
    }

    #[test]
    fn a_restart_follows_requirements_unless_depends_on_says_no() {
        let depends = |from, restart| crate::Condition {
            from,
            to: 0,
            condition: DependsOnCondition::Started,
            restart,
        };
        let graph = Graph::new(&Edges {
            units: 5,
            requires: vec![(1, 0), (2, 0), (3, 0)],
            part_of: vec![(4, 0)],
            depends_on: vec![depends(2, false), depends(3, true)],
            ..Edges::default()
        });
        let follower = |unit, declared| Follower {
            unit: UnitId(unit),
            declared,
        };
        assert_eq!(
            graph.restarted_with(UnitId(0)),
            [follower(1, false), follower(3, true), follower(4, true)]
        );
    }

    #[test]
    fn a_cycle_of_order_and_what_hangs_on_it_loses_its_order_and_the_rest_is_kept() {
        let graph = Graph::new(&Edges {
            units: 5,
            after: vec![(0, 1), (1, 2), (2, 0), (3, 0), (1, 1), (1, 4)],
            ..Edges::default()
        });
        assert!(
            [0, 2, 3]
                .into_iter()
                .all(|unit| graph.after(UnitId(unit)).is_empty())
        );
        assert_eq!(units(graph.after(UnitId(1))), [4]);
    }
}
