//! The read model: what `ps`, `status` and the boot chart ask.

use crate::{
    Exit, Failure, Goal, Graph, Journal, Record, Rules, RunId, State, Supervisor, Timestamp, UnitId,
};
use alloc::string::String;
use alloc::vec::Vec;

/// Of the containers whose goal is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ReadyCounts {
    pub ready: u32,
    /// Will not be started again by themselves.
    pub failed: u32,
    /// All of them, those on their way included.
    pub wanted: u32,
}

/// For a unit that does not exist these answer as for one that was never started.
impl Supervisor {
    #[must_use]
    pub fn state(&self, unit: UnitId) -> &State {
        self.life(unit).map_or(&State::Inactive, |life| &life.state)
    }

    #[must_use]
    pub fn goal(&self, unit: UnitId) -> Goal {
        self.life(unit).map_or(Goal::Down, |life| life.goal)
    }

    /// When the state was entered.
    #[must_use]
    pub fn since(&self, unit: UnitId) -> Timestamp {
        self.life(unit).map_or(Timestamp(0), |life| life.since)
    }

    /// Restarts by itself since somebody last started it.
    #[must_use]
    pub fn restarts(&self, unit: UnitId) -> u32 {
        self.life(unit).map_or(0, |life| life.restarts)
    }

    #[must_use]
    pub fn last_exit(&self, unit: UnitId) -> Option<Exit> {
        self.life(unit).and_then(|life| life.last_exit)
    }

    /// Why its last failed run failed.
    #[must_use]
    pub fn last_failure(&self, unit: UnitId) -> Option<&Failure> {
        self.life(unit).and_then(|life| life.last_failure.as_ref())
    }

    /// The latest run, under way or ended.
    #[must_use]
    pub fn run(&self, unit: UnitId) -> Option<RunId> {
        self.life(unit).and_then(|life| life.run)
    }

    /// Units that require it may start.
    #[must_use]
    pub fn is_ready(&self, unit: UnitId) -> bool {
        self.life(unit).is_some_and(|life| life.standing.ready)
    }

    /// The `unless-stopped` units that the operator has stopped.
    #[must_use]
    pub fn stopped_units(&self) -> Vec<UnitId> {
        let kept = self.units().zip(self.lives.iter().zip(&self.rules));
        kept.filter(|(_, (life, rules))| life.stopped && rules.is_unless_stopped())
            .map(|(unit, _)| unit)
            .collect()
    }

    /// What [`crate::Event::Recall`] has to bring after a reboot.
    #[must_use]
    pub fn record(&self) -> Record {
        let stopped = self.stopped_units();
        let names = stopped.into_iter().filter_map(|unit| self.rules_of(unit));
        Record {
            stopped: names.map(|rules| rules.name.clone()).collect(),
            ..Record::default()
        }
    }

    /// The units that hold it back: for one that waits, those that are not ready; for one that is to stop, those that
    /// have to end first.
    #[must_use]
    pub fn waits_for(&self, unit: UnitId) -> Vec<UnitId> {
        let Some(life) = self.life(unit) else {
            return Vec::new();
        };
        let standing = |other: UnitId| self.life(other).map(|life| life.standing);
        match life.state {
            State::Waiting => {
                let blocks = |required: bool, other: UnitId| {
                    standing(other).is_some_and(|it| if required { !it.ready } else { !it.settled })
                };
                let links = self.graph.after(unit).iter();
                links
                    .filter(|link| blocks(link.required, link.unit))
                    .map(|link| link.unit)
                    .collect()
            }
            State::Running { .. } if life.is_leaving() => {
                let links = self.graph.before(unit).iter().map(|link| link.unit);
                links
                    .filter(|other| standing(*other).is_some_and(|it| it.holding))
                    .collect()
            }
            State::Inactive
            | State::Preparing { .. }
            | State::Starting { .. }
            | State::Running { .. }
            | State::Stopping { .. }
            | State::Releasing { .. }
            | State::Backoff { .. }
            | State::Finished { .. }
            | State::Failed { .. } => Vec::new(),
        }
    }

    /// When a unit in back-off starts again.
    #[must_use]
    pub fn next_start(&self, unit: UnitId) -> Option<Timestamp> {
        match self.state(unit) {
            State::Backoff { until } => Some(*until),
            State::Inactive
            | State::Waiting
            | State::Preparing { .. }
            | State::Starting { .. }
            | State::Running { .. }
            | State::Stopping { .. }
            | State::Releasing { .. }
            | State::Finished { .. }
            | State::Failed { .. } => None,
        }
    }

    #[must_use]
    pub fn ready_counts(&self) -> ReadyCounts {
        let mut counts = ReadyCounts::default();
        for (life, rules) in self.lives.iter().zip(&self.rules) {
            if life.goal == Goal::Up && !rules.is_target() {
                counts.wanted = counts.wanted.saturating_add(1);
                counts.ready = counts.ready.saturating_add(u32::from(life.standing.ready));
                counts.failed = counts
                    .failed
                    .saturating_add(u32::from(life.standing.failed));
            }
        }
        counts
    }

    #[must_use]
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// By unit number.
    #[must_use]
    pub fn rules(&self) -> &[Rules] {
        &self.rules
    }

    #[must_use]
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// The journal as lines, oldest first.
    #[must_use]
    pub fn trace(&self) -> Vec<String> {
        self.journal
            .entries()
            .map(|entry| entry.line(&self.rules))
            .collect()
    }

    /// Work done so far: units advanced and edges walked.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }
}
