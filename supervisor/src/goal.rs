//! Wishes, carried through the graph by a queue.
//!
//! ```text
//! start    up     ──▶ all it requires and wants
//! stop     down   ──▶ all that require it
//! restart  bounce ──▶ all that require it and run;  then up as for start, from these too
//! ```
//!
//! A unit that was not running when it was asked for is *fresh*: it retries what has failed among its dependencies, and
//! runs again those that had finished without `remain_after_exit`, as a start job of systemd does.

use crate::life::Next;
use crate::mutant::Mutant;
use crate::request::Wish;
use crate::{Goal, Record, State, Supervisor, Ticket, UnitId};
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

/// Who wants a unit up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Pull {
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
        if let Some(default) = self.default {
            let left_out: BTreeSet<UnitId> = self.stopped_units().into_iter().collect();
            let reached = self.want_up(VecDeque::from([(default, Pull::Asked)]), &left_out);
            self.watch_settling(&reached);
        } else {
            self.watch_settling(&BTreeSet::new());
        }
    }

    pub(crate) fn recall(&mut self, record: &Record) {
        for (life, rules) in self.lives.iter_mut().zip(&self.rules) {
            if record.stopped.contains(&rules.name) && life.goal == Goal::Down {
                life.stopped = true;
            }
        }
    }

    pub(crate) fn start(&mut self, units: &[UnitId], ticket: Option<Ticket>) {
        if self.accept(units, ticket, Wish::Up) {
            let asked = units.iter().map(|unit| (*unit, Pull::Asked)).collect();
            self.want_up(asked, &BTreeSet::new());
        }
    }

    pub(crate) fn stop(&mut self, units: &[UnitId], ticket: Option<Ticket>) {
        if self.accept(units, ticket, Wish::Down) {
            for unit in self.want_down(units.iter().copied()) {
                if let Some(life) = self.life_mut(unit) {
                    life.stopped = true;
                }
            }
        }
    }

    pub(crate) fn restart(&mut self, units: &[UnitId], ticket: Option<Ticket>) {
        if self.accept(units, ticket, Wish::Up) {
            let bounced = self.bounce(units);
            let asked = units.iter().map(|unit| (*unit, Pull::Asked));
            let dependants = bounced.into_iter().map(|unit| (unit, Pull::Fresh));
            self.want_up(asked.chain(dependants).collect(), &BTreeSet::new());
        }
    }

    /// Goal up for the units in the queue and all that they pull up; gives all of these. What is `left_out` is not pulled
    /// up where it is merely wanted.
    fn want_up(
        &mut self,
        mut queue: VecDeque<(UnitId, Pull)>,
        left_out: &BTreeSet<UnitId>,
    ) -> BTreeSet<UnitId> {
        let mut strongest: BTreeMap<UnitId, Pull> = BTreeMap::new();
        while let Some((unit, pull)) = queue.pop_front() {
            if strongest.get(&unit).is_some_and(|known| *known >= pull) {
                continue;
            }
            strongest.insert(unit, pull);
            let onward = self.raise(unit, pull);
            let (requires, wants) = (self.graph.requires(unit), self.graph.wants(unit));
            let edges =
                u64::try_from(requires.len().saturating_add(wants.len())).unwrap_or(u64::MAX);
            self.steps = self.steps.saturating_add(edges);
            let wants = wants.iter().filter(|other| !left_out.contains(other));
            queue.extend(requires.iter().chain(wants).map(|other| (*other, onward)));
        }
        strongest.into_keys().collect()
    }

    /// Sets one goal up; with what force it pulls its dependencies.
    fn raise(&mut self, unit: UnitId, pull: Pull) -> Pull {
        let remains = self
            .rules_of(unit)
            .is_some_and(crate::Rules::remains_after_exit);
        let Some(life) = self.life_mut(unit) else {
            return Pull::Live;
        };
        let was_down = life.goal == Goal::Down;
        life.goal = Goal::Up;
        life.stopped = false;
        let anew = pull > Pull::Live || was_down;
        let mut wait = false;
        let fresh = match &life.state {
            State::Inactive | State::Waiting => true,
            State::Failed { .. } => {
                wait = true;
                true
            }
            State::Backoff { .. } => {
                wait = anew;
                anew
            }
            State::Finished { .. } => {
                wait = anew && !remains;
                wait
            }
            State::Preparing { .. } | State::Starting { .. } | State::Running { .. } => life.bounce,
            State::Stopping { .. } => was_down || life.bounce || life.stop_cause.is_none(),
            State::Releasing { .. } => {
                let finished = matches!(life.next, Next::Finished { .. });
                let again = was_down || (anew && !(finished && remains));
                if again {
                    life.next = Next::Start;
                }
                again
            }
        };
        if was_down || (fresh && anew) {
            life.forget_failures();
        }
        if wait {
            self.enter(unit, State::Waiting);
        }
        if was_down {
            self.superseded(unit, Wish::Down);
        }
        self.publish(unit);
        self.touch(unit);
        if fresh { Pull::Fresh } else { Pull::Live }
    }

    /// Goal down for `units` and all that require them; gives all of these.
    pub(crate) fn want_down(&mut self, units: impl Iterator<Item = UnitId>) -> BTreeSet<UnitId> {
        let mut queue: VecDeque<UnitId> = units.collect();
        let mut seen: BTreeSet<UnitId> = queue.iter().copied().collect();
        while let Some(unit) = queue.pop_front() {
            self.lower(unit);
            if self.planted(Mutant::StopLeavesDependants) {
                continue;
            }
            for dependant in self.graph.required_by(unit) {
                self.steps = self.steps.saturating_add(1);
                if seen.insert(*dependant) {
                    queue.push_back(*dependant);
                }
            }
        }
        seen
    }

    fn lower(&mut self, unit: UnitId) {
        let Some(life) = self.life_mut(unit) else {
            return;
        };
        life.goal = Goal::Down;
        life.bounce = false;
        life.stop_cause = None;
        life.forget_failures();
        self.superseded(unit, Wish::Up);
        self.note_stopped(unit);
        self.publish(unit);
        self.touch(unit);
    }

    /// Marks for a restart what runs among `units` and those that require them; gives the latter.
    fn bounce(&mut self, units: &[UnitId]) -> Vec<UnitId> {
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
            for dependant in self.graph.required_by(unit) {
                self.steps = self.steps.saturating_add(1);
                if seen.insert(*dependant) {
                    queue.push_back((*dependant, Pull::Fresh));
                }
            }
        }
        dependants
    }

    /// Whether the unit was active, so that those that require it follow.
    fn bounce_one(&mut self, unit: UnitId, pull: Pull) -> bool {
        let remains = self
            .rules_of(unit)
            .is_some_and(crate::Rules::remains_after_exit);
        let Some(life) = self.life_mut(unit) else {
            return false;
        };
        let asked = pull == Pull::Asked;
        if life.goal == Goal::Down && !asked {
            return false;
        }
        let mut wait = false;
        let active = match life.state {
            State::Inactive | State::Waiting | State::Failed { .. } | State::Backoff { .. } => {
                false
            }
            State::Preparing { .. } | State::Starting { .. } | State::Running { .. } => {
                life.bounce = true;
                true
            }
            State::Stopping { .. } => {
                life.stop_cause = None;
                true
            }
            State::Releasing { .. } => {
                if asked {
                    life.next = Next::Start;
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
        }
        if wait {
            self.enter(unit, State::Waiting);
        }
        self.publish(unit);
        self.touch(unit);
        active
    }
}
