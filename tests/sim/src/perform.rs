//! What `init` does with an action, and what comes of it.

use crate::kernel::{Happening, Kernel};
use crate::run::{Run, slot};
use supervisor::{Action, Event, Exit, Hook, HookKind, Notice, PROBE_GRACE_MS, RunId, UnitId};
use unit::ReadinessMode;

type Judged = Result<(), String>;

const KILLED: Exit = Exit::Signal {
    signal: 9,
    out_of_memory: false,
};

impl Kernel {
    /// Performs one action of the supervisor.
    ///
    /// # Errors
    /// The action makes no sense: no correct supervisor takes it.
    pub(crate) fn perform(&mut self, action: &Action, hurried: bool) -> Judged {
        match action {
            Action::Prepare { unit, run } => self.prepare(*unit, *run),
            Action::RunHook { unit, run, hook } => self.run_hook(*unit, *run, *hook),
            Action::KillHook { unit, run, hook } => self.kill_hook(*unit, *run, *hook),
            Action::Spawn { unit, run } => self.spawn(*unit, *run),
            Action::WatchReadiness { unit, run } => self.watch(*unit, *run),
            Action::Probe { unit, run, probe } => self.probe(*unit, *run, *probe),
            Action::Reload { unit, run } => self.reload(*unit, *run),
            Action::Pause { unit, run } => self.pause(*unit, *run),
            Action::Unpause { unit, run } => self.unpause(*unit, *run),
            Action::Terminate { unit, run } => self.terminate(*unit, *run),
            Action::Kill { unit, run } => self.kill(*unit, *run),
            Action::Release { unit, run } => self.release(*unit, *run, hurried),
            Action::FlipPorts { unit, to, .. } => self.flip(*unit, *to),
            Action::Swapped { unit, successor } => self.swap(*unit, *successor),
            Action::RemoveUnit { unit } => self.remove(*unit),
            Action::ArmTimer { unit } => {
                if self.armed.contains_key(unit) {
                    return Err("a timer is armed twice".to_owned());
                }
                self.arm(*unit);
                Ok(())
            }
            Action::DisarmTimer { unit } => match self.armed.remove(unit) {
                Some(_) => Ok(()),
                None => Err("a timer that is not armed is disarmed".to_owned()),
            },
            Action::Changed { .. }
            | Action::RestartsAtOnce { .. }
            | Action::Reply { .. }
            | Action::Settled { .. }
            | Action::ShutdownComplete => Ok(()),
        }
    }

    /// The run that an action is about, which must be the latest of its place and not given back.
    fn current(&mut self, unit: UnitId, run: RunId) -> Result<&mut Run, String> {
        let latest = self.latest.get(unit.0 as usize).copied().flatten();
        match self.runs.get_mut(&run) {
            Some(known) if latest == Some(run) && !known.release_asked => Ok(known),
            Some(_) | None => Err(format!(
                "an action for run {}, which is not under way",
                run.0
            )),
        }
    }

    fn prepare(&mut self, unit: UnitId, run: RunId) -> Judged {
        if run <= self.last_run {
            return Err(format!("run {} comes after run {}", run.0, self.last_run.0));
        }
        self.last_run = run;
        if let Some(known) = self.at(unit) {
            if !known.told.released {
                return Err(format!(
                    "a new run while run {} is not released",
                    known.run.0
                ));
            }
            let old = known.run;
            self.runs.remove(&old);
        }
        let fresh = self.begin_run(unit, run)?;
        let behaviour = fresh.definition.behaviour;
        let mut chance = self.chance(4, &fresh);
        self.latest[unit.0 as usize] = Some(run);
        self.runs.insert(run, fresh);
        self.counts.runs += 1;
        let slow = !self.calm && chance.per_mille(behaviour.slow_prepare);
        self.counts.slow_pulls += u64::from(slow);
        let delay_ms = if slow {
            chance.between(500, 20_000)
        } else {
            chance.between(0, 80)
        };
        if slow && chance.per_mille(500) {
            self.counts.extensions += 1;
            let notice = Notice::ExtendTimeout(chance.between(500, 20_000));
            self.report(50, Event::Notified { unit, run, notice });
        }
        let event = if self.calm {
            Event::Prepared { unit, run }
        } else if chance.per_mille(behaviour.prepare_fails) {
            self.counts.prepare_failures += 1;
            let reason = "image: no such image".to_owned();
            Event::PrepareFailed {
                unit,
                run,
                reason,
                lasting: false,
            }
        } else if chance.per_mille(behaviour.skipped) {
            self.counts.skipped += 1;
            let reason = "condition: no such path".to_owned();
            Event::Skipped { unit, run, reason }
        } else {
            Event::Prepared { unit, run }
        };
        self.report(delay_ms, event);
        Ok(())
    }

