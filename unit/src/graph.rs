//! Order and cycles of a directed graph of indices.
//!
//! An edge `a → b` in `edges[a]` means: `a` comes after `b`.

use std::collections::BTreeSet;

/// Edges of a node; none for a node that does not exist.
pub(crate) fn of(edges: &[Vec<u32>], node: u32) -> &[u32] {
    usize::try_from(node)
        .ok()
        .and_then(|node| edges.get(node))
        .map_or(&[], Vec::as_slice)
}

/// The same graph with every edge turned round.
pub(crate) fn reversed(edges: &[Vec<u32>]) -> Vec<Vec<u32>> {
    let mut back: Vec<Vec<u32>> = vec![Vec::new(); edges.len()];
    for (node, targets) in (0u32..).zip(edges) {
        for target in targets {
            if let Some(list) = usize::try_from(*target)
                .ok()
                .and_then(|target| back.get_mut(target))
            {
                list.push(node);
            }
        }
    }
    back
}

/// Every node after all it has edges to, the smallest index first where there is a choice.
///
/// `Err` gives one cycle: each node has an edge to the next one, and the last one to the first.
pub(crate) fn order(edges: &[Vec<u32>]) -> Result<Vec<u32>, Vec<u32>> {
    let back = reversed(edges);
    let mut open: Vec<usize> = edges.iter().map(Vec::len).collect();
    let mut ready: BTreeSet<u32> = (0u32..)
        .zip(&open)
        .filter(|(_, open)| **open == 0)
        .map(|(node, _)| node)
        .collect();
    let mut order = Vec::with_capacity(edges.len());
    while let Some(node) = ready.pop_first() {
        order.push(node);
        for next in of(&back, node) {
            if let Some(open) = usize::try_from(*next)
                .ok()
                .and_then(|next| open.get_mut(next))
            {
                *open = open.saturating_sub(1);
                if *open == 0 {
                    ready.insert(*next);
                }
            }
        }
    }
    if order.len() == edges.len() {
        return Ok(order);
    }
    let stuck: BTreeSet<u32> = (0u32..)
        .zip(&open)
        .filter(|(_, open)| **open > 0)
        .map(|(node, _)| node)
        .collect();
    Err(cycle(edges, &stuck))
}

/// Each stuck node has an edge to a stuck one, so a walk along such edges comes back to where it has been.
fn cycle(edges: &[Vec<u32>], stuck: &BTreeSet<u32>) -> Vec<u32> {
    let mut path: Vec<u32> = Vec::new();
    let mut here = stuck.first().copied();
    while let Some(node) = here {
        if let Some(start) = path.iter().position(|seen| *seen == node) {
            return path.split_off(start);
        }
        path.push(node);
        here = of(edges, node)
            .iter()
            .copied()
            .find(|next| stuck.contains(next));
    }
    path
}

/// All nodes that can be reached from `start`, itself included.
pub(crate) fn reachable(edges: &[Vec<u32>], start: u32) -> BTreeSet<u32> {
    let mut seen = BTreeSet::from([start]);
    let mut queue = vec![start];
    while let Some(node) = queue.pop() {
        queue.extend(
            of(edges, node)
                .iter()
                .copied()
                .filter(|next| seen.insert(*next)),
        );
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_first_is_first_in_the_order() {
        assert_eq!(order(&[vec![2], vec![0, 2], vec![]]), Ok(vec![2, 0, 1]));
        assert_eq!(order(&[vec![], vec![], vec![]]), Ok(vec![0, 1, 2]));
        assert_eq!(order(&[]), Ok(vec![]));
    }

    #[test]
    fn a_cycle_is_named_without_what_only_hangs_on_it() {
        assert_eq!(order(&[vec![1], vec![2], vec![1]]), Err(vec![1, 2]));
        assert_eq!(order(&[vec![0]]), Err(vec![0]));
    }
}
