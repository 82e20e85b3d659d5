//! Another set of units in the place of the present one, while everything runs.
//!
//! ```text
//! in both, same definition      not touched
//! in both, another definition   restarts once, with those that follow it; or start-first: see `replace`
//! new                           started if something that is up wants or requires it
//! gone                          stopped, its place given back
//! gone and back meanwhile       has its old place; the new run begins when the old one has ended
//! ```
//!
//! Of one name there is never more than one run, unless a new version starts beside the old one. Places keep their numbers, so that no report under way gets lost. One turn costs O((units + edges) log units).

use crate::adjacency::without_cycles;
use crate::edges::Condition;
use crate::goal::Pull;
use crate::life::{Life, Lowered};
use crate::mutant::Mutant;
use crate::request::Wish;
use crate::{Action, Edges, Goal, Graph, Rules, State, Supervisor, Ticket, Timestamp, UnitId};
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};
use unit::{Timer, Unit, UnitName, UnitSet, UpdateOrder};

/// The core's view of a set: rules and edges by index.
#[derive(Clone, Debug)]
pub struct Plan {
    pub rules: Vec<Rules>,
    pub edges: Edges,
    /// `default.target`
    pub default: Option<u32>,
}

impl From<&UnitSet> for Plan {
    fn from(set: &UnitSet) -> Self {
        Self {
            rules: Rules::of(set),
            edges: Edges::from(set),
            default: set.default_target(),
        }
    }
}

/// What has come of an `apply`: two lists by index of the plan, three of places.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// Where `init` has to put the definition of each unit: of one that is replaced start-first, the successor's place.
    /// To be done before the actions are performed.
    pub places: Vec<UnitId>,
    /// The number by which requests and answers know each unit.
    pub homes: Vec<UnitId>,
    pub added: Vec<UnitId>,
    pub changed: Vec<UnitId>,
    pub removed: Vec<UnitId>,
}

/// The change, while it is made.
#[derive(Default)]
pub(crate) struct Change {
    pub(crate) applied: Applied,
    /// Old and new place.
    successors: Vec<(UnitId, UnitId)>,
    /// Places that had a unit before.
    known: BTreeSet<UnitId>,
    /// Those that execute what they did: a job that has finished stays so.
    same_program: BTreeSet<UnitId>,
    /// With the timers that they had before.
    retimed: Vec<(UnitId, Option<Timer>)>,
    /// Put back while they were on their way out.
    pub(crate) returned: BTreeSet<UnitId>,
    /// Of these, those that are another definition now.
    pub(crate) returned_changed: BTreeSet<UnitId>,
}

impl Supervisor {
    /// Takes over a new set. `None`: refused, because the machine goes down or too many requests wait; the ticket has its
    /// reply. Which set is a good one is not decided here.
    pub fn apply(
        &mut self,
        now: Timestamp,
        plan: &Plan,
        ticket: Option<Ticket>,
        actions: &mut Vec<Action>,
    ) -> Option<Applied> {
        let first = actions.len();
        self.begin_turn(now, actions);
        let applied = match self.refusal_of_all() {
            Some(outcome) => {
                if let Some(ticket) = ticket {
                    self.actions.push(Action::Reply { ticket, outcome });
                }
                None
            }
            None => Some(self.take_over(plan, ticket)),
        };
        let cause = crate::Cause::Applied(applied.clone().unwrap_or_default());
        self.end_turn(cause, first, actions);
        applied
    }

    fn take_over(&mut self, plan: &Plan, ticket: Option<Ticket>) -> Applied {
        for unit in self.units() {
            self.count_steps(1);
            self.drop_successor(unit, "another configuration has been applied");
        }
        let mut change = self.place_units(plan);
        let mut edges = self.new_edges(plan, &change);
        self.keep_apart_from_leaving(&mut edges, &change);
        self.count_steps(edges.count());
        self.graph = Graph::new(&edges);
        let home = |index: u32| {
            change
                .applied
                .homes
                .get(crate::adjacency::index(index))
                .copied()
        };
        self.default = plan.default.and_then(home);
        self.form_groups();
        self.recount();
        self.record_changed();
        for unit in self.units() {
            self.steps = self.steps.saturating_add(1);
            self.publish(unit);
            self.touch(unit);
        }
        let wishes = self.carry_out(&mut change);
        if let Some(ticket) = ticket {
            self.wait_for(ticket, wishes);
        }
        change.applied
    }

