//! What `why`, `graph` and the trees of `status` show: the supervisor's journal and read model, in names and words.

use crate::kin;
use crate::machine::Machine;
use control::explain::{GraphEdge, GraphUnit, UnitGraph, WhyStep};
use control::reply::UnitStatus;
use std::collections::BTreeSet;
use supervisor::{Explanation, Limit, UnitId};
use sys::clock::since_boot_ms;
use unit::{UnitKind, UnitSet};

impl Machine {
    pub(crate) fn why(&self, unit: UnitId) -> Vec<WhyStep> {
        let now = since_boot_ms();
        let steps = self.supervisor.why(unit).into_iter();
        let step = |step: supervisor::WhyStep| WhyStep {
            at_ms: step.at.0,
            age_ms: now.saturating_sub(step.at.0),
            unit: self.name(step.unit),
            cause: self.supervisor.cause_text(&step.cause),
            state: self.supervisor.state_text(&step.state),
        };
        steps.map(step).collect()
    }

    pub(crate) fn graph(&self) -> UnitGraph {
        let set = self.units.set();
        let name = |index: u32| set.get(index).map(|unit| unit.name.to_string());
        let all = 0..u32::try_from(set.len()).unwrap_or(u32::MAX);
        let units = all.filter_map(|index| self.node(index));
        let mut edges = Vec::new();
        for from in 0..u32::try_from(set.len()).unwrap_or(u32::MAX) {
            let bound: BTreeSet<u32> = set.binds_to(from).iter().copied().collect();
            for (kind, of) in KINDS {
                for to in of(set, from) {
                    // `binds_to` is in `requires` too; a conflict goes both ways, and is told once.
                    let twice = (*kind == "requires" && bound.contains(to))
                        || (*kind == "conflicts" && *to < from);
                    if let (false, Some(from), Some(to)) = (twice, name(from), name(*to)) {
                        let kind = (*kind).to_owned();
                        edges.push(GraphEdge { from, to, kind });
                    }
                }
            }
        }
        UnitGraph {
            units: units.collect(),
            edges,
        }
    }

    /// What it needs and who needs it, over whatever is between.
    pub(crate) fn kin(&self, unit: UnitId) -> UnitGraph {
        let set = self.units.set();
        let name = |index: u32| set.get(index).map(|unit| unit.name.to_string());
        let Some(start) = self.units.index(unit) else {
            // On its way out: nothing in the set knows it.
            return UnitGraph::default();
        };
        let edges = kin::edges(set, start);
        let ends = edges.iter().flat_map(|(from, to, _)| [*from, *to]);
        let indices: BTreeSet<u32> = ends.chain([start]).collect();
        let edge = |(from, to, kind): &(u32, u32, &str)| {
            let (from, to) = (name(*from)?, name(*to)?);
            let kind = (*kind).to_owned();
            Some(GraphEdge { from, to, kind })
        };
        UnitGraph {
            edges: edges.iter().filter_map(edge).collect(),
            units: indices
                .into_iter()
                .filter_map(|index| self.node(index))
                .collect(),
        }
    }

    fn node(&self, index: u32) -> Option<GraphUnit> {
        let unit = self.units.set().get(index)?;
        Some(GraphUnit {
            name: unit.name.to_string(),
            kind: kind_name(&unit.kind).into(),
            state: self.units.home(index).map_or_else(String::new, |home| {
                self.supervisor.state(home).name().into()
            }),
        })
    }

    fn name(&self, unit: UnitId) -> String {
        let found = self.units.get(unit).map(|unit| unit.name.to_string());
        // A place that has been given back: the journal is older.
        found.unwrap_or_else(|| {
            let place = usize::try_from(unit.0).unwrap_or(usize::MAX);
            let rules = self.supervisor.rules().get(place);
            rules.map_or_else(String::new, |rules| rules.name.to_string())
        })
    }

    /// What the supervisor has to say about a unit.
    pub(crate) fn explain(&self, unit: UnitId, status: &mut UnitStatus) {
        let Some(explanation) = self.supervisor.explain(unit) else {
            return;
        };
        let Explanation {
            state: _,
            since: _,
            goal: _,
            reason: _,
            last_exit: _,
            last_failure,
            waits_for,
            next_start: _,
            limit,
            // `probes` and `pause` have more to say about these.
            health: _,
            health_reason: _,
            paused: _,
            status: said,
            restarts: _,
            successor,
            replace_problem,
            missed: _,
        } = explanation;
        status.last_failure = last_failure.map(|failure| self.supervisor.describe(&failure));
        status.waits_for = waits_for.iter().map(|unit| self.name(*unit)).collect();
        status.limit = limit.map(|limit| limit_key(limit).to_owned());
        status.status = said;
        status.replacing = successor.is_some();
        status.replace_problem = replace_problem;
        if let Some(found) = self.units.get(unit) {
            let enablement = self.units.choices().enablement(found);
            status.enablement = enablement.name().to_owned();
        }
    }
}

type Edges = for<'s> fn(&'s UnitSet, u32) -> &'s [u32];

/// Key of the unit file → its edges.
const KINDS: &[(&str, Edges)] = &[
    ("requires", UnitSet::requires),
    ("binds_to", UnitSet::binds_to),
    ("requisite", UnitSet::requisite),
    ("wants", UnitSet::wants),
    ("after", UnitSet::after),
    ("part_of", UnitSet::part_of),
    ("conflicts", UnitSet::conflicts),
    ("on_failure", UnitSet::on_failure),
    ("on_success", UnitSet::on_success),
    ("starts", UnitSet::triggers),
];

pub(crate) fn kind_name(kind: &UnitKind) -> &'static str {
    match kind {
        UnitKind::Container(_) => "container",
        UnitKind::Target => "target",
        UnitKind::Timer { .. } => "timer",
    }
}

fn limit_key(limit: Limit) -> &'static str {
    match limit {
        Limit::RestartMax => "restart_max",
        Limit::StartLimit => "start_limit",
        Limit::StartTimeout => "start_timeout",
        Limit::ReadinessTimeout => "readiness.timeout",
        Limit::RuntimeMax => "runtime_max",
        Limit::Watchdog => "watchdog",
        Limit::StopTimeout => "stop_timeout",
        Limit::Memory => "resources.memory",
    }
}
