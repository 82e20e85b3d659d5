//! Who depends on whom, as flat arrays.
//!
//! ```text
//!            after ──▶           before ──▶ (the same edges, turned round)
//!   web ───────────▶ db      db ───────────▶ web
//!        requires?  the Link says whether the order is also a requirement
//! ```
//!
//! Invariants: every edge leads to a unit of the graph; no edge twice; `after` has no cycle.

use crate::UnitId;
use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec;
use alloc::vec::Vec;
use unit::UnitSet;

/// Pairs `(from, to)` of unit numbers, in any order, repeated or not: what a [`Graph`] is made from.
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
}

/// The other end of an `after` edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Link {
    pub unit: UnitId,
    /// The later unit also requires the earlier one.
    pub required: bool,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Graph {
    len: usize,
    after: Adjacency<Link>,
    before: Adjacency<Link>,
    requires: Adjacency<UnitId>,
    required_by: Adjacency<UnitId>,
    wants: Adjacency<UnitId>,
}

impl Graph {
    /// Edges that lead nowhere, to themselves, or into a cycle of `after` are left out: `unit` has reported them.
    #[must_use]
    pub fn new(edges: &Edges) -> Self {
        let known = |&(from, to): &(u32, u32)| from != to && from < edges.units && to < edges.units;
        let set = |pairs: &[(u32, u32)]| -> BTreeSet<(u32, u32)> {
            pairs.iter().copied().filter(known).collect()
        };
        let len = index(edges.units);
        let requires = set(&edges.requires);
        let wants = set(&edges.wants);
        let after = without_cycles(len, set(&edges.after));
        let link = |from: u32, to: u32, end: u32| {
            let required = requires.contains(&(from, to));
            let unit = UnitId(end);
            Link { unit, required }
        };
        Self {
            len,
            after: Adjacency::new(len, after.iter().map(|&(a, b)| (a, link(a, b, b)))),
            before: Adjacency::new(len, after.iter().map(|&(a, b)| (b, link(a, b, a)))),
            requires: Adjacency::new(len, requires.iter().map(|&(a, b)| (a, UnitId(b)))),
            required_by: Adjacency::new(len, requires.iter().map(|&(a, b)| (b, UnitId(a)))),
            wants: Adjacency::new(len, wants.iter().map(|&(a, b)| (a, UnitId(b)))),
        }
    }

    /// Number of units.
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
    pub fn required_by(&self, unit: UnitId) -> &[UnitId] {
        self.required_by.of(unit)
    }

    #[must_use]
    pub fn wants(&self, unit: UnitId) -> &[UnitId] {
        self.wants.of(unit)
    }
}

impl From<&UnitSet> for Graph {
    fn from(set: &UnitSet) -> Self {
        let units = u32::try_from(set.len()).unwrap_or(u32::MAX);
        let pairs = |of: fn(&UnitSet, u32) -> &[u32]| -> Vec<(u32, u32)> {
            let list = |from: u32| of(set, from).iter().map(move |to| (from, *to));
            (0..units).flat_map(list).collect()
        };
        Self::new(&Edges {
            units,
            after: pairs(UnitSet::after),
            requires: pairs(UnitSet::requires),
            wants: pairs(UnitSet::wants),
        })
    }
}

/// Neighbours of node `n` are `items[starts[n]..starts[n + 1]]`.
#[derive(Clone, Debug)]
struct Adjacency<T> {
    starts: Vec<usize>,
    items: Vec<T>,
}

impl<T: Copy + Ord> Adjacency<T> {
    fn new(len: usize, pairs: impl Iterator<Item = (u32, T)>) -> Self {
        let mut pairs: Vec<(usize, T)> = pairs.map(|(from, item)| (index(from), item)).collect();
        pairs.sort_unstable();
        let start = |node: usize| pairs.partition_point(|(from, _)| *from < node);
        Self {
            starts: (0..=len).map(start).collect(),
            items: pairs.iter().map(|(_, item)| *item).collect(),
        }
    }

    fn of(&self, unit: UnitId) -> &[T] {
        let node = index(unit.0);
        let range = self
            .starts
            .get(node)
            .zip(self.starts.get(node.saturating_add(1)));
        range
            .and_then(|(start, end)| self.items.get(*start..*end))
            .unwrap_or(&[])
    }
}

/// A unit's place in an array.
pub(crate) fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// Takes away the edges among those units that no order could reach: a belt under the check that `unit` makes,
/// because a cycle here would be a set of units that wait for each other for ever.
fn without_cycles(len: usize, after: BTreeSet<(u32, u32)>) -> BTreeSet<(u32, u32)> {
    let before = Adjacency::new(len, after.iter().map(|&(from, to)| (to, UnitId(from))));
    let mut open = vec![0usize; len];
    for (from, _) in &after {
        if let Some(count) = open.get_mut(index(*from)) {
            *count = count.saturating_add(1);
        }
    }
    let mut free: VecDeque<UnitId> = (0u32..)
        .zip(&open)
        .filter(|(_, count)| **count == 0)
        .map(|(unit, _)| UnitId(unit))
        .collect();
    while let Some(unit) = free.pop_front() {
        for later in before.of(unit) {
            if let Some(count) = open.get_mut(index(later.0)) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    free.push_back(*later);
                }
            }
        }
    }
    let stuck = |unit: u32| open.get(index(unit)).is_some_and(|count| *count > 0);
    after
        .into_iter()
        .filter(|&(from, to)| !(stuck(from) && stuck(to)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
        });
        let link = |unit, required| Link {
            unit: UnitId(unit),
            required,
        };
        assert_eq!(graph.after(UnitId(2)), [link(0, true), link(1, false)]);
        assert_eq!(graph.before(UnitId(0)), [link(2, true)]);
        assert_eq!(graph.required_by(UnitId(0)), [UnitId(2)]);
        assert_eq!(graph.wants(UnitId(2)), [UnitId(1)]);
        assert!(graph.after(UnitId(7)).is_empty());
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
