//! What the ends of a unit's runs allow: the oracle's own reckoning of restart policies.

use crate::run::{Run, ends, slot};
use std::collections::VecDeque;
use supervisor::{
    HookKind, IMMEDIATE_RESTART_SERVED_MS_MIN, RESTART_DELAY_MS_AFTER_NONE, RESTART_DELAY_MS_MIN,
    Timestamp,
};
use unit::{HookFailure, OnUnhealthy, Restart, Service};

/// Of one unit.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    /// What the end of its last run allows; `None`: somebody asked for the end, which says nothing.
    pub(crate) next: Option<NextStart>,
    /// The least that the last back-off can have been.
    delay_ms: Option<u64>,
    /// At least so many runs in a row have failed.
    failures: u32,
    /// In its whole life.
    pub(crate) failures_ever: u32,
    /// Number of the last command to start something that this memory knows of.
    pub(crate) starts: u64,
    /// Number of commands that may end a run when the last one began.
    pub(crate) stops: u64,
    /// Starts by itself, lately.
    pub(crate) begun: VecDeque<Timestamp>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum NextStart {
    NotBefore(Timestamp),
    Never(&'static str),
}

impl Memory {
    /// Somebody has started something: what it did before says nothing any more.
    pub(crate) fn forget(&mut self, starts: u64) {
        if self.starts != starts {
            *self = Self {
                failures_ever: self.failures_ever,
                starts,
                stops: self.stops,
                ..Self::default()
            };
        }
    }

    /// Somebody has started it after its run had ended: that end says nothing.
    pub(crate) fn begin_anew(&mut self) {
        self.next = None;
        self.delay_ms = None;
        self.failures = 0;
    }

    /// A run is over. `stops`: of commands that may end a run, so far.
    pub(crate) fn run_ended(&mut self, run: &Run, stops: u64, now: Timestamp) {
        self.next = None;
        self.failures_ever += u32::from(run.has_prepared_too_long(now));
        let rules = &run.definition.rules;
        let (Some(service), Some(ended)) = (&rules.service, run.told.ended) else {
            return;
        };
        let cleaned = !run.steps[slot(HookKind::PostStop)].failed;
        // A run killed for its start_timeout failed, however it ended.
        self.failures_ever += u32::from(!ended.success || run.asked_to_stop() || !cleaned);
        // A restart that waits for its turn to stop the unit makes any end the one that was asked for.
        let cancelled = !run.spawned && run.start_cancelled;
        let cause = run.told.started.is_some() && run.steps[slot(HookKind::PostStart)].failed;
        if run.asked_to_stop() || self.stops != stops || cancelled || cause || !cleaned {
            // Whether it was a failure, or served long enough to begin anew, is for the core to say.
            self.delay_ms = None;
            self.failures = 0;
            return;
        }
        let least = match service.restart_delay_ms {
            0 => IMMEDIATE_RESTART_SERVED_MS_MIN,
            _ => 0,
        };
        let lasted = run
            .told
            .served
            .is_some_and(|at| ended.at.since(at) >= service.restart_reset_after_ms.max(least));
        if lasted {
            self.delay_ms = None;
            self.failures = 0;
        }
        self.failures = if ended.success { 0 } else { self.failures + 1 };
        let delay_ms = least_delay_ms(service, self.delay_ms);
        self.delay_ms = Some(delay_ms);
        self.next = Some(self.verdict(run, service, delay_ms, ends(rules)));
    }

    fn verdict(&self, run: &Run, service: &Service, delay_ms: u64, ends: bool) -> NextStart {
        let Some(ended) = run.told.ended else {
            return NextStart::Never("it has not ended");
        };
        let prevented = ended
            .code
            .is_some_and(|code| service.restart_prevent_exit_codes.contains(&code));
        let restarts = match (ended.success, service.restart) {
            (true, Restart::Always | Restart::UnlessStopped) => !ends,
            (true, _) => false,
            (false, Restart::No | Restart::OnWatchdog) => false,
            (false, Restart::OnAbnormal) => ended.by_signal,
            (false, Restart::Always | Restart::UnlessStopped | Restart::OnFailure) => true,
        };
        let limited = match service.restart {
            Restart::OnFailure | Restart::OnAbnormal | Restart::OnWatchdog => {
                service.restart_max > 0 && self.failures > service.restart_max
            }
            Restart::No | Restart::Always | Restart::UnlessStopped => false,
        };
        if prevented {
            NextStart::Never("its exit code prevents it")
        } else if limited {
            NextStart::Never("restart_max is reached")
        } else if restarts {
            NextStart::NotBefore(ended.at.plus(delay_ms))
        } else if ended.success {
            NextStart::Never("it has finished")
        } else {
            NextStart::Never("its policy says no")
        }
    }

    /// A start by itself now would be one more than `start_limit` allows.
    pub(crate) fn is_over_limit(&self, service: &Service, now: Timestamp) -> bool {
        let limit = service.start_limit;
        let lately = self.begun.iter().rev().take(limit.burst as usize);
        let lately = lately.filter(|at| now.since(**at) < limit.interval_ms);
        limit.burst > 0 && lately.count() >= limit.burst as usize
    }
}

/// The oracle's own reckoning of the back-off.
fn least_delay_ms(service: &Service, previous: Option<u64>) -> u64 {
    let wanted = match previous {
        None if service.restart_delay_ms == 0 => return 0,
        None => service.restart_delay_ms,
        Some(0) => RESTART_DELAY_MS_AFTER_NONE,
        Some(ms) => ms * service.restart_backoff_milli / 1_000,
    };
    wanted
        .min(service.restart_delay_max_ms)
        .max(RESTART_DELAY_MS_MIN)
}

/// Why a run may be asked to stop though its unit is wanted up and nobody has asked.
pub(crate) fn has_a_reason_to_stop(run: &Run, now: Timestamp) -> bool {
    let rules = &run.definition.rules;
    let (Some(service), told) = (&rules.service, &run.told) else {
        return false;
    };
    let Some(started) = told.started else {
        return now.since(told.began) >= service.start_timeout_ms.min(1_000);
    };
    // A success that came after its time may have been given up already: then it has made nothing ready.
    let doubtful = told.probe_failures_most > told.probe_failures;
    let unready = (!run.is_serving() || run.ends() || doubtful)
        && now.since(started) >= rules.readiness.timeout_ms;
    let late = service
        .runtime_max_ms
        .is_some_and(|ms| now.since(started) >= ms);
    let silent = service
        .watchdog_ms
        .is_some_and(|ms| now.since(told.pinged.unwrap_or(started)) >= ms);
    let step_failed = run.steps[slot(HookKind::PostStart)].failed
        || run
            .hooks(HookKind::PostStart)
            .iter()
            .any(|hook| hook.on_failure == HookFailure::Fail && run.hook_killed);
    late || unready || silent || step_failed || may_be_unhealthy(run)
}

/// Its probes have failed so often that something has to follow.
pub(crate) fn is_unhealthy(run: &Run) -> bool {
    has_failed_probes(run, run.told.probe_failures)
}

/// Its probes may have failed so often that something has to follow.
pub(crate) fn may_be_unhealthy(run: &Run) -> bool {
    has_failed_probes(run, run.told.probe_failures_most)
}

fn has_failed_probes(run: &Run, failures: u32) -> bool {
    let Some(plan) = &run.definition.plan else {
        return false;
    };
    let open = u32::from(run.told.probe_answered < run.told.probe_asked);
    let bad = failures + open >= plan.retries;
    bad && plan.on_unhealthy != OnUnhealthy::None
}
