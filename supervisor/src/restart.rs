//! What follows the end of a run: the restart policy and its back-off.
//!
//! ```text
//! delay    100 ms   200 ms   400 ms  …  restart_delay_max          (restart_backoff 2.0)
//! run    ×────────×────────×──────── … ×───────── lasted restart_reset_after ──× 100 ms …
//! ```
//!
//! The clock of a back-off starts when the run ends, not when its network and cgroup are given back.

use crate::life::Next;
use crate::mutant::Mutant;
use crate::{Action, Exit, Failure, RunId, State, Supervisor, UnitId};
use unit::{Restart, Service};

/// No restart comes sooner after the end of a run, whatever the unit says: with no delay at all, a command that
/// ends at once would keep PID 1 busy for ever.
pub const RESTART_DELAY_MS_MIN: u64 = 10;

/// How a run came to its end.
#[derive(Clone, Debug)]
pub(crate) enum End {
    Exit(Exit),
    Failure(Failure),
}

impl Supervisor {
    /// The run has no process (any more). Decides what comes next and gives back what the run held.
    pub(crate) fn run_ended(&mut self, unit: UnitId, run: RunId, end: End) {
        let Some(life) = self.life_mut(unit) else {
            return;
        };
        if let End::Exit(exit) = &end {
            life.last_exit = Some(*exit);
        }
        let stopping = matches!(life.state, State::Stopping { .. });
        let asked = life.is_leaving() || (stopping && life.stop_cause.is_none());
        let failure = if asked {
            life.next = Next::Start;
            None
        } else {
            self.note_length_of_run(unit);
            self.decide_next(unit, end)
        };
        if let Some(life) = self.life_mut(unit) {
            life.bounce = false;
            life.stop_cause = None;
        }
        self.actions.push(Action::Release { unit, run });
        self.enter(unit, State::Releasing { run });
        if failure.is_some() {
            self.has_failed(unit);
        }
        if self.planted(Mutant::NextRunBeforeReleased) {
            self.released(unit);
        }
    }

    fn note_length_of_run(&mut self, unit: UnitId) {
        let now = self.now;
        let service = self.rules_of(unit).and_then(|rules| rules.service.as_ref());
        let Some(reset_after_ms) = service.map(|service| service.restart_reset_after_ms) else {
            return;
        };
        let Some(life) = self.life_mut(unit) else {
            return;
        };
        if let State::Running { since, .. } = life.state
            && now.since(since) >= reset_after_ms
        {
            life.failures = 0;
            life.delay_ms = None;
        }
    }

    /// Sets `next`; gives the failure if it was one.
    fn decide_next(&mut self, unit: UnitId, end: End) -> Option<Failure> {
        let oneshot = self.rules_of(unit)?.is_oneshot();
        let service = self.rules_of(unit)?.service.clone()?;
        let planted_success = self.planted(Mutant::FailedOneshotFinishes) && oneshot;
        let max = if self.planted(Mutant::RestartMaxIgnored) {
            0
        } else {
            service.restart_max
        };
        let life = self.life_mut(unit)?;
        let failure = match (life.stop_cause.take(), &end) {
            (Some(cause), End::Exit(_) | End::Failure(_)) => Some(cause),
            (None, End::Failure(failure)) => Some(failure.clone()),
            (None, End::Exit(exit)) => {
                let success = is_success(&service, *exit) || planted_success;
                (!success).then_some(Failure::Exited { exit: *exit })
            }
        };
        if let Some(failure) = &failure {
            life.failures = life.failures.saturating_add(1);
            life.last_failure = Some(failure.clone());
        } else {
            life.failures = 0;
        }
        let given_up = max > 0 && life.failures > max;
        let next = match (&failure, end) {
            (None, End::Exit(exit)) => match service.restart {
                Restart::Always | Restart::UnlessStopped if !oneshot => None,
                Restart::Always
                | Restart::UnlessStopped
                | Restart::OnFailure
                | Restart::OnAbnormal
                | Restart::OnWatchdog
                | Restart::No => Some(Next::Finished { exit }),
            },
            (Some(reason), End::Exit(_) | End::Failure(_)) => match service.restart {
                Restart::No | Restart::OnWatchdog => Some(Next::Failed {
                    reason: reason.clone(),
                }),
                Restart::OnAbnormal if is_exit_code(reason) => Some(Next::Failed {
                    reason: reason.clone(),
                }),
                Restart::OnFailure | Restart::OnAbnormal if given_up => Some(Next::Failed {
                    reason: Failure::RestartLimit,
                }),
                Restart::Always
                | Restart::UnlessStopped
                | Restart::OnFailure
                | Restart::OnAbnormal => None,
            },
            (None, End::Failure(_)) => None,
        };
        let next = next.unwrap_or_else(|| self.back_off(unit, &service));
        self.life_mut(unit)?.next = next;
        failure
    }

    fn back_off(&mut self, unit: UnitId, service: &Service) -> Next {
        let now = self.now;
        let grows = !self.planted(Mutant::BackoffDoesNotGrow);
        let none = self.planted(Mutant::NoBackoff);
        let Some(life) = self.life_mut(unit) else {
            return Next::Start;
        };
        let delay_ms = next_delay_ms(service, if grows { life.delay_ms } else { None });
        life.delay_ms = Some(delay_ms);
        Next::Backoff {
            until: if none { now } else { now.plus(delay_ms) },
        }
    }
}

fn is_exit_code(reason: &Failure) -> bool {
    matches!(
        reason,
        Failure::Exited {
            exit: Exit::Code(_)
        }
    )
}

fn is_success(service: &Service, exit: Exit) -> bool {
    match exit {
        Exit::Code(code) => service.success_exit_codes.contains(&code),
        Exit::Signal { .. } => false,
    }
}

/// The delay after one of `previous` milliseconds, or the first one.
fn next_delay_ms(service: &Service, previous: Option<u64>) -> u64 {
    let grown = match previous {
        None => service.restart_delay_ms,
        Some(ms) => ms
            .saturating_mul(service.restart_backoff_milli)
            .checked_div(1000)
            .unwrap_or(ms),
    };
    grown
        .min(service.restart_delay_max_ms)
        .max(RESTART_DELAY_MS_MIN)
}
