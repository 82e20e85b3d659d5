//! One simulated life of a machine.

use crate::at_rest::stays_down;
use crate::counts::Counts;
use crate::kernel::Kernel;
use crate::known::name;
use crate::oracle::Oracle;
use crate::rewind::Rewind;
use crate::scenario::{Command, Scenario, some_units};
use crate::{Chance, units};
use std::collections::BTreeMap;
use std::fmt;
use supervisor::{
    Action, Event, Goal, Mutant, Plan, Record, Rules, RunId, State, Supervisor, Ticket, Timestamp,
    UnitId,
};
use unit::Restart;

/// Chaos ends after so many turns, even if commands are left: crash loops of 200 units would go on for ever.
const CHAOS_TURNS_MAX: u64 = 5_000;

/// In calm a world must come to rest within so many turns.
const CALM_TURNS_MAX: u64 = 30_000;

/// Whoever has asked for the n-th, 2n-th … thing does not wait for the answer.
const WITHDRAWN_EVERY: u64 = 13;

/// Lines of the supervisor's journal shown with a violation.
const TRACE_LINES_MAX: usize = 40;

/// A rule that did not hold, and how to see it again.
#[derive(Clone, Debug)]
pub struct Violation {
    pub seed: u64,
    /// The commands that were carried out, by their place in the scenario.
    pub kept: Vec<usize>,
    pub mutant: Option<Mutant>,
    /// Milliseconds of simulated time.
    pub at: Timestamp,
    pub what: String,
    pub trace: Vec<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept: Vec<String> = self.kept.iter().map(ToString::to_string).collect();
        let kept = if kept.is_empty() {
            "none".to_owned()
        } else {
            kept.join(",")
        };
        let mutant = self
            .mutant
            .map(|mutant| format!(" --mutant {mutant:?}"))
            .unwrap_or_default();
        for line in &self.trace {
            writeln!(f, "  {line}")?;
        }
        writeln!(f, "seed {} at {} ms: {}", self.seed, self.at.0, self.what)?;
        write!(
            f,
            "replay: cargo run --release -p sim -- --seed {} --keep {kept}{mutant}",
            self.seed
        )
    }
}

impl std::error::Error for Violation {}

/// Lives through a scenario with all its commands, or those at the places in `keep`.
///
/// # Errors
/// The first rule that does not hold.
pub fn run(
    scenario: &Scenario,
    keep: Option<&[usize]>,
    mutant: Option<Mutant>,
) -> Result<Counts, Box<Violation>> {
    let kept: Vec<usize> =
        keep.map_or_else(|| (0..scenario.commands.len()).collect(), <[usize]>::to_vec);
    let mut world = World {
        supervisor: Supervisor::with(scenario.plan.clone()),
        kernel: Kernel::new(scenario),
        oracle: Oracle::new(),
        plan: scenario.plan.clone(),
        homes: BTreeMap::new(),
        disk: Record::default(),
        disk_version: 0,
        default_wanted: false,
        power: None,
        mutant,
        tickets: 0,
        turns: 0,
        boot: Timestamp(0),
        actions: Vec::new(),
        rewind: Rewind::is_for(scenario.seed).then(Rewind::default),
    };
    world.boot();
    let commands = kept
        .iter()
        .filter_map(|place| scenario.commands.get(*place));
    let lived = world.live(scenario.seed, commands);
    lived.map_err(|what| {
        let mut trace = world.supervisor.trace();
        let shown = trace.split_off(trace.len().saturating_sub(TRACE_LINES_MAX));
        let (seed, at) = (scenario.seed, world.kernel.now);
        Box::new(Violation {
            seed,
            kept,
            mutant,
            at,
            what,
            trace: shown,
        })
    })?;
    let (worlds, turns) = (1, world.turns);
    Ok(Counts {
        worlds,
        turns,
        ..world.kernel.counts
    })
}

