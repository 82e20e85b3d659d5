//! Moves a unit toward its goal as far as it can go now: the one place that decides what is done next.

use crate::mutant::Mutant;
use crate::present::Present;
use crate::restart::End;
use crate::standing::Standing;
use crate::{Action, Exit, Failure, Goal, RunId, State, Supervisor, Timestamp, UnitId};

/// Whether the unit may move on after a step.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Again,
    Rest,
}

impl Supervisor {
    pub(crate) fn advance(&mut self, unit: UnitId) {
        while self.step(unit) == Step::Again {}
        self.serve_trigger(unit);
        self.serve_timer(unit);
        self.serve_replacement(unit);
        self.publish(unit);
        self.pass_token_on(unit);
        self.leave_place(unit);
        self.rearm(unit);
    }

    fn step(&mut self, unit: UnitId) -> Step {
        let Some(life) = self.life(unit) else {
            return Step::Rest;
        };
        let (up, leaving, now) = (life.goal == Goal::Up, life.is_leaving(), self.now);
        let ending = life.stop_cause.is_some();
        match &life.state {
            State::Inactive if up => self.wake(unit),
            State::Scheduled if !up => self.go(unit, State::Inactive),
            State::Scheduled if life.due => self.go(unit, State::Waiting),
            State::Waiting => self.step_waiting(unit),
            State::Preparing { run, deadline } => {
                let (run, deadline) = (*run, *deadline);
                self.step_preparing(unit, run, deadline)
            }
            State::PreStart { run, step }
            | State::PreStop { run, step }
            | State::PostStop { run, step } => {
                let (run, step) = (*run, *step);
                self.step_hook(unit, run, step)
            }
            State::Starting { run, deadline } => {
                let (run, deadline) = (*run, *deadline);
                self.step_starting(unit, run, deadline)
            }
            State::Started { run, deadline, .. } => {
                let (run, deadline) = (*run, *deadline);
                if ending || (leaving && self.may_stop(unit)) {
                    self.begin_stop(unit, run)
                } else {
                    self.step_started(unit, run, deadline)
                }
            }
            State::Running { run, .. } => {
                let run = *run;
                if ending || (leaving && self.may_stop(unit)) {
                    self.begin_stop(unit, run)
                } else {
                    self.step_running(unit, run)
                }
            }
            State::Stopping {
                run,
                kill_at,
                killed: false,
            } if (now >= *kill_at && !self.planted(Mutant::NoKillAfterTerminate))
                || self.budget_is_spent() =>
            {
                let run = *run;
                self.kill(unit, run)
            }
            State::Backoff { .. }
            | State::Failed { .. }
            | State::Finished { .. }
            | State::Skipped { .. }
                if !up =>
            {
                self.go(unit, State::Inactive)
            }
            State::Backoff { until } if now >= *until => {
                if let Some(life) = self.life_mut(unit) {
                    life.restarts = life.restarts.saturating_add(1);
                    if let (true, Some(run)) = (life.changed, life.run) {
                        self.actions.push(Action::RestartsAtOnce { unit, run });
                    }
                }
                self.go(unit, State::Waiting)
            }
            State::Inactive
            | State::Scheduled
            | State::Stopping { .. }
            | State::Releasing { .. }
            | State::Backoff { .. }
            | State::Finished { .. }
            | State::Skipped { .. }
            | State::Failed { .. } => Step::Rest,
        }
    }

    pub(crate) fn go(&mut self, unit: UnitId, state: State) -> Step {
        self.enter(unit, state);
        Step::Again
    }

    /// The goal has got up: it runs, unless the clock is to start it or it was completed before.
    pub(crate) fn wake(&mut self, unit: UnitId) -> Step {
        let forgetful = self.planted(Mutant::CompletionForgotten);
        let (Some(life), Some(rules)) = (self.life(unit), self.rules_of(unit)) else {
            return Step::Rest;
        };
        let state = if life.due {
            State::Waiting
        } else if rules.is_scheduled() {
            State::Scheduled
        } else if rules.completes_once() && life.completed && !forgetful {
            let exit = Exit::Code(0);
            State::Finished { exit }
        } else {
            State::Waiting
        };
        self.go(unit, state)
    }

