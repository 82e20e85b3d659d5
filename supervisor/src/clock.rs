//! Units that the clock starts.
//!
//! ```text
//! on_calendar     init knows zones and expressions: ArmTimer ─▶ … TimerElapsed each time
//! on_boot         a deadline of the core, once
//! on_unit_active  a deadline of the core, from each start on, and from each time that has come
//! ```
//!
//! A time that comes while a run of an earlier one is under way means nothing (`forbid`), its end (`replace`), or one more
//! run after it (`allow`).

use crate::fingerprint::{fingerprint, scattered};
use crate::goal::Pull;
use crate::mutant::Mutant;
use crate::{Action, Goal, Record, Rules, State, Supervisor, Timestamp, UnitId};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use unit::Concurrency;

/// Runs that wait for the end of the present one at most: a job that is slower than its timer must not owe ever more.
pub const TIMER_RUNS_QUEUED_MAX: u32 = 8;

/// Calendar times remembered, so that one that is told again means nothing, even out of order.
const TIMES_REMEMBERED_MAX: usize = 32;

impl Supervisor {
    /// `on_boot` and `on_unit_active` are put off by random parts that differ from machine to machine by this number.
    pub fn set_machine_seed(&mut self, seed: u64) {
        self.seed = seed;
    }

    /// Units whose calendar times `init` has to tell: after a re-execution, all of them at once.
    #[must_use]
    pub fn armed_timers(&self) -> Vec<UnitId> {
        let lives = self.units().zip(&self.lives);
        lives
            .filter(|(_, life)| life.clock.armed)
            .map(|(unit, _)| unit)
            .collect()
    }

    /// By how much the calendar time is to be put off: another part of `randomized_delay` on each machine and each time.
    #[must_use]
    pub fn random_delay_ms(&self, unit: UnitId, scheduled_wall_ms: i64) -> u64 {
        let Some(rules) = self.rules_of(unit) else {
            return 0;
        };
        let most = rules.timer.as_ref().map_or(0, |it| it.randomized_delay_ms);
        let words = [
            self.seed,
            fingerprint(&rules.name),
            scheduled_wall_ms.unsigned_abs(),
        ];
        scattered(words, most.saturating_add(1))
    }

    /// The next of the timer's times that are not the calendar's (`on_boot`, `on_unit_active`).
    #[must_use]
    pub fn next_clock(&self, unit: UnitId) -> Option<Timestamp> {
        self.clock_due(unit)
    }

    /// The latest calendar time that has been told.
    #[must_use]
    pub fn last_calendar_ms(&self, unit: UnitId) -> Option<i64> {
        self.life(unit)?.clock.last_wall_ms
    }

    /// Times that came while a run was under way.
    #[must_use]
    pub fn missed_times(&self, unit: UnitId) -> u64 {
        self.life(unit).map_or(0, |life| life.clock.missed)
    }

    /// A calendar time has come. The same one told twice counts once.
    pub(crate) fn timer_elapsed(&mut self, unit: UnitId, scheduled_wall_ms: i64) {
        let twice = self.planted(Mutant::TimerRunsTwice);
        let Some(life) = self.life_mut(unit) else {
            return;
        };
        let told = &mut life.clock.told;
        let before = life.clock.last_wall_ms == Some(scheduled_wall_ms);
        let repeated = (before || told.contains(&scheduled_wall_ms)) && !twice;
        if repeated || life.goal == Goal::Down || !life.clock.armed {
            return;
        }
        told.push_back(scheduled_wall_ms);
        while told.len() > TIMES_REMEMBERED_MAX {
            told.pop_front();
        }
        life.clock.last_wall_ms = Some(scheduled_wall_ms);
        self.record_changed();
        self.elapse(unit, Some(scheduled_wall_ms));
    }

    /// The clock was wrong: what was told for later than now will come, and must count then.
    pub(crate) fn clock_set_back(&mut self, wall_ms: i64) {
        for life in &mut self.lives {
            let clock = &mut life.clock;
            clock.told.retain(|told| *told <= wall_ms);
            if clock.last_wall_ms.is_some_and(|last| last > wall_ms) {
                // Nothing up to now is to be made up for, though it is not known when the latest time before was.
                clock.last_wall_ms = clock.told.iter().max().copied().or(Some(wall_ms));
            }
        }
        self.record_changed();
    }

