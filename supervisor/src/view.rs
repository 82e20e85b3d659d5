//! The read model: what `ps`, `status` and the boot chart ask.

use crate::life::{Life, Lowered, Next};
use crate::present::Pause;
use crate::replace::Replacement;
use crate::{
    Exit, Failure, Goal, Graph, HealthStatus, Journal, PastRun, Rules, RunId, State, Supervisor,
    Timestamp, UnitId,
};
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};
use unit::{HealthPlan, UnitName};

/// Of the containers whose goal is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ReadyCounts {
    pub ready: u32,
    /// Will not be started again by themselves.
    pub failed: u32,
    /// All of them, those on their way included.
    pub wanted: u32,
}

/// Everything that `status` says about a unit's life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    pub state: State,
    pub since: Timestamp,
    pub goal: Goal,
    /// Why, in one line; empty when there is nothing to say.
    pub reason: String,
    pub last_exit: Option<Exit>,
    pub last_failure: Option<Failure>,
    pub waits_for: Vec<UnitId>,
    /// When the next restart or run is due, as far as the core knows: calendar times are known to `init`.
    pub next_start: Option<Timestamp>,
    /// Which limit ended its last failed run, or keeps it from starting again.
    pub limit: Option<Limit>,
    pub health: Option<HealthStatus>,
    /// Why the last probe failed.
    pub health_reason: String,
    pub paused: bool,
    /// `STATUS=` of the container.
    pub status: String,
    pub restarts: u32,
    /// The place of a new version on its way.
    pub successor: Option<UnitId>,
    /// Why the last new version did not take its place.
    pub replace_problem: Option<String>,
    /// Times of its timer that came while a run was under way.
    pub missed: u64,
}

/// How the present run of a unit is probed, and with what result so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthView<'a> {
    pub plan: &'a HealthPlan,
    pub status: HealthStatus,
    /// In a row, those of the start period left out.
    pub failures: u32,
    /// In a row.
    pub successes: u32,
    /// Why the last failed probe failed; it may have been long ago.
    pub reason: &'a str,
}

