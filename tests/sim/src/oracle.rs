//! What must hold, whatever happens: judged from what the supervisor was told and what it did, not from its reasons.

mod start;
mod stop;
mod turn;

use crate::at_rest::{stopped_along, unit_at_rest};
use crate::kernel::Kernel;
use crate::known::{is_job, name, rules, wanted_up};
use crate::memory::{Memory, is_unhealthy};
use crate::run::Run;
use crate::units;
use std::collections::{BTreeMap, BTreeSet};
use supervisor::{
    Action, Event, Goal, HealthStatus, Notice, Outcome, Plan, RunId, SHUTDOWN_GRACE_MS, State,
    Supervisor, Timestamp, UnitId,
};
use unit::Concurrency;

/// What a ticket waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Up,
    Down,
    Other,
}

#[derive(Debug)]
pub(crate) struct Oracle {
    memories: BTreeMap<UnitId, Memory>,
    /// Commands that may start something, so far.
    starts: u64,
    /// Commands that may end a run whose unit stays wanted, so far.
    stops: u64,
    pub(crate) started_default: bool,
    settled: u32,
    open_tickets: BTreeMap<u64, (Wish, Vec<UnitId>)>,
    /// When the shutdown was asked for, and its budget.
    shutdown: Option<(Timestamp, u64)>,
    pub(crate) complete: bool,
    /// As told by `Changed`.
    states: Vec<State>,
    /// Whether each unit was wanted up when this turn began.
    wanted: Vec<bool>,
    /// Those that have entered `Failed` or `Finished` in this turn.
    ended: Vec<UnitId>,
    /// When a unit was last started by another one's end.
    triggered: BTreeMap<UnitId, Timestamp>,
    /// Times of timers that have been told, by unit and time.
    times: BTreeSet<(UnitId, i64)>,
    /// Runs of each place.
    begun: BTreeMap<UnitId, u64>,
    /// Commands to start something when the end of a run was told.
    starts_at_end: BTreeMap<RunId, u64>,
    /// Commands that may be what a run of the unit is for.
    asked: BTreeMap<UnitId, u64>,
    /// Runs that are being prepared, with their places and until when they may be.
    preparing: BTreeMap<RunId, (UnitId, Timestamp)>,
    /// Those that others of their template have to wait for: they are being restarted or replaced.
    turns: BTreeSet<UnitId>,
    any_conflicts: bool,
    any_triggers: bool,
    /// Jobs, by number and program, that were on disk as completed when this boot began, and nobody has asked for since.
    completed: BTreeSet<(u32, u64)>,
}

impl Oracle {
    pub(crate) fn new() -> Self {
        Self {
            memories: BTreeMap::new(),
            starts: 0,
            stops: 0,
            started_default: false,
            settled: 0,
            open_tickets: BTreeMap::new(),
            shutdown: None,
            complete: false,
            states: Vec::new(),
            wanted: Vec::new(),
            ended: Vec::new(),
            triggered: BTreeMap::new(),
            times: BTreeSet::new(),
            begun: BTreeMap::new(),
            starts_at_end: BTreeMap::new(),
            asked: BTreeMap::new(),
            preparing: BTreeMap::new(),
            turns: BTreeSet::new(),
            any_conflicts: false,
            any_triggers: false,
            completed: BTreeSet::new(),
        }
    }

    /// Before the supervisor gets it.
    pub(crate) fn hears(&mut self, world: &Supervisor, kernel: &Kernel, event: &Event) {
        let now = kernel.now;
        match event {
            Event::Start { units, ticket } | Event::Restart { units, ticket } => {
                self.starts += 1;
                let restarts = matches!(event, Event::Restart { .. });
                self.stops += u64::from(restarts);
                self.asks_for(kernel, units, restarts);
                self.completed.clear();
                self.open(*ticket, Wish::Up, units);
            }
            Event::Stop { units, ticket } => {
                for memory in self.memories.values_mut() {
                    memory.begun.clear();
                }
                self.open(*ticket, Wish::Down, units);
            }
            Event::ResetFailed { units, ticket } => {
                self.starts += 1;
                self.completed.clear();
                self.open(*ticket, Wish::Other, units);
            }
            Event::Reload { units, ticket }
            | Event::Pause { units, ticket }
            | Event::Unpause { units, ticket } => self.open(*ticket, Wish::Other, units),
            Event::Withdrawn { ticket } => {
                self.open_tickets.remove(&ticket.0);
            }
            Event::StartDefault => {
                self.starts += 1;
                self.started_default |= self.shutdown.is_none();
            }
            Event::Shutdown { within_ms } => {
                self.shutdown = self.shutdown.or(Some((now, *within_ms)));
            }
            Event::Recall { record } => {
                for (name, program) in &record.completed {
                    self.completed.insert((units::number(name), *program));
                }
            }
            Event::TimerElapsed {
                unit,
                scheduled_wall_ms,
            } => {
                self.times.insert((*unit, *scheduled_wall_ms));
                let replaces = world
                    .rules()
                    .get(unit.0 as usize)
                    .and_then(|rules| rules.timer.as_ref())
                    .is_some_and(|timer| timer.concurrency == Concurrency::Replace);
                self.stops += u64::from(replaces);
            }
            Event::Notified {
                run,
                notice: Notice::ExtendTimeout(ms),
                ..
            } => {
                if let Some((_, until)) = self.preparing.get_mut(run) {
                    *until = (*until).max(now.plus(*ms));
                }
            }
            Event::Exited { run, .. }
            | Event::SpawnFailed { run, .. }
            | Event::HookEnded { run, .. } => {
                self.starts_at_end.entry(*run).or_insert(self.starts);
            }
            _ => {}
        }
    }

