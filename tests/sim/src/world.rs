//! One simulated life of a machine.

use crate::Chance;
use crate::kernel::{Counts, Kernel};
use crate::oracle::{Oracle, name};
use crate::scenario::{Command, DEFAULT, Scenario, some_units};
use std::fmt;
use supervisor::{
    Action, Event, Goal, Graph, Mutant, Record, Supervisor, Ticket, Timestamp, UnitId,
};

/// Chaos ends after so many turns, even if commands are left: crash loops of 200 units would go on for ever.
const CHAOS_TURNS_MAX: u64 = 5_000;

/// In calm a world must come to rest within so many turns.
const CALM_TURNS_MAX: u64 = 100_000;

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
    let mut supervisor = Supervisor::with(
        Graph::new(&scenario.edges),
        scenario.rules.clone(),
        Some(UnitId(DEFAULT)),
    );
    if let Some(mutant) = mutant {
        supervisor.plant(mutant);
    }
    let mut world = World {
        supervisor,
        kernel: Kernel::new(scenario),
        oracle: Oracle::new(scenario.rules.len()),
        units: scenario.edges.units,
        tickets: 0,
        turns: 0,
        actions: Vec::new(),
    };
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
    units: u32,
    tickets: u64,
    turns: u64,
    actions: Vec<Action>,
}

