//! What must hold when a run is ended: in its order, by its ladder, and for a reason.

use super::Oracle;
use crate::kernel::Kernel;
use crate::known::{name, rules};
use crate::memory::{has_a_reason_to_stop, may_be_unhealthy};
use crate::run::Run;
use supervisor::{Goal, Supervisor, UnitId};
use unit::{Concurrency, OnUnhealthy};

impl Oracle {
    pub(super) fn sees_kill(
        &mut self,
        world: &Supervisor,
        kernel: &Kernel,
        unit: UnitId,
    ) -> Result<(), String> {
        let Some(run) = kernel.at(unit) else {
            return Ok(());
        };
        let Some(asked_at) = run.terminated_at else {
            return self.sees_stop(world, kernel, unit);
        };
        let service = run.definition.rules.service.as_ref();
        let service = service.ok_or("a target is killed")?;
        let kill_only =
            run.definition.plan.as_ref().is_some_and(|plan| {
                plan.on_unhealthy == OnUnhealthy::Kill && may_be_unhealthy(run)
            });
        // The rules may have changed since: then the shortest stop_timeout that the worlds have is the limit.
        let least = if self.stops == 0 {
            service.stop_timeout_ms
        } else {
            50
        };
        let early = kernel.now < asked_at.plus(least.min(service.stop_timeout_ms));
        if early && !self.budget_is_spent(kernel.now) && !kill_only {
            return Err("it is killed before its stop_timeout".to_owned());
        }
        Ok(())
    }

    /// The first signal of a stop. One that has not started is used by nobody, so it needs no order.
    pub(super) fn sees_stop(
        &mut self,
        world: &Supervisor,
        kernel: &Kernel,
        unit: UnitId,
    ) -> Result<(), String> {
        let Some(run) = kernel.at(unit) else {
            return Ok(());
        };
        if world.goal(unit) == Goal::Up {
            let started = run.told.started.is_some() && !run.asked_to_stop();
            if started && !has_a_reason_to_stop(run, kernel.now) {
                self.judge_turn(world, kernel, unit)?;
            }
            return self.judge_reason(world, kernel, unit, run);
        }
        if run.told.started.is_none() || self.budget_is_spent(kernel.now) || run.asked_to_stop() {
            return Ok(());
        }
        // A run that fails is ended at once, whoever comes after it.
        if has_a_reason_to_stop(run, kernel.now) {
            return Ok(());
        }
        let later = world.graph().before(unit).iter().map(|link| link.unit);
        // A rival of it may have come up in this very turn, by a trigger, when the stop had been decided already.
        let since = |other: UnitId| {
            let was_up = self.wanted.get(other.0 as usize) == Some(&true);
            was_up && self.any_triggers && world.gives_way(other)
        };
        let mut stopping = later.filter(|other| world.goal(*other) == Goal::Down && !since(*other));
        let runs = |other: &UnitId| {
            kernel
                .at(*other)
                .is_some_and(|run| run.alive && run.told.ended.is_none() && run.spawned)
        };
        match stopping.find(runs) {
            Some(other) => Err(format!(
                "it is stopped before {}, which comes after it",
                name(world, other)
            )),
            None => Ok(()),
        }
    }

    /// Nothing that serves is stopped for nothing.
    pub(super) fn judge_reason(
        &self,
        world: &Supervisor,
        kernel: &Kernel,
        unit: UnitId,
        run: &Run,
    ) -> Result<(), String> {
        let asked = self
            .memories
            .get(&unit)
            .is_none_or(|memory| memory.stops != self.stops);
        let bound = !world.graph().binds_to(unit).is_empty();
        // Stopped for a rival, and started again by the end of something else, all in one turn.
        let turned = self.any_conflicts && self.any_triggers;
        let timer = rules(world, unit)?.timer.as_ref();
        let replaced = timer.is_some_and(|timer| {
            timer.concurrency == Concurrency::Replace && timer.on_calendar.is_empty()
        });
        if replaced
            || turned
            || asked
            || bound
            || has_a_reason_to_stop(run, kernel.now)
            || run.asked_to_stop()
        {
            return Ok(());
        }
        Err("it is stopped, and nothing is wrong with it".to_owned())
    }
}