    /// Finds a place for each unit of the plan, and puts its rules there.
    fn place_units(&mut self, plan: &Plan) -> Change {
        let mut by_name: BTreeMap<UnitName, UnitId> = BTreeMap::new();
        // By name and whether it is a target: another kind needs another place.
        let mut removed: BTreeMap<(UnitName, bool), UnitId> = BTreeMap::new();
        let mut change = Change::default();
        for unit in self.units() {
            self.count_steps(1);
            let (Some(life), Some(rules)) = (self.life(unit), self.rules_of(unit)) else {
                continue;
            };
            if life.vacant {
                continue;
            }
            if !life.leaves {
                by_name.insert(rules.name.clone(), unit);
                change.known.insert(unit);
            } else if !life.beside {
                let key = (rules.name.clone(), rules.is_target());
                removed.insert(key, unit);
            }
        }
        if self.planted(Mutant::ReturnedUnitsStartTwice) {
            removed.clear();
        }
        let mut vacant: VecDeque<UnitId> = self
            .units()
            .filter(|unit| self.life(*unit).is_some_and(|life| life.vacant))
            .collect();
        for rules in &plan.rules {
            self.steps = self.steps.saturating_add(1);
            let same_kind = |unit: &UnitId| {
                self.rules_of(*unit)
                    .is_some_and(|old| old.is_target() == rules.is_target())
            };
            let home = by_name.get(&rules.name).copied().filter(same_kind);
            let key = (rules.name.clone(), rules.is_target());
            if let Some(home) = home {
                by_name.remove(&rules.name);
                self.keep_place(home, rules, &mut vacant, &mut change);
            } else if let Some(home) = removed.remove(&key) {
                self.take_back(home, rules, &mut change);
            } else {
                let home = self.new_place(rules.clone(), &mut vacant);
                change.applied.homes.push(home);
                change.applied.places.push(home);
                change.applied.added.push(home);
            }
        }
        change.applied.removed = by_name.into_values().collect();
        change
    }

    fn keep_place(
        &mut self,
        home: UnitId,
        rules: &Rules,
        vacant: &mut VecDeque<UnitId>,
        change: &mut Change,
    ) {
        change.applied.homes.push(home);
        let Some((life, old)) = self.both(home) else {
            return;
        };
        let differs = old.fingerprint != rules.fingerprint;
        if old.program == rules.program {
            change.same_program.insert(home);
        } else {
            life.completed = false;
        }
        let beside = differs
            && rules.update.order == UpdateOrder::StartFirst
            && life.is_serving()
            && life.stop_cause.is_none()
            && !rules.ends()
            && !rules.is_target();
        if self.planted(Mutant::UnchangedRestarts) || differs {
            change.applied.changed.push(home);
        }
        if beside {
            let place = self.new_place(rules.clone(), vacant);
            change.applied.places.push(place);
            change.successors.push((home, place));
            return;
        }
        change.applied.places.push(home);
        let old = self
            .rules
            .get_mut(crate::adjacency::index(home.0))
            .map(|old| core::mem::replace(old, rules.clone()));
        if let Some(old) = old.filter(|old| old.timer != rules.timer) {
            self.disarm(home);
            change.retimed.push((home, old.timer));
        }
    }

    /// Other times: `init` is told anew.
    fn disarm(&mut self, unit: UnitId) {
        if let Some(life) = self.life_mut(unit)
            && core::mem::replace(&mut life.clock.armed, false)
        {
            self.actions.push(Action::DisarmTimer { unit });
        }
    }

    fn new_place(&mut self, rules: Rules, vacant: &mut VecDeque<UnitId>) -> UnitId {
        if let Some(place) = vacant.pop_front()
            && let (Some(life), Some(old)) = (
                self.lives.get_mut(crate::adjacency::index(place.0)),
                self.rules.get_mut(crate::adjacency::index(place.0)),
            )
        {
            let (touched, changed) = (life.touched, life.changed);
            let deadline = life.deadline;
            *life = Life {
                touched,
                changed,
                deadline,
                ..Life::new()
            };
            *old = rules;
            return place;
        }
        let place = UnitId(u32::try_from(self.lives.len()).unwrap_or(u32::MAX));
        self.lives.push(Life::new());
        self.rules.push(rules);
        place
    }