    // --- steps -----------------------------------------------------------------------------------

    fn run_hook(&mut self, unit: UnitId, run: RunId, hook: Hook) -> Judged {
        let known = self.current(unit, run)?;
        let at_its_time = match hook.kind {
            HookKind::PreStart => {
                known.told.prepared && known.told.ended.is_none() && !known.spawned
            }
            HookKind::PostStart => known.told.started.is_some() && known.told.ended.is_none(),
            HookKind::PreStop => {
                known.told.started.is_some()
                    && known.told.ended.is_none()
                    && known.terminated_at.is_none()
            }
            HookKind::PostStop => !known.alive && (known.told.ended.is_some() || !known.spawned),
        };
        let steps = known.steps[slot(hook.kind)];
        let in_turn = hook.index == steps.begun && steps.begun == steps.ended;
        let failed =
            steps.failed && hook.kind != HookKind::PostStop && hook.kind != HookKind::PreStop;
        let inside = matches!(hook.kind, HookKind::PostStart | HookKind::PreStop);
        let busy = known.hook.is_some() && !(inside && known.hook_killed);
        if !at_its_time || !in_turn || failed || busy {
            return Err(format!("{hook} at the wrong time"));
        }
        let slot_of = slot(hook.kind);
        known.steps[slot_of].begun += 1;
        known.hook = Some(hook);
        known.hook_killed = false;
        let known = known.clone();
        self.counts.hooks += 1;
        let mut chance = self.chance(12 + slot_of as u64, &known);
        let behaviour = known.definition.behaviour;
        let success = self.calm || !chance.per_mille(behaviour.hook_fails);
        let hangs = !self.calm && chance.per_mille(behaviour.hook_hangs);
        let delay_ms = if hangs { 5_000 } else { chance.between(0, 80) };
        self.counts.failed_hooks += u64::from(!success);
        let lost = hook.kind == HookKind::PreStart
            && !self.calm
            && chance.per_mille(behaviour.preparation_lost);
        if lost {
            self.counts.lost_preparations += 1;
            let reason = "launcher: killed by SIGKILL".to_owned();
            let lost_ms = chance.between(0, 80);
            self.report(
                lost_ms,
                Event::PrepareFailed {
                    unit,
                    run,
                    reason,
                    lasting: false,
                },
            );
        }
        if inside && !known.alive {
            // The container has gone in the meantime: the step finds nothing to enter.
            return self.end_hook(run, hook, false);
        }
        self.plan(delay_ms, Happening::HookEnds { run, hook, success });
        Ok(())
    }

    fn kill_hook(&mut self, unit: UnitId, run: RunId, hook: Hook) -> Judged {
        let known = self.current(unit, run)?;
        let steps = known.steps[slot(hook.kind)];
        if steps.begun != hook.index + 1 || known.hook_killed {
            return Err(format!("{hook} is killed, and does not run"));
        }
        known.hook_killed = true;
        known.start_cancelled |= hook.kind == HookKind::PreStart;
        self.plan(
            5,
            Happening::HookEnds {
                run,
                hook,
                success: false,
            },
        );
        Ok(())
    }