impl World {
    fn live<'a>(
        &mut self,
        seed: u64,
        commands: impl Iterator<Item = &'a (u64, Command)>,
    ) -> Result<(), String> {
        self.chaos(seed, commands)?;
        self.kernel.calm = true;
        self.come_to_rest()?;
        if self.oracle.complete {
            return self.nothing_is_left();
        }
        self.calm(&mut Chance::of(seed, &[10]))?;
        self.command(&Command::Shutdown(3_600_000))?;
        self.come_to_rest()?;
        self.nothing_is_left()
    }

    /// Commands and faults, in order of time.
    fn chaos<'a>(
        &mut self,
        seed: u64,
        commands: impl Iterator<Item = &'a (u64, Command)>,
    ) -> Result<(), String> {
        for (at, command) in commands {
            let at = Timestamp(*at);
            while self.turns < CHAOS_TURNS_MAX && self.next_at().is_some_and(|next| next < at) {
                self.pass(&mut Chance::of(seed, &[11, self.turns]))?;
                if let Some(event) = self.kernel.nonsense(self.turns) {
                    self.turn(Some(event))?;
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
    fn calm(&mut self, chance: &mut Chance) -> Result<(), String> {
        let units = some_units(chance, self.units);
        self.command(&Command::Start(units.clone()))?;
        self.come_to_rest()?;
        self.are_ready(&units)?;

        let units = some_units(chance, self.units);
        let before = self.ready_units();
        self.command(&Command::Restart(units.clone()))?;
        self.come_to_rest()?;
        self.are_ready(&units)?;
        self.are_ready(&before)?;

        let units = some_units(chance, self.units);
        self.command(&Command::Stop(units.clone()))?;
        self.come_to_rest()?;
        let up = units
            .iter()
            .find(|unit| self.supervisor.goal(UnitId(**unit)) == Goal::Up);
        up.map_or(Ok(()), |unit| {
            Err(format!(
                "{} is up after its stop",
                name(&self.supervisor, UnitId(*unit))
            ))
        })
    }

    fn ready_units(&self) -> Vec<u32> {
        (0..self.units)
            .filter(|unit| self.supervisor.is_ready(UnitId(*unit)))
            .collect()
    }

    fn are_ready(&self, units: &[u32]) -> Result<(), String> {
        match units
            .iter()
            .find(|unit| !self.supervisor.is_ready(UnitId(**unit)))
        {
            Some(unit) => {
                let unit = UnitId(*unit);
                let (name, state) = (name(&self.supervisor, unit), self.supervisor.state(unit));
                Err(format!(
                    "nothing is wrong, but {name} is not ready: {state:?}"
                ))
            }
            None => Ok(()),
        }
    }

    fn nothing_is_left(&self) -> Result<(), String> {
        match self.kernel.any_alive() {
            Some(unit) => Err(format!(
                "{} lives after the shutdown",
                name(&self.supervisor, unit)
            )),
            None if !self.oracle.complete => Err("the shutdown is never complete".to_owned()),
            None => Ok(()),
        }
    }

    /// Lets everything happen that is under way or due, until nothing is.
    fn come_to_rest(&mut self) -> Result<(), String> {
        let limit = self.turns + CALM_TURNS_MAX;
        let mut chance = Chance::new(self.turns);
        while self.next_at().is_some() {
            self.pass(&mut chance)?;
            if self.turns > limit {
                return Err(format!("no rest after {CALM_TURNS_MAX} turns of calm"));
            }
        }
        self.oracle.at_rest(&self.supervisor, &self.kernel)
    }

    fn next_at(&self) -> Option<Timestamp> {
        let deadline = self.supervisor.next_deadline();
        [self.kernel.next_at(), deadline]
            .into_iter()
            .flatten()
            .min()
    }

    /// The next thing: a happening of the kernel or a deadline of the supervisor.
    fn pass(&mut self, chance: &mut Chance) -> Result<(), String> {
        self.turns += 1;
        let (happening, deadline) = (self.kernel.next_at(), self.supervisor.next_deadline());
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
                Some(event) => self.turn(Some(event)),
                None => Ok(()),
            };
        }
        let Some(at) = deadline else { return Ok(()) };
        let slow = !self.kernel.calm && chance.per_mille(self.kernel.faults.slow_loop);
        let late_ms = if slow { chance.between(1, 400) } else { 0 };
        self.kernel.now = self.kernel.now.max(at.plus(late_ms));
        self.turn(None)
    }

    fn command(&mut self, command: &Command) -> Result<(), String> {
        let ids = |units: &[u32]| units.iter().map(|unit| UnitId(*unit)).collect::<Vec<_>>();
        self.tickets += 1;
        let ticket = Some(Ticket(self.tickets));
        let event = match command {
            Command::StoppedBefore(units) => {
                let rules = self.supervisor.rules();
                let known = units.iter().filter_map(|unit| rules.get(*unit as usize));
                let record = Record {
                    stopped: known.map(|rules| rules.name.clone()).collect(),
                    ..Record::default()
                };
                Event::Recall { record }
            }
            Command::StartDefault => Event::StartDefault,
            Command::Start(units) => Event::Start {
                units: ids(units),
                ticket,
            },
            Command::Stop(units) => Event::Stop {
                units: ids(units),
                ticket,
            },
            Command::Restart(units) => Event::Restart {
                units: ids(units),
                ticket,
            },
            Command::Shutdown(within_ms) => Event::Shutdown {
                within_ms: *within_ms,
            },
            Command::Crash(unit) => {
                self.kernel.crash(UnitId(*unit), false);
                return Ok(());
            }
            Command::OutOfMemory(unit) => {
                self.kernel.crash(UnitId(*unit), true);
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
        self.turn(Some(event))
    }

    /// The supervisor gets an event, or its deadline is served; everything it does is judged and done.
    fn turn(&mut self, event: Option<Event>) -> Result<(), String> {
        let now = self.kernel.now;
        let mut actions = std::mem::take(&mut self.actions);
        actions.clear();
        let timeout = event.is_none();
        match event {
            Some(event) => {
                self.oracle.hears(now, &event);
                self.supervisor.handle(now, event, &mut actions);
            }
            None => self.supervisor.handle_timeout(now, &mut actions),
        }
        for action in &actions {
            let judged = self.oracle.sees(&self.supervisor, &self.kernel, action);
            judged
                .and_then(|()| self.kernel.perform(action))
                .map_err(|what| match subject(action) {
                    Some(unit) => format!("{}: {what}", name(&self.supervisor, unit)),
                    None => what,
                })?;
        }
        self.actions = actions;
        if timeout {
            self.oracle.after_timeout(&self.supervisor, now)?;
        }
        // Looking at everything costs as much as the graph is large: seldom in large ones.
        if self.turns.is_multiple_of(1 + u64::from(self.units) / 4) {
            self.oracle.check_all(&self.supervisor)?;
        }
        Ok(())
    }
}

fn subject(action: &Action) -> Option<UnitId> {
    match action {
        Action::Prepare { unit, .. }
        | Action::RunHook { unit, .. }
        | Action::KillHook { unit, .. }
        | Action::WatchReadiness { unit, .. }
        | Action::Probe { unit, .. }
        | Action::Reload { unit, .. }
        | Action::Pause { unit, .. }
        | Action::Unpause { unit, .. }
        | Action::FlipPorts { unit, .. }
        | Action::Swapped { unit, .. }
        | Action::RemoveUnit { unit, .. }
        | Action::ArmTimer { unit, .. }
        | Action::DisarmTimer { unit, .. }
        | Action::Spawn { unit, .. }
        | Action::Terminate { unit, .. }
        | Action::Kill { unit, .. }
        | Action::Release { unit, .. }
        | Action::Changed { unit } => Some(*unit),
        Action::Reply { .. } | Action::Settled { .. } | Action::ShutdownComplete => None,
    }
}
