//! Moves a unit toward its goal as far as it can go now: the one place that decides what is done next.

use crate::mutant::Mutant;
use crate::{Action, Failure, Goal, RunId, State, Supervisor, Timestamp, UnitId};

/// Whether the unit may move on after a step.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Again,
    Rest,
}

impl Supervisor {
    pub(crate) fn advance(&mut self, unit: UnitId) {
        while self.step(unit) == Step::Again {}
        self.publish(unit);
    }

    fn step(&mut self, unit: UnitId) -> Step {
        let Some(life) = self.life(unit) else {
            return Step::Rest;
        };
        let (up, leaving, now) = (life.goal == Goal::Up, life.is_leaving(), self.now);
        match life.state {
            State::Inactive if up => self.go(unit, State::Waiting),
            State::Waiting => self.step_waiting(unit),
            State::Preparing { run } if leaving => self.give_back(unit, run),
            State::Starting { run, deadline } => self.step_starting(unit, run, deadline),
            State::Running { run, .. } if leaving && self.may_stop(unit) => {
                self.end_running(unit, run)
            }
            State::Stopping {
                run,
                kill_at,
                killed: false,
            } if (now >= kill_at && !self.planted(Mutant::NoKillAfterTerminate))
                || self.budget_is_spent() =>
            {
                self.kill(unit, run)
            }
            State::Backoff { .. } | State::Failed { .. } | State::Finished { .. } if !up => {
                self.go(unit, State::Inactive)
            }
            State::Backoff { until } if now >= until => {
                if let Some(life) = self.life_mut(unit) {
                    life.restarts = life.restarts.saturating_add(1);
                }
                self.go(unit, State::Waiting)
            }
            State::Inactive
            | State::Preparing { .. }
            | State::Running { .. }
            | State::Stopping { .. }
            | State::Releasing { .. }
            | State::Backoff { .. }
            | State::Finished { .. }
            | State::Failed { .. } => Step::Rest,
        }
    }

    fn go(&mut self, unit: UnitId, state: State) -> Step {
        self.enter(unit, state);
        Step::Again
    }

    fn step_waiting(&mut self, unit: UnitId) -> Step {
        let Some(life) = self.life(unit) else {
            return Step::Rest;
        };
        if life.goal == Goal::Down {
            return self.go(unit, State::Inactive);
        }
        if life.failed_requirements > 0 && !self.planted(Mutant::FailedRequirementIgnored) {
            return self.fail_for_requirement(unit);
        }
        if life.blockers > 0 && !self.planted(Mutant::DependenciesIgnored) {
            return Step::Rest;
        }
        self.begin_run(unit)
    }

    fn fail_for_requirement(&mut self, unit: UnitId) -> Step {
        let failed = |other: &&UnitId| self.life(**other).is_some_and(|life| life.standing.failed);
        let Some(other) = self.graph.requires(unit).iter().find(failed).copied() else {
            return Step::Rest;
        };
        let reason = Failure::Dependency { unit: other };
        if let Some(life) = self.life_mut(unit) {
            life.last_failure = Some(reason.clone());
        }
        self.enter(unit, State::Failed { reason });
        self.has_failed(unit);
        Step::Again
    }

    fn begin_run(&mut self, unit: UnitId) -> Step {
        let run = RunId(self.last_run.0.saturating_add(1));
        let since = self.now;
        let Some(rules) = self.rules_of(unit) else {
            return Step::Rest;
        };
        let target = rules.is_target();
        self.last_run = run;
        if let Some(life) = self.life_mut(unit) {
            life.run = Some(run);
            life.stop_cause = None;
        }
        if target {
            return self.go(unit, State::Running { run, since });
        }
        self.actions.push(Action::Prepare { unit, run });
        self.go(unit, State::Preparing { run })
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

    fn end_running(&mut self, unit: UnitId, run: RunId) -> Step {
        let Some(rules) = self.rules_of(unit) else {
            return Step::Rest;
        };
        let Some(service) = &rules.service else {
            if let Some(life) = self.life_mut(unit) {
                life.bounce = false;
            }
            return self.go(unit, State::Inactive);
        };
        if self.budget_is_spent() {
            return self.kill(unit, run);
        }
        let kill_at = self.now.plus(service.stop_timeout_ms);
        self.actions.push(Action::Terminate { unit, run });
        self.go(
            unit,
            State::Stopping {
                run,
                kill_at,
                killed: false,
            },
        )
    }

    fn kill(&mut self, unit: UnitId, run: RunId) -> Step {
        self.actions.push(Action::Kill { unit, run });
        self.go(
            unit,
            State::Stopping {
                run,
                kill_at: self.now,
                killed: true,
            },
        )
    }

    /// Those that come after it have ended, or there is no time left for order.
    fn may_stop(&self, unit: UnitId) -> bool {
        self.life(unit).is_some_and(|life| life.stop_blockers == 0)
            || self.budget_is_spent()
            || self.planted(Mutant::StopOrderIgnored)
    }

    /// A run without a process is over.
    fn give_back(&mut self, unit: UnitId, run: RunId) -> Step {
        if let Some(life) = self.life_mut(unit) {
            life.bounce = false;
            life.next = crate::life::Next::Start;
        }
        self.actions.push(Action::Release { unit, run });
        self.go(unit, State::Releasing { run })
    }
}