    pub(crate) fn hook_ends(&mut self, run: RunId, hook: Hook, success: bool) {
        let _ = self.end_hook(run, hook, success);
    }

    /// Exactly one report for each step.
    fn end_hook(&mut self, run: RunId, hook: Hook, success: bool) -> Judged {
        let Some(known) = self.runs.get_mut(&run) else {
            return Ok(());
        };
        if known.hook != Some(hook) {
            return Ok(());
        }
        known.hook = None;
        let unit = known.first_place;
        let failure = (!success).then(|| "exited with code 1".to_owned());
        self.report(
            0,
            Event::HookEnded {
                unit,
                run,
                hook,
                failure,
            },
        );
        Ok(())
    }

    // --- the container ---------------------------------------------------------------------------

    fn spawn(&mut self, unit: UnitId, run: RunId) -> Judged {
        let known = self.current(unit, run)?;
        if known.spawned || !known.told.prepared || known.told.ended.is_some() {
            return Err(
                "a spawn of a run that has been spawned or is not prepared (any more)".to_owned(),
            );
        }
        if !known.has_passed(HookKind::PreStart) {
            return Err("a spawn before the steps of pre_start have passed".to_owned());
        }
        known.spawned = true;
        let known = known.clone();
        let behaviour = known.definition.behaviour;
        let mut chance = self.chance(5, &known);
        let slow = !self.calm && chance.per_mille(behaviour.slow_start);
        let started_ms = if slow {
            chance.between(300, 4_000)
        } else {
            chance.between(0, 40)
        };
        if !self.calm && chance.per_mille(behaviour.spawn_fails) {
            self.counts.spawn_failures += 1;
            let reason = "exec: /bin/server: no such file".to_owned();
            self.report(started_ms, Event::SpawnFailed { unit, run, reason });
            return Ok(());
        }
        self.current(unit, run)?.alive = true;
        if let Some(plan) = known.definition.plan.clone() {
            // Part of the same message as the start: in order and at once.
            self.plan(0, Happening::Report(Event::HealthPlan { unit, run, plan }));
        }
        self.report(started_ms, Event::Started { unit, run });
        if known.definition.rules.readiness.mode == ReadinessMode::Notify {
            self.give_sign(run, started_ms);
        }
        if chance.per_mille(50) {
            let notice = chance.pick(&[0, 1, 2]);
            let notice = match notice {
                0 => Notice::Status("serving".to_owned()),
                1 => Notice::Reloading,
                _ => Notice::ExtendTimeout(500),
            };
            self.report(started_ms, Event::Notified { unit, run, notice });
        }
        if known
            .definition
            .rules
            .service
            .as_ref()
            .is_some_and(|service| service.watchdog_ms.is_some())
        {
            let left = if chance.per_mille(behaviour.hangs) {
                chance.number(10)
            } else {
                u32::MAX
            };
            self.plan(started_ms, Happening::Ping { run, left });
        }
        if let Some((lives_ms, exit)) = self.own_end(&known) {
            let by_signal = false;
            self.plan(
                lives_ms,
                Happening::Ends {
                    run,
                    exit,
                    by_signal,
                },
            );
        }
        Ok(())
    }

    fn watch(&mut self, unit: UnitId, run: RunId) -> Judged {
        let known = self.current(unit, run)?;
        if core::mem::replace(&mut known.watched, true) {
            return Err("its readiness is watched twice".to_owned());
        }
        self.give_sign(run, 0);
        Ok(())
    }

    fn give_sign(&mut self, run: RunId, after_ms: u64) {
        let Some(known) = self.runs.get(&run).cloned() else {
            return;
        };
        let mut chance = self.chance(11, &known);
        if !self.calm && chance.per_mille(known.definition.behaviour.never_ready) {
            return;
        }
        let delay_ms = after_ms + chance.between(0, 600);
        let unit = known.first_place;
        self.counts.signs += 1;
        self.report(delay_ms, Event::Ready { unit, run });
    }