struct World {
    supervisor: Supervisor,
    kernel: Kernel,
    oracle: Oracle,
    /// The set in force.
    plan: Plan,
    /// Place of each unit, by the number in its name.
    homes: BTreeMap<u32, UnitId>,
    /// What a power cut leaves.
    disk: Record,
    disk_version: u64,
    default_wanted: bool,
    /// The power goes after so many further actions.
    power: Option<u32>,
    mutant: Option<Mutant>,
    tickets: u64,
    turns: u64,
    boot: Timestamp,
    actions: Vec<Action>,
    /// Its decisions are made again from time to time.
    rewind: Option<Rewind>,
}

type Judged = Result<(), String>;

impl World {
    fn live<'a>(
        &mut self,
        seed: u64,
        commands: impl Iterator<Item = &'a (u64, Command)>,
    ) -> Judged {
        self.chaos(seed, commands)?;
        self.kernel.calm_down();
        self.power = None;
        // A paused unit keeps those waiting that need it healthy.
        self.command(&Command::Unpause(self.homes.keys().copied().collect()))?;
        self.come_to_rest()?;
        if self.oracle.complete {
            return self.nothing_is_left();
        }
        self.calm(&mut Chance::of(seed, &[10]))?;
        self.command(&Command::Shutdown(3_600_000))?;
        self.come_to_rest()?;
        self.nothing_is_left()
    }

    /// A machine that has just got its power: the units of the set at their places, nothing running.
    fn boot(&mut self) {
        self.supervisor = Supervisor::with(self.plan.clone());
        if let Some(mutant) = self.mutant {
            self.supervisor.plant(mutant);
        }
        self.supervisor.set_machine_seed(self.kernel.seed);
        self.rewind.iter_mut().for_each(Rewind::forget);
        self.oracle = Oracle::new();
        self.oracle.learns(&self.plan);
        self.homes.clear();
        self.disk_version = self.supervisor.record_version();
        for (place, rules) in (0u32..).map(UnitId).zip(&self.plan.rules) {
            self.kernel.define(place, rules);
            self.homes.insert(units::number(&rules.name), place);
        }
        self.boot = self.kernel.now;
    }

    /// Commands and faults, in order of time.
    fn chaos<'a>(
        &mut self,
        seed: u64,
        commands: impl Iterator<Item = &'a (u64, Command)>,
    ) -> Judged {
        for (at, command) in commands {
            let at = Timestamp(*at);
            while self.turns < CHAOS_TURNS_MAX && self.next_at().is_some_and(|next| next < at) {
                self.pass(&mut Chance::of(seed, &[11, self.turns]))?;
                if let Some(event) = self.kernel.nonsense(self.turns) {
                    self.turn(Some(&event))?;
                }
            }
            if self.turns >= CHAOS_TURNS_MAX {
                return Ok(());
            }
            self.kernel.now = self.kernel.now.max(at);
            self.command(command)?;
        }
        Ok(())
    }

    /// Each kind of command, with everything well: it must bring about exactly what it says.
    fn calm(&mut self, chance: &mut Chance) -> Judged {
        let units = self.some(chance);
        // Where units exclude each other, what is started last wins: what is ready then is another question.
        let edges = &self.plan.edges;
        let free = edges.conflicts.is_empty() && edges.requisite.is_empty();
        self.command(&Command::Start(units.clone()))?;
        self.come_to_rest()?;
        if free {
            self.are_ready(&units)?;
        }

        let units = self.some(chance);
        let before = self.ready_units();
        self.command(&Command::Restart(units.clone()))?;
        self.come_to_rest()?;
        if free {
            self.are_ready(&units)?;
            self.are_ready(&before)?;
        }
        self.unchanged()?;
        self.pause_and_reload(chance)?;
        self.command(&Command::Reexecute)?;

        let units = self.some(chance);
        let stopped_at = self.kernel.now;
        self.command(&Command::Stop(units.clone()))?;
        self.come_to_rest()?;
        let places = self.places(&units);
        stays_down(&self.supervisor, &self.kernel, &places, stopped_at)?;
        let number = chance.next();
        self.command(&Command::Apply(number))?;
        self.come_to_rest()
    }

    /// Of the units that are there, by the number in their name.
    fn some(&self, chance: &mut Chance) -> Vec<u32> {
        let all: Vec<u32> = self.homes.keys().copied().collect();
        let count = u32::try_from(all.len()).unwrap_or(u32::MAX);
        let picked = some_units(chance, count);
        picked
            .iter()
            .filter_map(|place| all.get(*place as usize).copied())
            .collect()
    }

    fn pause_and_reload(&mut self, chance: &mut Chance) -> Judged {
        let units = self.some(chance);
        self.command(&Command::Pause(units.clone()))?;
        self.come_to_rest()?;
        self.command(&Command::Unpause(units))?;
        let units = self.some(chance);
        self.command(&Command::Reload(units))?;
        self.come_to_rest()
    }

    /// The same set again touches nothing.
    fn unchanged(&mut self) -> Judged {
        let plan = self.plan.clone();
        let in_force = |rules: &Rules| {
            let place = self.homes.get(&units::number(&rules.name));
            let now = place.and_then(|place| self.supervisor.rules().get(place.0 as usize));
            now.is_some_and(|now| now.fingerprint == rules.fingerprint)
        };
        if !plan.rules.iter().all(in_force) {
            // A replacement did not come about: its unit is tried again.
            self.apply(plan)?;
            return self.come_to_rest();
        }
        let runs = self.kernel.counts.runs;
        let quiet = |action: &Action| {
            !matches!(
                action,
                Action::Terminate { .. } | Action::Kill { .. } | Action::Prepare { .. }
            )
        };
        self.apply(plan)?;
        if self.kernel.counts.runs != runs || !self.actions.iter().all(quiet) {
            return Err("the same set was applied again, and something was touched".to_owned());
        }
        Ok(())
    }

    fn ready_units(&self) -> Vec<u32> {
        let ready = |(_, place): &(&u32, &UnitId)| self.supervisor.is_ready(**place);
        self.homes
            .iter()
            .filter(ready)
            .map(|(unit, _)| *unit)
            .collect()
    }

    fn are_ready(&self, units: &[u32]) -> Judged {
        let places = self.places(units);
        match places.iter().find(|unit| !self.supervisor.is_ready(**unit)) {
            Some(unit) => {
                let (name, state) = (name(&self.supervisor, *unit), self.supervisor.state(*unit));
                Err(format!(
                    "nothing is wrong, but {name} is not ready: {state:?}, {}",
                    self.supervisor.reason(*unit)
                ))
            }
            None => Ok(()),
        }
    }

    fn nothing_is_left(&self) -> Judged {
        match self.kernel.any_alive() {
            Some(unit) => Err(format!(
                "{} lives after the shutdown",
                name(&self.supervisor, unit)
            )),
            None if !self.oracle.complete => Err("the shutdown is never complete".to_owned()),
            None => Ok(()),
        }
    }

    /// Lets everything happen that is under way or due, until nothing is but what comes again and again.
    fn come_to_rest(&mut self) -> Judged {
        let limit = self.turns + CALM_TURNS_MAX;
        let mut chance = Chance::new(self.turns);
        while self.next_at().is_some() {
            if self.kernel.pending == 0 && self.is_at_rest() {
                break;
            }
            self.pass(&mut chance)?;
            if self.turns > limit {
                let who = self
                    .oracle
                    .at_rest(&self.supervisor, &self.kernel)
                    .err()
                    .unwrap_or_else(|| "all are at rest".to_owned());
                return Err(format!(
                    "no rest after {CALM_TURNS_MAX} turns of calm: {who}"
                ));
            }
        }
        self.oracle.at_rest(&self.supervisor, &self.kernel)
    }

    fn is_at_rest(&self) -> bool {
        // A jump of the clock may have made something due that nobody has looked at yet.
        let overdue = self.deadline().is_some_and(|at| at <= self.kernel.now);
        !overdue && self.oracle.at_rest(&self.supervisor, &self.kernel).is_ok()
    }

    fn next_at(&self) -> Option<Timestamp> {
        let deadline = self.deadline();
        [self.kernel.next_at(), deadline]
            .into_iter()
            .flatten()
            .min()
    }

    /// The supervisor counts from this boot, the kernel from the first.
    fn deadline(&self) -> Option<Timestamp> {
        self.supervisor.next_deadline()
    }

    /// The next thing: a happening of the kernel or a deadline of the supervisor.
    fn pass(&mut self, chance: &mut Chance) -> Judged {
        self.turns += 1;
        let (happening, deadline) = (self.kernel.next_at(), self.deadline());
        let deadline_first = match (happening, deadline) {
            (None, _) => true,
            (Some(_), None) => false,
            // What is due at once comes in any order.
            (Some(one), Some(other)) => {
                let now = self.kernel.now;
                let (one, other) = (one.max(now), other.max(now));
                other < one || (other == one && chance.per_mille(500))
            }
        };
        if !deadline_first {
            return match self.kernel.happen() {
                Some(event) => self.turn(Some(&event)),
                None => Ok(()),
            };
        }
        let Some(at) = deadline else { return Ok(()) };
        let slow = !self.kernel.calm && chance.per_mille(self.kernel.faults.slow_loop);
        let late_ms = if slow { chance.between(1, 400) } else { 0 };
        self.kernel.now = self.kernel.now.max(at.plus(late_ms));
        self.turn(None)
    }

    fn places(&self, units: &[u32]) -> Vec<UnitId> {
        let known = units.iter().filter_map(|unit| self.homes.get(unit));
        known.copied().collect()
    }

    fn ticket(&mut self) -> Option<Ticket> {
        self.tickets += 1;
        Some(Ticket(self.tickets))
    }

    fn command(&mut self, command: &Command) -> Judged {
        let ticket = self.ticket();
        let event = match command {
            Command::Recall { stopped, completed } => {
                if self.default_wanted {
                    return Ok(());
                }
                let record = self.record(stopped, completed);
                self.disk = record.clone();
                Event::Recall { record }
            }
            Command::StartDefault => {
                self.default_wanted = true;
                Event::StartDefault
            }
            Command::Start(units) => Event::Start {
                units: self.places(units),
                ticket,
            },
            Command::Stop(units) => Event::Stop {
                units: self.places(units),
                ticket,
            },
            Command::Restart(units) => Event::Restart {
                units: self.places(units),
                ticket,
            },
            Command::Reload(units) => Event::Reload {
                units: self.places(units),
                ticket,
            },
            Command::Pause(units) => Event::Pause {
                units: self.places(units),
                ticket,
            },
            Command::Unpause(units) => Event::Unpause {
                units: self.places(units),
                ticket,
            },
            Command::ResetFailed(units) => Event::ResetFailed {
                units: self.places(units),
                ticket,
            },
            Command::Shutdown(within_ms) => Event::Shutdown {
                within_ms: *within_ms,
            },
            Command::Apply(number) => {
                let mut chance = Chance::of(*number, &[23]);
                if chance.per_mille(300) {
                    return self.remove_and_put_back(&mut chance);
                }
                let plan = units::mutated(&self.plan, *number);
                return self.apply(plan);
            }
            Command::Reexecute => return self.reexecute(),
            Command::PowerLoss(after) => {
                self.power = Some(*after);
                return Ok(());
            }
            Command::Crash(unit) => {
                self.places(&[*unit])
                    .iter()
                    .for_each(|unit| self.kernel.crash(*unit, false));
                return Ok(());
            }
            Command::OutOfMemory(unit) => {
                self.places(&[*unit])
                    .iter()
                    .for_each(|unit| self.kernel.crash(*unit, true));
                return Ok(());
            }
            Command::HelperDies => {
                self.kernel.helper_dies();
                return Ok(());
            }
            Command::ClockJump(ms) => {
                self.kernel.counts.clock_jumps += 1;
                self.kernel.now = self.kernel.now.plus(*ms);
                return Ok(());
            }
        };
        self.turn(Some(&event))?;
        match ticket.filter(|ticket| ticket.0.is_multiple_of(WITHDRAWN_EVERY)) {
            Some(ticket) => self.turn(Some(&Event::Withdrawn { ticket })),
            None => Ok(()),
        }
    }

    fn record(&self, stopped: &[u32], completed: &[u32]) -> Record {
        let rules = |unit: &u32| {
            let place = self.homes.get(unit)?;
            self.supervisor.rules().get(place.0 as usize)
        };
        let stopped = stopped.iter().filter_map(rules);
        let completed = completed.iter().filter_map(rules);
        Record {
            stopped: stopped.map(|rules| rules.name.clone()).collect(),
            completed: completed
                .map(|rules| (rules.name.clone(), rules.program))
                .collect(),
            ..Record::default()
        }
    }

    /// The supervisor gets an event, or its deadline is served; everything it does is judged and done.
    fn turn(&mut self, event: Option<&Event>) -> Judged {
        let now = self.kernel.now;
        let mut actions = std::mem::take(&mut self.actions);
        actions.clear();
        match event {
            Some(event) => {
                self.oracle.hears(&self.supervisor, &self.kernel, event);
                self.supervisor.handle(now, event.clone(), &mut actions);
            }
            None => self.supervisor.handle_timeout(now, &mut actions),
        }
        self.actions = actions;
        self.perform(event)
    }

    fn apply(&mut self, plan: Plan) -> Judged {
        let now = self.kernel.now;
        let ticket = self.ticket();
        self.kernel.counts.applied += 1;
        self.oracle.hears_apply(&self.kernel, self.tickets);
        let mut actions = std::mem::take(&mut self.actions);
        actions.clear();
        let applied = self.supervisor.apply(now, &plan, ticket, &mut actions);
        self.rewind.iter_mut().for_each(Rewind::forget);
        self.actions = actions;
        if let Some(applied) = applied {
            for (home, rules) in applied.homes.iter().zip(&plan.rules) {
                let known = self.plan.rules.iter().find(|it| it.name == rules.name);
                if known.is_some_and(|known| known.timer != rules.timer) {
                    self.oracle.forgets_times(*home);
                }
            }
            self.homes.clear();
            let places = applied.places.iter().zip(&applied.homes);
            for ((place, home), rules) in places.zip(&plan.rules) {
                self.kernel.define(*place, rules);
                self.homes.insert(units::number(&rules.name), *home);
            }
            self.oracle.learns(&plan);
            self.plan = plan;
        }
        self.perform(None)
    }

    /// Some units are gone, and are there again before all that was theirs has ended.
    fn remove_and_put_back(&mut self, chance: &mut Chance) -> Judged {
        let before = self.plan.clone();
        let without = units::without_some(&before, chance);
        self.apply(without)?;
        for _ in 0..chance.number(4) {
            if self.next_at().is_some() {
                self.pass(chance)?;
            }
        }
        let again = units::slightly_changed(before, chance);
        self.apply(again)
    }

    fn write_record(&mut self) {
        let version = self.supervisor.record_version();
        if version != self.disk_version {
            self.disk_version = version;
            self.disk = self.supervisor.record();
        }
    }

    /// Everything that the turn has decided is judged and done, unless the power goes in between.
    fn perform(&mut self, event: Option<&Event>) -> Judged {
        if self.power == Some(0) {
            return self.lose_power();
        }
        let timeout = event.is_none();
        let actions = std::mem::take(&mut self.actions);
        // As `init` writes it: before an answer, or when all is done.
        if actions.iter().any(|it| matches!(it, Action::Reply { .. })) {
            self.write_record();
        }
        let hurried = self.oracle.is_hurried(self.kernel.now);
        for action in &actions {
            if let Some(left) = &mut self.power {
                if *left == 0 {
                    return self.lose_power();
                }
                *left -= 1;
            }
            let judged = if is_taken_back(action, &actions) {
                Ok(())
            } else {
                self.oracle.sees(&self.supervisor, &self.kernel, action)
            };
            judged
                .and_then(|()| self.kernel.perform(action, hurried))
                .map_err(|what| match subject(action) {
                    Some(unit) => format!("{}: {what}", name(&self.supervisor, unit)),
                    None => what,
                })?;
            // At once: the version beside it may begin in the same turn.
            if let Action::Prepare { unit, run } = action
                && self.supervisor.successor_of(*unit).is_some()
                && let Some(run) = self.kernel.runs.get_mut(run)
            {
                run.beside = true;
            }
        }
        self.write_record();
        self.actions = actions;
        self.oracle
            .after_turn(&self.supervisor, &self.kernel, event)?;
        if timeout {
            self.oracle
                .after_timeout(&self.supervisor, self.kernel.now)?;
        }
        // Looking at everything costs as much as the graph is large: seldom in large ones.
        let units = u64::try_from(self.plan.rules.len()).unwrap_or(u64::MAX);
        if self.turns.is_multiple_of(1 + units / 4) {
            self.oracle.check_all(&self.supervisor)?;
        }
        match &mut self.rewind {
            Some(rewind) => rewind.look(&mut self.supervisor),
            None => Ok(()),
        }
    }

    fn reexecute(&mut self) -> Judged {
        self.kernel.counts.reexecutions += 1;
        let text = serde_json::to_string(&self.supervisor).map_err(|error| error.to_string())?;
        let mut again: Supervisor =
            serde_json::from_str(&text).map_err(|error| error.to_string())?;
        if let Some(mutant) = self.mutant {
            again.plant(mutant);
        }
        if again != self.supervisor {
            return Err("a re-execution has changed the state".to_owned());
        }
        self.supervisor = again;
        Ok(())
    }

    /// Everything is gone but the disk; the machine boots with it.
    fn lose_power(&mut self) -> Judged {
        self.power = None;
        if self.oracle.complete {
            return Ok(());
        }
        self.kernel.lose_power();
        self.boot();
        let record = self.disk.clone();
        self.turn(Some(&Event::Recall {
            record: record.clone(),
        }))?;
        if !self.default_wanted {
            return Ok(());
        }
        self.turn(Some(&Event::StartDefault))?;
        self.stays_stopped(&record)
    }

    /// What an operator had stopped is down, unless something that is up requires it.
    fn stays_stopped(&self, record: &Record) -> Judged {
        for stopped in &record.stopped {
            let Some(place) = self.homes.get(&units::number(stopped)) else {
                continue;
            };
            let graph = self.supervisor.graph();
            let places = (0..u32::try_from(graph.len()).unwrap_or(u32::MAX)).map(UnitId);
            let mut above = places.filter(|unit| graph.pulls(*unit).contains(place));
            // Another set may have said otherwise since it was stopped.
            let rules = self.supervisor.rules().get(place.0 as usize);
            let service = rules.and_then(|rules| rules.service.as_ref());
            if service.is_none_or(|service| service.restart != Restart::UnlessStopped) {
                continue;
            }
            let pulled = above.any(|unit| self.supervisor.goal(unit) == Goal::Up);
            let up = self.supervisor.goal(*place) == Goal::Up;
            let edges = &self.plan.edges;
            let triggered = !edges.on_success.is_empty() || !edges.on_failure.is_empty();
            if up && !pulled && !triggered && *self.supervisor.state(*place) != State::Inactive {
                return Err(format!(
                    "{stopped} was stopped by hand, and has been started"
                ));
            }
        }
        Ok(())
    }
}

