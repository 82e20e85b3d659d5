//! Another `[timer]` for a unit that is there.
//!
//! ```text
//! timer removed             Scheduled ─▶ as a unit that was wanted up just now: it runs, unless it was completed
//! timer added               at rest, waiting or in back-off ─▶ Scheduled: the clock starts it, not the change
//! on_unit_active changed    counts from the same start as before; removed: that time does not come
//! on_boot changed           one that is past has had its turn
//! ```

use crate::life::Clock;
use crate::{Goal, State, Supervisor, Timestamp, UnitId};
use alloc::vec::Vec;
use unit::Timer;

impl Supervisor {
    /// After the rules have changed: each unit with the timer that it had until now.
    pub(crate) fn retime(&mut self, units: &[(UnitId, Option<Timer>)]) {
        for (unit, old) in units {
            self.retime_one(*unit, old.as_ref());
        }
    }

    fn retime_one(&mut self, unit: UnitId, old: Option<&Timer>) {
        let (now, last_start) = (self.now, self.last_start_for(unit));
        let Some((life, rules)) = self.both(unit) else {
            return;
        };
        let new = rules.timer.as_ref();
        life.clock.take_times(old, new, last_start, now);
        let was_scheduled = old.is_some() && rules.service.is_some();
        let is_scheduled = rules.is_scheduled();
        if life.goal == Goal::Down {
            return;
        }
        if was_scheduled && !is_scheduled && life.state == State::Scheduled {
            self.wake(unit);
        } else if !was_scheduled && is_scheduled && !life.due && may_wait_for_the_clock(&life.state)
        {
            self.enter(unit, State::Scheduled);
        }
    }

    /// The latest start from which `on_unit_active` counts: the unit's own, or that of what its timer starts.
    fn last_start_for(&mut self, unit: UnitId) -> Option<Timestamp> {
        self.count_steps(self.graph.triggers(unit).len());
        let began = |unit: &UnitId| self.life(*unit)?.present.began;
        if self.rules_of(unit).is_some_and(|rules| !rules.is_target()) {
            return began(&unit);
        }
        let others: Vec<UnitId> = self.graph.triggers(unit).to_vec();
        others.iter().filter_map(began).max()
    }
}

impl Clock {
    fn take_times(
        &mut self,
        old: Option<&Timer>,
        new: Option<&Timer>,
        last_start: Option<Timestamp>,
        now: Timestamp,
    ) {
        let again = |timer: Option<&Timer>| timer.and_then(|timer| timer.on_unit_active_ms);
        self.again_at = match (again(old), again(new)) {
            (_, None) => None,
            (Some(before), Some(ms)) => self
                .again_at
                .map(|at| Timestamp(at.0.saturating_sub(before)).plus(ms)),
            // That a start was long ago is no reason to run because of a change.
            (None, Some(ms)) => last_start.map(|began| match began.plus(ms) {
                past if past <= now => now.plus(ms),
                at => at,
            }),
        };
        let boot = |timer: Option<&Timer>| timer.and_then(|timer| timer.on_boot_ms);
        if boot(old) != boot(new) {
            self.booted = boot(new).is_some_and(|ms| now >= Timestamp(ms));
        }
        let queues = |timer: Option<&Timer>| timer.map(|timer| timer.concurrency);
        if queues(old) != queues(new) {
            self.queued = 0;
        }
    }
}

/// Nothing of it runs or is on its way.
const fn may_wait_for_the_clock(state: &State) -> bool {
    match state {
        State::Waiting
        | State::Backoff { .. }
        | State::Finished { .. }
        | State::Skipped { .. }
        | State::Failed { .. } => true,
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
        | State::Releasing { .. } => false,
    }
}
