//! What must hold when a run begins: nobody starts too early, too often or beside what it excludes.

use super::Oracle;
use crate::kernel::Kernel;
use crate::known::{is_active, is_completed, is_healthy, is_job, is_ready, name, rules, wanted_up};
use crate::memory::NextStart;
use crate::run::Run;
use crate::units;
use std::collections::BTreeSet;
use supervisor::{Goal, Link, Need, RunId, State, Supervisor, UnitId};

impl Oracle {
    pub(super) fn sees_prepare(
        &mut self,
        world: &Supervisor,
        kernel: &Kernel,
        unit: UnitId,
        run: RunId,
    ) -> Result<(), String> {
        self.judge_prepare(world, kernel, unit)?;
        if world.successor_of(unit).is_some() {
            self.judge_turn(world, kernel, unit)?;
        }
        self.judge_time(world, unit)?;
        let (starts, stops, now) = (self.starts, self.stops, kernel.now);
        let memory = self.memories.entry(unit).or_default();
        memory.stops = stops;
        memory.forget(starts);
        let service = rules(world, unit)?.service.as_ref().ok_or("a target")?;
        if memory.is_over_limit(service, now) {
            return Err("it starts more often than start_limit allows".to_owned());
        }
        memory.begun.push_back(now);
        let until = now.plus(service.start_timeout_ms);
        self.preparing.insert(run, (unit, until));
        *self.begun.entry(unit).or_default() += 1;
        Ok(())
    }

    fn judge_prepare(
        &self,
        world: &Supervisor,
        kernel: &Kernel,
        unit: UnitId,
    ) -> Result<(), String> {
        wanted_up(world, unit)?;
        for link in world.graph().after(unit) {
            self.judge_link(world, kernel, link)?;
        }
        for other in world.graph().conflicts(unit) {
            let has_run = kernel.at(*other).is_some_and(|run| !run.release_asked);
            if has_run {
                let other = name(world, *other);
                return Err(format!("it starts while {other}, its rival, has a run"));
            }
        }
        self.judge_name(world, kernel, unit)?;
        for other in world.graph().requisite(unit) {
            // As with `judge_link`: it may have been active until this very turn.
            let again = self.any_triggers && has_begun_since(world, kernel, *other);
            if !again && !is_active(world, kernel, *other) {
                let other = name(world, *other);
                return Err(format!(
                    "it starts, but {other}, its requisite, is not active"
                ));
            }
        }
        let own = rules(world, unit)?;
        let done = (units::number(&own.name), own.program);
        if !self.any_triggers
            && own.timer.is_none()
            && is_job(own)
            && self.completed.contains(&done)
        {
            return Err("it runs again though it was completed before this boot".to_owned());
        }
        let Some(memory) = self
            .memories
            .get(&unit)
            .filter(|memory| memory.starts == self.starts)
        else {
            return Ok(());
        };
        match memory.next {
            Some(NextStart::Never(why)) if own.timer.is_none() && !self.any_triggers => {
                Err(format!("it starts again by itself though {why}"))
            }
            Some(NextStart::NotBefore(at))
                if kernel.now < at && own.timer.is_none() && !self.any_triggers =>
            {
                Err(format!("its back-off lasts until {} ms", at.0))
            }
            Some(NextStart::NotBefore(_) | NextStart::Never(_)) | None => Ok(()),
        }
    }

    /// There is one run of a name, whatever place it has; only the versions of a replacement are two.
    fn judge_name(&self, world: &Supervisor, kernel: &Kernel, unit: UnitId) -> Result<(), String> {
        if world.successor_of(unit).is_some() {
            return Ok(());
        }
        let own = &rules(world, unit)?.name;
        let number = units::number(own);
        let mut runs = kernel.runs.values();
        let other = runs.find(|run| {
            let present = run.definition.unit == number && !run.told.released;
            present && run.place != unit && !run.beside
        });
        match other {
            Some(other) => Err(format!(
                "it starts while run {} of {own} is there",
                other.run.0
            )),
            None => Ok(()),
        }
    }

    fn judge_link(&self, world: &Supervisor, kernel: &Kernel, link: &Link) -> Result<(), String> {
        let other = || name(world, link.unit);
        let met = match link.need {
            Need::Ready => is_ready(world, kernel, link.unit),
            Need::Active => is_active(world, kernel, link.unit),
            Need::Completed => is_completed(world, kernel, link.unit),
            Need::Healthy => is_healthy(world, kernel, link.unit),
            Need::ActiveCompleted => {
                is_active(world, kernel, link.unit) && is_completed(world, kernel, link.unit)
            }
            Need::ActiveHealthy => {
                is_active(world, kernel, link.unit) && is_healthy(world, kernel, link.unit)
            }
        };
        // What another unit's end in this very turn has started again was there when this one began.
        if self.any_triggers && has_begun_since(world, kernel, link.unit) {
            return Ok(());
        }
        if link.required && !met {
            return Err(format!(
                "it starts, but {}, which it requires and comes after, is not there: {:?}",
                other(),
                link.need
            ));
        }
        let failures = self
            .memories
            .get(&link.unit)
            .map_or(0, |memory| memory.failures_ever);
        let hopeful = failures < supervisor::FAILURES_STUCK;
        let timed = rules(world, link.unit)?.timer.is_some();
        let on_its_way = !timed
            && kernel.at(link.unit).is_some_and(Run::is_on_its_way)
            && !matches!(world.state(link.unit), State::PostStop { .. });
        if hopeful && world.goal(link.unit) == Goal::Up && on_its_way {
            return Err(format!(
                "it starts while {}, which it comes after, is on its way",
                other()
            ));
        }
        Ok(())
    }

    /// A run of a timed unit has something that it is for: a time, a command, a failure before.
    fn judge_time(&self, world: &Supervisor, unit: UnitId) -> Result<(), String> {
        let own = rules(world, unit)?;
        let calendar = own
            .timer
            .as_ref()
            .is_some_and(|it| !it.on_calendar.is_empty());
        let bound = !world.graph().binds_to(unit).is_empty();
        if !calendar || self.any_triggers || bound {
            return Ok(());
        }
        let times = self.times.range((unit, i64::MIN)..=(unit, i64::MAX));
        let failures = self.memories.get(&unit).map_or(0, |it| it.failures_ever);
        let asked = self.asked.get(&unit).copied().unwrap_or_default();
        let most = times.count() as u64 + asked + u64::from(failures);
        let begun = self.begun.get(&unit).copied().unwrap_or_default();
        if begun >= most {
            return Err(format!("its run {} is for no time of its timer", begun + 1));
        }
        Ok(())
    }
}

/// Whether it has a run that the kernel does not know of yet; of one that waits, whether another that it comes after has: a
/// target, and a job that was completed before this boot, were ready without a run until then.
fn has_begun_since(world: &Supervisor, kernel: &Kernel, unit: UnitId) -> bool {
    let mut seen = BTreeSet::new();
    let mut queue = vec![unit];
    while let Some(unit) = queue.pop() {
        if world.run(unit) != kernel.at(unit).map(|run| run.run) {
            return true;
        }
        if matches!(world.state(unit), State::Waiting) && seen.insert(unit) {
            let after = world.graph().after(unit);
            queue.extend(after.iter().map(|link| link.unit));
        }
    }
    false
}
