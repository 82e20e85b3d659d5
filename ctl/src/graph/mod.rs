//! `keelctl graph`, and the trees of `status`: who needs whom.
//!
//! ```text
//! UnitGraph ─ neighbourhood of the named units ─▶ dot │ svg │ JSON
//!           └ tree (needs ↓, needed by ↑) ──────▶ status
//! ```

mod dot;
mod layout;
mod svg;
mod tree;

use crate::failure::Failure;
use crate::options::{GraphFormat, Invocation};
use crate::output;
use control::explain::{GraphEdge, UnitGraph};
use control::machine::{Machine, Patience};
use control::reply::{Denial, Reply};
use control::request::Request;
use std::collections::BTreeSet;
use std::path::Path;

pub(crate) use tree::{Direction, tree};

pub(crate) fn ask(machine: &Machine, patience: Patience) -> Result<UnitGraph, Failure> {
    match machine.ask(&Request::Graph, patience, |_| {})? {
        Reply::Graph(graph) => Ok(*graph),
        other => Err(Failure::from_reply(other)),
    }
}

/// What a unit needs and who needs it. One that has gone meanwhile has no kin.
pub(crate) fn kin(machine: &Machine, unit: &str, patience: Patience) -> Result<UnitGraph, Failure> {
    let request = Request::Kin {
        unit: unit.to_owned(),
    };
    match machine.ask(&request, patience, |_| {})? {
        Reply::Graph(graph) => Ok(*graph),
        Reply::Denied { .. } => Ok(UnitGraph::default()),
        other => Err(Failure::from_reply(other)),
    }
}

pub(crate) fn graph(
    invocation: &Invocation,
    machine: &Machine,
    format: GraphFormat,
    file: Option<&Path>,
    units: &[String],
) -> Result<(), Failure> {
    let all = ask(machine, invocation.patience(Patience::USUAL))?;
    let graph = if units.is_empty() {
        all
    } else {
        around(&all, units)?
    };
    let text = match format {
        _ if invocation.json => {
            serde_json::to_string_pretty(&graph)
                .map_err(|error| Failure::Failed(format!("not writable as JSON: {error}")))?
                + "\n"
        }
        GraphFormat::Dot => dot::dot(&graph),
        GraphFormat::Svg => svg::svg(&graph),
    };
    match file {
        Some(path) => std::fs::write(path, text)
            .map_err(|error| Failure::Failed(format!("{}: {error}", path.display()))),
        None => output::print(&text),
    }
}

/// Edges of these are what one unit needs of another, in whatever way.
pub(crate) fn is_need(kind: &str) -> bool {
    matches!(kind, "requires" | "binds_to" | "requisite" | "wants")
}

/// The named units, all that they need, and all that need them.
fn around(graph: &UnitGraph, names: &[String]) -> Result<UnitGraph, Failure> {
    let mut kept: BTreeSet<&str> = BTreeSet::new();
    for name in names {
        let plain = name.strip_suffix(".container").unwrap_or(name);
        let Some(unit) = graph.units.iter().find(|unit| unit.name == plain) else {
            let reason = Denial::UnknownUnit {
                unit: name.clone(),
                nearest: None,
            };
            return Err(Failure::Denied(reason));
        };
        for towards in [ends, turned] {
            let mut queue = vec![unit.name.as_str()];
            let mut seen: BTreeSet<&str> = queue.iter().copied().collect();
            while let Some(unit) = queue.pop() {
                let edges = graph.edges.iter().filter(|edge| is_need(&edge.kind));
                let next = edges.map(towards).filter(|(from, _)| *from == unit);
                for (_, other) in next {
                    if seen.insert(other) {
                        queue.push(other);
                    }
                }
            }
            kept.extend(seen);
        }
    }
    let has = |name: &str| kept.contains(name);
    Ok(UnitGraph {
        units: graph
            .units
            .iter()
            .filter(|unit| has(&unit.name))
            .cloned()
            .collect(),
        edges: graph
            .edges
            .iter()
            .filter(|edge| has(&edge.from) && has(&edge.to))
            .cloned()
            .collect(),
    })
}

fn ends(edge: &GraphEdge) -> (&str, &str) {
    (&edge.from, &edge.to)
}

fn turned(edge: &GraphEdge) -> (&str, &str) {
    (&edge.to, &edge.from)
}

/// Fill of a box by state.
fn colour(state: &str) -> &'static str {
    match state {
        "running" | "started" => "#cdeed8",
        "finished" | "scheduled" => "#e0f0e6",
        "failed" => "#f6cfcb",
        "inactive" | "skipped" => "#eceff2",
        _ => "#fbe6bf",
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use control::explain::GraphUnit;

    /// ui ─▶ gateway ─▶ discovery ─▶ config; a timer beside them.
    pub(crate) fn example() -> UnitGraph {
        let unit = |name: &str, kind: &str, state: &str| GraphUnit {
            name: name.into(),
            kind: kind.into(),
            state: state.into(),
        };
        let edge = |from: &str, kind: &str, to: &str| GraphEdge {
            from: from.into(),
            to: to.into(),
            kind: kind.into(),
        };
        UnitGraph {
            units: vec![
                unit("config", "container", "running"),
                unit("default.target", "target", "running"),
                unit("discovery", "container", "failed"),
                unit("gateway", "container", "waiting"),
                unit("sweep.timer", "timer", "running"),
            ],
            edges: vec![
                edge("default.target", "wants", "gateway"),
                edge("discovery", "requires", "config"),
                edge("discovery", "after", "config"),
                edge("gateway", "requires", "discovery"),
                edge("gateway", "after", "discovery"),
                edge("gateway", "conflicts", "sweep.timer"),
            ],
        }
    }

    #[test]
    fn around_a_unit_is_all_that_it_needs_and_all_that_need_it() {
        let names = |units: &[&str]| -> Vec<String> {
            let units: Vec<String> = units.iter().map(ToString::to_string).collect();
            let graph = around(&example(), &units).unwrap();
            graph.units.into_iter().map(|unit| unit.name).collect()
        };
        assert_eq!(
            names(&["discovery"]),
            ["config", "default.target", "discovery", "gateway"]
        );
        assert_eq!(names(&["sweep.timer"]), ["sweep.timer"]);
        assert!(around(&example(), &["nope".into()]).is_err());
    }
}
