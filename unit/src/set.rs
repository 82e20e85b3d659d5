//! The units of a machine with their dependencies as indices: what the supervisor works on.
//!
//! ```text
//! file says                      set has
//! web: after = ["db"]       ──▶  after(web) = [db],  before(db) = [web]
//! db:  before = ["web"]     ──▶  the same edge
//! web: requires = ["db"]    ──▶  requires(web) = [db],  required_by(db) = [web]; no order, as in systemd
//! web: wanted_by = [t]      ──▶  wants(t) = [web],  and t after web, as systemd does for targets,
//!                                unless web comes after t already
//! ```
//!
//! Invariants: an index is the position in name order (`redis@2` before `redis@10`); every edge leads to a unit of the
//! set; `after` has no cycle; `default.target` is there; edge lists are sorted and have no duplicate.

use crate::{Diagnostic, Unit, UnitKind, UnitName, graph, resolve};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UnitSet {
    units: Vec<Unit>,
    by_name: BTreeMap<UnitName, u32>,
    after: Vec<Vec<u32>>,
    before: Vec<Vec<u32>>,
    requires: Vec<Vec<u32>>,
    required_by: Vec<Vec<u32>>,
    wants: Vec<Vec<u32>>,
    wanted_by: Vec<Vec<u32>>,
    start_order: Vec<u32>,
}

impl UnitSet {
    /// The units whose dependencies work out, and what is wrong with the others.
    #[must_use]
    pub fn resolve(units: Vec<Unit>) -> (Self, Vec<Diagnostic>) {
        let loaded = resolve::resolve(
            units.into_iter().map(Into::into).collect(),
            Vec::new(),
            Vec::new(),
        );
        (loaded.set, loaded.diagnostics)
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.units.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.units.is_empty()
    }

    /// In index order.
    #[must_use]
    pub fn units(&self) -> &[Unit] {
        &self.units
    }

    #[must_use]
    pub fn get(&self, index: u32) -> Option<&Unit> {
        self.units.get(usize::try_from(index).ok()?)
    }

    #[must_use]
    pub fn find(&self, name: &UnitName) -> Option<u32> {
        self.by_name.get(name).copied()
    }

    /// `default.target`: what is started at boot.
    #[must_use]
    pub fn default_target(&self) -> Option<u32> {
        self.find(&UnitName::default_target())
    }

    /// What must have been started before this one is.
    #[must_use]
    pub fn after(&self, index: u32) -> &[u32] {
        graph::of(&self.after, index)
    }

    /// Who waits for this one.
    #[must_use]
    pub fn before(&self, index: u32) -> &[u32] {
        graph::of(&self.before, index)
    }

    #[must_use]
    pub fn requires(&self, index: u32) -> &[u32] {
        graph::of(&self.requires, index)
    }

    #[must_use]
    pub fn required_by(&self, index: u32) -> &[u32] {
        graph::of(&self.required_by, index)
    }

    #[must_use]
    pub fn wants(&self, index: u32) -> &[u32] {
        graph::of(&self.wants, index)
    }

    #[must_use]
    pub fn wanted_by(&self, index: u32) -> &[u32] {
        graph::of(&self.wanted_by, index)
    }

    /// Every unit after all that it comes after.
    #[must_use]
    pub fn start_order(&self) -> &[u32] {
        &self.start_order
    }

    /// The unit whose name is nearest to a mistyped one.
    #[must_use]
    pub fn nearest(&self, name: &str) -> Option<&UnitName> {
        let nearest = crate::nearest::nearest(name, self.by_name.keys().map(UnitName::as_str))?;
        self.by_name.keys().find(|known| known.as_str() == nearest)
    }

    /// `units` in index order, their names different from each other, their `after` without a cycle.
    /// References to units that are not in the list are left out.
    pub(crate) fn assemble(units: Vec<Unit>) -> Self {
        let by_name: BTreeMap<UnitName, u32> = units
            .iter()
            .map(|unit| unit.name.clone())
            .zip(0u32..)
            .collect();
        let find = |name: &UnitName| by_name.get(name).copied();
        let edges = |list: fn(&Unit) -> &Vec<UnitName>| -> Vec<Vec<u32>> {
            units
                .iter()
                .map(|unit| list(unit).iter().filter_map(find).collect())
                .collect()
        };

        let mut wants = edges(|unit| &unit.dependencies.wants);
        add(&mut wants, graph::reversed(&edges(|unit| &unit.wanted_by)));
        let mut requires = edges(|unit| &unit.dependencies.requires);
        tidy(&mut requires);
        let mut after = edges(|unit| &unit.dependencies.after);
        add(
            &mut after,
            graph::reversed(&edges(|unit| &unit.dependencies.before)),
        );

        for (target, unit) in (0u32..).zip(&units) {
            if matches!(unit.kind, UnitKind::Target) {
                let later = graph::reachable(&graph::reversed(&after), target);
                let members = graph::of(&wants, target)
                    .iter()
                    .chain(graph::of(&requires, target));
                let members: Vec<u32> = members
                    .copied()
                    .filter(|member| !later.contains(member))
                    .collect();
                if let Some(list) = usize::try_from(target)
                    .ok()
                    .and_then(|target| after.get_mut(target))
                {
                    list.extend(members);
                }
            }
        }
        tidy(&mut after);

        let start_order = graph::order(&after).unwrap_or_default();
        Self {
            before: graph::reversed(&after),
            required_by: graph::reversed(&requires),
            wanted_by: graph::reversed(&wants),
            units,
            by_name,
            after,
            requires,
            wants,
            start_order,
        }
    }
}

fn add(edges: &mut [Vec<u32>], more: Vec<Vec<u32>>) {
    for (list, more) in edges.iter_mut().zip(more) {
        list.extend(more);
    }
    tidy(edges);
}

fn tidy(edges: &mut [Vec<u32>]) {
    for list in edges {
        list.sort_unstable();
        list.dedup();
    }
}