    /// Keeps `init`'s watch of the calendar in step with the goal, and serves the core's own times.
    pub(crate) fn serve_timer(&mut self, unit: UnitId) {
        let now = self.now;
        let due = self.clock_due(unit).is_some_and(|at| now >= at);
        let Some((life, rules)) = self.both(unit) else {
            return;
        };
        let Some(timer) = &rules.timer else {
            if core::mem::replace(&mut life.clock.armed, false) {
                self.actions.push(Action::DisarmTimer { unit });
            }
            return;
        };
        let armed = life.goal == Goal::Up && !timer.on_calendar.is_empty();
        let was_armed = core::mem::replace(&mut life.clock.armed, armed);
        match (was_armed, armed) {
            (false, true) => self.actions.push(Action::ArmTimer { unit }),
            (true, false) => self.actions.push(Action::DisarmTimer { unit }),
            (false, false) | (true, true) => {}
        }
        if due {
            self.serve_due(unit);
        }
    }

    fn serve_due(&mut self, unit: UnitId) {
        let now = self.now;
        let late_ms = self.late_ms(unit);
        let Some((life, rules)) = self.both(unit) else {
            return;
        };
        let boot_ms = rules.timer.as_ref().and_then(|timer| timer.on_boot_ms);
        life.clock.booted |= boot_ms.is_some_and(|ms| now >= Timestamp(ms).plus(late_ms));
        let again_ms = rules.timer.as_ref().and_then(|it| it.on_unit_active_ms);
        let waits = |at: Timestamp| now < at.plus(late_ms);
        if !life.clock.again_at.is_some_and(waits) {
            // Until a start says better: what is refused has none from which the next time would count.
            life.clock.again_at = again_ms.map(|ms| now.plus(ms));
        }
        self.elapse(unit, None);
    }

    /// The next of the core's own times.
    pub(crate) fn clock_due(&self, unit: UnitId) -> Option<Timestamp> {
        let (life, rules) = (self.life(unit)?, self.rules_of(unit)?);
        let timer = rules.timer.as_ref()?;
        if life.goal == Goal::Down {
            return None;
        }
        let boot = timer
            .on_boot_ms
            .filter(|_| !life.clock.booted)
            .map(Timestamp);
        let late_ms = self.late_ms(unit);
        [boot, life.clock.again_at]
            .into_iter()
            .flatten()
            .min()
            .map(|at| at.plus(late_ms))
    }

    fn late_ms(&self, unit: UnitId) -> u64 {
        let (Some(life), Some(rules)) = (self.life(unit), self.rules_of(unit)) else {
            return 0;
        };
        let most = rules.timer.as_ref().map_or(0, |it| it.randomized_delay_ms);
        if most == 0 {
            return 0;
        }
        let run = life.run.map_or(0, |run| run.0);
        scattered(
            [self.seed, fingerprint(&rules.name), run],
            most.saturating_add(1),
        )
    }

    /// A run begins: the timers that count from here.
    pub(crate) fn start_clocks(&mut self, unit: UnitId) {
        let now = self.now;
        let own = self.rules_of(unit).is_some_and(Rules::is_scheduled);
        let timers = self.graph.triggered_by(unit).to_vec();
        self.count_steps(timers.len());
        for timer in timers.into_iter().chain(own.then_some(unit)) {
            let Some((life, rules)) = self.both(timer) else {
                continue;
            };
            let again_ms = rules.timer.as_ref().and_then(|it| it.on_unit_active_ms);
            if let Some(ms) = again_ms {
                life.clock.again_at = Some(now.plus(ms));
                self.touch(timer);
            }
        }
    }

    /// A time of the unit's timer has come: its own run, or that of the unit it triggers.
    fn elapse(&mut self, unit: UnitId, wall_ms: Option<i64>) {
        let Some(rules) = self.rules_of(unit) else {
            return;
        };
        let scheduled = rules.is_scheduled();
        let concurrency = rules.timer.as_ref().map(|timer| timer.concurrency);
        let concurrency = concurrency.unwrap_or(Concurrency::Forbid);
        let others: Vec<UnitId> = if scheduled {
            alloc::vec![unit]
        } else {
            self.graph.triggers(unit).to_vec()
        };
        self.count_steps(others.len());
        for other in others {
            self.run_for_a_time(unit, other, concurrency, wall_ms);
        }
    }

