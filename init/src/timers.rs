//! The calendar's timers: which are armed, and what comes when their time has come.
//!
//! ```text
//! ArmTimer ─▶ CalendarTimes ─ the earliest ─▶ WallTimer ─ readable ─▶ TimerElapsed, with the scheduled time
//!                                                 └ also when somebody sets the clock: all look again
//! ```
//!
//! The supervisor's record has the latest time that each timer has told. A persistent timer that has not told any has at
//! least been armed: since when, is kept here, so that the first time that the machine sleeps through is made up for too.

use crate::calendar_times::CalendarTimes;
use crate::console;
use crate::durable::{self, Retry};
use crate::machine::Machine;
use crate::source::Source;
use crate::units::Units;
use control::explain::TimerStatus;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use supervisor::{Event, Goal, UnitId};
use sys::clock::{since_boot_ms, wall_ms};
use sys::epoll::Interest;
use sys::wall_timer::WallTimer;
use unit::{Timer, Unit, UnitKind, UnitName, duration};

/// Unit → since when it is armed, milliseconds since 1970 UTC.
const FILE: &str = "/var/machine/timers.json";

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Timers {
    #[serde(default)]
    armed: BTreeMap<UnitId, CalendarTimes>,
    /// While all that was decided is being done: another set of units arms some of them again.
    #[serde(default)]
    disarmed: BTreeMap<UnitId, CalendarTimes>,
    #[serde(skip)]
    clock: Option<WallTimer>,
    since: BTreeMap<UnitName, i64>,
    since_changed: bool,
    #[serde(default)]
    pub(crate) retry: Retry,
}

impl Timers {
    /// Of units that no file declares any more.
    pub(crate) fn forget_undeclared(&mut self, units: &Units) {
        let before = self.since.len();
        self.since.retain(|name, _| units.is_declared(name));
        self.since_changed |= self.since.len() < before;
    }
}

impl Machine {
    /// Before the first unit starts.
    pub(crate) fn begin_timers(&mut self) -> std::io::Result<()> {
        let clock = WallTimer::new()?;
        self.registry.watch(&clock, Interest::Read, Source::Clock)?;
        clock.set(None)?;
        self.timers.clock = Some(clock);
        if let Ok(text) = std::fs::read(FILE) {
            match serde_json::from_slice(&text) {
                Ok(since) => self.timers.since = since,
                Err(error) => console::warn(format_args!(
                    "{FILE}: {error}; a timer that has never told a time makes up for none that it missed before this boot"
                )),
            }
        }
        let seed = self.machine_seed();
        self.supervisor.set_machine_seed(seed);
        Ok(())
    }

    /// After a re-execution: the supervisor goes on, and so does what is armed; the clock is made anew.
    pub(crate) fn resume_timers(&mut self) -> std::io::Result<()> {
        let clock = WallTimer::new()?;
        self.registry.watch(&clock, Interest::Read, Source::Clock)?;
        clock.set(None)?;
        self.timers.clock = Some(clock);
        // A program that did not know better has handed over none.
        self.timers.disarmed = std::mem::take(&mut self.timers.armed);
        for unit in self.supervisor.armed_timers() {
            self.arm_timer(unit);
        }
        // The clock may have been set when nobody looked.
        self.clock_ready();
        Ok(())
    }

    /// For random delays: another one on each machine.
    pub(crate) fn machine_seed(&self) -> u64 {
        let half = self.boot.machine_id.get(..16).unwrap_or_default();
        u64::from_str_radix(half, 16).unwrap_or_default()
    }

    pub(crate) fn arm_timer(&mut self, unit: UnitId) {
        let Some(found) = self.units.get(unit) else {
            return;
        };
        let Some(timer) = timer_of(found) else { return };
        let kept = self.timers.disarmed.remove(&unit);
        if let Some(times) = kept.filter(|times| times.are_of(timer)) {
            self.timers.armed.insert(unit, times);
            return self.set_clock();
        }
        let now = wall_ms();
        let mut last = self.supervisor.last_calendar_ms(unit);
        if last.is_none() && timer.persistent {
            let since = &mut self.timers.since;
            if !since.contains_key(&found.name) {
                since.insert(found.name.clone(), now);
                self.timers.since_changed = true;
            }
            last = since.get(&found.name).copied();
        }
        let supervisor = &self.supervisor;
        let delay = |scheduled| supervisor.random_delay_ms(unit, scheduled);
        let times = CalendarTimes::new(timer, last, now, delay);
        self.timers.armed.insert(unit, times);
        self.set_clock();
    }

    pub(crate) fn disarm_timer(&mut self, unit: UnitId) {
        if let Some(times) = self.timers.armed.remove(&unit) {
            self.timers.disarmed.insert(unit, times);
            self.set_clock();
        }
    }

    /// A time has come, or the clock was set.
    pub(crate) fn clock_ready(&mut self) {
        if let Some(clock) = &self.timers.clock {
            clock.take();
        }
        let now = wall_ms();
        self.notice_clock_set_back(now);
        let supervisor = &self.supervisor;
        let mut told = Vec::new();
        for (unit, times) in &mut self.timers.armed {
            let delay = |scheduled| supervisor.random_delay_ms(*unit, scheduled);
            times.look_again(now, delay);
            if let Some(scheduled) = times.take(now, delay) {
                told.push((*unit, scheduled));
            }
        }
        for (unit, scheduled_wall_ms) in told {
            self.event(Event::TimerElapsed {
                unit,
                scheduled_wall_ms,
            });
        }
        self.set_clock();
    }