    fn step_waiting(&mut self, unit: UnitId) -> Step {
        self.count_steps(self.graph.requisite(unit).len());
        let Some(life) = self.life(unit) else {
            return Step::Rest;
        };
        if life.goal == Goal::Down {
            return self.go(unit, State::Inactive);
        }
        if life.failed_requirements > 0 && !self.planted(Mutant::FailedRequirementIgnored) {
            return self.fail_for_requirement(unit);
        }
        if let Some(other) = self.missing_requisite(unit) {
            return self.fail(unit, Failure::Requisite { unit: other });
        }
        let blocked = life.blockers > 0 && !self.planted(Mutant::DependenciesIgnored);
        let rivals = life.rivals > 0 && !self.planted(Mutant::ConflictsIgnored);
        if blocked || rivals {
            self.give_token_back(unit);
            return Step::Rest;
        }
        if self.start_limit_is_hit(unit) {
            return self.fail(unit, Failure::StartLimit);
        }
        if !self.may_begin_beside(unit) {
            return Step::Rest;
        }
        self.begin_run(unit)
    }

    fn fail_for_requirement(&mut self, unit: UnitId) -> Step {
        self.count_steps(self.graph.needs(unit).len());
        let mut needs = self.graph.needs(unit).iter();
        let impossible = needs.find(|it| {
            let other = self.life(it.unit);
            other.is_some_and(|life| life.standing.is_impossible(it.need))
        });
        match impossible.map(|it| it.unit) {
            Some(other) => self.fail(unit, Failure::Dependency { unit: other }),
            None => Step::Rest,
        }
    }

    /// One that must be active, and neither is nor is on its way while this one waits for it.
    fn missing_requisite(&self, unit: UnitId) -> Option<UnitId> {
        if self.planted(Mutant::RequisiteIgnored) {
            return None;
        }
        let after = self.graph.after(unit);
        let waits_for = |other: UnitId, standing: Standing| {
            let place = after.binary_search_by_key(&other, |link| link.unit);
            let link = place.ok().and_then(|place| after.get(place));
            link.is_some_and(|link| standing.blocks(link.need, link.required))
        };
        let missing = |other: &&UnitId| {
            self.life(**other).is_none_or(|life| {
                let waited_for = waits_for(**other, life.standing);
                !life.standing.active && (life.goal == Goal::Down || !waited_for)
            })
        };
        self.graph.requisite(unit).iter().find(missing).copied()
    }

    /// It does not even start.
    fn fail(&mut self, unit: UnitId, reason: Failure) -> Step {
        if let Some(life) = self.life_mut(unit) {
            life.last_failure = Some(reason.clone());
            life.due = false;
            life.clock.run_for_wall_ms = None;
        }
        self.give_token_back(unit);
        self.rest_failed(unit, reason);
        self.has_failed(unit);
        Step::Again
    }

    fn begin_run(&mut self, unit: UnitId) -> Step {
        let run = RunId(self.last_run.0.saturating_add(1));
        let now = self.now;
        let Some((life, rules)) = self.both(unit) else {
            return Step::Rest;
        };
        let timeout_ms = rules.service.as_ref().map(|it| it.start_timeout_ms);
        life.run = Some(run);
        life.stop_cause = None;
        life.due = false;
        life.present = Present {
            began: Some(now),
            scheduled_wall_ms: life.clock.run_for_wall_ms.take(),
            ..Present::default()
        };
        self.last_run = run;
        let Some(timeout_ms) = timeout_ms else {
            return self.go(unit, State::Running { run, since: now });
        };
        self.note_start(unit);
        self.start_clocks(unit);
        self.actions.push(Action::Prepare { unit, run });
        let deadline = now.plus(timeout_ms);
        self.go(unit, State::Preparing { run, deadline })
    }

    /// Whoever is to make image and network may be hanging: that ends as a failure with a name.
    fn step_preparing(&mut self, unit: UnitId, run: RunId, deadline: Timestamp) -> Step {
        if self.life(unit).is_none_or(crate::life::Life::is_leaving) {
            return self.abandon_run(unit, run);
        }
        if self.now < deadline || self.planted(Mutant::NoPrepareTimeout) {
            return Step::Rest;
        }
        self.run_ended(unit, run, End::Failure(Failure::PrepareTimeout));
        Step::Again
    }

