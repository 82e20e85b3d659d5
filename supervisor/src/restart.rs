//! What follows the end of a run: the restart policy and its back-off.
//!
//! ```text
//! delay    100 ms   200 ms   400 ms  …  restart_delay_max          (restart_backoff 2.0)
//! run    ×────────×────────×──────── … ×───────── lasted restart_reset_after ──× 100 ms …
//! ```
//!
//! With `restart_delay = "0s"` the first restart comes at once, and only that one: it is for a run that has served, and the
//! delays after it begin with [`RESTART_DELAY_MS_AFTER_NONE`] and grow as ever. So a command that ends at once is started
//! twice without a pause and then no sooner than any other.
//!
//! The clock of a back-off starts when the run ends, not when its network and cgroup are given back.

use crate::life::{Life, Next};
use crate::mutant::Mutant;
use crate::present::Pause;
use crate::request::Wish;
use crate::rest::PastEnd;
use crate::{Exit, Failure, RunId, State, Supervisor, UnitId};
use unit::{OnUnhealthy, Restart, Service};

/// No restart comes sooner after the end of a run, whatever the unit says, but the first one of a unit that wants no delay:
/// with none at all, a command that ends at once would keep PID 1 busy for ever.
pub const RESTART_DELAY_MS_MIN: u64 = Service::RESTART_DELAY_MS_MIN;

/// The second delay of a unit that wants no first one: that of a unit that says nothing.
pub const RESTART_DELAY_MS_AFTER_NONE: u64 = Service::RESTART_DELAY_MS;

/// A unit that wants no first delay is a new beginning only after a run that has served so long, whatever its
/// `restart_reset_after` says: else each of its restarts would be a first one.
pub const IMMEDIATE_RESTART_SERVED_MS_MIN: u64 = 1_000;

/// Starts that `start_limit` can look back at, whatever the unit file says: it is PID 1's memory.
pub const START_LIMIT_BURST_MAX: u32 = 1_000;

/// How a run came to its end.
#[derive(Clone, Debug)]
pub(crate) enum End {
    Exit(Exit),
    Failure(Failure),
    /// It was not wanted any more before it had a container.
    Cancelled,
}

/// What the policy makes of an end.
enum Verdict {
    Restart,
    Finish(Exit),
    Fail(Failure),
}

impl Supervisor {
    /// The run has no container (any more). Decides what comes next, and cleans up.
    pub(crate) fn run_ended(&mut self, unit: UnitId, run: RunId, end: End) {
        let Some(life) = self.life_mut(unit) else {
            return;
        };
        if let End::Exit(exit) = &end {
            life.last_exit = Some(*exit);
        }
        life.present.pause = Pause::Off;
        life.present.post_start = None;
        let ending = matches!(life.state, State::Stopping { .. } | State::PreStop { .. });
        let asked = life.is_leaving()
            || (ending && life.stop_cause.is_none())
            || matches!(end, End::Cancelled);
        self.fails_to(unit, &[Wish::Reload, Wish::Paused], "its run has ended");
        let failure = if asked {
            self.note_stopped_run(unit, run, &end);
            None
        } else {
            self.note_length_of_run(unit);
            self.decide_next(unit, run, end)
        };
        self.clean_up(unit, run);
        if failure.is_some() {
            self.has_failed(unit);
        }
        if self.planted(Mutant::NextRunBeforeReleased) {
            self.released(unit);
        }
    }

    fn note_stopped_run(&mut self, unit: UnitId, run: RunId, end: &End) {
        let exit = match end {
            End::Exit(exit) => Some(*exit),
            End::Failure(_) | End::Cancelled => None,
        };
        let Some(life) = self.life_mut(unit) else {
            return;
        };
        life.next = Next::Start;
        if life.present.begun {
            self.note_past_run(unit, run, PastEnd::Stopped { exit });
        }
    }

    /// A run that has served long enough is a new beginning; one that never got ready is not, however long it tried.
    fn note_length_of_run(&mut self, unit: UnitId) {
        let now = self.now;
        let Some((life, rules)) = self.both(unit) else {
            return;
        };
        let Some(service) = &rules.service else {
            return;
        };
        let least = match service.restart_delay_ms {
            0 => IMMEDIATE_RESTART_SERVED_MS_MIN,
            _ => 0,
        };
        if let Some(served) = life.present.served
            && now.since(served) >= service.restart_reset_after_ms.max(least)
        {
            life.failures = 0;
            life.delay_ms = None;
        }
    }

