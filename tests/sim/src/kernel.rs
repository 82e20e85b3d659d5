//! The fake machine: runs, processes, and reports that arrive more or less as they should.
//!
//! It refuses actions that no correct supervisor takes: that is where most bugs show. What a unit does in its n-th run
//! depends on the seed, the unit and n only.

use crate::scenario::{Behaviour, Faults};
use crate::{Chance, Scenario};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use supervisor::{Action, Event, Exit, Rules, RunId, Timestamp, UnitId};
use unit::ServiceKind;

/// What one or more worlds have seen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub worlds: u64,
    pub turns: u64,
    pub runs: u64,
    pub prepare_failures: u64,
    pub spawn_failures: u64,
    pub failed_exits: u64,
    pub kills: u64,
    pub out_of_memory: u64,
    pub helper_deaths: u64,
    pub clock_jumps: u64,
    pub late: u64,
    pub duplicate: u64,
    pub stale: u64,
    pub invented: u64,
}

impl Counts {
    pub fn add(&mut self, more: &Self) {
        let pairs = [
            (&mut self.worlds, more.worlds),
            (&mut self.turns, more.turns),
            (&mut self.runs, more.runs),
            (&mut self.prepare_failures, more.prepare_failures),
            (&mut self.spawn_failures, more.spawn_failures),
            (&mut self.failed_exits, more.failed_exits),
            (&mut self.kills, more.kills),
            (&mut self.out_of_memory, more.out_of_memory),
            (&mut self.helper_deaths, more.helper_deaths),
            (&mut self.clock_jumps, more.clock_jumps),
            (&mut self.late, more.late),
            (&mut self.duplicate, more.duplicate),
            (&mut self.stale, more.stale),
            (&mut self.invented, more.invented),
        ];
        for (sum, more) in pairs {
            *sum += more;
        }
    }
}

/// One run, as it really is and as far as the supervisor has been told.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) run: RunId,
    /// The n-th of its unit.
    number: u64,
    pub(crate) spawned: bool,
    /// There is a process.
    pub(crate) alive: bool,
    pub(crate) terminated_at: Option<Timestamp>,
    pub(crate) killed: bool,
    pub(crate) release_asked: bool,
    pub(crate) told: Told,
}

/// What has been delivered about a run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Told {
    pub(crate) prepared: bool,
    pub(crate) started: Option<Timestamp>,
    pub(crate) ended: Option<Ended>,
    pub(crate) released: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) at: Timestamp,
    pub(crate) success: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Happening {
    Report(Event),
    /// The process of the run ends, if it has not yet.
    Ends {
        unit: UnitId,
        run: RunId,
        exit: Exit,
    },
}

#[derive(Debug)]
pub(crate) struct Kernel {
    seed: u64,
    behaviours: Vec<Behaviour>,
    oneshots: Vec<bool>,
    pub(crate) faults: Faults,
    /// No new faults; programs behave.
    pub(crate) calm: bool,
    pub(crate) now: Timestamp,
    /// The latest run of each unit.
    pub(crate) runs: BTreeMap<UnitId, Run>,
    last_run: RunId,
    schedule: BinaryHeap<Reverse<(Timestamp, u64, usize)>>,
    happenings: Vec<Option<Happening>>,
    /// Delivered lately: what may come again.
    history: VecDeque<Event>,
    pub(crate) counts: Counts,
}

/// Reports remembered for being repeated as stale ones.
const HISTORY_MAX: usize = 64;

