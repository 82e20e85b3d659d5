//! Where the boxes go: in rows, each unit above all that it needs or comes after, and in each row near its neighbours.
//!
//! The steps are Sugiyama's (Sugiyama, Tagawa, Toda 1981): rows by the longest path, order in a row by the mean place of
//! the neighbours, a few times up and down.

use control::explain::UnitGraph;
use std::collections::{BTreeMap, BTreeSet};

/// Sweeps over all rows; more change little.
const SWEEPS: usize = 8;

/// Units (their positions in the graph) by row, from the top.
pub(crate) fn rows(graph: &UnitGraph) -> Vec<Vec<usize>> {
    let count = graph.units.len();
    let names: BTreeMap<&str, usize> = (0..count)
        .map(|unit| (graph.units[unit].name.as_str(), unit))
        .collect();
    let mut below: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); count];
    for edge in &graph.edges {
        let downwards = !matches!(
            edge.kind.as_str(),
            "conflicts" | "on_failure" | "on_success" | "part_of"
        );
        let ends = names
            .get(edge.from.as_str())
            .zip(names.get(edge.to.as_str()));
        if let Some((from, to)) = ends.filter(|(from, to)| downwards && from != to) {
            below[*from].insert(*to);
        }
    }
    let depth = depths(&below);
    let deepest = depth.iter().copied().max().unwrap_or(0);
    let mut rows: Vec<Vec<usize>> = vec![Vec::new(); if count == 0 { 0 } else { deepest + 1 }];
    for unit in 0..count {
        rows[deepest - depth[unit]].push(unit);
    }
    let mut near: Vec<BTreeSet<usize>> = below.clone();
    for (from, others) in below.iter().enumerate() {
        for to in others {
            near[*to].insert(from);
        }
    }
    for sweep in 0..SWEEPS {
        let order: Vec<usize> = if sweep % 2 == 0 {
            (0..rows.len()).collect()
        } else {
            (0..rows.len()).rev().collect()
        };
        for row in order {
            settle(&mut rows, row, &near, count);
        }
    }
    rows
}

/// The longest way down from each unit; an edge back into a cycle does not count.
fn depths(below: &[BTreeSet<usize>]) -> Vec<usize> {
    let mut depth: Vec<Option<usize>> = vec![None; below.len()];
    let mut on_the_way = vec![false; below.len()];
    for start in 0..below.len() {
        let mut stack = vec![(start, false)];
        while let Some((unit, done)) = stack.pop() {
            if done {
                on_the_way[unit] = false;
                let under = below[unit].iter().filter_map(|other| depth[*other]);
                depth[unit] = Some(under.max().map_or(0, |most| most + 1));
            } else if depth[unit].is_none() && !on_the_way[unit] {
                on_the_way[unit] = true;
                stack.push((unit, true));
                let others = below[unit].iter().filter(|other| !on_the_way[**other]);
                stack.extend(others.map(|other| (*other, false)));
            }
        }
    }
    depth.into_iter().map(|depth| depth.unwrap_or(0)).collect()
}

/// Sorts a row by the mean relative place of each unit's neighbours in other rows.
fn settle(rows: &mut [Vec<usize>], row: usize, near: &[BTreeSet<usize>], count: usize) {
    let mut place: Vec<f64> = vec![0.0; count];
    for units in rows.iter() {
        for (position, unit) in units.iter().enumerate() {
            place[*unit] = (position as f64 + 0.5) / units.len() as f64;
        }
    }
    let wish = |unit: &usize| {
        let others = &near[*unit];
        if others.is_empty() {
            return place[*unit];
        }
        others.iter().map(|other| place[*other]).sum::<f64>() / others.len() as f64
    };
    let mut wished: Vec<(f64, usize)> = rows[row].iter().map(|unit| (wish(unit), *unit)).collect();
    wished.sort_by(|a, b| a.0.total_cmp(&b.0));
    rows[row] = wished.into_iter().map(|(_, unit)| unit).collect();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::tests::example;

    #[test]
    fn each_unit_is_above_what_it_needs() {
        let graph = example();
        let rows = rows(&graph);
        let names = |row: &Vec<usize>| -> Vec<&str> {
            row.iter()
                .map(|unit| graph.units[*unit].name.as_str())
                .collect()
        };
        let named: Vec<Vec<&str>> = rows.iter().map(names).collect();
        assert_eq!(named[0], ["default.target"]);
        assert_eq!(named[1], ["gateway"]);
        assert_eq!(named[2], ["discovery"]);
        let mut last = named[3].clone();
        last.sort_unstable();
        assert_eq!(last, ["config", "sweep.timer"]);
    }

    #[test]
    fn a_cycle_and_an_empty_graph_end() {
        assert!(super::rows(&UnitGraph::default()).is_empty());
        let mut graph = example();
        let mut back = graph.edges[1].clone();
        std::mem::swap(&mut back.from, &mut back.to);
        graph.edges.push(back);
        let all: usize = super::rows(&graph).iter().map(Vec::len).sum();
        assert_eq!(all, graph.units.len());
    }
}
