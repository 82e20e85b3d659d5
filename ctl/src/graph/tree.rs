//! What a unit needs, or who needs it, as a tree of lines.
//!
//! ```text
//! ├─ db (running)
//! │  └─ storage (running)
//! └─ cache (backoff), wanted
//! ```

use super::is_need;
use crate::human;
use crate::output::{self, paint};
use control::explain::UnitGraph;
use std::collections::{BTreeMap, BTreeSet};

/// Lines of one tree: a person reads no more, and `graph` has all.
const LINES_MAX: usize = 40;

/// From whom to whom the tree grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Needs,
    NeededBy,
}

/// Indented lines; empty when there is nobody. What was shown before is not taken apart again.
pub(crate) fn tree(graph: &UnitGraph, unit: &str, direction: Direction, coloured: bool) -> String {
    let mut edges: BTreeMap<&str, BTreeMap<&str, bool>> = BTreeMap::new();
    for edge in graph.edges.iter().filter(|edge| is_need(&edge.kind)) {
        let (from, to) = match direction {
            Direction::Needs => (&edge.from, &edge.to),
            Direction::NeededBy => (&edge.to, &edge.from),
        };
        let hard = edges.entry(from).or_default().entry(to).or_default();
        *hard |= edge.kind != "wants";
    }
    let states = graph
        .units
        .iter()
        .map(|unit| (unit.name.as_str(), unit.state.as_str()));
    let mut grown = Tree {
        edges,
        states: states.collect(),
        shown: BTreeSet::from([unit]),
        lines: Vec::new(),
        coloured,
    };
    grown.below(unit, "");
    if grown.lines.len() > LINES_MAX {
        let more = grown.lines.len() - LINES_MAX;
        grown.lines.truncate(LINES_MAX);
        grown.lines.push(format!("… and {more} more"));
    }
    grown.lines.iter().map(|line| format!("{line}\n")).collect()
}

struct Tree<'g> {
    /// Whether it can't do without.
    edges: BTreeMap<&'g str, BTreeMap<&'g str, bool>>,
    states: BTreeMap<&'g str, &'g str>,
    shown: BTreeSet<&'g str>,
    lines: Vec<String>,
    coloured: bool,
}

impl<'g> Tree<'g> {
    fn below(&mut self, unit: &str, indent: &str) {
        let others: Vec<(&'g str, bool)> = match self.edges.get(unit) {
            Some(others) => others.iter().map(|(other, hard)| (*other, *hard)).collect(),
            None => return,
        };
        let last = others.len().saturating_sub(1);
        for (place, (other, hard)) in others.into_iter().enumerate() {
            let (branch, more) = if place == last {
                ("└─", "   ")
            } else {
                ("├─", "│  ")
            };
            let state = self.states.get(other).copied().unwrap_or_default();
            let state = paint(
                &human::printable(state),
                output::state_colour(state),
                self.coloured,
            );
            let wanted = if hard { "" } else { ", wanted" };
            let known = !self.shown.insert(other);
            let again = if known && self.edges.contains_key(other) {
                " …"
            } else {
                ""
            };
            let name = human::printable(other);
            self.lines
                .push(format!("{indent}{branch} {name} ({state}){wanted}{again}"));
            if !known {
                self.below(other, &format!("{indent}{more}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::tests::example;
    use control::explain::GraphEdge;

    #[test]
    fn needs_go_down_and_needed_by_goes_up() {
        let mut graph = example();
        let text = "\
└─ gateway (waiting), wanted
   └─ discovery (failed)
      └─ config (running)
";
        let needs = |graph: &UnitGraph| tree(graph, "default.target", Direction::Needs, false);
        assert_eq!(needs(&graph), text);
        let text = "\
└─ discovery (failed)
   └─ gateway (waiting)
      └─ default.target (running), wanted
";
        assert_eq!(tree(&graph, "config", Direction::NeededBy, false), text);
        assert_eq!(tree(&graph, "config", Direction::Needs, false), "");
        graph.edges.push(GraphEdge {
            from: "default.target".into(),
            to: "discovery".into(),
            kind: "requires".into(),
        });
        let text = "\
├─ discovery (failed)
│  └─ config (running)
└─ gateway (waiting), wanted
   └─ discovery (failed) …
";
        assert_eq!(needs(&graph), text);
    }
}