    /// When and how the program ends by itself. In calm, a server serves and a oneshot succeeds.
    fn own_end(&self, run: &Run) -> Option<(u64, Exit)> {
        let behaviour = run.definition.behaviour;
        let mut chance = self.chance(6, run);
        let lives_ms = chance.between(0, behaviour.lives_ms + 1);
        if self.calm {
            return run.ends().then_some((lives_ms.min(200), Exit::Code(0)));
        }
        if !run.ends() && !chance.per_mille(behaviour.ends) {
            return None;
        }
        let exit = match chance.number(10) {
            0 => Exit::Signal {
                signal: 11,
                out_of_memory: false,
            },
            _ if behaviour.ends > 0 && chance.per_mille(behaviour.fails) => Exit::Code(1),
            _ => Exit::Code(0),
        };
        Some((lives_ms, exit))
    }

    fn terminate(&mut self, unit: UnitId, run: RunId) -> Judged {
        let now = self.now;
        let known = self.current(unit, run)?;
        if !known.spawned || known.terminated_at.is_some() || known.killed {
            return Err("a second stop signal, or one without a process".to_owned());
        }
        if known.frozen || known.pausing {
            return Err("a stop signal to a frozen container".to_owned());
        }
        known.terminated_at = Some(now);
        let known = known.clone();
        if known.alive && !known.definition.behaviour.ignores_sigterm {
            let delay_ms = self.chance(7, &known).between(0, 60);
            self.plan(
                delay_ms,
                Happening::Ends {
                    run,
                    exit: Exit::Code(0),
                    by_signal: true,
                },
            );
        }
        Ok(())
    }

    fn kill(&mut self, unit: UnitId, run: RunId) -> Judged {
        let known = self.current(unit, run)?;
        if !known.spawned || known.killed {
            return Err("a second kill, or one without a process".to_owned());
        }
        known.killed = true;
        let known = known.clone();
        self.counts.kills += 1;
        let delay_ms = self.chance(8, &known).between(0, 30);
        self.plan(
            delay_ms,
            Happening::Ends {
                run,
                exit: KILLED,
                by_signal: true,
            },
        );
        Ok(())
    }

    fn release(&mut self, unit: UnitId, run: RunId, hurried: bool) -> Judged {
        let known = self.current(unit, run)?;
        let own_steps = [HookKind::PreStart, HookKind::PostStop];
        let step = known.hook.filter(|hook| own_steps.contains(&hook.kind));
        if known.alive || step.is_some() {
            return Err("a release of a run whose process lives".to_owned());
        }
        if known.spawned && known.told.ended.is_none() {
            return Err("a release of a run whose end was not reported".to_owned());
        }
        let begun = known.spawned || known.steps[slot(HookKind::PreStart)].begun > 0;
        let steps = known.steps[slot(HookKind::PostStop)];
        let cleaned = steps.ended as usize >= known.hooks(HookKind::PostStop).len();
        if begun && !cleaned && !hurried {
            return Err("a release before the steps of post_stop".to_owned());
        }
        known.release_asked = true;
        let known = known.clone();
        self.counts.prepare_timeouts += u64::from(known.has_prepared_too_long(self.now));
        self.frozen.remove(&run);
        let delay_ms = self.chance(9, &known).between(0, 40);
        let unit = known.first_place;
        self.report(delay_ms, Event::Released { unit, run });
        Ok(())
    }

    pub(crate) fn container_ends(&mut self, run: RunId, exit: Exit, by_signal: bool) {
        let Some(known) = self.runs.get_mut(&run).filter(|known| known.alive) else {
            return;
        };
        if known.frozen && !by_signal {
            known.end_waits = true;
            return;
        }
        known.alive = false;
        let unit = known.first_place;
        let inside = known
            .hook
            .filter(|hook| matches!(hook.kind, HookKind::PostStart | HookKind::PreStop));
        self.counts.failed_exits += u64::from(exit != Exit::Code(0));
        self.report(0, Event::Exited { unit, run, exit });
        if let Some(hook) = inside {
            let _ = self.end_hook(run, hook, false);
        }
    }

