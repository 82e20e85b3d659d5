//! A new version beside the old one, without a gap (`[update] order = "start-first"`).
//!
//! ```text
//! unit       old run ────────────────────────────────┐ ┌──▶ new run (the new rules are the unit's now)
//! successor       Waiting ─▶ … ─▶ ready ─▶ FlipPorts ─┴─┴──▶ old run, goes down, place given back
//! ```
//!
//! The successor has a place of its own, with the unit's new rules and its requirements; nobody depends on it. When it does
//! not get ready within `health_wait`, or its run ends, it is dropped and the old run has not noticed anything.

use crate::life::Lowered;
use crate::mutant::Mutant;
use crate::request::Wish;
use crate::{Action, Goal, HealthStatus, RunId, State, Supervisor, Timestamp, UnitId};
use alloc::format;
use serde::{Deserialize, Serialize};

/// What a place has to do with a replacement under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Replacement {
    /// It is to be replaced by the unit there, which has until then; once its ports are being led over, to which run.
    Old {
        successor: UnitId,
        until: Timestamp,
        flipping: Option<RunId>,
    },
    /// It is to replace the unit there.
    New { unit: UnitId },
}

impl Supervisor {
    /// The unit that this place's run is to replace.
    #[must_use]
    pub fn successor_of(&self, place: UnitId) -> Option<UnitId> {
        match self.life(place)?.replacement? {
            Replacement::New { unit } => Some(unit),
            Replacement::Old { .. } => None,
        }
    }

    /// The place of the new version that is on its way.
    #[must_use]
    pub fn successor(&self, unit: UnitId) -> Option<UnitId> {
        match self.life(unit)?.replacement? {
            Replacement::Old { successor, .. } => Some(successor),
            Replacement::New { .. } => None,
        }
    }

    pub(crate) fn begin_replacement(&mut self, unit: UnitId, successor: UnitId) {
        let until = self.wait_until(successor);
        if let Some(life) = self.life_mut(unit) {
            life.replacement = Some(Replacement::Old {
                successor,
                until,
                flipping: None,
            });
            life.replace_problem = None;
            self.touch(unit);
        }
        if let Some(life) = self.life_mut(successor) {
            life.replacement = Some(Replacement::New { unit });
            life.goal = Goal::Up;
            self.publish(successor);
            self.touch(successor);
        }
    }

    /// The new version has until then, if it begins now.
    fn wait_until(&self, successor: UnitId) -> Timestamp {
        let rules = self.rules_of(successor);
        self.now
            .plus(rules.map_or(0, |rules| rules.update.health_wait_ms))
    }

    /// Whether a place may get its run: a new version waits for its turn among the instances of its template, and what it
    /// has waited does not count.
    pub(crate) fn may_begin_beside(&mut self, place: UnitId) -> bool {
        let Some(unit) = self.successor_of(place) else {
            return !self.planted(Mutant::StartsTakeTurns) || self.take_token(place);
        };
        let waited = self.waits_for_token(place);
        if !self.take_token(place) {
            return false;
        }
        if waited {
            self.wait_anew(unit, place);
        }
        true
    }

    fn wait_anew(&mut self, unit: UnitId, successor: UnitId) {
        let from_now = self.wait_until(successor);
        if let Some(life) = self.life_mut(unit)
            && let Some(Replacement::Old { until, .. }) = &mut life.replacement
        {
            *until = from_now;
            self.touch(unit);
        }
    }

    pub(crate) fn serve_replacement(&mut self, place: UnitId) {
        let Some(replacement) = self.life(place).and_then(|life| life.replacement) else {
            return;
        };
        match replacement {
            // The one place where both are looked at is the old one's.
            Replacement::New { unit } => self.touch(unit),
            Replacement::Old {
                successor,
                until,
                flipping,
            } => self.serve_old(place, successor, until, flipping),
        }
    }