/// Named as the key of the unit file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Limit {
    RestartMax,
    StartLimit,
    StartTimeout,
    ReadinessTimeout,
    RuntimeMax,
    Watchdog,
    StopTimeout,
    Memory,
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

    #[must_use]
    pub fn explain(&self, unit: UnitId) -> Option<Explanation> {
        let life = self.life(unit).filter(|life| !life.vacant)?;
        let health = life.present.health.as_ref();
        Some(Explanation {
            state: life.state.clone(),
            since: life.since,
            goal: life.goal,
            reason: self.reason(unit),
            last_exit: life.last_exit,
            last_failure: life.last_failure.clone(),
            waits_for: self.waits_for(unit),
            next_start: self.next_start(unit),
            limit: self.limit(unit),
            health: health.map(|watch| watch.status),
            health_reason: health.map(|it| it.reason.clone()).unwrap_or_default(),
            paused: self.is_paused(unit),
            status: life.present.status.clone(),
            restarts: life.restarts,
            successor: self.successor(unit),
            replace_problem: life.replace_problem.clone(),
            missed: life.clock.missed,
        })
    }

    fn limit(&self, unit: UnitId) -> Option<Limit> {
        let life = self.life(unit)?;
        let failure = match &life.state {
            State::Failed { reason } => reason,
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
            | State::Releasing { .. }
            | State::Backoff { .. }
            | State::Finished { .. }
            | State::Skipped { .. } => life.last_failure.as_ref()?,
        };
        match failure {
            Failure::RestartLimit => Some(Limit::RestartMax),
            Failure::StartLimit => Some(Limit::StartLimit),
            Failure::PrepareTimeout | Failure::StartTimeout => Some(Limit::StartTimeout),
            Failure::ReadinessTimeout => Some(Limit::ReadinessTimeout),
            Failure::RuntimeLimit => Some(Limit::RuntimeMax),
            Failure::Watchdog => Some(Limit::Watchdog),
            Failure::StopTimeout => Some(Limit::StopTimeout),
            Failure::Exited {
                exit:
                    Exit::Signal {
                        out_of_memory: true,
                        ..
                    },
            } => Some(Limit::Memory),
            Failure::Exited { .. }
            | Failure::PrepareFailed { .. }
            | Failure::SpawnFailed { .. }
            | Failure::Hook { .. }
            | Failure::Unhealthy { .. }
            | Failure::Dependency { .. }
            | Failure::Requisite { .. } => None,
        }
    }

    /// Its run is to end, for good or for a restart, though perhaps others have to first.
    #[must_use]
    pub fn is_to_stop(&self, unit: UnitId) -> bool {
        self.life(unit).is_some_and(Life::is_leaving)
    }

    /// Its run has ended of itself, and the restart policy has another one follow: nothing that it was given was at fault.
    #[must_use]
    pub fn is_to_restart(&self, unit: UnitId) -> bool {
        self.life(unit).is_some_and(|life| {
            let of_itself = matches!(life.last_failure, None | Some(Failure::Exited { .. }));
            of_itself && matches!(life.next, Next::Backoff { .. })
        })
    }

    /// Frozen, or about to be.
    #[must_use]
    pub fn is_paused(&self, unit: UnitId) -> bool {
        self.life(unit)
            .is_some_and(|life| life.present.pause != Pause::Off)
    }

    /// `None`: nobody probes it.
    #[must_use]
    pub fn health(&self, unit: UnitId) -> Option<HealthStatus> {
        let watch = self.life(unit)?.present.health.as_ref()?;
        Some(watch.status)
    }

    /// `None`: nobody probes it.
    #[must_use]
    pub fn health_view(&self, unit: UnitId) -> Option<HealthView<'_>> {
        let watch = self.life(unit)?.present.health.as_ref()?;
        Some(HealthView {
            plan: &watch.plan,
            status: watch.status,
            failures: watch.failures,
            successes: watch.successes,
            reason: &watch.reason,
        })
    }

    /// The latest runs of a unit whose command is meant to end, oldest first.
    #[must_use]
    pub fn history(&self, unit: UnitId) -> Vec<PastRun> {
        let life = self.life(unit);
        life.map(|life| life.history.runs().cloned().collect())
            .unwrap_or_default()
    }

    /// The latest of [`Self::history`].
    #[must_use]
    pub fn last_past_run(&self, unit: UnitId) -> Option<&PastRun> {
        self.life(unit)?.history.runs().next_back()
    }

    /// The place of the unit of that name; of one that is being replaced, the old one's.
    #[must_use]
    pub fn find(&self, name: &UnitName) -> Option<UnitId> {
        self.units().find(|unit| {
            let is_it = self
                .rules_of(*unit)
                .is_some_and(|rules| rules.name == *name);
            is_it && self.is_here(*unit)
        })
    }

    /// Something is at that place that is part of the set (a successor is not yet).
    #[must_use]
    pub fn is_here(&self, unit: UnitId) -> bool {
        self.life(unit)
            .is_some_and(|life| !life.vacant && !life.leaves)
            && self.successor_of(unit).is_none()
    }

    /// The `unless-stopped` units that the operator has stopped.
    #[must_use]
    pub fn stopped_units(&self) -> Vec<UnitId> {
        let kept = self.units().zip(self.lives.iter().zip(&self.rules));
        kept.filter(|(_, (life, rules))| life.stopped && rules.is_unless_stopped())
            .map(|(unit, _)| unit)
            .collect()
    }

    /// It was put down because of a conflict, its own or that of a unit that it was stopped with.
    #[must_use]
    pub fn gives_way(&self, unit: UnitId) -> bool {
        let mut next = Some(unit);
        // One that has come up again since says nothing of why the others went down.
        for _ in 0..self.lives.len() {
            match next.and_then(|unit| self.life(unit)?.lowered) {
                Some(Lowered::With(other)) => next = Some(other),
                Some(Lowered::Conflict(_) | Lowered::Excluded) => return true,
                Some(Lowered::Asked | Lowered::Removed | Lowered::Reset | Lowered::Shutdown)
                | None => return false,
            }
        }
        false
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
                let links = self.graph.after(unit).iter();
                let rivals = self.graph.conflicts(unit).iter().copied();
                let in_the_way = rivals.filter(|it| standing(*it).is_some_and(|it| it.present));
                links
                    .filter(|link| {
                        standing(link.unit).is_some_and(|it| it.blocks(link.need, link.required))
                    })
                    .map(|link| link.unit)
                    .chain(in_the_way)
                    .collect()
            }
            State::Running { .. } if life.is_leaving() => {
                let links = self.graph.before(unit).iter().map(|link| link.unit);
                links
                    .filter(|other| standing(*other).is_some_and(|it| it.holding))
                    .collect()
            }
            State::Inactive
            | State::Scheduled
            | State::Preparing { .. }
            | State::PreStart { .. }
            | State::Starting { .. }
            | State::Started { .. }
            | State::Running { .. }
            | State::PreStop { .. }
            | State::Stopping { .. }
            | State::PostStop { .. }
            | State::Releasing { .. }
            | State::Backoff { .. }
            | State::Finished { .. }
            | State::Skipped { .. }
            | State::Failed { .. } => Vec::new(),
        }
    }

    /// When a unit in back-off, or one that the clock starts, starts again.
    #[must_use]
    pub fn next_start(&self, unit: UnitId) -> Option<Timestamp> {
        match self.state(unit) {
            State::Backoff { until } => Some(*until),
            State::Scheduled => self.clock_due(unit),
            State::Inactive
            | State::Waiting
            | State::Preparing { .. }
            | State::PreStart { .. }
            | State::Starting { .. }
            | State::Started { .. }
            | State::Running { .. }
            | State::PreStop { .. }
            | State::Stopping { .. }
            | State::PostStop { .. }
            | State::Releasing { .. }
            | State::Finished { .. }
            | State::Skipped { .. }
            | State::Failed { .. } => None,
        }
    }

    #[must_use]
    pub fn ready_counts(&self) -> ReadyCounts {
        let mut counts = ReadyCounts::default();
        for (life, rules) in self.lives.iter().zip(&self.rules) {
            let new = matches!(life.replacement, Some(Replacement::New { .. }));
            if life.goal == Goal::Up && !rules.is_target() && !new {
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
