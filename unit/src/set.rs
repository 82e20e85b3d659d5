//! The units of a machine with their dependencies as indices: what the supervisor works on.
//!
//! ```text
//! file says                      set has
//! web: after = ["db"]       ──▶  after(web) = [db],  before(db) = [web]
//! db:  before = ["web"]     ──▶  the same edge
//! web: requires = ["db"]    ──▶  requires(web) = [db],  required_by(db) = [web]; no order, as in systemd
//! web: binds_to = ["db"]    ──▶  binds_to(web) = [db],  bound_by(db) = [web],  and requires(web) = [db]
//! web: part_of = ["app"]    ──▶  part_of(web) = [app],  consists_of(app) = [web]
//! a: conflicts = ["b"]      ──▶  conflicts(a) = [b],  conflicts(b) = [a]
//! web: wanted_by = [t]      ──▶  wants(t) = [web],  and t after web, as systemd does for targets,
//!                                unless web comes after t already
//! ```
//!
//! Invariants: an index is the position in name order (`redis@2` before `redis@10`); every edge leads to a unit of the
//! set; `after` has no cycle; `default.target` is there; edge lists are sorted and have no duplicate.

use crate::edges::{self, Edges};
use crate::{
    Choices, Dependencies, DependsOnCondition, Diagnostic, Unit, UnitKind, UnitName, graph, resolve,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UnitSet {
    units: Vec<Unit>,
    by_name: BTreeMap<UnitName, u32>,
    after: Edges,
    requires: Edges,
    requisite: Edges,
    wants: Edges,
    binds_to: Edges,
    part_of: Edges,
    conflicts: Edges,
    on_failure: Edges,
    on_success: Edges,
    triggers: Edges,
    depends_on: Vec<Vec<DependsOnEdge>>,
    start_order: Vec<u32>,
}

/// A `[[unit.depends_on]]` whose unit is in the set. `requires` or `wants`, and `after`, have the edge too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DependsOnEdge {
    pub unit: u32,
    pub condition: DependsOnCondition,
    pub restart: bool,
    pub required: bool,
}