    /// By so much that times are to come again. One timer is enough to see it, and then it is so for all.
    fn notice_clock_set_back(&mut self, now: i64) {
        let mut armed = self.timers.armed.values();
        if !armed.any(|times| times.is_ahead_of(now)) {
            return;
        }
        for times in self.timers.armed.values_mut() {
            times.forget_later_than(now);
        }
        self.event(Event::ClockSetBack { wall_ms: now });
    }

    fn set_clock(&self) {
        let due = self.timers.armed.values().filter_map(CalendarTimes::next);
        let due = due.map(|next| next.due_ms).min();
        if let Some(clock) = &self.timers.clock
            && let Err(error) = clock.set(due)
        {
            log::error!("timers: {error}");
        }
    }

    /// To be called before the loop sleeps.
    pub(crate) fn keep_timers(&mut self) {
        if !self.is_behind() {
            // They stay so: their time may come meanwhile.
            self.timers.disarmed.clear();
        }
        let now = since_boot_ms();
        let Timers {
            since,
            since_changed,
            retry,
            ..
        } = &mut self.timers;
        if !std::mem::take(since_changed) && !retry.is_due(now) {
            return;
        }
        let written = serde_json::to_vec(since)
            .map_err(std::io::Error::from)
            .and_then(|text| durable::write(Path::new(FILE), &text));
        match written {
            Ok(()) => *retry = Retry::default(),
            Err(error) => {
                if retry.put_off(now) {
                    console::warn(format_args!(
                        "{FILE}: {error}; until it can be written, a run that is missed may not be made up"
                    ));
                }
            }
        }
    }

    pub(crate) fn timer_statuses(&self) -> Vec<TimerStatus> {
        let homes = self.units.homes().iter();
        homes.filter_map(|home| self.timer_status(*home)).collect()
    }

    fn timer_status(&self, id: UnitId) -> Option<TimerStatus> {
        let unit = self.units.get(id)?;
        let timer = timer_of(unit)?;
        let calendar = self.timers.armed.get(&id).and_then(CalendarTimes::next);
        let calendar = calendar.map(|next| next.due_ms);
        let own = self.supervisor.next_clock(id).map(|at| wall_of(at.0));
        let up = self.supervisor.goal(id) == Goal::Up;
        let next_ms = [calendar, own].into_iter().flatten().min();
        let started = match &unit.kind {
            UnitKind::Timer { unit, .. } => unit.clone(),
            UnitKind::Container(_) | UnitKind::Target => unit.name.clone(),
        };
        let runs = self.units.find(&started).map(|it| self.history(it));
        let last_run = runs.and_then(|runs| Some(runs.last()?.began_ms));
        Some(TimerStatus {
            name: unit.name.to_string(),
            unit: started.to_string(),
            state: self.supervisor.state(id).name().into(),
            next_ms: next_ms.filter(|_| up),
            last_ms: self.supervisor.last_calendar_ms(id).max(last_run),
            missed: self.supervisor.missed_times(id),
            times: times_text(timer),
            timezone: timer.timezone.clone(),
        })
    }
}

/// Of a unit with a `[timer]`, or of a timer.
fn timer_of(unit: &Unit) -> Option<&Timer> {
    match &unit.kind {
        UnitKind::Container(container) => container.timer.as_ref(),
        UnitKind::Timer { timer, .. } => Some(timer),
        UnitKind::Target => None,
    }
}

fn times_text(timer: &Timer) -> Vec<String> {
    let own = [
        ("on_boot", timer.on_boot_ms),
        ("on_unit_active", timer.on_unit_active_ms),
    ];
    let own = own
        .into_iter()
        .filter_map(|(key, ms)| Some(format!("{key} {}", duration::display(ms?))));
    timer.on_calendar.iter().cloned().chain(own).collect()
}

/// A moment of this boot on the clock on the wall, as it is set now.
pub(crate) fn wall_of(boot_ms: u64) -> i64 {
    let signed = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
    let ago = signed(since_boot_ms()).saturating_sub(signed(boot_ms));
    wall_ms().saturating_sub(ago)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_armed_is_handed_over_and_a_program_that_knew_no_better_handed_over_none() {
        let timer = Timer {
            on_calendar: vec!["hourly".to_owned()],
            ..Timer::default()
        };
        let times = CalendarTimes::new(&timer, None, 0, |_| 600_000);
        let next = times.next();
        let armed = BTreeMap::from([(UnitId(7), times)]);
        let timers = Timers {
            armed,
            ..Timers::default()
        };
        let text = serde_json::to_string(&timers).unwrap();
        let read: Timers = serde_json::from_str(&text).unwrap();
        let read = read.armed.get(&UnitId(7)).and_then(CalendarTimes::next);
        assert_eq!(read, next);
        let older: Timers = serde_json::from_str(r#"{"since":{},"since_changed":false}"#).unwrap();
        assert!(older.armed.is_empty());
    }
}