    fn serve_old(
        &mut self,
        unit: UnitId,
        successor: UnitId,
        until: Timestamp,
        flipping: Option<RunId>,
    ) {
        let (Some(old), Some(new)) = (self.life(unit), self.life(successor)) else {
            return;
        };
        if old.goal == Goal::Down || new.goal == Goal::Down {
            return self.drop_successor(unit, "it was stopped");
        }
        if old.bounce {
            return self.drop_successor(unit, "it was restarted");
        }
        let problem = match &new.state {
            _ if new.failures > 0 => Some(self.reason_of_last_failure(successor)),
            State::Backoff { .. } | State::Finished { .. } => Some("it has ended".into()),
            State::Skipped { reason } => Some(reason.clone()),
            State::Failed { .. } => Some(self.reason(successor)),
            State::Inactive
            | State::Scheduled
            | State::Waiting
            | State::Preparing { .. }
            | State::PreStart { .. }
            | State::Starting { .. }
            | State::Started { .. }
            | State::Running { .. }
            | State::PreStop { .. }
            | State::Stopping { .. }
            | State::PostStop { .. }
            | State::Releasing { .. } => None,
        };
        if let Some(problem) = problem {
            return self.drop_successor(unit, &problem);
        }
        if flipping.is_some() {
            return;
        }
        let hasty = self.planted(Mutant::FlipBeforeReady);
        let health = new.present.health.as_ref();
        let healthy = health.is_none_or(|watch| watch.status == HealthStatus::Healthy);
        let ready = new.is_serving() && new.stop_cause.is_none() && healthy;
        let there = ready || (hasty && matches!(new.state, State::Started { .. }));
        if let Some(to) = new.state.run().filter(|_| there) {
            let from = old.run.unwrap_or_default();
            self.actions.push(Action::FlipPorts { unit, from, to });
            if let Some(life) = self.life_mut(unit) {
                life.replacement = Some(Replacement::Old {
                    successor,
                    until,
                    flipping: Some(to),
                });
            }
        } else if self.now >= until && self.waits_for_token(successor) {
            self.wait_anew(unit, successor);
        } else if self.now >= until {
            self.drop_successor(unit, "it did not get ready within update.health_wait");
        }
    }

    fn reason_of_last_failure(&self, unit: UnitId) -> alloc::string::String {
        let failure = self.life(unit).and_then(|life| life.last_failure.as_ref());
        failure
            .map(|failure| self.describe(failure))
            .unwrap_or_default()
    }

    pub(crate) fn flipped(&mut self, unit: UnitId, run: RunId, failure: Option<&str>) {
        let Some(Replacement::Old {
            successor,
            flipping: Some(to),
            ..
        }) = self.life(unit).and_then(|life| life.replacement)
        else {
            return;
        };
        if to != run {
            return;
        }
        let serving = self.life(successor).is_some_and(|life| {
            life.state.run() == Some(run)
                && (life.is_serving() || self.planted(Mutant::FlipBeforeReady))
        });
        match failure {
            Some(reason) => {
                let reason = format!("its ports could not be led over: {reason}");
                self.drop_successor(unit, &reason);
            }
            None if serving => self.swap(unit, successor),
            None => self.drop_successor(unit, "it ended while its ports were led over"),
        }
    }

    /// The old run stays. Ports that are being led over come back to it.
    pub(crate) fn drop_successor(&mut self, unit: UnitId, why: &str) {
        let Some(life) = self.life_mut(unit) else {
            return;
        };
        let Some(Replacement::Old {
            successor,
            flipping,
            ..
        }) = life.replacement
        else {
            return;
        };
        life.replacement = None;
        let why = crate::text::shortened(why);
        let back = life.state.run();
        life.replace_problem = Some(why.clone());
        if let (Some(from), Some(to)) = (flipping, back) {
            self.actions.push(Action::FlipPorts { unit, from, to });
        }
        if let Some(life) = self.life_mut(successor) {
            life.replacement = None;
            life.leaves = true;
            life.beside = true;
        }
        self.want_down([successor].into_iter(), Lowered::Removed);
        let problem = format!("the new version: {why}; the old one goes on");
        self.fails_to(unit, &[Wish::Replaced], &problem);
        self.touch(unit);
    }