impl Kernel {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        Self {
            seed: scenario.seed,
            behaviours: scenario.behaviours.clone(),
            oneshots: scenario.rules.iter().map(is_oneshot).collect(),
            faults: scenario.faults,
            calm: false,
            now: Timestamp(0),
            runs: BTreeMap::new(),
            last_run: RunId(0),
            schedule: BinaryHeap::new(),
            happenings: Vec::new(),
            history: VecDeque::new(),
            counts: Counts::default(),
        }
    }

    /// When something happens next.
    pub(crate) fn next_at(&self) -> Option<Timestamp> {
        self.schedule.peek().map(|Reverse((at, _, _))| *at)
    }

    /// Lets the next thing happen; what is to be delivered of it.
    pub(crate) fn happen(&mut self) -> Option<Event> {
        let Reverse((at, _, place)) = self.schedule.pop()?;
        self.now = self.now.max(at);
        match self.happenings.get_mut(place).and_then(Option::take)? {
            Happening::Report(event) => {
                self.note_delivery(&event);
                Some(event)
            }
            Happening::Ends { unit, run, exit } => {
                self.process_ends(unit, run, exit);
                None
            }
        }
    }

    fn at(&mut self, delay_ms: u64, happening: Happening) {
        let place = self.happenings.len();
        self.happenings.push(Some(happening));
        self.schedule
            .push(Reverse((self.now.plus(delay_ms), place as u64, place)));
    }

    /// Sends a report, with faults.
    fn report(&mut self, delay_ms: u64, event: Event) {
        let mut chance = Chance::of(self.seed, &[2, self.happenings.len() as u64]);
        let mut delay_ms = delay_ms;
        if !self.calm && chance.per_mille(self.faults.late) {
            self.counts.late += 1;
            delay_ms += chance.between(1, 5_000);
        }
        if !self.calm && chance.per_mille(self.faults.duplicate) {
            self.counts.duplicate += 1;
            let again = delay_ms + chance.between(0, 3_000);
            self.at(again, Happening::Report(event.clone()));
        }
        self.at(delay_ms, Happening::Report(event));
    }

    /// A report that should not be: an old one again, or one of a run or unit that never was.
    pub(crate) fn nonsense(&mut self, turn: u64) -> Option<Event> {
        if self.calm {
            return None;
        }
        let mut chance = Chance::of(self.seed, &[3, turn]);
        if chance.per_mille(self.faults.stale) && !self.history.is_empty() {
            self.counts.stale += 1;
            let place = chance.between(0, self.history.len() as u64);
            let event = self
                .history
                .get(usize::try_from(place).unwrap_or_default())?
                .clone();
            // One of the present run is a duplicate; it may not come before the first has been noted.
            self.note_delivery(&event);
            return Some(event);
        }
        if !chance.per_mille(self.faults.invented) {
            return None;
        }
        self.counts.invented += 1;
        let units = u32::try_from(self.behaviours.len()).unwrap_or(u32::MAX);
        let unit = UnitId(chance.number(units + 2));
        let run = RunId(chance.pick(&[0, self.last_run.0 + 1, u64::MAX]));
        let (reason, exit) = ("invented".to_owned(), Exit::Code(0));
        Some(match chance.number(6) {
            0 => Event::Prepared { unit, run },
            1 => Event::PrepareFailed { unit, run, reason },
            2 => Event::Started { unit, run },
            3 => Event::SpawnFailed { unit, run, reason },
            4 => Event::Exited { unit, run, exit },
            _ => Event::Released { unit, run },
        })
    }

    /// Keeps what the supervisor has been told of the latest run of a unit.
    fn note_delivery(&mut self, event: &Event) {
        if self.history.len() == HISTORY_MAX {
            self.history.pop_front();
        }
        self.history.push_back(event.clone());
        let now = self.now;
        let Some((unit, run)) = subject(event) else {
            return;
        };
        let Some(known) = self.runs.get_mut(&unit).filter(|known| known.run == run) else {
            return;
        };
        let told = &mut known.told;
        let end = |success: bool| Some(Ended { at: now, success });
        match event {
            Event::Prepared { .. } => told.prepared = told.ended.is_none(),
            Event::Started { .. } if told.ended.is_none() => {
                told.started = told.started.or(Some(now));
            }
            Event::PrepareFailed { .. } if !told.prepared && !known.release_asked => {
                told.ended = told.ended.or(end(false))
            }
            Event::SpawnFailed { .. } => told.ended = told.ended.or(end(false)),
            Event::Exited { exit, .. } => {
                told.ended = told.ended.or(end(*exit == Exit::Code(0)));
            }
            Event::Released { .. } => told.released = known.release_asked,
            Event::PrepareFailed { .. }
            | Event::Started { .. }
            | Event::Recall { .. }
            | Event::Reload { .. }
            | Event::Pause { .. }
            | Event::Unpause { .. }
            | Event::ResetFailed { .. }
            | Event::TimerElapsed { .. }
            | Event::Skipped { .. }
            | Event::HookEnded { .. }
            | Event::HealthPlan { .. }
            | Event::Ready { .. }
            | Event::Notified { .. }
            | Event::Probed { .. }
            | Event::Reloaded { .. }
            | Event::Paused { .. }
            | Event::Flipped { .. }
            | Event::StartDefault
            | Event::Start { .. }
            | Event::Stop { .. }
            | Event::Restart { .. }
            | Event::Shutdown { .. } => {}
        }
    }

    /// Performs one action of the supervisor.
    ///
    /// # Errors
    /// The action makes no sense: no correct supervisor takes it.
    pub(crate) fn perform(&mut self, action: &Action) -> Result<(), String> {
        match action {
            Action::Prepare { unit, run } => self.prepare(*unit, *run),
            Action::Spawn { unit, run } => self.spawn(*unit, *run),
            Action::Terminate { unit, run } => self.terminate(*unit, *run),
            Action::Kill { unit, run } => self.kill(*unit, *run),
            Action::Release { unit, run } => self.release(*unit, *run),
            Action::RunHook { .. }
            | Action::KillHook { .. }
            | Action::WatchReadiness { .. }
            | Action::Probe { .. }
            | Action::Reload { .. }
            | Action::Pause { .. }
            | Action::Unpause { .. }
            | Action::FlipPorts { .. }
            | Action::Swapped { .. }
            | Action::RemoveUnit { .. }
            | Action::ArmTimer { .. }
            | Action::DisarmTimer { .. } => Err("an action that nobody asked for".to_owned()),
            Action::Changed { .. }
            | Action::Reply { .. }
            | Action::Settled { .. }
            | Action::ShutdownComplete => Ok(()),
        }
    }

    fn prepare(&mut self, unit: UnitId, run: RunId) -> Result<(), String> {
        if run <= self.last_run {
            return Err(format!("run {} comes after run {}", run.0, self.last_run.0));
        }
        self.last_run = run;
        let number = match self.runs.get(&unit) {
            Some(known) if !known.told.released => {
                return Err(format!(
                    "a new run while run {} is not released",
                    known.run.0
                ));
            }
            Some(known) => known.number + 1,
            None => 0,
        };
        let fresh = Run {
            run,
            number,
            spawned: false,
            alive: false,
            terminated_at: None,
            killed: false,
            release_asked: false,
            told: Told::default(),
        };
        self.runs.insert(unit, fresh);
        self.counts.runs += 1;
        let mut chance = self.chance(4, unit, number);
        let behaviour = self.behaviour(unit)?;
        let slow = !self.calm && chance.per_mille(behaviour.slow_prepare);
        let delay_ms = if slow {
            chance.between(500, 20_000)
        } else {
            chance.between(0, 80)
        };
        if !self.calm && chance.per_mille(behaviour.prepare_fails) {
            self.counts.prepare_failures += 1;
            let reason = "image: no such image".to_owned();
            self.report(delay_ms, Event::PrepareFailed { unit, run, reason });
        } else {
            self.report(delay_ms, Event::Prepared { unit, run });
        }
        Ok(())
    }

    fn spawn(&mut self, unit: UnitId, run: RunId) -> Result<(), String> {
        let behaviour = self.behaviour(unit)?;
        let known = self.current(unit, run)?;
        if known.spawned || !known.told.prepared {
            return Err("a spawn of a run that has been spawned or is not prepared".to_owned());
        }
        known.spawned = true;
        let number = known.number;
        let mut chance = self.chance(5, unit, number);
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
        self.report(started_ms, Event::Started { unit, run });
        if let Some((lives_ms, exit)) = self.own_end(unit, number, behaviour) {
            self.at(lives_ms, Happening::Ends { unit, run, exit });
        }
        Ok(())
    }

    /// When and how the program ends by itself. In calm, a server serves and a oneshot succeeds.
    fn own_end(&self, unit: UnitId, number: u64, behaviour: Behaviour) -> Option<(u64, Exit)> {
        let mut chance = self.chance(6, unit, number);
        let lives_ms = chance.between(0, behaviour.lives_ms + 1);
        if self.calm {
            return self.is_oneshot(unit).then_some((lives_ms, Exit::Code(0)));
        }
        if !self.is_oneshot(unit) && !chance.per_mille(behaviour.ends) {
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

    fn terminate(&mut self, unit: UnitId, run: RunId) -> Result<(), String> {
        let (now, behaviour) = (self.now, self.behaviour(unit)?);
        let known = self.current(unit, run)?;
        if !known.spawned || known.terminated_at.is_some() || known.killed {
            return Err("a second stop signal, or one without a process".to_owned());
        }
        known.terminated_at = Some(now);
        let (alive, number) = (known.alive, known.number);
        if alive && !behaviour.ignores_sigterm {
            let delay_ms = self.chance(7, unit, number).between(0, 60);
            self.at(
                delay_ms,
                Happening::Ends {
                    unit,
                    run,
                    exit: Exit::Code(0),
                },
            );
        }
        Ok(())
    }

    fn kill(&mut self, unit: UnitId, run: RunId) -> Result<(), String> {
        let known = self.current(unit, run)?;
        if !known.spawned || known.killed {
            return Err("a second kill, or one without a process".to_owned());
        }
        known.killed = true;
        let number = known.number;
        self.counts.kills += 1;
        let delay_ms = self.chance(8, unit, number).between(0, 30);
        let exit = Exit::Signal {
            signal: 9,
            out_of_memory: false,
        };
        self.at(delay_ms, Happening::Ends { unit, run, exit });
        Ok(())
    }

    fn release(&mut self, unit: UnitId, run: RunId) -> Result<(), String> {
        let known = self.current(unit, run)?;
        if known.alive {
            return Err("a release of a run whose process lives".to_owned());
        }
        if known.spawned && known.told.ended.is_none() {
            return Err("a release of a run whose end was not reported".to_owned());
        }
        known.release_asked = true;
        let number = known.number;
        let delay_ms = self.chance(9, unit, number).between(0, 40);
        self.report(delay_ms, Event::Released { unit, run });
        Ok(())
    }

    /// The run that an action is about, which must be the unit's latest and not given back.
    fn current(&mut self, unit: UnitId, run: RunId) -> Result<&mut Run, String> {
        match self.runs.get_mut(&unit) {
            Some(known) if known.run == run && !known.release_asked => Ok(known),
            Some(_) | None => Err(format!(
                "an action for run {}, which is not under way",
                run.0
            )),
        }
    }

    fn process_ends(&mut self, unit: UnitId, run: RunId, exit: Exit) {
        let Some(known) = self.runs.get_mut(&unit).filter(|known| known.run == run) else {
            return;
        };
        if !known.alive {
            return;
        }
        known.alive = false;
        self.counts.failed_exits += u64::from(exit != Exit::Code(0));
        self.report(0, Event::Exited { unit, run, exit });
    }

    /// From outside: a process dies.
    pub(crate) fn crash(&mut self, unit: UnitId, out_of_memory: bool) {
        let Some(known) = self.runs.get(&unit).filter(|known| known.alive) else {
            return;
        };
        self.counts.out_of_memory += u64::from(out_of_memory);
        self.process_ends(
            unit,
            known.run,
            Exit::Signal {
                signal: 9,
                out_of_memory,
            },
        );
    }

    /// From outside: netd or store dies with everything it was asked for.
    pub(crate) fn helper_dies(&mut self) {
        self.counts.helper_deaths += 1;
        let under_way: Vec<(UnitId, RunId)> = self
            .runs
            .iter()
            .filter(|(_, known)| !known.told.prepared && known.told.ended.is_none())
            .filter(|(_, known)| !known.release_asked)
            .map(|(unit, known)| (*unit, known.run))
            .collect();
        for slot in &mut self.happenings {
            if let Some(Happening::Report(Event::Prepared { unit, run })) = slot
                && under_way.contains(&(*unit, *run))
            {
                *slot = None;
            }
        }
        for (unit, run) in under_way {
            let reason = "netd ended while it prepared the network".to_owned();
            self.report(1, Event::PrepareFailed { unit, run, reason });
        }
    }

    pub(crate) fn any_alive(&self) -> Option<UnitId> {
        self.runs
            .iter()
            .find(|(_, known)| known.alive)
            .map(|(unit, _)| *unit)
    }

    fn behaviour(&self, unit: UnitId) -> Result<Behaviour, String> {
        let known = self.behaviours.get(unit.0 as usize).copied();
        known.ok_or_else(|| "an action for a unit that does not exist".to_owned())
    }

    fn is_oneshot(&self, unit: UnitId) -> bool {
        self.oneshots
            .get(unit.0 as usize)
            .copied()
            .unwrap_or_default()
    }

    fn chance(&self, purpose: u64, unit: UnitId, number: u64) -> Chance {
        Chance::of(self.seed, &[purpose, u64::from(unit.0), number])
    }
}

pub(crate) fn is_oneshot(rules: &Rules) -> bool {
    rules
        .service
        .as_ref()
        .is_some_and(|service| service.kind == ServiceKind::Oneshot)
}

/// The unit and run that a report is about.
pub(crate) fn subject(event: &Event) -> Option<(UnitId, RunId)> {
    match event {
        Event::Prepared { unit, run }
        | Event::PrepareFailed { unit, run, .. }
        | Event::Started { unit, run }
        | Event::SpawnFailed { unit, run, .. }
        | Event::Exited { unit, run, .. }
        | Event::Released { unit, run } => Some((*unit, *run)),
        Event::Recall { .. }
        | Event::Reload { .. }
        | Event::Pause { .. }
        | Event::Unpause { .. }
        | Event::ResetFailed { .. }
        | Event::TimerElapsed { .. }
        | Event::Skipped { .. }
        | Event::HookEnded { .. }
        | Event::HealthPlan { .. }
        | Event::Ready { .. }
        | Event::Notified { .. }
        | Event::Probed { .. }
        | Event::Reloaded { .. }
        | Event::Paused { .. }
        | Event::Flipped { .. }
        | Event::StartDefault
        | Event::Start { .. }
        | Event::Stop { .. }
        | Event::Restart { .. }
        | Event::Shutdown { .. } => None,
    }
}
