//! What a unit comes to when its run is over, and what that sets off.

use crate::history::PastRun;
use crate::life::Next;
use crate::mutant::Mutant;
use crate::{Exit, Failure, Goal, RunId, State, Supervisor, Timestamp, UnitId};

/// A unit that others' ends start (`on_failure`, `on_success`, a timer) is started by them no more often than this: two
/// that start each other at their failures would keep PID 1 busy for ever.
pub const TRIGGER_INTERVAL_MS_MIN: u64 = 1_000;

/// How a run that is remembered ended.
pub(crate) enum PastEnd {
    Own {
        exit: Option<Exit>,
        failure: Option<Failure>,
    },
    /// It was not wanted any more, or another one was.
    Stopped { exit: Option<Exit> },
}

impl Supervisor {
    /// Nothing of the run is left: what has been decided when it ended comes now, unless somebody has changed the goal.
    pub(crate) fn released(&mut self, unit: UnitId) {
        let Some((life, rules)) = self.both(unit) else {
            return;
        };
        let next = core::mem::replace(&mut life.next, Next::Start);
        life.bounce = false;
        let scheduled = rules.is_scheduled();
        if let Some(run) = life.run {
            self.moved.remove(&run);
        }
        let Some(life) = self.life_mut(unit) else {
            return;
        };
        if life.goal == Goal::Down {
            return self.enter(unit, State::Inactive);
        }
        match next {
            Next::Start if scheduled && !life.due => self.enter(unit, State::Scheduled),
            Next::Start => self.enter(unit, State::Waiting),
            Next::Backoff { until } => self.enter(unit, State::Backoff { until }),
            Next::Skipped { reason } => self.enter(unit, State::Skipped { reason }),
            Next::Finished { exit } => self.rest_finished(unit, exit),
            Next::Failed { reason } => self.rest_failed(unit, reason),
        }
        self.next_of_the_clock(unit, scheduled);
    }

    /// A run that waited for the end of this one; a unit that the clock starts waits for its next time.
    fn next_of_the_clock(&mut self, unit: UnitId, scheduled: bool) {
        let Some(life) = self.life_mut(unit) else {
            return;
        };
        if !life.state.is_at_rest() {
            return;
        }
        if life.clock.queued > 0 {
            life.clock.queued = life.clock.queued.saturating_sub(1);
            life.due = true;
            self.enter(unit, State::Waiting);
        } else if scheduled {
            self.enter(unit, State::Scheduled);
        }
    }

    fn rest_finished(&mut self, unit: UnitId, exit: Exit) {
        let Some((life, rules)) = self.both(unit) else {
            return;
        };
        if rules.completes_once() && !life.completed {
            life.completed = true;
            self.record_changed();
        }
        self.enter(unit, State::Finished { exit });
        if !self.planted(Mutant::OnSuccessForgotten) {
            self.triggered.extend(self.graph.on_success(unit));
            self.count_steps(self.graph.on_success(unit).len());
        }
    }

    /// It has failed for good.
    pub(crate) fn rest_failed(&mut self, unit: UnitId, reason: Failure) {
        self.enter(unit, State::Failed { reason });
        if !self.planted(Mutant::OnFailureForgotten) {
            self.triggered.extend(self.graph.on_failure(unit));
            self.count_steps(self.graph.on_failure(unit).len());
        }
        let scheduled = self.rules_of(unit).is_some_and(crate::Rules::is_scheduled);
        self.next_of_the_clock(unit, scheduled);
    }

    /// Of a unit whose command is meant to end.
    pub(crate) fn note_past_run(&mut self, unit: UnitId, run: RunId, end: PastEnd) {
        let ended = self.now;
        let Some((life, rules)) = self.both(unit) else {
            return;
        };
        if !rules.ends() && rules.timer.is_none() {
            return;
        }
        let keep = rules.timer.as_ref().map(|timer| timer.history);
        let (exit, failure, stopped) = match end {
            PastEnd::Own { exit, failure } => (exit, failure, false),
            PastEnd::Stopped { exit } => (exit, None, true),
        };
        let past = PastRun {
            run,
            scheduled_wall_ms: life.present.scheduled_wall_ms,
            began: life.present.began.unwrap_or(ended),
            ended,
            exit,
            failure,
            stopped,
        };
        life.history.add(past, keep.unwrap_or_default());
    }

    // --- started by others -----------------------------------------------------------------------

    /// Starts what the ends of this turn have asked for; whether there was anything.
    pub(crate) fn start_triggered(&mut self) -> bool {
        if self.triggered.is_empty() {
            return false;
        }
        let all = core::mem::take(&mut self.triggered);
        if self.shutdown.is_some() {
            return false;
        }
        self.count_steps(all.len());
        let now = self.now;
        let mut starts = alloc::vec::Vec::new();
        for unit in all {
            let Some(life) = self.life_mut(unit) else {
                continue;
            };
            if life.leaves || life.vacant || (life.goal == Goal::Up && !life.state.is_at_rest()) {
                continue;
            }
            let earliest = life
                .triggered
                .map(|at| at.plus(TRIGGER_INTERVAL_MS_MIN))
                .unwrap_or(Timestamp(0));
            if now < earliest {
                life.trigger_at = Some(earliest);
                self.rearm(unit);
            } else {
                life.triggered = Some(now);
                life.trigger_at = None;
                starts.push(unit);
            }
        }
        self.start_by_trigger(&starts);
        true
    }

    /// A start that came too soon after another is due now.
    pub(crate) fn serve_trigger(&mut self, unit: UnitId) {
        let now = self.now;
        if let Some(life) = self.life_mut(unit)
            && life.trigger_at.is_some_and(|at| now >= at)
        {
            life.trigger_at = None;
            self.triggered.insert(unit);
        }
    }
}
