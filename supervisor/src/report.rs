//! Facts about runs, folded into the record of their unit.

use crate::mutant::Mutant;
use crate::restart::End;
use crate::text::shortened;
use crate::{
    Action, Event, Exit, Failure, Hook, HookKind, Notice, RunId, State, Supervisor, UnitId,
};
use alloc::string::String;
use unit::HealthPlan;

/// How far the present run of a container is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Preparing,
    /// A step beside the run has the word.
    Hook,
    Starting,
    Started,
    Running,
    /// The stop has begun, the container lives.
    Stopping,
    Releasing,
}

#[derive(Clone, Copy)]
enum Fact<'a> {
    Prepared,
    /// Whether it lasts.
    PrepareFailed(&'a str, bool),
    Skipped(&'a str),
    HookEnded(Hook, Option<&'a String>),
    HealthPlan(&'a HealthPlan),
    Started,
    SpawnFailed(&'a str),
    Ready,
    Notified(&'a Notice),
    Probed(u64, Option<&'a str>),
    Reloaded(Option<&'a str>),
    Paused(Option<&'a str>),
    Flipped(Option<&'a str>),
    Exited(Exit),
    Released,
}

fn fact(event: &Event) -> Option<(UnitId, RunId, Fact<'_>)> {
    Some(match event {
        Event::Prepared { unit, run } => (*unit, *run, Fact::Prepared),
        Event::PrepareFailed {
            unit,
            run,
            reason,
            lasting,
        } => (*unit, *run, Fact::PrepareFailed(reason, *lasting)),
        Event::Skipped { unit, run, reason } => (*unit, *run, Fact::Skipped(reason)),
        Event::HookEnded {
            unit,
            run,
            hook,
            failure,
        } => (*unit, *run, Fact::HookEnded(*hook, failure.as_ref())),
        Event::HealthPlan { unit, run, plan } => (*unit, *run, Fact::HealthPlan(plan)),
        Event::Started { unit, run } => (*unit, *run, Fact::Started),
        Event::SpawnFailed { unit, run, reason } => (*unit, *run, Fact::SpawnFailed(reason)),
        Event::Ready { unit, run } => (*unit, *run, Fact::Ready),
        Event::Notified { unit, run, notice } => (*unit, *run, Fact::Notified(notice)),
        Event::Probed {
            unit,
            run,
            probe,
            failure,
        } => (*unit, *run, Fact::Probed(*probe, failure.as_deref())),
        Event::Reloaded { unit, run, failure } => (*unit, *run, Fact::Reloaded(failure.as_deref())),
        Event::Paused { unit, run, failure } => (*unit, *run, Fact::Paused(failure.as_deref())),
        Event::Flipped { unit, run, failure } => (*unit, *run, Fact::Flipped(failure.as_deref())),
        Event::Exited { unit, run, exit } => (*unit, *run, Fact::Exited(*exit)),
        Event::Released { unit, run } => (*unit, *run, Fact::Released),
        Event::Recall { .. }
        | Event::StartDefault
        | Event::Start { .. }
        | Event::Stop { .. }
        | Event::Restart { .. }
        | Event::Reload { .. }
        | Event::Pause { .. }
        | Event::Unpause { .. }
        | Event::ResetFailed { .. }
        | Event::TimerElapsed { .. }
        | Event::ClockSetBack { .. }
        | Event::Withdrawn { .. }
        | Event::Shutdown { .. } => return None,
    })
}

impl Supervisor {
    pub(crate) fn report(&mut self, event: &Event) {
        let Some((unit, run, fact)) = fact(event) else {
            return;
        };
        if let Fact::Flipped(failure) = fact {
            return self.flipped(unit, run, failure);
        }
        let unit = self.place_of(unit, run);
        if let Some((present, phase)) = self.phase(unit)
            && (present == run || self.planted(Mutant::OlderRunsAccepted))
        {
            self.fold(unit, present, phase, fact);
            self.touch(unit);
        }
    }

    /// Where the run is now: a successor's run keeps its number when it takes its unit's place.
    fn place_of(&self, unit: UnitId, run: RunId) -> UnitId {
        let is_here = |unit: UnitId| self.life(unit).and_then(|life| life.state.run()) == Some(run);
        if is_here(unit) {
            return unit;
        }
        let moved = self.moved.get(&run).copied();
        moved.filter(|place| is_here(*place)).unwrap_or(unit)
    }

    /// The table of what a report means. A fact that does not fit is late, repeated or overtaken: it is dropped.
    fn fold(&mut self, unit: UnitId, run: RunId, phase: Phase, fact: Fact<'_>) {
        let lives = matches!(
            phase,
            Phase::Starting | Phase::Started | Phase::Running | Phase::Stopping
        );
        match fact {
            Fact::Prepared if phase == Phase::Preparing => self.prepared(unit, run),
            Fact::Prepared
                if phase == Phase::Starting && self.planted(Mutant::PreparedTwiceSpawnsTwice) =>
            {
                self.spawn(unit, run);
            }
            Fact::PrepareFailed(reason, lasting) if phase == Phase::Preparing => {
                let failure = Self::prepare_failure(reason, lasting);
                self.run_ended(unit, run, End::Failure(failure));
            }
            Fact::PrepareFailed(reason, lasting) if phase == Phase::Hook => {
                self.lost_in_pre_start(unit, reason, lasting);
            }
            Fact::Skipped(reason) if phase == Phase::Preparing => self.skipped(unit, run, reason),
            Fact::HookEnded(hook, failure) => self.hook_ended(unit, run, hook, failure),
            Fact::HealthPlan(plan) if phase == Phase::Starting => self.take_health_plan(unit, plan),
            Fact::Started if phase == Phase::Starting => self.started(unit, run),
            Fact::SpawnFailed(reason) if lives => {
                let reason = shortened(reason);
                self.run_ended(unit, run, End::Failure(Failure::SpawnFailed { reason }));
            }
            Fact::Ready if phase != Phase::Stopping && lives => self.ready_sign(unit),
            Fact::Notified(notice) if lives => self.notified(unit, notice),
            // The only word of whoever prepares it: there is progress.
            Fact::Notified(notice @ Notice::ExtendTimeout(_)) if phase == Phase::Preparing => {
                self.notified(unit, notice);
            }
            Fact::Probed(probe, failure) if phase == Phase::Started || phase == Phase::Running => {
                self.probed(unit, probe, failure);
            }
            Fact::Reloaded(failure) if phase == Phase::Running => self.reload_ended(unit, failure),
            Fact::Paused(failure) if phase == Phase::Running => self.paused(unit, run, failure),
            Fact::Exited(_)
                if phase == Phase::Starting && self.planted(Mutant::ExitWhileStartingForgotten) => {
            }
            Fact::Exited(exit) if lives => self.run_ended(unit, run, End::Exit(exit)),
            Fact::Released if phase == Phase::Releasing => self.released(unit),
            Fact::Prepared
            | Fact::PrepareFailed(..)
            | Fact::Skipped(_)
            | Fact::HealthPlan(_)
            | Fact::Started
            | Fact::SpawnFailed(_)
            | Fact::Ready
            | Fact::Notified(_)
            | Fact::Probed(..)
            | Fact::Reloaded(_)
            | Fact::Paused(_)
            | Fact::Flipped(_)
            | Fact::Exited(_)
            | Fact::Released => {}
        }
    }

    /// Image and network are there: steps before the container, if there are any, then the container.
    fn prepared(&mut self, unit: UnitId, run: RunId) {
        // One that is to go down does not get a process first; `advance` gives the run back.
        if self
            .life(unit)
            .is_none_or(|life| life.is_leaving() || self.budget_is_spent())
        {
            return;
        }
        let skipped = self.planted(Mutant::PreStartSkipped);
        if skipped || !self.begin_hooks(unit, run, HookKind::PreStart) {
            self.spawn(unit, run);
        }
    }

    fn skipped(&mut self, unit: UnitId, run: RunId, reason: &str) {
        if let Some(life) = self.life_mut(unit) {
            life.next = crate::life::Next::Skipped {
                reason: shortened(reason),
            };
        }
        self.release(unit, run);
    }

    pub(crate) fn spawn(&mut self, unit: UnitId, run: RunId) {
        let now = self.now;
        let Some((life, rules)) = self.both(unit) else {
            return;
        };
        let Some(service) = &rules.service else {
            return;
        };
        let deadline = now.plus(service.start_timeout_ms);
        life.present.begun = true;
        self.actions.push(Action::Spawn { unit, run });
        self.enter(unit, State::Starting { run, deadline });
    }

    fn phase(&self, unit: UnitId) -> Option<(RunId, Phase)> {
        if self.rules_of(unit)?.is_target() {
            return None;
        }
        match &self.life(unit)?.state {
            State::Preparing { run, .. } => Some((*run, Phase::Preparing)),
            State::PreStart { run, .. } | State::PostStop { run, .. } => Some((*run, Phase::Hook)),
            State::Starting { run, .. } => Some((*run, Phase::Starting)),
            State::Started { run, .. } => Some((*run, Phase::Started)),
            State::Running { run, .. } => Some((*run, Phase::Running)),
            State::PreStop { run, .. } | State::Stopping { run, .. } => {
                Some((*run, Phase::Stopping))
            }
            State::Releasing { run } => Some((*run, Phase::Releasing)),
            State::Inactive
            | State::Scheduled
            | State::Waiting
            | State::Backoff { .. }
            | State::Finished { .. }
            | State::Skipped { .. }
            | State::Failed { .. } => None,
        }
    }
}
