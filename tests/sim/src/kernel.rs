//! The fake machine: runs, processes, helpers, and reports that arrive more or less as they should.
//!
//! It refuses actions that no correct supervisor takes: that is where most bugs show. What a unit does in its n-th run
//! depends on the seed, the unit, its version and n only.

use crate::behaviour::Behaviour;
use crate::counts::Counts;
use crate::run::{Definition, Run, Told};
use crate::scenario::Faults;
use crate::{Chance, Scenario, units};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::rc::Rc;
use supervisor::{Event, Exit, Hook, Rules, RunId, Timestamp, UnitId};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Happening {
    Report(Event),
    /// The container ends by itself or by a signal, if it has not yet.
    Ends {
        run: RunId,
        exit: Exit,
        by_signal: bool,
    },
    HookEnds {
        run: RunId,
        hook: Hook,
        success: bool,
    },
    /// The program says `WATCHDOG=1`, unless it is frozen.
    Ping {
        run: RunId,
        left: u32,
    },
    /// Until now somebody waited for an answer that was lost.
    Silence,
    /// A calendar time of the unit at the place has come.
    Elapses {
        place: UnitId,
        armed: u64,
    },
}

#[derive(Debug)]
pub(crate) struct Kernel {
    pub(crate) seed: u64,
    bad_day: u64,
    pub(crate) faults: Faults,
    /// No new faults; programs behave.
    pub(crate) calm: bool,
    pub(crate) now: Timestamp,
    pub(crate) definitions: Vec<Option<Definition>>,
    /// Of each place the latest.
    pub(crate) latest: Vec<Option<RunId>>,
    pub(crate) runs: BTreeMap<RunId, Run>,
    /// How many runs each unit has had, by its number.
    numbers: BTreeMap<u32, u64>,
    pub(crate) last_run: RunId,
    /// Where each unit's published ports lead; by the unit's place.
    pub(crate) ports: BTreeMap<UnitId, RunId>,
    /// Places whose calendar times are told, with the number of the arming.
    pub(crate) armed: BTreeMap<UnitId, u64>,
    armings: u64,
    schedule: BinaryHeap<Reverse<(Timestamp, u64, usize)>>,
    happenings: Vec<Option<Happening>>,
    free: Vec<usize>,
    sequence: u64,
    /// Happenings on their way that do not come again and again.
    pub(crate) pending: usize,
    /// Delivered lately: what may come again.
    history: VecDeque<Event>,
    pub(crate) counts: Counts,
    /// Only for reports of this set is the answer still to come.
    pub(crate) frozen: BTreeSet<RunId>,
}

/// Reports remembered for being repeated as stale ones.
const HISTORY_MAX: usize = 64;

