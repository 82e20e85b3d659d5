//! Wishes, carried through the graph by a queue.
//!
//! ```text
//! start    up     ──▶ all it requires and wants;  down ──▶ all that it conflicts with
//! stop     down   ──▶ all that require it or are part of it
//! restart  bounce ──▶ all that require it or are part of it, and run;  then up as for start, from these too
//! ```
//!
//! A unit that was not running when it was asked for is *fresh*: it retries what has failed among its dependencies, and
//! runs again those that had finished without `remain_after_exit`, as a start job of systemd does.
//!
//! Of two units that conflict and that one request reaches, the one that is reached first wins; the other is left out,
//! with all that requires it.

use crate::life::{Life, Lowered, Next};
use crate::mutant::Mutant;
use crate::request::Wish;
use crate::{Goal, Record, State, Supervisor, Ticket, UnitId};
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::format;
use alloc::vec::Vec;

/// Who wants a unit up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Pull {
    /// A unit that is wanted up already and stays as it is.
    Held,
    /// A unit that is running already.
    Live,
    /// A unit that is about to start.
    Fresh,
    /// The request itself.
    Asked,
}

impl Supervisor {
    pub(crate) fn start_default(&mut self) {
        if self.shutdown.is_some() {
            return;
        }
        self.default_started = true;
        if let Some(default) = self.default {
            self.count_steps(self.lives.len());
            let left_out: BTreeSet<UnitId> = self.stopped_units().into_iter().collect();
            let reached = self.want_up(VecDeque::from([(default, Pull::Asked)]), &left_out);
            self.watch_settling(&reached);
        } else {
            self.watch_settling(&BTreeSet::new());
        }
    }

    pub(crate) fn recall(&mut self, record: &Record) {
        if self.planted(Mutant::RecordForgotten) {
            return;
        }
        self.count_steps(self.lives.len());
        for (life, rules) in self.lives.iter_mut().zip(&self.rules) {
            if record.stopped.contains(&rules.name) && life.goal == Goal::Down {
                life.stopped = true;
            }
            if let Some(wall_ms) = record.timers.get(&rules.name) {
                life.clock.last_wall_ms = life.clock.last_wall_ms.or(Some(*wall_ms));
            }
            if record.completed.get(&rules.name) == Some(&rules.program) {
                life.completed = true;
            }
        }
        self.record_changed();
    }

    pub(crate) fn start(&mut self, units: &[UnitId], ticket: Option<Ticket>) {
        if self.accept(units, ticket, Wish::Up) {
            let asked = units.iter().map(|unit| (*unit, Pull::Asked)).collect();
            self.want_up(asked, &BTreeSet::new());
        }
    }

    pub(crate) fn start_by_trigger(&mut self, units: &[UnitId]) {
        let asked = units.iter().map(|unit| (*unit, Pull::Asked)).collect();
        // No operator has asked for it, so the limit of starts still counts.
        self.keeps_start_limits = true;
        self.want_up(asked, &BTreeSet::new());
        self.keeps_start_limits = false;
    }

    pub(crate) fn stop(&mut self, units: &[UnitId], ticket: Option<Ticket>) {
        if self.accept(units, ticket, Wish::Down) {
            for unit in self.want_down(units.iter().copied(), Lowered::Asked) {
                if let Some(life) = self.life_mut(unit) {
                    life.stopped = true;
                }
            }
            self.record_changed();
        }
    }

    pub(crate) fn restart(&mut self, units: &[UnitId], ticket: Option<Ticket>) {
        if self.accept(units, ticket, Wish::Up) {
            self.restart_now(units);
        }
    }

    pub(crate) fn restart_now(&mut self, units: &[UnitId]) {
        let bounced = self.bounce(units);
        let asked = units.iter().map(|unit| (*unit, Pull::Asked));
        let dependants = bounced.into_iter().map(|unit| (unit, Pull::Fresh));
        self.want_up(asked.chain(dependants).collect(), &BTreeSet::new());
    }

    /// Goal up for the units in the queue and all that they pull up; gives all of these. What is `left_out` is not pulled
    /// up where it is merely wanted.
    pub(crate) fn want_up(
        &mut self,
        queue: VecDeque<(UnitId, Pull)>,
        left_out: &BTreeSet<UnitId>,
    ) -> BTreeSet<UnitId> {
        let (mut order, mut pulls) = self.reach(queue.clone(), left_out, &BTreeSet::new());
        let losers = self.losers(&order);
        if !losers.is_empty() {
            // Nor comes up what only they would have pulled up.
            (order, pulls) = self.reach(queue, left_out, &losers);
        }
        let up = |unit: &UnitId| self.life(*unit).is_some_and(|life| life.goal == Goal::Up);
        let lost: Vec<UnitId> = losers.iter().copied().filter(up).collect();
        if !lost.is_empty() {
            // Another set of units has made it impossible for them to stay.
            self.want_down(lost.into_iter(), Lowered::Excluded);
        }
        // First down, then up: what goes down may take along what is to come up.
        if self.graph.has_conflicts() {
            self.lower_rivals(&order);
        }
        for unit in &order {
            if let Some(pull) = pulls.get(unit) {
                self.raise(*unit, *pull);
            }
        }
        self.take_bound_units_along(&order);
        pulls.into_keys().collect()
    }