    /// A command may be what the next run of these is for; one that restarts, of all that have a run.
    fn asks_for(&mut self, kernel: &Kernel, units: &[UnitId], restarts: bool) {
        for unit in units {
            *self.asked.entry(*unit).or_default() += 1;
        }
        if restarts {
            for run in kernel.runs.values().filter(|run| !run.told.released) {
                *self.asked.entry(run.place).or_default() += 1;
            }
        }
    }

    fn open(&mut self, ticket: Option<supervisor::Ticket>, wish: Wish, units: &[UnitId]) {
        if let Some(ticket) = ticket {
            self.open_tickets.insert(ticket.0, (wish, units.to_vec()));
        }
    }

    /// A set is about to be applied.
    pub(crate) fn hears_apply(&mut self, kernel: &Kernel, ticket: u64) {
        self.asks_for(kernel, &[], true);
        self.starts += 1;
        self.stops += 1;
        self.completed.clear();
        self.open_tickets.insert(ticket, (Wish::Other, Vec::new()));
    }

    /// Its timer is another one now: runs so far were for other times, and one for such a time may still wait for its turn.
    pub(crate) fn forgets_times(&mut self, unit: UnitId) {
        self.begun.remove(&unit);
        *self.asked.entry(unit).or_default() += 1;
    }

    /// Each action, just before the kernel performs it.
    pub(crate) fn sees(
        &mut self,
        world: &Supervisor,
        kernel: &Kernel,
        action: &Action,
    ) -> Result<(), String> {
        match action {
            Action::Prepare { unit, run } => self.sees_prepare(world, kernel, *unit, *run),
            Action::Spawn { unit, .. } => wanted_up(world, *unit),
            Action::Terminate { unit, .. } => self.sees_stop(world, kernel, *unit),
            Action::RunHook { unit, hook, .. }
                if hook.kind == supervisor::HookKind::PreStop && hook.index == 0 =>
            {
                self.sees_stop(world, kernel, *unit)
            }
            Action::Kill { unit, .. } => self.sees_kill(world, kernel, *unit),
            Action::Release { unit, .. } => {
                self.remember_end(kernel, *unit);
                Ok(())
            }
            Action::Changed { unit } => {
                let place = unit.0 as usize;
                if self.states.len() <= place {
                    self.states.resize(place + 1, State::Inactive);
                }
                self.states[place] = world.state(*unit).clone();
                if matches!(
                    world.state(*unit),
                    State::Failed { .. } | State::Finished { .. }
                ) {
                    self.ended.push(*unit);
                }
                Ok(())
            }
            Action::Swapped { unit, successor } => {
                self.starts += 1;
                self.asks_for(kernel, &[], true);
                // Those that say so restart with it.
                self.stops += 1;
                let (one, other) = (self.memories.remove(unit), self.memories.remove(successor));
                self.memories.extend(other.map(|memory| (*unit, memory)));
                self.memories.extend(one.map(|memory| (*successor, memory)));
                // The new version has got ready; nobody waits for the end of the old one.
                self.turns.remove(successor);
                Ok(())
            }
            Action::RemoveUnit { unit } => {
                self.memories.remove(unit);
                self.begun.remove(unit);
                self.asked.remove(unit);
                Ok(())
            }
            Action::Reply { ticket, outcome } => self.sees_reply(world, ticket.0, outcome),
            Action::Settled { .. } => {
                self.settled += 1;
                if self.settled > 1 {
                    Err("settled twice".to_owned())
                } else {
                    Ok(())
                }
            }
            Action::ShutdownComplete => {
                if self.complete || self.shutdown.is_none() {
                    return Err("shutdown complete, again or unasked".to_owned());
                }
                self.complete = true;
                match kernel.any_alive() {
                    Some(unit) => Err(format!(
                        "shutdown complete, but {} lives",
                        name(world, unit)
                    )),
                    None => Ok(()),
                }
            }
            Action::RunHook { .. }
            | Action::KillHook { .. }
            | Action::WatchReadiness { .. }
            | Action::Probe { .. }
            | Action::Reload { .. }
            | Action::Pause { .. }
            | Action::Unpause { .. }
            | Action::FlipPorts { .. }
            | Action::RestartsAtOnce { .. }
            | Action::ArmTimer { .. }
            | Action::DisarmTimer { .. } => Ok(()),
        }
    }

