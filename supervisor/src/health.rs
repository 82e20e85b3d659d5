//! Whether a running container does its work: when it is probed, and what the answers mean.
//!
//! ```text
//! Started ─┬─ start_period: every start_interval, failures do not count ─┬─ every interval ─▶
//!          └──────────────── the first success ends it ──────────────────┘
//! retries failures in a row ─▶ unhealthy ─▶ on_unhealthy;   success_threshold successes in a row ─▶ healthy
//! ```
//!
//! One probe at a time: the next one's clock starts when the answer is there. A paused container is not probed.

use crate::mutant::Mutant;
use crate::text::shortened;
use crate::{Action, Failure, State, Supervisor, Timestamp, UnitId};
use alloc::string::String;
use serde::{Deserialize, Serialize};
use unit::{HealthPlan, OnUnhealthy};

/// An answer that does not come so long after its own time limit is one that was lost with its helper.
pub const PROBE_GRACE_MS: u64 = 5_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HealthStatus {
    Starting,
    Healthy,
    Unhealthy,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct HealthWatch {
    pub(crate) plan: HealthPlan,
    pub(crate) status: HealthStatus,
    /// In a row.
    pub(crate) failures: u32,
    pub(crate) successes: u32,
    /// Why the last probe failed.
    pub(crate) reason: String,
    /// A first success has been seen.
    succeeded: bool,
    started: Timestamp,
    next: Option<Timestamp>,
    /// The probe under way, and when it is given up.
    asked: Option<(u64, Timestamp)>,
    last: u64,
}

impl HealthWatch {
    pub(crate) fn new(plan: HealthPlan) -> Self {
        Self {
            plan,
            status: HealthStatus::Starting,
            failures: 0,
            successes: 0,
            reason: String::new(),
            succeeded: false,
            started: Timestamp(0),
            next: None,
            asked: None,
            last: 0,
        }
    }

    pub(crate) fn begin(&mut self, now: Timestamp) {
        self.started = now;
        self.plan_next(now);
    }

    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        self.asked.map(|(_, until)| until).or(self.next)
    }

    /// Nothing is asked until `resume`; an answer under way is not waited for.
    pub(crate) fn suspend(&mut self) {
        self.asked = None;
        self.next = None;
    }

    pub(crate) fn resume(&mut self, now: Timestamp) {
        if self.asked.is_none() && self.next.is_none() {
            self.plan_next(now);
        }
    }

    fn in_start_period(&self, now: Timestamp) -> bool {
        !self.succeeded && now.since(self.started) < self.plan.start_period_ms
    }

    fn plan_next(&mut self, now: Timestamp) {
        let interval_ms = if self.in_start_period(now) {
            self.plan.start_interval_ms
        } else {
            self.plan.interval_ms
        };
        self.asked = None;
        self.next = Some(now.plus(interval_ms.max(1)));
    }

    /// The number of a probe that is due.
    fn ask(&mut self, now: Timestamp) -> Option<u64> {
        if self.asked.is_some() || self.next.is_none_or(|at| now < at) {
            return None;
        }
        self.last = self.last.saturating_add(1);
        let until = now.plus(self.plan.timeout_ms).plus(PROBE_GRACE_MS);
        self.asked = Some((self.last, until));
        Some(self.last)
    }

    /// Takes in an answer; whether it has made the container unhealthy.
    fn answered(&mut self, now: Timestamp, failure: Option<&str>, retries: u32) -> bool {
        let counts = !self.in_start_period(now);
        match failure {
            None => {
                self.succeeded = true;
                self.failures = 0;
                self.successes = self.successes.saturating_add(1);
                if self.successes >= self.plan.success_threshold {
                    self.status = HealthStatus::Healthy;
                }
            }
            Some(reason) => {
                self.reason = shortened(reason);
                self.successes = 0;
                if counts {
                    self.failures = self.failures.saturating_add(1);
                }
            }
        }
        self.plan_next(now);
        let unhealthy = failure.is_some() && counts && self.failures >= retries.max(1);
        if unhealthy {
            self.status = HealthStatus::Unhealthy;
        }
        unhealthy
    }
}

impl Supervisor {
    pub(crate) fn take_health_plan(&mut self, unit: UnitId, plan: &HealthPlan) {
        let now = self.now;
        let Some(life) = self.life_mut(unit) else {
            return;
        };
        if life.present.health.is_none() {
            let mut watch = HealthWatch::new(plan.clone());
            if life.present.started.is_some() {
                watch.begin(now);
            }
            life.present.health = Some(watch);
        }
    }

    /// The answer to the probe under way; any other is too late.
    pub(crate) fn probed(&mut self, unit: UnitId, probe: u64, failure: Option<&str>) {
        let asked = self
            .life(unit)
            .and_then(|life| life.present.health.as_ref()?.asked);
        if asked.is_some_and(|(number, _)| number == probe) {
            self.probe_answered(unit, failure);
        }
    }

    /// Asks what is due, and gives up what was not answered.
    pub(crate) fn serve_health(&mut self, unit: UnitId) {
        let now = self.now;
        let lost = self.life(unit).is_some_and(|life| {
            let asked = life.present.health.as_ref().and_then(|it| it.asked);
            asked.is_some_and(|(_, until)| now >= until)
        });
        if lost {
            self.probe_answered(unit, Some("no answer in time"));
        }
        let Some(life) = self.life_mut(unit) else {
            return;
        };
        let Some(run) = life.state.run() else { return };
        if let Some(probe) = life.present.health.as_mut().and_then(|it| it.ask(now)) {
            self.actions.push(Action::Probe { unit, run, probe });
        }
    }

    fn probe_answered(&mut self, unit: UnitId, failure: Option<&str>) {
        let now = self.now;
        let hasty = self.planted(Mutant::RetriesIgnored);
        let indifferent = self.planted(Mutant::UnhealthyIgnored);
        let Some(life) = self.life_mut(unit) else {
            return;
        };
        let Some(watch) = &mut life.present.health else {
            return;
        };
        let retries = if hasty { 1 } else { watch.plan.retries };
        let unhealthy = watch.answered(now, failure, retries);
        let consequence = watch.plan.on_unhealthy;
        let reason = watch.reason.clone();
        self.touch(unit);
        if !unhealthy || indifferent {
            return;
        }
        let serving = self.life(unit).is_some_and(|life| {
            matches!(life.state, State::Started { .. } | State::Running { .. })
                && !life.is_leaving()
        });
        let cause = Failure::Unhealthy { reason };
        match consequence {
            OnUnhealthy::Restart | OnUnhealthy::Stop if serving => self.end_for(unit, cause),
            OnUnhealthy::Kill if serving => self.kill_for(unit, cause),
            OnUnhealthy::None | OnUnhealthy::Restart | OnUnhealthy::Stop | OnUnhealthy::Kill => {}
        }
    }
}