/// A step of a run that was begun and given up within one turn, before anything of it existed.
fn is_taken_back(action: &Action, actions: &[Action]) -> bool {
    let ends = |run: &RunId, other: &Action| match other {
        Action::Release { run: of, .. } | Action::Kill { run: of, .. } => of == run,
        _ => false,
    };
    match action {
        Action::Prepare { run, .. } | Action::Spawn { run, .. } => {
            actions.iter().any(|other| ends(run, other))
        }
        _ => false,
    }
}

fn subject(action: &Action) -> Option<UnitId> {
    match action {
        Action::Prepare { unit, .. }
        | Action::RunHook { unit, .. }
        | Action::KillHook { unit, .. }
        | Action::Spawn { unit, .. }
        | Action::WatchReadiness { unit, .. }
        | Action::Probe { unit, .. }
        | Action::Reload { unit, .. }
        | Action::Pause { unit, .. }
        | Action::Unpause { unit, .. }
        | Action::Terminate { unit, .. }
        | Action::Kill { unit, .. }
        | Action::Release { unit, .. }
        | Action::FlipPorts { unit, .. }
        | Action::Swapped { unit, .. }
        | Action::RemoveUnit { unit }
        | Action::ArmTimer { unit }
        | Action::DisarmTimer { unit }
        | Action::RestartsAtOnce { unit, .. }
        | Action::Changed { unit } => Some(*unit),
        Action::Reply { .. } | Action::Settled { .. } | Action::ShutdownComplete => None,
    }
}