    /// Sets `next`; gives the failure if it was one.
    fn decide_next(&mut self, unit: UnitId, run: RunId, end: End) -> Option<Failure> {
        let now = self.now;
        let planted_success = self.planted(Mutant::FailedOneshotFinishes);
        let unlimited = self.planted(Mutant::RestartMaxIgnored);
        let planted_restart = self.planted(Mutant::PreventCodesIgnored);
        let planted_policy = self.planted(Mutant::AbnormalMeansFailure);
        let (grows, none) = (
            !self.planted(Mutant::BackoffDoesNotGrow),
            self.planted(Mutant::NoBackoff),
        );
        let (life, rules) = self.both(unit)?;
        let service = rules.service.as_ref()?;
        let exit = match end {
            End::Exit(exit) => Some(exit),
            End::Failure(_) | End::Cancelled => None,
        };
        let failure = match (life.stop_cause.take(), end) {
            (Some(cause), End::Exit(_) | End::Failure(_) | End::Cancelled) => Some(cause),
            (None, End::Failure(failure)) => Some(failure),
            (None, End::Cancelled) => None,
            (None, End::Exit(exit)) => {
                let success = is_success(service, exit) || (planted_success && rules.ends());
                (!success).then_some(Failure::Exited { exit })
            }
        };
        match &failure {
            Some(failure) => {
                life.failures = life.failures.saturating_add(1);
                life.last_failure = Some(failure.clone());
            }
            None => life.failures = 0,
        }
        let max = if unlimited { 0 } else { service.restart_max };
        let given_up = max > 0 && life.failures > max && retries_failures_only(service.restart);
        let prevented = prevents(service, exit) && !planted_restart;
        let verdict = match &failure {
            None if rules.ends() || prevented => Verdict::Finish(exit.unwrap_or(Exit::Code(0))),
            None => match service.restart {
                Restart::Always | Restart::UnlessStopped => Verdict::Restart,
                Restart::No | Restart::OnFailure | Restart::OnAbnormal | Restart::OnWatchdog => {
                    Verdict::Finish(exit.unwrap_or(Exit::Code(0)))
                }
            },
            Some(failure) => {
                let wanted = match wants_itself(life, failure) {
                    Some(wanted) => wanted,
                    None => {
                        let policy = match service.restart {
                            Restart::OnAbnormal if planted_policy => Restart::OnFailure,
                            policy @ (Restart::No
                            | Restart::Always
                            | Restart::OnFailure
                            | Restart::OnAbnormal
                            | Restart::OnWatchdog
                            | Restart::UnlessStopped) => policy,
                        };
                        restarts(policy, failure)
                    }
                };
                match wanted && !prevented {
                    true if given_up => Verdict::Fail(Failure::RestartLimit),
                    true => Verdict::Restart,
                    false => Verdict::Fail(failure.clone()),
                }
            }
        };
        life.next = match verdict {
            Verdict::Restart => {
                let delay_ms = service.next_delay_ms(if grows { life.delay_ms } else { None });
                life.delay_ms = Some(delay_ms);
                let until = if none { now } else { now.plus(delay_ms) };
                Next::Backoff { until }
            }
            Verdict::Finish(exit) => Next::Finished { exit },
            Verdict::Fail(reason) => Next::Failed { reason },
        };
        let failed = failure.clone();
        let end = PastEnd::Own {
            exit,
            failure: failed,
        };
        self.note_past_run(unit, run, end);
        failure
    }

    /// A step of `post_stop` failed: a run that was a success is none.
    pub(crate) fn clean_up_failed(&mut self, unit: UnitId, failure: Failure) {
        let Some(life) = self.life_mut(unit) else {
            return;
        };
        if let Next::Finished { .. } = life.next {
            life.failures = life.failures.saturating_add(1);
            life.last_failure = Some(failure.clone());
            life.next = Next::Failed { reason: failure };
            self.has_failed(unit);
        }
    }

    // --- start limit -----------------------------------------------------------------------------

    pub(crate) fn note_start(&mut self, unit: UnitId) {
        let now = self.now;
        let Some((life, rules)) = self.both(unit) else {
            return;
        };
        let Some(service) = &rules.service else {
            return;
        };
        let burst = service.start_limit.burst.min(START_LIMIT_BURST_MAX);
        let burst = crate::adjacency::index(burst);
        if burst > 0 {
            while life.starts.len() >= burst {
                life.starts.pop_front();
            }
            life.starts.push_back(now);
        }
    }

    /// One more start would be more than `burst` within `interval`.
    pub(crate) fn start_limit_is_hit(&self, unit: UnitId) -> bool {
        if self.planted(Mutant::StartLimitIgnored) {
            return false;
        }
        let (Some(life), Some(rules)) = (self.life(unit), self.rules_of(unit)) else {
            return false;
        };
        let Some(limit) = rules.service.as_ref().map(|it| it.start_limit) else {
            return false;
        };
        let burst = crate::adjacency::index(limit.burst.min(START_LIMIT_BURST_MAX));
        let oldest = life.starts.front();
        burst > 0
            && life.starts.len() >= burst
            && oldest.is_some_and(|at| self.now.since(*at) < limit.interval_ms)
    }
}

/// What the failure itself or `on_unhealthy` says, whatever the policy.
fn wants_itself(life: &Life, failure: &Failure) -> Option<bool> {
    if matches!(failure, Failure::PrepareFailed { lasting: true, .. }) {
        return Some(false);
    }
    if !matches!(failure, Failure::Unhealthy { .. }) {
        return None;
    }
    match life.present.health.as_ref()?.plan.on_unhealthy {
        OnUnhealthy::Restart => Some(true),
        OnUnhealthy::Stop => Some(false),
        OnUnhealthy::None | OnUnhealthy::Kill => None,
    }
}

fn restarts(policy: Restart, failure: &Failure) -> bool {
    match policy {
        Restart::No => false,
        Restart::Always | Restart::UnlessStopped | Restart::OnFailure => true,
        Restart::OnAbnormal => failure.is_abnormal(),
        Restart::OnWatchdog => *failure == Failure::Watchdog,
    }
}

fn retries_failures_only(policy: Restart) -> bool {
    match policy {
        Restart::OnFailure | Restart::OnAbnormal | Restart::OnWatchdog => true,
        Restart::No | Restart::Always | Restart::UnlessStopped => false,
    }
}

fn is_success(service: &Service, exit: Exit) -> bool {
    match exit {
        Exit::Code(code) => service.success_exit_codes.contains(&code),
        Exit::Signal { .. } => false,
    }
}

fn prevents(service: &Service, exit: Option<Exit>) -> bool {
    match exit {
        Some(Exit::Code(code)) => service.restart_prevent_exit_codes.contains(&code),
        Some(Exit::Signal { .. }) | None => false,
    }
}