    /// The plan's edges by place; a successor needs what its unit needs; what leaves keeps its order, if that makes no
    /// cycle with the new one.
    fn new_edges(&self, plan: &Plan, change: &Change) -> Edges {
        let home = |index: u32| change.applied.homes.get(crate::adjacency::index(index));
        let map = |pairs: &[(u32, u32)]| -> Vec<(u32, u32)> {
            let both = |&(from, to): &(u32, u32)| Some((home(from)?.0, home(to)?.0));
            pairs.iter().filter_map(both).collect()
        };
        let conditions = plan.edges.depends_on.iter().filter_map(|it| {
            Some(Condition {
                from: home(it.from)?.0,
                to: home(it.to)?.0,
                ..*it
            })
        });
        let mut edges = Edges {
            units: u32::try_from(self.lives.len()).unwrap_or(u32::MAX),
            after: map(&plan.edges.after),
            requires: map(&plan.edges.requires),
            wants: map(&plan.edges.wants),
            requisite: map(&plan.edges.requisite),
            binds_to: map(&plan.edges.binds_to),
            part_of: map(&plan.edges.part_of),
            conflicts: map(&plan.edges.conflicts),
            on_failure: map(&plan.edges.on_failure),
            on_success: map(&plan.edges.on_success),
            triggers: map(&plan.edges.triggers),
            depends_on: conditions.collect(),
        };
        let successors: BTreeMap<u32, u32> = change
            .successors
            .iter()
            .map(|(old, new)| (old.0, new.0))
            .collect();
        for list in [
            &mut edges.after,
            &mut edges.requires,
            &mut edges.requisite,
            &mut edges.binds_to,
        ] {
            let more: Vec<(u32, u32)> = list
                .iter()
                .filter_map(|(from, to)| Some((*successors.get(from)?, *to)))
                .collect();
            list.extend(more);
        }
        self.keep_order_of_leaving(&mut edges, change);
        edges
    }

    fn keep_order_of_leaving(&self, edges: &mut Edges, change: &Change) {
        let removed: BTreeSet<UnitId> = change.applied.removed.iter().copied().collect();
        let leaving = |unit: UnitId| {
            removed.contains(&unit) || self.life(unit).is_some_and(|life| life.leaves)
        };
        let mut order: BTreeSet<(u32, u32)> = BTreeSet::new();
        for unit in self.units().filter(|unit| leaving(*unit)) {
            let after = self.graph.after(unit).iter();
            order.extend(after.map(|link| (unit.0, link.unit.0)));
            let before = self.graph.before(unit).iter();
            order.extend(before.map(|link| (link.unit.0, unit.0)));
        }
        if order.is_empty() {
            return;
        }
        order.extend(edges.after.iter().copied());
        let all = order.len();
        if without_cycles(self.lives.len(), order.clone()).len() == all {
            edges.after = order.into_iter().collect();
        }
    }

    /// Stops, restarts and starts; what a ticket waits for.
    fn carry_out(&mut self, change: &mut Change) -> BTreeSet<(UnitId, Wish)> {
        let mut wishes = BTreeSet::new();
        for unit in &change.applied.removed {
            if let Some(life) = self.life_mut(*unit) {
                life.leaves = true;
            }
            wishes.insert((*unit, Wish::Down));
        }
        if !self.planted(Mutant::RemovedUnitsStay) {
            self.want_down(change.applied.removed.iter().copied(), Lowered::Removed);
        }
        self.retime(&change.retimed);
        let replaced: BTreeSet<UnitId> = change.successors.iter().map(|(old, _)| *old).collect();
        let restarts: Vec<UnitId> = change
            .applied
            .changed
            .iter()
            .copied()
            .filter(|unit| !replaced.contains(unit) && self.restarts_when_changed(*unit, change))
            .collect();
        let bounced = self.bounce(&restarts);
        self.end_before_return(&change.returned_changed);
        let mut queue: VecDeque<(UnitId, Pull)> = VecDeque::new();
        queue.extend(restarts.iter().map(|unit| (*unit, Pull::Fresh)));
        queue.extend(bounced.iter().map(|unit| (*unit, Pull::Fresh)));
        let up = |it: &Self, unit: UnitId| it.life(unit).is_some_and(|life| life.goal == Goal::Up);
        queue.extend(
            self.units()
                .filter(|unit| up(self, *unit))
                .map(|unit| (unit, Pull::Held)),
        );
        let is_new = |unit: &UnitId| change.applied.added.contains(unit);
        if self.default_started {
            let default = self.default.filter(is_new);
            queue.extend(default.map(|unit| (unit, Pull::Held)));
        }
        let down = change.known.iter().copied().filter(|unit| !up(self, *unit));
        let left_out: BTreeSet<UnitId> = down.collect();
        self.want_up(queue, &left_out);
        self.forget_ends(&change.returned_changed);
        self.restart_unbound();
        let numbers: BTreeMap<UnitId, usize> =
            change.applied.places.iter().copied().zip(0..).collect();
        self.count_steps(numbers.len());
        let mut adopted = false;
        for (unit, successor) in core::mem::take(&mut change.successors) {
            if self.life(unit).is_some_and(Life::is_leaving) {
                adopted = true;
                let number = numbers.get(&successor).copied();
                self.adopt(unit, successor, number, change);
                // The new set may also have made it impossible for it to stay.
                let wish = if up(self, unit) { Wish::Up } else { Wish::Down };
                wishes.insert((unit, wish));
            } else {
                self.begin_replacement(unit, successor);
                wishes.insert((unit, Wish::Replaced));
            }
        }
        if adopted {
            // Their new definitions may be of other templates.
            self.form_groups();
        }
        let with_dependants = restarts.iter().chain(&bounced);
        let started = change.applied.added.iter().chain(with_dependants);
        wishes.extend(
            started
                .filter(|unit| up(self, **unit))
                .map(|unit| (*unit, Wish::Up)),
        );
        wishes
    }