    /// What is bound to one that is about to restart restarts too. It was told so when that was decided, but it may have
    /// been on its way down then, and up again since.
    fn take_bound_units_along(&mut self, units: &[UnitId]) {
        if self.planted(Mutant::BoundUnitsStay) {
            return;
        }
        let restarts = |life: &Life| life.bounce && life.goal == Goal::Up && life.state.is_active();
        let mut queue: Vec<UnitId> = units.to_vec();
        while let Some(unit) = queue.pop() {
            if !self.life(unit).is_some_and(restarts) {
                continue;
            }
            for bound in self.graph.bound_by(unit).to_vec() {
                self.steps = self.steps.saturating_add(1);
                let Some(life) = self.life_mut(bound) else {
                    continue;
                };
                if life.goal == Goal::Up && life.state.is_active() && !life.bounce {
                    life.bounce = true;
                    life.due = true;
                    self.publish(bound);
                    self.touch(bound);
                    queue.push(bound);
                }
            }
        }
    }

    /// All that is pulled up, in the order in which it is reached, with the strongest pull at each.
    fn reach(
        &mut self,
        mut queue: VecDeque<(UnitId, Pull)>,
        left_out: &BTreeSet<UnitId>,
        losers: &BTreeSet<UnitId>,
    ) -> (Vec<UnitId>, BTreeMap<UnitId, Pull>) {
        let mut order = Vec::new();
        let mut strongest: BTreeMap<UnitId, Pull> = BTreeMap::new();
        while let Some((unit, pull)) = queue.pop_front() {
            match strongest.get(&unit) {
                _ if losers.contains(&unit) => continue,
                Some(known) if *known >= pull => continue,
                Some(_) => {}
                None => order.push(unit),
            }
            strongest.insert(unit, pull);
            let onward = self.onward(unit, pull);
            let (pulled, wants) = (self.graph.pulls(unit), self.graph.wants(unit));
            let edges = u64::try_from(pulled.len().saturating_add(wants.len())).unwrap_or(u64::MAX);
            self.steps = self.steps.saturating_add(edges);
            let wants = wants.iter().filter(|other| !left_out.contains(other));
            queue.extend(pulled.iter().chain(wants).map(|other| (*other, onward)));
        }
        (order, strongest)
    }

    /// With what force a unit that is pulled up pulls its own dependencies.
    fn onward(&self, unit: UnitId, pull: Pull) -> Pull {
        if self.is_fresh(unit, pull) {
            Pull::Fresh
        } else {
            pull.min(Pull::Live)
        }
    }

    /// It will have a new run because of this pull, or is about to have one.
    fn is_fresh(&self, unit: UnitId, pull: Pull) -> bool {
        let (Some(life), Some(rules)) = (self.life(unit), self.rules_of(unit)) else {
            return false;
        };
        let was_down = life.goal == Goal::Down;
        if pull == Pull::Held && !was_down {
            return false;
        }
        let anew = pull > Pull::Live || was_down;
        let asked = pull == Pull::Asked;
        let stays = rules.remains_after_exit() || (rules.is_job() && !asked);
        // The clock starts it, or whoever asks for it by name.
        if rules.is_scheduled() && !asked && !was_down {
            return false;
        }
        match &life.state {
            State::Inactive | State::Waiting | State::Failed { .. } => true,
            State::Scheduled => asked,
            State::Backoff { .. } | State::Skipped { .. } => anew,
            State::Finished { .. } => anew && !stays,
            State::Preparing { .. }
            | State::PreStart { .. }
            | State::Starting { .. }
            | State::Started { .. }
            | State::Running { .. } => life.bounce,
            State::PreStop { .. } | State::Stopping { .. } => {
                was_down || life.bounce || life.stop_cause.is_none()
            }
            State::PostStop { .. } | State::Releasing { .. } => {
                let finished = matches!(life.next, Next::Finished { .. });
                was_down || (anew && !(finished && stays))
            }
        }
    }

