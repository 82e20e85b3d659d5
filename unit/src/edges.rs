//! Edges of one kind between units, in both directions.

use crate::graph;
use serde::{Deserialize, Serialize};

/// Lists are sorted and have no duplicate; `back` is `forward` turned round.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Edges {
    forward: Vec<Vec<u32>>,
    back: Vec<Vec<u32>>,
}

impl Edges {
    pub(crate) fn new(mut forward: Vec<Vec<u32>>) -> Self {
        tidy(&mut forward);
        let back = graph::reversed(&forward);
        Self { forward, back }
    }

    /// Each edge also the other way round.
    pub(crate) fn symmetric(mut forward: Vec<Vec<u32>>) -> Self {
        let back = graph::reversed(&forward);
        add(&mut forward, back);
        Self::new(forward)
    }

    pub(crate) fn from(&self, index: u32) -> &[u32] {
        graph::of(&self.forward, index)
    }

    /// Every unit after all it has edges to; empty when there is a cycle.
    pub(crate) fn order(&self) -> Vec<u32> {
        graph::order(&self.forward).unwrap_or_default()
    }

    pub(crate) fn to(&self, index: u32) -> &[u32] {
        graph::of(&self.back, index)
    }
}

pub(crate) fn add(edges: &mut [Vec<u32>], more: Vec<Vec<u32>>) {
    for (list, more) in edges.iter_mut().zip(more) {
        list.extend(more);
    }
}

fn tidy(edges: &mut [Vec<u32>]) {
    for list in edges {
        list.sort_unstable();
        list.dedup();
    }
}