    /// The launcher is not the workload yet: nothing in it would answer a stop signal, nothing is lost by killing it, and
    /// nobody can be using it, so that it need not wait for later units either.
    fn step_starting(&mut self, unit: UnitId, run: RunId, deadline: Timestamp) -> Step {
        let now = self.now;
        let Some(life) = self.life_mut(unit) else {
            return Step::Rest;
        };
        if life.is_leaving() {
            return self.kill(unit, run);
        }
        if now < deadline {
            return Step::Rest;
        }
        life.stop_cause = Some(Failure::StartTimeout);
        self.kill(unit, run)
    }

    fn step_started(&mut self, unit: UnitId, run: RunId, deadline: Timestamp) -> Step {
        if self.is_ready_now(unit) {
            let since = self.now;
            let step = self.go(unit, State::Running { run, since });
            self.arm_watchdog(unit);
            if let Some(life) = self.life_mut(unit) {
                life.present.served = life.present.served.or(Some(since));
            }
            return step;
        }
        if self.now >= deadline && !self.planted(Mutant::NoReadinessTimeout) {
            return self.end_run_for(unit, Failure::ReadinessTimeout);
        }
        self.serve_container(unit, run)
    }

    fn step_running(&mut self, unit: UnitId, run: RunId) -> Step {
        let target = self.rules_of(unit).is_none_or(crate::Rules::is_target);
        if target {
            return Step::Rest;
        }
        self.serve_container(unit, run)
    }

    /// Everything that has a deadline while the container runs.
    fn serve_container(&mut self, unit: UnitId, run: RunId) -> Step {
        let now = self.now;
        let due = |at: Option<Timestamp>| at.is_some_and(|at| now >= at);
        let Some(life) = self.life(unit) else {
            return Step::Rest;
        };
        let present = &life.present;
        let (late, silent) = (due(present.runtime_until), due(present.watchdog));
        let (reload, unready) = (due(present.reload), due(present.ready_until));
        let lingers = due(present.ending_until);
        if late && !self.planted(Mutant::RuntimeMaxIgnored) {
            return self.end_run_for(unit, Failure::RuntimeLimit);
        }
        if unready {
            return self.end_run_for(unit, Failure::ReadinessTimeout);
        }
        if silent && !self.planted(Mutant::WatchdogIgnored) {
            return self.end_run_for(unit, Failure::Watchdog);
        }
        if lingers {
            // It has begun its stop by itself: what is left of the ladder is the kill.
            self.kill_for(unit, Failure::StopTimeout);
            return Step::Again;
        }
        if reload {
            self.reload_ended(unit, Some("its reload took longer than start_timeout"));
        }
        self.serve_post_start(unit, run);
        if self
            .life(unit)
            .is_some_and(|life| life.stop_cause.is_some())
        {
            return Step::Again;
        }
        self.serve_health(unit);
        match self.life(unit) {
            Some(life) if life.stop_cause.is_some() => Step::Again,
            Some(_) | None => Step::Rest,
        }
    }

    fn end_run_for(&mut self, unit: UnitId, cause: Failure) -> Step {
        self.end_for(unit, cause);
        Step::Again
    }

    /// The container is to end because of a failure: by the stop ladder, without waiting for later units.
    pub(crate) fn end_for(&mut self, unit: UnitId, cause: Failure) {
        if let Some(life) = self.life_mut(unit) {
            life.stop_cause = Some(cause);
        }
        self.touch(unit);
    }

    pub(crate) fn kill_for(&mut self, unit: UnitId, cause: Failure) {
        let Some(life) = self.life_mut(unit) else {
            return;
        };
        life.stop_cause = Some(cause);
        if let Some(run) = life.state.run() {
            self.kill(unit, run);
        }
        self.touch(unit);
    }

    /// Those that come after it have ended, or there is no time left for order; and of its group not too many are being
    /// restarted, if it is to come back.
    fn may_stop(&mut self, unit: UnitId) -> bool {
        let Some(life) = self.life(unit) else {
            return false;
        };
        let for_good = life.goal == Goal::Down;
        let last = life.stop_blockers == 0
            || self.budget_is_spent()
            || self.planted(Mutant::StopOrderIgnored);
        if !last {
            // It waits for others, who may be of its group: they must not wait for its token.
            self.give_token_back(unit);
            return false;
        }
        for_good || self.take_token(unit)
    }

    /// The run is cancelled before it had a process.
    fn abandon_run(&mut self, unit: UnitId, run: RunId) -> Step {
        if let Some(life) = self.life_mut(unit) {
            life.next = crate::life::Next::Start;
        }
        self.release(unit, run);
        Step::Again
    }
}
