//! Edges as flat arrays, and the belt against cycles.

use crate::UnitId;
use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Neighbours of node `n` are `items[starts[n]..starts[n + 1]]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Adjacency<T> {
    starts: Vec<usize>,
    items: Vec<T>,
}

impl<T: Copy + Ord> Adjacency<T> {
    pub(crate) fn new(len: usize, pairs: impl Iterator<Item = (u32, T)>) -> Self {
        let mut pairs: Vec<(usize, T)> = pairs.map(|(from, item)| (index(from), item)).collect();
        pairs.sort_unstable();
        let start = |node: usize| pairs.partition_point(|(from, _)| *from < node);
        Self {
            starts: (0..=len).map(start).collect(),
            items: pairs.iter().map(|(_, item)| *item).collect(),
        }
    }

    pub(crate) fn of(&self, unit: UnitId) -> &[T] {
        let node = index(unit.0);
        let range = self
            .starts
            .get(node)
            .zip(self.starts.get(node.saturating_add(1)));
        range
            .and_then(|(start, end)| self.items.get(*start..*end))
            .unwrap_or(&[])
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

/// A unit's place in an array.
pub(crate) fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// Takes away the edges among those units that no order could reach: a belt under the check that `unit` makes,
/// because a cycle here would be a set of units that wait for each other for ever.
pub(crate) fn without_cycles(len: usize, after: BTreeSet<(u32, u32)>) -> BTreeSet<(u32, u32)> {
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
