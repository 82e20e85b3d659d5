//! When a container that runs counts as ready.

use crate::mutant::Mutant;
use crate::text::shortened;
use crate::{Action, Failure, HealthStatus, Notice, RunId, State, Supervisor, UnitId};
use unit::ReadinessMode;

impl Supervisor {
    /// The launcher has become the workload.
    pub(crate) fn started(&mut self, unit: UnitId, run: RunId) {
        let now = self.now;
        let Some((life, rules)) = self.both(unit) else {
            return;
        };
        let timeout_ms = rules.readiness.timeout_ms;
        let runtime_max_ms = rules.service.as_ref().and_then(|it| it.runtime_max_ms);
        let watched = rules.is_watched_for_readiness();
        let job = rules.is_job();
        life.present.started = Some(now);
        life.present.runtime_until = runtime_max_ms.map(|ms| now.plus(ms));
        if let Some(watch) = &mut life.present.health {
            watch.begin(now);
        }
        let deadline = now.plus(timeout_ms);
        life.present.ready_until = job.then_some(deadline);
        life.present.served = rules.ends().then_some(now);
        self.enter(
            unit,
            State::Started {
                run,
                since: now,
                deadline,
            },
        );
        if watched {
            self.actions.push(Action::WatchReadiness { unit, run });
        }
        self.begin_post_start(unit, run);
    }

    /// Of a unit in `Started`. A job runs as soon as it has started, a oneshot is never ready while it runs.
    pub(crate) fn is_ready_now(&self, unit: UnitId) -> bool {
        if self.planted(Mutant::ReadyTooEarly) {
            return true;
        }
        let (Some(life), Some(rules)) = (self.life(unit), self.rules_of(unit)) else {
            return false;
        };
        if !life.present.post_started {
            return false;
        }
        let health = life.present.health.as_ref();
        match &rules.readiness.mode {
            ReadinessMode::Started => true,
            ReadinessMode::Exit => rules.is_job(),
            ReadinessMode::Healthy => {
                health.is_some_and(|watch| watch.status == HealthStatus::Healthy)
            }
            ReadinessMode::Notify | ReadinessMode::Port { .. } | ReadinessMode::Log { .. } => {
                life.present.sign
            }
        }
    }

    /// `READY=1`, a port, a line.
    pub(crate) fn ready_sign(&mut self, unit: UnitId) {
        if let Some(life) = self.life_mut(unit) {
            life.present.sign = true;
            life.present.reloading = false;
        }
    }

    pub(crate) fn notified(&mut self, unit: UnitId, notice: &Notice) {
        let now = self.now;
        let Some((life, rules)) = self.both(unit) else {
            return;
        };
        match notice {
            Notice::Status(text) => life.present.status = shortened(text),
            Notice::Reloading => life.present.reloading = true,
            Notice::Watchdog => {
                let watchdog_ms = rules.service.as_ref().and_then(|it| it.watchdog_ms);
                if life.present.watchdog.is_some() {
                    life.present.watchdog = watchdog_ms.map(|ms| now.plus(ms));
                }
            }
            Notice::Stopping => {
                let stop_timeout_ms = rules.service.as_ref().map(|it| it.stop_timeout_ms);
                if !life.present.ending {
                    life.present.ending_until = stop_timeout_ms.map(|ms| now.plus(ms));
                }
                life.present.ending = true;
                life.present.watchdog = None;
                if let Some(watch) = &mut life.present.health {
                    watch.suspend();
                }
            }
            Notice::ExtendTimeout(ms) => self.extend_timeout(unit, *ms),
        }
    }

    /// What is due sooner than `ms` from now is put off until then.
    fn extend_timeout(&mut self, unit: UnitId, ms: u64) {
        let until = self.now.plus(ms);
        let Some(life) = self.life_mut(unit) else {
            return;
        };
        let ending = &mut life.present.ending_until;
        *ending = ending.map(|at| at.max(until));
        match &mut life.state {
            State::Preparing { deadline, .. }
            | State::Starting { deadline, .. }
            | State::Started { deadline, .. } => {
                *deadline = (*deadline).max(until);
            }
            State::Running { .. } => {
                let runtime = &mut life.present.runtime_until;
                *runtime = runtime.map(|at| at.max(until));
            }
            State::Stopping {
                kill_at,
                killed: false,
                ..
            } => *kill_at = (*kill_at).max(until),
            State::PreStop { step, .. } => step.deadline = step.deadline.max(until),
            State::Stopping { killed: true, .. }
            | State::Inactive
            | State::Scheduled
            | State::Waiting
            | State::PreStart { .. }
            | State::PostStop { .. }
            | State::Releasing { .. }
            | State::Backoff { .. }
            | State::Finished { .. }
            | State::Skipped { .. }
            | State::Failed { .. } => {}
        }
    }

    /// From now on the container has to say `WATCHDOG=1`.
    pub(crate) fn arm_watchdog(&mut self, unit: UnitId) {
        let now = self.now;
        let Some((life, rules)) = self.both(unit) else {
            return;
        };
        let watchdog_ms = rules.service.as_ref().and_then(|it| it.watchdog_ms);
        if !life.present.ending {
            life.present.watchdog = watchdog_ms.map(|ms| now.plus(ms));
        }
    }

    /// The failure of a run whose preparation could not be finished.
    pub(crate) fn prepare_failure(reason: &str, lasting: bool) -> Failure {
        Failure::PrepareFailed {
            reason: shortened(reason),
            lasting,
        }
    }
}