    /// Those of a request that cannot be up together with an earlier one of it, and what requires them.
    fn losers(&mut self, order: &[UnitId]) -> BTreeSet<UnitId> {
        let mut losers = BTreeSet::new();
        if !self.graph.has_conflicts() || self.planted(Mutant::ConflictsIgnored) {
            return losers;
        }
        let reached: BTreeSet<UnitId> = order.iter().copied().collect();
        let mut winners: BTreeSet<UnitId> = BTreeSet::new();
        for unit in order {
            if losers.contains(unit) {
                continue;
            }
            let rivals = self.graph.conflicts(*unit);
            let winner = rivals.iter().find(|it| winners.contains(it)).copied();
            self.count_steps(rivals.len());
            let Some(winner) = winner else {
                winners.insert(*unit);
                continue;
            };
            let mut queue = VecDeque::from([*unit]);
            while let Some(loser) = queue.pop_front() {
                self.steps = self.steps.saturating_add(1);
                if !reached.contains(&loser) || !losers.insert(loser) {
                    continue;
                }
                winners.remove(&loser);
                queue.extend(self.graph.needed_by(loser).iter().map(|it| it.unit));
                let problem = format!(
                    "{}: {} conflicts with {}",
                    self.name_of(loser),
                    self.name_of(*unit),
                    self.name_of(winner)
                );
                self.requests
                    .resolve(loser, Wish::Up, Some(&problem), &mut self.actions);
            }
        }
        losers
    }

    /// All of them at once: each walk of its own through what goes down with them would see the same units again.
    fn lower_rivals(&mut self, units: &[UnitId]) {
        if self.planted(Mutant::ConflictsIgnored) {
            return;
        }
        let mut rivals: VecDeque<(UnitId, Lowered)> = VecDeque::new();
        for unit in units {
            let all = self.graph.conflicts(*unit);
            let up = |other: &&UnitId| self.life(**other).is_some_and(|life| life.goal == Goal::Up);
            rivals.extend(
                all.iter()
                    .filter(up)
                    .map(|it| (*it, Lowered::Conflict(*unit))),
            );
            self.count_steps(all.len());
        }
        self.want_each_down(rivals);
    }

    /// Sets one goal up.
    fn raise(&mut self, unit: UnitId, pull: Pull) {
        let fresh = self.is_fresh(unit, pull);
        let apart = self.has_lost_what_it_is_bound_to(unit);
        self.count_steps(self.graph.binds_to(unit).len());
        let keeps_start_limits = self.keeps_start_limits;
        let Some(life) = self.life_mut(unit) else {
            return;
        };
        if life.leaves || life.vacant {
            return;
        }
        let was_down = life.goal == Goal::Down;
        if pull == Pull::Held && !was_down {
            return;
        }
        life.goal = Goal::Up;
        life.lowered = None;
        let was_stopped = core::mem::replace(&mut life.stopped, false);
        let anew = pull > Pull::Live || was_down;
        let mut wait = false;
        match &life.state {
            State::Failed { .. } => wait = true,
            State::Backoff { .. } | State::Finished { .. } | State::Skipped { .. } => wait = fresh,
            State::PostStop { .. } | State::Releasing { .. } if fresh => {
                life.next = Next::Start;
                life.due |= pull == Pull::Asked;
            }
            State::Inactive | State::Scheduled => life.due |= pull == Pull::Asked,
            State::Waiting
            | State::Preparing { .. }
            | State::PreStart { .. }
            | State::Starting { .. }
            | State::Started { .. }
            | State::Running { .. }
            | State::PreStop { .. }
            | State::Stopping { .. }
            | State::PostStop { .. }
            | State::Releasing { .. } => {}
        }
        if was_down && apart && life.state.is_active() {
            // Its stop is taken back before its turn has come, but it cannot go on.
            life.bounce = true;
        }
        if was_down || (fresh && anew) {
            life.forget_failures();
            if !keeps_start_limits {
                life.starts.clear();
            }
        }
        if wait {
            self.enter(unit, State::Waiting);
        }
        if was_stopped {
            self.record_changed();
        }
        if was_down {
            self.superseded(unit, Wish::Down);
        }
        self.publish(unit);
        self.touch(unit);
    }

    /// A unit that it is bound to has ended since this one's run began, though it may have come back.
    fn has_lost_what_it_is_bound_to(&self, unit: UnitId) -> bool {
        if self.planted(Mutant::BoundUnitsStay) {
            return false;
        }
        let own = self.life(unit).and_then(|life| life.run);
        let mut others = self.graph.binds_to(unit).iter();
        others.any(|other| match self.life(*other) {
            Some(life) => match &life.state {
                State::Running { run, .. } => Some(*run) > own,
                State::Inactive
                | State::Scheduled
                | State::Waiting
                | State::Preparing { .. }
                | State::PreStart { .. }
                | State::Starting { .. }
                | State::Started { .. }
                | State::PreStop { .. }
                | State::Stopping { .. }
                | State::PostStop { .. }
                | State::Releasing { .. }
                | State::Backoff { .. }
                | State::Finished { .. }
                | State::Skipped { .. }
                | State::Failed { .. } => !life.standing.active,
            },
            None => true,
        })
    }

