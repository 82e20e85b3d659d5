//! How a container is taken down.
//!
//! ```text
//! Running ─▶ PreStop (hooks) ─▶ Stopping: stop signal ── stop_timeout ─▶ kill ─▶ ended ─▶ PostStop (hooks) ─▶ Releasing
//! ```

use crate::advance::Step;
use crate::mutant::Mutant;
use crate::present::Pause;
use crate::request::Wish;
use crate::{Action, HookKind, RunId, State, Supervisor, UnitId};

impl Supervisor {
    /// From `Started` or `Running`.
    pub(crate) fn begin_stop(&mut self, unit: UnitId, run: RunId) -> Step {
        let Some((life, rules)) = self.both(unit) else {
            return Step::Rest;
        };
        if rules.is_target() {
            life.bounce = false;
            return self.go(unit, State::Inactive);
        }
        let was_ready = matches!(life.state, State::Running { .. });
        self.leave_container(unit, run);
        if self.budget_is_spent() {
            return self.kill(unit, run);
        }
        if was_ready && self.begin_hooks(unit, run, HookKind::PreStop) {
            return Step::Again;
        }
        self.terminate(unit, run)
    }

    /// A frozen process hears no signal; who waits for a reload or a pause waits in vain.
    fn leave_container(&mut self, unit: UnitId, run: RunId) {
        let Some(life) = self.life_mut(unit) else {
            return;
        };
        let frozen = life.present.pause != Pause::Off;
        life.present.pause = Pause::Off;
        life.present.watchdog = None;
        life.present.runtime_until = None;
        life.present.ready_until = None;
        life.present.ending_until = None;
        life.present.reload = None;
        if let Some(watch) = &mut life.present.health {
            watch.suspend();
        }
        let step = life.present.post_start.take();
        if frozen {
            self.actions.push(Action::Unpause { unit, run });
        }
        if let Some(step) = step
            && !step.killed
        {
            let hook = crate::Hook {
                kind: HookKind::PostStart,
                index: step.index,
            };
            self.actions.push(Action::KillHook { unit, run, hook });
        }
        self.fails_to(unit, &[Wish::Reload, Wish::Paused], "it is stopped");
    }

    pub(crate) fn terminate(&mut self, unit: UnitId, run: RunId) -> Step {
        let stop_timeout_ms = self
            .rules_of(unit)
            .and_then(|rules| rules.service.as_ref())
            .map_or(0, |service| service.stop_timeout_ms);
        let kill_at = self.now.plus(stop_timeout_ms);
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

    pub(crate) fn kill(&mut self, unit: UnitId, run: RunId) -> Step {
        self.actions.push(Action::Kill { unit, run });
        let kill_at = self.now;
        self.go(
            unit,
            State::Stopping {
                run,
                kill_at,
                killed: true,
            },
        )
    }

    /// Steps after the run, if there are any and there is time; otherwise it is given back.
    pub(crate) fn clean_up(&mut self, unit: UnitId, run: RunId) {
        let begun = self.life(unit).is_some_and(|life| life.present.begun);
        let skipped = self.budget_is_spent() || self.planted(Mutant::PostStopSkipped);
        if begun && !skipped && self.begin_hooks(unit, run, HookKind::PostStop) {
            return;
        }
        self.release(unit, run);
    }

    pub(crate) fn release(&mut self, unit: UnitId, run: RunId) {
        if let Some(life) = self.life_mut(unit) {
            life.bounce = false;
            life.stop_cause = None;
        }
        self.actions.push(Action::Release { unit, run });
        self.enter(unit, State::Releasing { run });
    }
}