impl Kernel {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        Self {
            seed: scenario.seed,
            bad_day: scenario.bad_day,
            faults: scenario.faults,
            calm: false,
            now: Timestamp(0),
            definitions: Vec::new(),
            latest: Vec::new(),
            runs: BTreeMap::new(),
            numbers: BTreeMap::new(),
            last_run: RunId(0),
            ports: BTreeMap::new(),
            armed: BTreeMap::new(),
            armings: 0,
            schedule: BinaryHeap::new(),
            happenings: Vec::new(),
            free: Vec::new(),
            sequence: 0,
            pending: 0,
            history: VecDeque::new(),
            counts: Counts::default(),
            frozen: BTreeSet::new(),
        }
    }

    /// The machine has lost its power: nothing is left but the disk and the counters of the test.
    pub(crate) fn lose_power(&mut self) {
        self.runs.clear();
        self.latest.iter_mut().for_each(|latest| *latest = None);
        self.definitions.clear();
        self.last_run = RunId(0);
        self.ports.clear();
        self.armed.clear();
        self.schedule.clear();
        self.happenings.clear();
        self.free.clear();
        self.history.clear();
        self.frozen.clear();
        self.pending = 0;
        self.counts.power_losses += 1;
        // Boot time begins anew; the wall clock, of which it is a part here, goes on.
        self.now = self.now.plus(1_000);
    }

    pub(crate) fn define(&mut self, place: UnitId, rules: &Rules) {
        let place = place.0 as usize;
        if self.definitions.len() <= place {
            self.definitions.resize(place + 1, None);
            self.latest.resize(place + 1, None);
        }
        let unit = units::number(&rules.name);
        self.definitions[place] = Some(Definition {
            unit,
            rules: Rc::new(rules.clone()),
            behaviour: Behaviour::of(self.seed, unit, rules.fingerprint, self.bad_day),
            plan: units::health_plan(self.seed, unit, rules),
        });
    }

    pub(crate) fn definition(&self, place: UnitId) -> Option<&Definition> {
        self.definitions.get(place.0 as usize)?.as_ref()
    }

    /// The latest run at the place.
    pub(crate) fn at(&self, place: UnitId) -> Option<&Run> {
        let run = (*self.latest.get(place.0 as usize)?)?;
        self.runs.get(&run)
    }

    /// When something happens next.
    pub(crate) fn next_at(&self) -> Option<Timestamp> {
        self.schedule.peek().map(|Reverse((at, _, _))| *at)
    }

    /// Lets the next thing happen; what is to be delivered of it.
    pub(crate) fn happen(&mut self) -> Option<Event> {
        let Reverse((at, _, place)) = self.schedule.pop()?;
        self.now = self.now.max(at);
        let happening = self.happenings.get_mut(place).and_then(Option::take);
        self.free.push(place);
        let happening = happening?;
        self.pending -= usize::from(is_once(&happening));
        match happening {
            Happening::Report(event) => {
                self.note_delivery(&event);
                Some(event)
            }
            Happening::Ends {
                run,
                exit,
                by_signal,
            } => {
                self.container_ends(run, exit, by_signal);
                None
            }
            Happening::HookEnds { run, hook, success } => {
                self.hook_ends(run, hook, success);
                None
            }
            Happening::Ping { run, left } => {
                self.ping(run, left);
                None
            }
            Happening::Silence => None,
            Happening::Elapses { place, armed } => {
                self.elapses(place, armed);
                None
            }
        }
    }

    pub(crate) fn plan(&mut self, delay_ms: u64, happening: Happening) {
        self.pending += usize::from(is_once(&happening));
        let place = self.free.pop().unwrap_or(self.happenings.len());
        if place == self.happenings.len() {
            self.happenings.push(Some(happening));
        } else {
            self.happenings[place] = Some(happening);
        }
        self.sequence += 1;
        let at = self.now.plus(delay_ms);
        self.schedule.push(Reverse((at, self.sequence, place)));
    }

    /// Sends a report, with faults.
    pub(crate) fn report(&mut self, delay_ms: u64, event: Event) {
        let mut delay_ms = delay_ms;
        if self.calm {
            return self.plan(delay_ms, Happening::Report(event));
        }
        let mut chance = Chance::of(self.seed, &[2, self.sequence]);
        if chance.per_mille(self.faults.late) {
            self.counts.late += 1;
            delay_ms += chance.between(1, 5_000);
        }
        if chance.per_mille(self.faults.found) {
            self.counts.found += 1;
            delay_ms += 30_000;
        }
        if chance.per_mille(self.faults.duplicate) {
            self.counts.duplicate += 1;
            let again = delay_ms + chance.between(0, 3_000);
            self.plan(again, Happening::Report(event.clone()));
        }
        self.plan(delay_ms, Happening::Report(event));
    }

    /// A report that should not be: an old one again, or one of a run or unit that never was.
    pub(crate) fn nonsense(&mut self, turn: u64) -> Option<Event> {
        if self.calm || self.faults.stale + self.faults.invented == 0 {
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
        let places = u32::try_from(self.definitions.len()).unwrap_or(u32::MAX);
        let unit = UnitId(chance.number(places + 2));
        let run = RunId(chance.pick(&[0, self.last_run.0 + 1, u64::MAX]));
        let (reason, exit) = ("invented".to_owned(), Exit::Code(0));
        let failure = None;
        Some(match chance.number(10) {
            0 => Event::Prepared { unit, run },
            1 => Event::PrepareFailed {
                unit,
                run,
                reason,
                lasting: false,
            },
            2 => Event::Started { unit, run },
            3 => Event::SpawnFailed { unit, run, reason },
            4 => Event::Exited { unit, run, exit },
            5 => Event::Ready { unit, run },
            6 => Event::Skipped { unit, run, reason },
            7 => Event::Flipped { unit, run, failure },
            8 => Event::Paused { unit, run, failure },
            _ => Event::Released { unit, run },
        })
    }

    pub(crate) fn remember(&mut self, event: &Event) {
        if self.faults.stale == 0 {
            return;
        }
        if self.history.len() == HISTORY_MAX {
            self.history.pop_front();
        }
        self.history.push_back(event.clone());
    }

    pub(crate) fn begin_run(&mut self, place: UnitId, run: RunId) -> Result<Run, String> {
        let definition = self
            .definition(place)
            .ok_or("a run of a unit that does not exist")?
            .clone();
        let number = self.numbers.entry(definition.unit).or_default();
        *number += 1;
        Ok(Run {
            run,
            place,
            first_place: place,
            number: *number,
            beside: false,
            definition,
            spawned: false,
            alive: false,
            watched: false,
            frozen: false,
            end_waits: false,
            terminated_at: None,
            killed: false,
            release_asked: false,
            hook: None,
            hook_killed: false,
            start_cancelled: false,
            steps: Default::default(),
            pausing: false,
            told: Told {
                began: self.now,
                ..Told::default()
            },
        })
    }

    pub(crate) fn arm(&mut self, place: UnitId) {
        self.armings += 1;
        self.armed.insert(place, self.armings);
        let armed = self.armings;
        let period_ms = self.period_ms(place);
        self.plan(period_ms, Happening::Elapses { place, armed });
    }

    fn period_ms(&self, place: UnitId) -> u64 {
        let mut chance = Chance::of(self.seed, &[23, u64::from(place.0)]);
        chance.between(300, 8_000)
    }

    /// Boot time stands for the wall clock: both go on alike but for its jumps, which are between the reports.
    fn elapses(&mut self, place: UnitId, armed: u64) {
        if self.armed.get(&place) != Some(&armed) || self.calm {
            return;
        }
        self.counts.elapsed += 1;
        let scheduled_wall_ms = i64::try_from(self.now.0).unwrap_or(i64::MAX);
        self.report(
            0,
            Event::TimerElapsed {
                unit: place,
                scheduled_wall_ms,
            },
        );
        let period_ms = self.period_ms(place);
        self.plan(period_ms, Happening::Elapses { place, armed });
    }

    /// From now on everything behaves: what hung goes on.
    pub(crate) fn calm_down(&mut self) {
        self.calm = true;
        let watched = |run: &&Run| {
            let service = run.definition.rules.service.as_ref();
            run.alive && service.is_some_and(|service| service.watchdog_ms.is_some())
        };
        let runs: Vec<RunId> = self
            .runs
            .values()
            .filter(watched)
            .map(|it| it.run)
            .collect();
        for run in runs {
            self.plan(0, Happening::Ping { run, left: 1 });
        }
    }

    fn ping(&mut self, run: RunId, left: u32) {
        let Some(known) = self.runs.get(&run).filter(|known| known.alive) else {
            return;
        };
        let Some(watchdog_ms) = known
            .definition
            .rules
            .service
            .as_ref()
            .and_then(|it| it.watchdog_ms)
        else {
            return;
        };
        if left == 0 && !self.calm {
            // It hangs: somebody has to notice that.
            return self.plan(watchdog_ms + 1, Happening::Silence);
        }
        let (unit, frozen) = (known.first_place, known.frozen);
        if !frozen {
            self.counts.pings += 1;
            let notice = supervisor::Notice::Watchdog;
            let event = Event::Notified { unit, run, notice };
            // On its socket, in order and at once.
            self.plan(0, Happening::Report(event));
        }
        let left = left.saturating_sub(u32::from(!frozen));
        self.plan(watchdog_ms / 2, Happening::Ping { run, left });
    }

    /// What is under way is answered by nobody: a helper has died with it.
    pub(crate) fn drop_reports(&mut self, lost: impl Fn(&Event) -> bool) {
        for slot in &mut self.happenings {
            if let Some(Happening::Report(event)) = slot
                && lost(event)
                && let Some(happening) = slot.take()
            {
                self.pending -= usize::from(is_once(&happening));
            }
        }
    }

    pub(crate) fn any_alive(&self) -> Option<UnitId> {
        self.runs
            .values()
            .find(|run| run.alive || run.hook.is_some())
            .map(|run| run.place)
    }

    pub(crate) fn chance(&self, purpose: u64, run: &Run) -> Chance {
        let words = [purpose, u64::from(run.definition.unit), run.number];
        Chance::of(self.seed, &words)
    }
}

/// Not one of those that come again and again by themselves.
fn is_once(happening: &Happening) -> bool {
    match happening {
        Happening::Report(Event::Notified { .. } | Event::Probed { failure: None, .. })
        | Happening::Ping { .. }
        | Happening::Elapses { .. } => false,
        Happening::Report(_)
        | Happening::Ends { .. }
        | Happening::HookEnds { .. }
        | Happening::Silence => true,
    }
}