    fn run_for_a_time(
        &mut self,
        timer: UnitId,
        unit: UnitId,
        concurrency: Concurrency,
        wall_ms: Option<i64>,
    ) {
        let forbidden = self.planted(Mutant::ForbidIgnored);
        let Some(life) = self.life_mut(unit) else {
            return;
        };
        let busy = life.goal == Goal::Up && !life.state.is_at_rest();
        let serving = life.state.run().is_some();
        if !busy {
            life.clock.run_for_wall_ms = wall_ms;
            if matches!(life.state, State::Scheduled) {
                life.due = true;
                life.forget_failures();
                self.touch(unit);
            } else {
                self.triggered.insert(unit);
            }
            return;
        }
        match concurrency {
            Concurrency::Replace if serving => {
                life.clock.run_for_wall_ms = wall_ms;
                self.replace_run(unit);
            }
            Concurrency::Forbid if forbidden => self.replace_run(unit),
            Concurrency::Allow if life.clock.queued < TIMER_RUNS_QUEUED_MAX => {
                life.clock.queued = life.clock.queued.saturating_add(1);
            }
            Concurrency::Forbid | Concurrency::Replace | Concurrency::Allow => {
                if let Some(life) = self.life_mut(timer) {
                    life.clock.missed = life.clock.missed.saturating_add(1);
                }
            }
        }
    }

    /// The run is stopped and another one follows; nobody else is restarted for it, and no limit forgotten.
    fn replace_run(&mut self, unit: UnitId) {
        self.keeps_start_limits = true;
        self.bounce_one(unit, Pull::Asked);
        self.keeps_start_limits = false;
    }

    // --- what outlives a power cut ---------------------------------------------------------------

    pub(crate) fn record_changed(&mut self) {
        self.record_version = self.record_version.saturating_add(1);
    }

    /// Changes whenever [`Self::record`] may have.
    #[must_use]
    pub fn record_version(&self) -> u64 {
        self.record_version
    }

    /// What [`crate::Event::Recall`] has to bring after a reboot.
    #[must_use]
    pub fn record(&self) -> Record {
        let mut record = Record::default();
        for (life, rules) in self.lives.iter().zip(&self.rules) {
            if life.vacant || life.leaves {
                continue;
            }
            let name = || rules.name.clone();
            if life.stopped && rules.is_unless_stopped() {
                record.stopped.insert(name());
            }
            if life.completed && rules.completes_once() {
                record.completed.insert(name(), rules.program);
            }
            if rules.timer.is_some()
                && let Some(wall_ms) = life.clock.last_wall_ms
            {
                record.timers.insert(name(), wall_ms);
            }
        }
        record
    }

    // --- reset-failed ----------------------------------------------------------------------------

    /// Whether it had failed.
    pub(crate) fn reset(&mut self, unit: UnitId) -> bool {
        let Some(life) = self.life_mut(unit) else {
            return false;
        };
        life.forget_failures();
        life.starts.clear();
        life.last_failure = None;
        life.completed = false;
        let failed = matches!(life.state, State::Failed { .. } | State::Skipped { .. });
        self.record_changed();
        self.publish(unit);
        self.touch(unit);
        failed
    }

    /// Those of `units` where none of those that would be stopped with it has a run.
    pub(crate) fn without_runs_on(&mut self, units: &[UnitId]) -> Vec<UnitId> {
        let mut seen: BTreeSet<UnitId> = units.iter().copied().collect();
        let mut queue: Vec<UnitId> = seen.iter().copied().collect();
        let mut runs: Vec<UnitId> = Vec::new();
        let mut turned: BTreeMap<UnitId, Vec<UnitId>> = BTreeMap::new();
        while let Some(unit) = queue.pop() {
            let life = self.life(unit);
            if life.is_some_and(|life| life.state.run().is_some()) {
                runs.push(unit);
            }
            let with = self.graph.stopped_with(unit);
            for other in with {
                turned.entry(*other).or_default().push(unit);
                if seen.insert(*other) {
                    queue.push(*other);
                }
            }
            self.count_steps(with.len());
        }
        let mut busy: BTreeSet<UnitId> = BTreeSet::new();
        while let Some(unit) = runs.pop() {
            if busy.insert(unit) {
                runs.extend(turned.get(&unit).into_iter().flatten());
            }
        }
        let all = units.iter().copied();
        all.filter(|unit| !busy.contains(unit)).collect()
    }
}