impl UnitSet {
    /// The units whose dependencies work out, and what is wrong with the others.
    #[must_use]
    pub fn resolve(units: Vec<Unit>) -> (Self, Vec<Diagnostic>) {
        let loaded = resolve::resolve(
            units.into_iter().map(Into::into).collect(),
            Vec::new(),
            Vec::new(),
            Vec::new(),
            None,
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
        self.after.from(index)
    }

    /// Who waits for this one.
    #[must_use]
    pub fn before(&self, index: u32) -> &[u32] {
        self.after.to(index)
    }

    /// What it cannot do without; `binds_to` included.
    #[must_use]
    pub fn requires(&self, index: u32) -> &[u32] {
        self.requires.from(index)
    }

    #[must_use]
    pub fn required_by(&self, index: u32) -> &[u32] {
        self.requires.to(index)
    }

    /// What must be active already when it starts.
    #[must_use]
    pub fn requisite(&self, index: u32) -> &[u32] {
        self.requisite.from(index)
    }

    #[must_use]
    pub fn requisite_of(&self, index: u32) -> &[u32] {
        self.requisite.to(index)
    }

    #[must_use]
    pub fn wants(&self, index: u32) -> &[u32] {
        self.wants.from(index)
    }

    #[must_use]
    pub fn wanted_by(&self, index: u32) -> &[u32] {
        self.wants.to(index)
    }

    /// Whose end is its end.
    #[must_use]
    pub fn binds_to(&self, index: u32) -> &[u32] {
        self.binds_to.from(index)
    }

    #[must_use]
    pub fn bound_by(&self, index: u32) -> &[u32] {
        self.binds_to.to(index)
    }

    /// Whose stops and restarts it shares.
    #[must_use]
    pub fn part_of(&self, index: u32) -> &[u32] {
        self.part_of.from(index)
    }

    /// Who shares its stops and restarts.
    #[must_use]
    pub fn consists_of(&self, index: u32) -> &[u32] {
        self.part_of.to(index)
    }

    /// What is stopped when it starts, and whose start stops it: whichever of the two says so.
    #[must_use]
    pub fn conflicts(&self, index: u32) -> &[u32] {
        self.conflicts.from(index)
    }

    /// What is started when it has failed.
    #[must_use]
    pub fn on_failure(&self, index: u32) -> &[u32] {
        self.on_failure.from(index)
    }

    #[must_use]
    pub fn on_failure_of(&self, index: u32) -> &[u32] {
        self.on_failure.to(index)
    }

    /// What is started when it has ended with success.
    #[must_use]
    pub fn on_success(&self, index: u32) -> &[u32] {
        self.on_success.from(index)
    }

    #[must_use]
    pub fn on_success_of(&self, index: u32) -> &[u32] {
        self.on_success.to(index)
    }

    /// What a timer starts: one unit, or none for what is not a timer.
    #[must_use]
    pub fn triggers(&self, index: u32) -> &[u32] {
        self.triggers.from(index)
    }

    /// Its timers that are units of their own.
    #[must_use]
    pub fn triggered_by(&self, index: u32) -> &[u32] {
        self.triggers.to(index)
    }

    /// What must have been reached, by which units, before this one is started.
    #[must_use]
    pub fn depends_on(&self, index: u32) -> &[DependsOnEdge] {
        usize::try_from(index)
            .ok()
            .and_then(|index| self.depends_on.get(index))
            .map_or(&[], Vec::as_slice)
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
    /// References to units that are not in the list are left out, and what would start a unit that is barred.
    pub(crate) fn assemble(units: Vec<Unit>, choices: Option<&Choices>) -> Self {
        let by_name: BTreeMap<UnitName, u32> = units
            .iter()
            .map(|unit| unit.name.clone())
            .zip(0u32..)
            .collect();
        let find = |name: &UnitName| by_name.get(name).copied();
        let named = |list: fn(&Dependencies) -> &Vec<UnitName>| -> Vec<Vec<u32>> {
            units
                .iter()
                .map(|unit| list(&unit.dependencies).iter().filter_map(find).collect())
                .collect()
        };
        let barred: BTreeSet<u32> = match choices {
            None => BTreeSet::new(),
            Some(choices) => (0u32..)
                .zip(&units)
                .filter_map(|(index, unit)| choices.bar(unit).map(|_| index))
                .collect(),
        };
        let starting = |list: fn(&Dependencies) -> &Vec<UnitName>| -> Vec<Vec<u32>> {
            let mut edges = named(list);
            for others in &mut edges {
                others.retain(|other| !barred.contains(other));
            }
            edges
        };
        let mut wants = starting(|unit| &unit.wants);
        let wanted_by = units
            .iter()
            .map(|unit| match choices {
                None => unit.wanted_by.iter().filter_map(find).collect(),
                Some(choices) => choices.wanted_by(unit).iter().filter_map(find).collect(),
            })
            .collect::<Vec<_>>();
        edges::add(&mut wants, graph::reversed(&wanted_by));
        let binds_to = named(|unit| &unit.binds_to);
        let mut requires = named(|unit| &unit.requires);
        edges::add(&mut requires, binds_to.clone());
        let requisite = named(|unit| &unit.requisite);
        let mut after = named(|unit| &unit.after);
        edges::add(&mut after, graph::reversed(&named(|unit| &unit.before)));
        let members: Vec<[&[u32]; 3]> = (0u32..)
            .zip(&units)
            .map(|(index, _)| [&wants, &requires, &requisite].map(|edges| graph::of(edges, index)))
            .collect();
        after_members(&mut after, &units, &members);

        let triggers = units.iter().map(|unit| match &unit.kind {
            UnitKind::Timer { unit, .. } => find(unit).into_iter().collect(),
            UnitKind::Container(_) | UnitKind::Target => Vec::new(),
        });
        let triggers = Edges::new(triggers.collect());
        let depends_on = units.iter().map(|unit| {
            let edges = unit.dependencies.depends_on.iter().filter_map(|depends| {
                Some(DependsOnEdge {
                    unit: find(&depends.unit)?,
                    condition: depends.condition,
                    restart: depends.restart,
                    required: depends.required,
                })
            });
            edges.collect()
        });
        let after = Edges::new(after);
        Self {
            start_order: after.order(),
            depends_on: depends_on.collect(),
            requires: Edges::new(requires),
            requisite: Edges::new(requisite),
            wants: Edges::new(wants),
            binds_to: Edges::new(binds_to),
            part_of: Edges::new(named(|unit| &unit.part_of)),
            conflicts: Edges::symmetric(named(|unit| &unit.conflicts)),
            on_failure: Edges::new(starting(|unit| &unit.on_failure)),
            on_success: Edges::new(starting(|unit| &unit.on_success)),
            triggers,
            after,
            by_name,
            units,
        }
    }
}

/// A target comes after its members, except those that come after it: as systemd's default dependencies of targets.
fn after_members(after: &mut [Vec<u32>], units: &[Unit], members: &[[&[u32]; 3]]) {
    for ((target, unit), members) in (0u32..).zip(units).zip(members) {
        if !matches!(unit.kind, UnitKind::Target) {
            continue;
        }
        let later = graph::reachable(&graph::reversed(after), target);
        let members = members.iter().copied().flatten().copied();
        let earlier: Vec<u32> = members.filter(|member| !later.contains(member)).collect();
        if let Some(list) = usize::try_from(target)
            .ok()
            .and_then(|target| after.get_mut(target))
        {
            list.extend(earlier);
        }
    }
}