    /// The unit is to restart or stop anyway, because of others: it does so with its new definition, and needs no
    /// successor.
    ///
    /// `number`: where the plan has it.
    fn adopt(
        &mut self,
        unit: UnitId,
        successor: UnitId,
        number: Option<usize>,
        change: &mut Change,
    ) {
        let (one, other) = (
            crate::adjacency::index(unit.0),
            crate::adjacency::index(successor.0),
        );
        if one < self.rules.len() && other < self.rules.len() {
            self.rules.swap(one, other);
        }
        if let Some(place) = number.and_then(|number| change.applied.places.get_mut(number)) {
            *place = unit;
        }
        if let Some(life) = self.life_mut(successor) {
            life.vacant = true;
        }
        for place in [unit, successor] {
            self.publish(place);
            self.touch(place);
        }
    }

    /// It has a container of the old definition, or might have one of the new.
    fn restarts_when_changed(&self, unit: UnitId, change: &Change) -> bool {
        let (Some(life), Some(rules)) = (self.life(unit), self.rules_of(unit)) else {
            return false;
        };
        if life.goal == Goal::Down || rules.is_target() {
            return false;
        }
        let finished = matches!(life.state, State::Finished { .. });
        let done = finished && rules.is_job() && change.same_program.contains(&unit);
        !done && !matches!(life.state, State::Scheduled)
    }

    /// A unit that is now bound to one that is not active starts again with it.
    fn restart_unbound(&mut self) {
        for unit in self.units() {
            self.count_steps(self.graph.binds_to(unit).len().saturating_add(1));
            let bound = self.graph.binds_to(unit).iter();
            let mut others = bound.filter_map(|other| self.life(*other));
            let apart = others.any(|other| !other.standing.active);
            if apart
                && let Some(life) = self.life_mut(unit)
                && life.goal == Goal::Up
                && life.state.is_active()
            {
                life.bounce = true;
                self.publish(unit);
                self.touch(unit);
            }
        }
    }

    /// After a re-execution, perhaps with another release of Keelson, in which the same definition may have another
    /// fingerprint: takes those of the definitions that stand at the places, so that the next set restarts nothing that has
    /// not changed. Whether any was another one.
    pub fn recompute_fingerprints<'a>(
        &mut self,
        definition: impl Fn(UnitId) -> Option<&'a Unit>,
    ) -> bool {
        let mut any = false;
        for (unit, rules) in (0..).map(UnitId).zip(&mut self.rules) {
            let fresh = definition(unit).map(Rules::of_unit);
            let Some(fresh) = fresh.filter(|fresh| fresh.name == rules.name) else {
                continue;
            };
            any |= (rules.fingerprint, rules.program) != (fresh.fingerprint, fresh.program);
            rules.fingerprint = fresh.fingerprint;
            rules.program = fresh.program;
        }
        if any {
            // Completed jobs are remembered with their programs.
            self.record_changed();
        }
        any
    }
}