    // --- while it runs ---------------------------------------------------------------------------

    fn probe(&mut self, unit: UnitId, run: RunId, probe: u64) -> Judged {
        let now = self.now;
        let known = self.current(unit, run)?;
        let Some(plan) = &known.definition.plan else {
            return Err("a probe of a unit without a health check".to_owned());
        };
        if known.told.started.is_none()
            || known.told.ended.is_some()
            || known.terminated_at.is_some()
        {
            return Err("a probe of a container that does not run".to_owned());
        }
        if (known.frozen || known.pausing) && plan.pause_aware {
            return Err("a probe of a paused container".to_owned());
        }
        let plan = plan.clone();
        let timeout_ms = plan.timeout_ms;
        // One that was never answered counts as a failure.
        let told = &mut known.told;
        if told.probe_answered < told.probe_asked {
            let given_up = told.probe_asked;
            told.probe_answered = given_up;
            told.answered(now, &plan, true);
        }
        told.probe_asked = probe;
        told.probe_until = now.plus(timeout_ms + PROBE_GRACE_MS);
        let known = known.clone();
        self.counts.probes += 1;
        let mut chance = crate::Chance::of(self.seed, &[24, run.0, probe]);
        let behaviour = known.definition.behaviour;
        let fails =
            (!self.calm && chance.per_mille(behaviour.probe_fails)) || !known.alive || known.frozen;
        if !self.calm {
            // Calm does not begin before it is clear what came of the answer, which may be late or lost.
            self.plan(timeout_ms + PROBE_GRACE_MS, Happening::Silence);
        }
        if !self.calm && chance.per_mille(behaviour.answer_lost) {
            self.counts.lost_answers += 1;
            return Ok(());
        }
        self.counts.failed_probes += u64::from(fails);
        let failure = fails.then(|| "status 500".to_owned());
        let delay_ms = chance.between(0, timeout_ms);
        let unit = known.first_place;
        self.report(
            delay_ms,
            Event::Probed {
                unit,
                run,
                probe,
                failure,
            },
        );
        Ok(())
    }

    fn reload(&mut self, unit: UnitId, run: RunId) -> Judged {
        let known = self.current(unit, run)?.clone();
        if known.told.started.is_none() || known.told.ended.is_some() || known.asked_to_stop() {
            return Err("a reload of a container that does not run".to_owned());
        }
        self.counts.reloads += 1;
        let mut chance = self.chance(25, &known);
        let behaviour = known.definition.behaviour;
        if !self.calm && chance.per_mille(behaviour.answer_lost) {
            self.counts.lost_answers += 1;
            return Ok(());
        }
        let fails = !self.calm && chance.per_mille(behaviour.reload_fails);
        let failure = fails.then(|| "exited with code 1".to_owned());
        let unit = known.first_place;
        self.report(
            chance.between(0, 100),
            Event::Reloaded { unit, run, failure },
        );
        Ok(())
    }

    fn pause(&mut self, unit: UnitId, run: RunId) -> Judged {
        let known = self.current(unit, run)?;
        if known.frozen || known.pausing || known.told.started.is_none() || known.asked_to_stop() {
            return Err("a pause of a container that is paused or does not run".to_owned());
        }
        known.frozen = true;
        known.pausing = true;
        if known
            .definition
            .plan
            .as_ref()
            .is_some_and(|plan| plan.pause_aware)
        {
            // The answer on its way says nothing any more.
            known.told.probe_answered = known.told.probe_asked;
        }
        let unit = known.first_place;
        self.counts.pauses += 1;
        let failure = None;
        self.report(3, Event::Paused { unit, run, failure });
        Ok(())
    }

