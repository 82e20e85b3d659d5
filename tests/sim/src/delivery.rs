//! What the supervisor has been told: the other half of each run's truth.

use crate::kernel::Kernel;
use crate::run::{Ended, Told, slot};
use supervisor::{Event, Exit, HookKind, Notice, RunId, Timestamp};
use unit::HealthPlan;

impl Kernel {
    /// Keeps what the supervisor is told of the latest run of a place, just before it is.
    pub(crate) fn note_delivery(&mut self, event: &Event) {
        self.remember(event);
        let now = self.now;
        let Some(run) = subject(event) else {
            return;
        };
        let Some(known) = self.runs.get_mut(&run) else {
            return;
        };
        let counts = match event {
            Event::HookEnded { hook, .. } => known.counts(*hook),
            _ => false,
        };
        let success_codes = known
            .definition
            .rules
            .service
            .as_ref()
            .map(|service| service.success_exit_codes.clone())
            .unwrap_or_default();
        let plan = known.definition.plan.clone();
        let service = known.definition.rules.service.clone();
        let killed = known.hook_killed;
        let told = &mut known.told;
        let end = |success: bool, code: Option<i32>| {
            Some(Ended {
                at: now,
                success,
                code,
                by_signal: false,
            })
        };
        match event {
            Event::Prepared { .. } if !told.skipped => told.prepared |= told.ended.is_none(),
            Event::Skipped { .. } if !told.prepared && told.ended.is_none() => {
                told.skipped = !known.release_asked;
            }
            Event::PrepareFailed { .. }
                if !told.prepared && !told.skipped && !known.release_asked =>
            {
                told.ended = told.ended.or(end(false, None));
            }
            // Lost again before the container could use it.
            Event::PrepareFailed { .. }
                if known.steps[slot(HookKind::PreStart)].begun > 0
                    && known.steps[slot(HookKind::PostStop)].begun == 0
                    && !known.spawned
                    && !known.release_asked =>
            {
                told.ended = told.ended.or(end(false, None));
            }
            Event::HookEnded { hook, failure, .. } => {
                let list = slot(hook.kind);
                let steps = &mut known.steps[list];
                if hook.index != steps.ended || steps.begun == steps.ended {
                    return;
                }
                steps.ended += 1;
                let failed = failure.is_some() || killed;
                steps.failed |= failed && counts;
                // A step before the container that fails is the end of the run; one that was stopped too.
                let last = hook.kind == HookKind::PreStart && failed && counts;
                if last {
                    told.ended = told.ended.or(end(false, None));
                }
            }
            Event::Started { .. } if told.ended.is_none() && known.spawned => {
                told.started = told.started.or(Some(now));
                told.pinged = told.pinged.or(Some(now));
            }
            Event::SpawnFailed { .. } if known.spawned => {
                told.ended = told.ended.or(end(false, None));
            }
            Event::Ready { .. } if known.spawned && told.ended.is_none() => told.sign = true,
            Event::Notified {
                notice: Notice::Watchdog,
                ..
            } if service.is_some_and(|service| service.watchdog_ms.is_some()) => {
                told.pinged = Some(now);
            }
            Event::Probed { failure, probe, .. } => {
                told.probe_heard = false;
                let Some(plan) = plan.filter(|_| *probe == told.probe_asked) else {
                    return;
                };
                if told.probe_answered < *probe {
                    told.probe_answered = *probe;
                    told.probe_heard = true;
                    told.answered(now, &plan, failure.is_some());
                }
            }
            Event::Paused { .. } => known.pausing = false,
            Event::Flipped { failure, .. } => told.flipped |= failure.is_none(),
            Event::Exited { exit, .. } if known.spawned => {
                let (success, code) = match exit {
                    Exit::Code(code) => (success_codes.contains(code), Some(*code)),
                    Exit::Signal { .. } => (false, None),
                };
                let by_signal = code.is_none();
                told.ended = told
                    .ended
                    .or(end(success, code).map(|ended| Ended { by_signal, ..ended }));
            }
            Event::Released { .. } => told.released = known.release_asked,
            _ => {}
        }
        let serves = known.is_serving() || (known.ends() && known.told.started.is_some());
        if known.told.served.is_none() && serves {
            known.told.served = Some(now);
        }
    }
}

impl Told {
    /// The oracle's own reckoning of health.
    pub(crate) fn answered(&mut self, now: Timestamp, plan: &HealthPlan, failed: bool) {
        let Some(started) = self.started else { return };
        if !failed {
            // After its time it may have been given up already: then it was a failure.
            let late = now >= self.probe_until;
            self.probe_failures_most = if late {
                self.probe_failures_most + 1
            } else {
                0
            };
            self.probe_failures = 0;
            self.probe_successes += 1;
            self.ever_succeeded = true;
            self.healthy |= self.probe_successes >= plan.success_threshold;
            self.ever_healthy |= self.healthy;
            return;
        }
        self.probe_successes = 0;
        if self.ever_succeeded || now.since(started) >= plan.start_period_ms {
            self.probe_failures += 1;
            self.probe_failures_most += 1;
            self.healthy &= self.probe_failures < plan.retries;
        }
    }
}

/// The run that a report is about.
pub(crate) fn subject(event: &Event) -> Option<RunId> {
    match event {
        Event::Prepared { run, .. }
        | Event::PrepareFailed { run, .. }
        | Event::Skipped { run, .. }
        | Event::HookEnded { run, .. }
        | Event::HealthPlan { run, .. }
        | Event::Started { run, .. }
        | Event::SpawnFailed { run, .. }
        | Event::Ready { run, .. }
        | Event::Notified { run, .. }
        | Event::Probed { run, .. }
        | Event::Reloaded { run, .. }
        | Event::Paused { run, .. }
        | Event::Flipped { run, .. }
        | Event::Exited { run, .. }
        | Event::Released { run, .. } => Some(*run),
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
        | Event::Shutdown { .. } => None,
    }
}
