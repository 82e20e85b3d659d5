//! Facts about runs, folded into the record of their unit.

use crate::life::Next;
use crate::mutant::Mutant;
use crate::restart::End;
use crate::text::shortened;
use crate::{Action, Event, Exit, Failure, Goal, RunId, State, Supervisor, UnitId};
use alloc::string::String;

/// How far the present run of a container is.
#[derive(Clone, Copy)]
enum Phase {
    Preparing,
    Starting,
    Running,
    Stopping,
    Releasing,
}

enum Fact<'a> {
    Prepared,
    PrepareFailed(&'a String),
    Started,
    SpawnFailed(&'a String),
    Exited(Exit),
    Released,
}

impl Supervisor {
    pub(crate) fn report(&mut self, event: &Event) {
        let (unit, run, fact) = match event {
            Event::Prepared { unit, run } => (*unit, *run, Fact::Prepared),
            Event::PrepareFailed { unit, run, reason } => {
                (*unit, *run, Fact::PrepareFailed(reason))
            }
            Event::Started { unit, run } => (*unit, *run, Fact::Started),
            Event::SpawnFailed { unit, run, reason } => (*unit, *run, Fact::SpawnFailed(reason)),
            Event::Exited { unit, run, exit } => (*unit, *run, Fact::Exited(*exit)),
            Event::Released { unit, run } => (*unit, *run, Fact::Released),
            Event::Recall { .. }
            | Event::Reload { .. }
            | Event::Pause { .. }
            | Event::Unpause { .. }
            | Event::ResetFailed { .. }
            | Event::TimerElapsed { .. }
            | Event::Skipped { .. }
            | Event::HookEnded { .. }
            | Event::HealthPlan { .. }
            | Event::Ready { .. }
            | Event::Notified { .. }
            | Event::Probed { .. }
            | Event::Reloaded { .. }
            | Event::Paused { .. }
            | Event::Flipped { .. }
            | Event::StartDefault
            | Event::Start { .. }
            | Event::Stop { .. }
            | Event::Restart { .. }
            | Event::Shutdown { .. } => return,
        };
        if let Some((present, phase)) = self.phase(unit)
            && (present == run || self.planted(Mutant::OlderRunsAccepted))
        {
            self.fold(unit, present, phase, &fact);
            self.touch(unit);
        }
    }

    /// The table of what a report means. A fact that does not fit is late, repeated or overtaken: it is dropped.
    fn fold(&mut self, unit: UnitId, run: RunId, phase: Phase, fact: &Fact<'_>) {
        match phase {
            Phase::Preparing => match fact {
                Fact::Prepared => self.spawn(unit, run),
                Fact::PrepareFailed(reason) => self.run_ended(unit, run, prepare_failed(reason)),
                Fact::Started | Fact::SpawnFailed(_) | Fact::Exited(_) | Fact::Released => {}
            },
            Phase::Starting => match fact {
                Fact::Started => self.enter(
                    unit,
                    State::Running {
                        run,
                        since: self.now,
                    },
                ),
                Fact::SpawnFailed(reason) => self.run_ended(unit, run, spawn_failed(reason)),
                Fact::Exited(_) if self.planted(Mutant::ExitWhileStartingForgotten) => {}
                Fact::Exited(exit) => self.run_ended(unit, run, End::Exit(*exit)),
                Fact::Prepared if self.planted(Mutant::PreparedTwiceSpawnsTwice) => {
                    self.spawn(unit, run)
                }
                Fact::Prepared | Fact::PrepareFailed(_) | Fact::Released => {}
            },
            Phase::Running | Phase::Stopping => match fact {
                Fact::SpawnFailed(reason) => self.run_ended(unit, run, spawn_failed(reason)),
                Fact::Exited(exit) => self.run_ended(unit, run, End::Exit(*exit)),
                Fact::Prepared | Fact::PrepareFailed(_) | Fact::Started | Fact::Released => {}
            },
            Phase::Releasing => match fact {
                Fact::Released => self.released(unit),
                Fact::Prepared
                | Fact::PrepareFailed(_)
                | Fact::Started
                | Fact::SpawnFailed(_)
                | Fact::Exited(_) => {}
            },
        }
    }

    fn spawn(&mut self, unit: UnitId, run: RunId) {
        let service = self.rules_of(unit).and_then(|rules| rules.service.as_ref());
        let Some(timeout_ms) = service.map(|service| service.start_timeout_ms) else {
            return;
        };
        let deadline = self.now.plus(timeout_ms);
        // One that is to go down does not get a process first; `advance` gives the run back.
        if self.life(unit).is_some_and(|life| !life.is_leaving()) {
            self.actions.push(Action::Spawn { unit, run });
            self.enter(unit, State::Starting { run, deadline });
        }
    }

    /// Nothing of the run is left: what has been decided when it ended comes now, unless somebody has changed the goal.
    pub(crate) fn released(&mut self, unit: UnitId) {
        let Some(life) = self.life_mut(unit) else {
            return;
        };
        let next = core::mem::replace(&mut life.next, Next::Start);
        let state = match life.goal {
            Goal::Down => State::Inactive,
            Goal::Up => match next {
                Next::Start => State::Waiting,
                Next::Backoff { until } => State::Backoff { until },
                Next::Finished { exit } => State::Finished { exit },
                Next::Failed { reason } => State::Failed { reason },
            },
        };
        self.enter(unit, state);
    }

    fn phase(&self, unit: UnitId) -> Option<(RunId, Phase)> {
        if self.rules_of(unit)?.is_target() {
            return None;
        }
        match self.life(unit)?.state {
            State::Preparing { run } => Some((run, Phase::Preparing)),
            State::Starting { run, .. } => Some((run, Phase::Starting)),
            State::Running { run, .. } => Some((run, Phase::Running)),
            State::Stopping { run, .. } => Some((run, Phase::Stopping)),
            State::Releasing { run } => Some((run, Phase::Releasing)),
            State::Inactive
            | State::Waiting
            | State::Backoff { .. }
            | State::Finished { .. }
            | State::Failed { .. } => None,
        }
    }
}

fn prepare_failed(reason: &str) -> End {
    End::Failure(Failure::PrepareFailed {
        reason: shortened(reason),
    })
}

fn spawn_failed(reason: &str) -> End {
    End::Failure(Failure::SpawnFailed {
        reason: shortened(reason),
    })
}