    fn unpause(&mut self, unit: UnitId, run: RunId) -> Judged {
        let known = self.current(unit, run)?;
        if !known.frozen {
            return Err("an unpause of a container that is not paused".to_owned());
        }
        known.frozen = false;
        known.pausing = false;
        if core::mem::replace(&mut known.end_waits, false) {
            let exit = Exit::Code(0);
            self.plan(
                1,
                Happening::Ends {
                    run,
                    exit,
                    by_signal: false,
                },
            );
        }
        Ok(())
    }

    // --- replacement -----------------------------------------------------------------------------

    fn flip(&mut self, unit: UnitId, to: RunId) -> Judged {
        self.counts.flips += 1;
        let run = to;
        let Some(known) = self.runs.get(&to).cloned() else {
            return Err("ports are led to a run that does not exist".to_owned());
        };
        let back = known.place == unit;
        if !back && !known.is_serving() && known.told.ended.is_none() {
            return Err("ports are led to a run that is not ready".to_owned());
        }
        let mut chance = self.chance(26, &known);
        let fails = !back && !self.calm && chance.per_mille(known.definition.behaviour.flip_fails);
        if !fails {
            self.ports.insert(unit, to);
        }
        let failure = fails.then(|| "netlink: busy".to_owned());
        self.report(chance.between(0, 50), Event::Flipped { unit, run, failure });
        Ok(())
    }

    fn swap(&mut self, unit: UnitId, successor: UnitId) -> Judged {
        let (one, other) = (unit.0 as usize, successor.0 as usize);
        let new = self.at(successor).map(|run| (run.run, run.told.flipped));
        let Some((new, true)) = new else {
            return Err("runs change places before the ports have".to_owned());
        };
        if self.ports.get(&unit) != Some(&new) {
            return Err("runs change places, but the ports lead elsewhere".to_owned());
        }
        self.counts.swaps += 1;
        self.latest.swap(one, other);
        self.definitions.swap(one, other);
        for place in [unit, successor] {
            if let Some(run) = self.latest[place.0 as usize]
                && let Some(run) = self.runs.get_mut(&run)
            {
                run.place = place;
                run.beside = place == successor;
            }
        }
        Ok(())
    }

    fn remove(&mut self, unit: UnitId) -> Judged {
        if self.at(unit).is_some_and(|run| !run.told.released) {
            return Err("a place is given back while its run is not released".to_owned());
        }
        let place = unit.0 as usize;
        if self.definitions.get(place).is_none_or(Option::is_none) {
            return Err("a place without a unit is given back".to_owned());
        }
        self.definitions[place] = None;
        if let Some(run) = self.latest[place].take() {
            self.runs.remove(&run);
        }
        Ok(())
    }

    // --- from outside ----------------------------------------------------------------------------

    /// A process dies.
    pub(crate) fn crash(&mut self, unit: UnitId, out_of_memory: bool) {
        let Some(run) = self.at(unit).filter(|run| run.alive).map(|run| run.run) else {
            return;
        };
        self.counts.out_of_memory += u64::from(out_of_memory);
        let exit = Exit::Signal {
            signal: 9,
            out_of_memory,
        };
        self.container_ends(run, exit, true);
    }

    /// netd, store and the prober die with everything they were asked for.
    pub(crate) fn helper_dies(&mut self) {
        self.counts.helper_deaths += 1;
        let under_way: Vec<(UnitId, RunId)> = self
            .runs
            .values()
            .filter(|run| !run.told.prepared && run.told.ended.is_none() && !run.told.skipped)
            .filter(|run| !run.release_asked)
            .map(|run| (run.first_place, run.run))
            .collect();
        self.drop_reports(|event| match event {
            Event::Prepared { run, .. } => under_way.iter().any(|(_, known)| known == run),
            Event::Probed { .. } => true,
            _ => false,
        });
        self.plan(1_000 + PROBE_GRACE_MS, Happening::Silence);
        for (unit, run) in under_way {
            let reason = "netd ended while it prepared the network".to_owned();
            self.report(
                1,
                Event::PrepareFailed {
                    unit,
                    run,
                    reason,
                    lasting: false,
                },
            );
        }
    }
}