    /// Goal down for `units` and all that cannot be without; gives all of these.
    pub(crate) fn want_down(
        &mut self,
        units: impl Iterator<Item = UnitId>,
        why: Lowered,
    ) -> BTreeSet<UnitId> {
        self.want_each_down(units.map(|unit| (unit, why)).collect())
    }

    fn want_each_down(&mut self, mut queue: VecDeque<(UnitId, Lowered)>) -> BTreeSet<UnitId> {
        let mut seen: BTreeSet<UnitId> = BTreeSet::new();
        queue.retain(|(unit, _)| seen.insert(*unit));
        let parts_stay = self.planted(Mutant::PartsStay);
        while let Some((unit, why)) = queue.pop_front() {
            self.lower(unit, why);
            // Its new version goes too, and is waited for by what it comes after.
            if let Some(successor) = self.successor(unit).filter(|it| seen.insert(*it)) {
                queue.push_back((successor, Lowered::Removed));
            }
            if self.planted(Mutant::StopLeavesDependants) {
                continue;
            }
            for dependant in self.graph.stopped_with(unit) {
                self.steps = self.steps.saturating_add(1);
                let needs = self.graph.needs(*dependant);
                if parts_stay && !needs.iter().any(|it| it.unit == unit) {
                    continue;
                }
                if seen.insert(*dependant) {
                    queue.push_back((*dependant, Lowered::With(unit)));
                }
            }
        }
        seen
    }

    fn lower(&mut self, unit: UnitId, why: Lowered) {
        let keeps_start_limits = self.keeps_start_limits;
        let Some(life) = self.life_mut(unit) else {
            return;
        };
        if life.goal == Goal::Up || life.lowered.is_none() {
            life.lowered = Some(why);
        }
        life.goal = Goal::Down;
        life.bounce = false;
        life.due = false;
        life.clock.queued = 0;
        life.trigger_at = None;
        // What was prepared for a run before its container does not come back with the goal.
        if !matches!(life.state, State::PreStart { .. }) {
            life.stop_cause = None;
        }
        life.forget_failures();
        if !keeps_start_limits {
            life.starts.clear();
        }
        self.superseded(unit, Wish::Up);
        self.note_stopped(unit);
        self.publish(unit);
        self.touch(unit);
    }

    /// Marks for a restart what runs among `units` and those that follow them; gives the latter.
    pub(crate) fn bounce(&mut self, units: &[UnitId]) -> Vec<UnitId> {
        let mut dependants = Vec::new();
        let mut queue: VecDeque<(UnitId, Pull)> =
            units.iter().map(|unit| (*unit, Pull::Asked)).collect();
        let mut seen: BTreeSet<UnitId> = units.iter().copied().collect();
        while let Some((unit, pull)) = queue.pop_front() {
            if !self.bounce_one(unit, pull) {
                continue;
            }
            if pull != Pull::Asked {
                dependants.push(unit);
            }
            for dependant in self.graph.restarted_with(unit) {
                self.steps = self.steps.saturating_add(1);
                if seen.insert(dependant.unit) {
                    queue.push_back((dependant.unit, Pull::Fresh));
                }
            }
        }
        dependants
    }

    /// Whether the unit was active, so that those that follow it do.
    pub(crate) fn bounce_one(&mut self, unit: UnitId, pull: Pull) -> bool {
        let keeps_start_limits = self.keeps_start_limits;
        let Some((life, rules)) = self.both(unit) else {
            return false;
        };
        let (remains, scheduled) = (rules.remains_after_exit(), rules.is_scheduled());
        let asked = pull == Pull::Asked;
        if life.goal == Goal::Down && !asked {
            return false;
        }
        let mut wait = false;
        let active = match life.state {
            State::Inactive
            | State::Waiting
            | State::Failed { .. }
            | State::Skipped { .. }
            | State::Backoff { .. } => false,
            State::Scheduled => {
                life.due |= asked;
                false
            }
            State::Preparing { .. }
            | State::PreStart { .. }
            | State::Starting { .. }
            | State::Started { .. }
            | State::Running { .. } => {
                life.bounce = true;
                life.due |= scheduled;
                true
            }
            State::PreStop { .. } | State::Stopping { .. } => {
                life.stop_cause = None;
                life.due |= scheduled;
                true
            }
            State::PostStop { .. } | State::Releasing { .. } => {
                if asked {
                    life.next = Next::Start;
                    life.due |= scheduled;
                }
                asked
            }
            State::Finished { .. } => {
                wait = asked || remains;
                wait
            }
        };
        if asked && active {
            life.forget_failures();
            if !keeps_start_limits {
                life.starts.clear();
            }
        }
        if wait {
            self.enter(unit, State::Waiting);
        }
        self.publish(unit);
        self.touch(unit);
        active
    }
}