    /// A set is in force from now on.
    pub(crate) fn learns(&mut self, plan: &Plan) {
        self.any_conflicts = !plan.edges.conflicts.is_empty();
        // What a trigger has started stays so when another set has none any more.
        self.any_triggers |= !plan.edges.on_failure.is_empty() || !plan.edges.on_success.is_empty();
    }

    fn budget_is_spent(&self, now: Timestamp) -> bool {
        self.shutdown
            .is_some_and(|(at, within_ms)| now >= at.plus(within_ms))
    }

    /// There is no time for steps any more.
    pub(crate) fn is_hurried(&self, now: Timestamp) -> bool {
        self.budget_is_spent(now)
    }

    /// A run is over: what may come next without anybody asking for it.
    fn remember_end(&mut self, kernel: &Kernel, unit: UnitId) {
        let (starts, stops) = (self.starts, self.stops);
        let memory = self.memories.entry(unit).or_default();
        memory.forget(starts);
        if let Some(run) = kernel.at(unit) {
            memory.run_ended(run, stops, kernel.now);
            // One that was interrupted is made up for.
            if run.asked_to_stop() || run.told.ended.is_none() {
                *self.asked.entry(unit).or_default() += 1;
            }
            // Somebody has started it while its steps of post_stop ran.
            let before = self.starts_at_end.remove(&run.run);
            if before.is_some_and(|before| before != starts) {
                memory.begin_anew();
            }
        }
    }

    fn sees_reply(
        &mut self,
        world: &Supervisor,
        ticket: u64,
        outcome: &Outcome,
    ) -> Result<(), String> {
        let Some((wish, units)) = self.open_tickets.remove(&ticket) else {
            return Err(format!("a reply to ticket {ticket}, which is not open"));
        };
        match outcome {
            Outcome::Failed { message } if message.is_empty() => {
                Err("a failure without a word".to_owned())
            }
            Outcome::ShuttingDown if self.shutdown.is_none() => {
                Err("it is not shutting down".to_owned())
            }
            Outcome::Done => {
                let [unit] = units[..] else { return Ok(()) };
                let there = match wish {
                    // It may have got there and have been ended by a limit in one turn.
                    Wish::Up => {
                        let state = world.state(unit);
                        let skipped = matches!(state, State::Skipped { .. });
                        let ending =
                            matches!(state, State::PreStop { .. } | State::Stopping { .. });
                        world.is_ready(unit) || skipped || ending
                    }
                    Wish::Down => *world.state(unit) == State::Inactive,
                    Wish::Other => true,
                };
                let name = name(world, unit);
                // Its own end may have started what stops it again.
                if there || self.any_triggers {
                    Ok(())
                } else {
                    Err(format!("{name} is said to be {wish:?}, and is not"))
                }
            }
            Outcome::Failed { .. } | Outcome::ShuttingDown => Ok(()),
        }
    }

    /// After each turn: what an event must have led to.
    pub(crate) fn after_turn(
        &mut self,
        world: &Supervisor,
        kernel: &Kernel,
        event: Option<&Event>,
    ) -> Result<(), String> {
        self.forget_turns(world, kernel);
        let places = u32::try_from(world.graph().len()).unwrap_or(u32::MAX);
        let goals = (0..places).map(|place| world.goal(UnitId(place)));
        self.wanted.clear();
        self.wanted.extend(goals.map(|goal| goal == Goal::Up));
        match event {
            Some(Event::Stop { units, .. }) if self.shutdown.is_none() => {
                stopped_along(world, units)?;
            }
            Some(Event::Probed { run, .. }) => {
                // Who gets another one twice has nothing to do: what was put off by a stop that was taken back comes with
                // the next.
                if let Some(known) = kernel.runs.get(run).filter(|it| it.told.probe_heard) {
                    self.judge_health(world, known)?;
                }
            }
            Some(_) | None => {}
        }
        for unit in std::mem::take(&mut self.ended) {
            self.judge_triggers(world, kernel, unit)?;
        }
        Ok(())
    }