    /// The runs, and the rules that they were started by, change places.
    fn swap(&mut self, unit: UnitId, successor: UnitId) {
        if let Some(life) = self.life_mut(unit) {
            life.present.reload = None;
        }
        let why = "a new version has taken its place";
        self.fails_to(unit, &[Wish::Reload, Wish::Paused], why);
        let (one, other) = (
            crate::adjacency::index(unit.0),
            crate::adjacency::index(successor.0),
        );
        let (low, high) = (one.min(other), one.max(other));
        let middle = high.min(self.lives.len());
        let (first, second) = self.lives.split_at_mut(middle);
        let (Some(a), Some(b)) = (first.get_mut(low), second.first_mut()) else {
            return;
        };
        use core::mem::swap;
        swap(&mut a.bounce, &mut b.bounce);
        swap(&mut a.state, &mut b.state);
        swap(&mut a.since, &mut b.since);
        swap(&mut a.run, &mut b.run);
        swap(&mut a.present, &mut b.present);
        swap(&mut a.stop_cause, &mut b.stop_cause);
        swap(&mut a.next, &mut b.next);
        swap(&mut a.restarts, &mut b.restarts);
        swap(&mut a.failures, &mut b.failures);
        swap(&mut a.delay_ms, &mut b.delay_ms);
        swap(&mut a.starts, &mut b.starts);
        swap(&mut a.last_exit, &mut b.last_exit);
        swap(&mut a.last_failure, &mut b.last_failure);
        swap(&mut a.token, &mut b.token);
        a.replacement = None;
        b.replacement = None;
        self.exchange_groups(unit, successor);
        if one < self.rules.len() && other < self.rules.len() {
            self.rules.swap(one, other);
        }
        for place in [unit, successor] {
            if let Some(life) = self.life_mut(place) {
                let run = life.state.run();
                if !core::mem::replace(&mut life.changed, true) {
                    self.changed.push(place);
                }
                if let Some(run) = run {
                    self.moved.insert(run, place);
                }
            }
            self.touch(place);
        }
        self.actions.push(Action::Swapped { unit, successor });
        if !self.planted(Mutant::OldRunKept) {
            if let Some(life) = self.life_mut(successor) {
                life.leaves = true;
                life.beside = true;
            }
            self.want_down([successor].into_iter(), Lowered::Removed);
        }
        self.publish(unit);
        self.publish(successor);
        self.resolve(unit, Wish::Replaced, None);
        self.restart_followers(unit);
    }

    /// Those that say that they restart when this one is replaced.
    fn restart_followers(&mut self, unit: UnitId) {
        self.count_steps(self.graph.restarted_with(unit).len());
        let all = self.graph.restarted_with(unit).iter();
        let declared: alloc::vec::Vec<UnitId> = all
            .filter(|it| it.declared)
            .map(|it| it.unit)
            .filter(|it| {
                self.life(*it)
                    .is_some_and(|life| life.goal == Goal::Up && life.state.is_active())
            })
            .collect();
        if !declared.is_empty() {
            self.restart_now(&declared);
        }
    }

    /// A place that nobody needs any more is given back.
    pub(crate) fn leave_place(&mut self, unit: UnitId) {
        let Some(life) = self.life_mut(unit) else {
            return;
        };
        if life.leaves && !life.vacant && life.state == State::Inactive && life.goal == Goal::Down {
            life.vacant = true;
            let armed = core::mem::replace(&mut life.clock.armed, false);
            if armed {
                self.actions.push(Action::DisarmTimer { unit });
            }
            self.actions.push(Action::RemoveUnit { unit });
        }
    }
}