    fn judge_health(&self, world: &Supervisor, run: &Run) -> Result<(), String> {
        let open = run.told.probe_answered < run.told.probe_asked;
        let serving = run.told.ended.is_none() && run.told.started.is_some();
        // One that is to stop anyway waits for its turn.
        let leaves = run.asked_to_stop() || world.is_to_stop(run.place);
        if !open && serving && is_unhealthy(run) && !leaves {
            let waits = world.health(run.place) != Some(HealthStatus::Unhealthy);
            let what = if waits {
                "not noticed"
            } else {
                "of no consequence"
            };
            return Err(format!(
                "{}: its {} failed probes are {what}",
                name(world, run.place),
                run.told.probe_failures
            ));
        }
        Ok(())
    }

    /// What an end has to start is wanted up, unless it was started so a moment ago.
    fn judge_triggers(
        &mut self,
        world: &Supervisor,
        kernel: &Kernel,
        unit: UnitId,
    ) -> Result<(), String> {
        if self.shutdown.is_some() {
            return Ok(());
        }
        let graph = world.graph();
        let list = match world.state(unit) {
            State::Failed { .. } => graph.on_failure(unit),
            // A job that was completed before has not run now.
            State::Finished { .. } if rules(world, unit).is_ok_and(is_job) => return Ok(()),
            State::Finished { .. } => graph.on_success(unit),
            _ => return Ok(()),
        };
        for other in list {
            let recent = self
                .triggered
                .get(other)
                .is_some_and(|at| kernel.now.since(*at) < supervisor::TRIGGER_INTERVAL_MS_MIN);
            let lost = self.any_conflicts || !world.is_here(*other);
            if world.goal(*other) == Goal::Down && !recent && !lost {
                return Err(format!(
                    "{} has ended, and {} is not started for it",
                    name(world, unit),
                    name(world, *other)
                ));
            }
            let at = self.triggered.entry(*other).or_insert(kernel.now);
            if !recent {
                *at = kernel.now;
            } else if *at < kernel.now {
                // Too soon after that one: it is started when it may be, and from then on the next is too soon.
                *at = at.plus(supervisor::TRIGGER_INTERVAL_MS_MIN);
            }
        }
        Ok(())
    }

    /// After a turn in which deadlines were served.
    pub(crate) fn after_timeout(
        &mut self,
        world: &Supervisor,
        now: Timestamp,
    ) -> Result<(), String> {
        let waits = |run: &RunId, unit: UnitId| matches!(world.state(unit), State::Preparing { run: it, .. } if it == run);
        self.preparing.retain(|run, (unit, _)| waits(run, *unit));
        if let Some((unit, _)) = self.preparing.values().find(|(_, until)| *until <= now) {
            return Err(format!(
                "{} is being prepared for longer than its start_timeout",
                name(world, *unit)
            ));
        }
        if let Some(at) = world.next_deadline()
            && at <= now
        {
            return Err(format!(
                "its deadline of {} ms has passed and is still there",
                at.0
            ));
        }
        if let Some((at, within_ms)) = self.shutdown
            && !self.complete
            && world
                .next_deadline()
                .is_none_or(|next| next > now.plus(within_ms + SHUTDOWN_GRACE_MS))
        {
            return Err(format!(
                "the shutdown asked for at {} ms has no end in sight",
                at.0
            ));
        }
        Ok(())
    }

    /// Now and then: every unit.
    pub(crate) fn check_all(&self, world: &Supervisor) -> Result<(), String> {
        world.check()?;
        for (unit, seen) in (0u32..).map(UnitId).zip(&self.states) {
            // A container may put a deadline off: that is no other state.
            let now = world.state(unit);
            let same = now.name() == seen.name() && now.run() == seen.run();
            if !same && world.is_here(unit) {
                return Err(format!("{} has changed without a word", name(world, unit)));
            }
        }
        Ok(())
    }

    /// Nothing is under way but what comes again and again: every unit is where its goal says.
    pub(crate) fn at_rest(&self, world: &Supervisor, kernel: &Kernel) -> Result<(), String> {
        self.all_at_rest(world, kernel)?;
        self.check_all(world)?;
        if let Some((ticket, asked)) = self.open_tickets.first_key_value() {
            return Err(format!("ticket {ticket} was never answered: {asked:?}"));
        }
        if self.shutdown.is_some() && !self.complete {
            return Err("the shutdown does not come to its end".to_owned());
        }
        if self.settled == 0 && self.started_default && self.shutdown.is_none() {
            return Err("the boot never settles".to_owned());
        }
        Ok(())
    }

    /// The first unit that is not where its goal says.
    pub(crate) fn all_at_rest(&self, world: &Supervisor, kernel: &Kernel) -> Result<(), String> {
        let places = u32::try_from(world.graph().len()).unwrap_or(u32::MAX);
        for unit in (0..places).map(UnitId) {
            unit_at_rest(world, kernel, unit)
                .map_err(|what| format!("{}: {what}", name(world, unit)))?;
        }
        Ok(())
    }
}
