//! What must hold, whatever happens: judged from what the supervisor was told and what it did, not from its reasons.

use crate::kernel::{Kernel, Run, is_oneshot};
use std::collections::BTreeMap;
use supervisor::{
    Action, Event, Failure, Goal, Outcome, RESTART_DELAY_MS_MIN, Rules, SHUTDOWN_GRACE_MS, State,
    Supervisor, Timestamp, UnitId,
};
use unit::{Restart, Service};

/// What the end of a unit's last run allows.
#[derive(Clone, Copy, Debug, Default)]
struct Memory {
    /// The earliest next start by itself; `None`: somebody asked for the end, which says nothing.
    next: Option<NextStart>,
    /// The least that the last back-off can have been.
    delay_ms: Option<u64>,
    /// At least so many runs in a row have failed.
    failures: u32,
    /// In its whole life.
    failures_ever: u32,
    /// Number of the last command to start something that this memory knows of.
    starts: u64,
    /// Number of restart commands when the run began.
    restarts: u64,
}

#[derive(Clone, Copy, Debug)]
enum NextStart {
    NotBefore(Timestamp),
    Never(&'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Up,
    Down,
}

#[derive(Debug)]
pub(crate) struct Oracle {
    memories: BTreeMap<UnitId, Memory>,
    /// Commands that may start something, so far.
    starts: u64,
    /// Commands to restart something, so far.
    restarts: u64,
    pub(crate) started_default: bool,
    settled: u32,
    open_tickets: BTreeMap<u64, (Wish, Vec<UnitId>)>,
    /// When the shutdown was asked for, and its budget.
    shutdown: Option<(Timestamp, u64)>,
    pub(crate) complete: bool,
    /// As told by `Changed`.
    states: Vec<State>,
}

impl Oracle {
    pub(crate) fn new(units: usize) -> Self {
        Self {
            memories: BTreeMap::new(),
            starts: 0,
            restarts: 0,
            started_default: false,
            settled: 0,
            open_tickets: BTreeMap::new(),
            shutdown: None,
            complete: false,
            states: vec![State::Inactive; units],
        }
    }

    /// Before the supervisor gets it.
    pub(crate) fn hears(&mut self, now: Timestamp, event: &Event) {
        let (wish, units, ticket) = match event {
            Event::Start { units, ticket } | Event::Restart { units, ticket } => {
                (Wish::Up, units, ticket)
            }
            Event::Stop { units, ticket } => (Wish::Down, units, ticket),
            Event::StartDefault => {
                self.starts += 1;
                self.started_default |= self.shutdown.is_none();
                return;
            }
            Event::Shutdown { within_ms } => {
                self.shutdown = self.shutdown.or(Some((now, *within_ms)));
                return;
            }
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
            | Event::Prepared { .. }
            | Event::PrepareFailed { .. }
            | Event::Started { .. }
            | Event::SpawnFailed { .. }
            | Event::Exited { .. }
            | Event::Released { .. } => return,
        };
        self.starts += u64::from(wish == Wish::Up);
        self.restarts += u64::from(matches!(event, Event::Restart { .. }));
        if let Some(ticket) = ticket {
            self.open_tickets.insert(ticket.0, (wish, units.clone()));
        }
    }

    /// Each action, just before the kernel performs it.
    pub(crate) fn sees(
        &mut self,
        world: &Supervisor,
        kernel: &Kernel,
        action: &Action,
    ) -> Result<(), String> {
        match action {
            Action::Prepare { unit, .. } => self.sees_prepare(world, kernel, *unit),
            Action::Spawn { unit, .. } => wanted_up(world, *unit),
            Action::Terminate { unit, .. } => self.sees_stop(world, kernel, *unit),
            Action::Kill { unit, .. } => self.sees_kill(world, kernel, *unit),
            Action::Release { unit, .. } => {
                self.remember_end(world, kernel, *unit);
                Ok(())
            }
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
            | Action::DisarmTimer { .. } => Ok(()),
            Action::Changed { unit } => {
                let seen = self
                    .states
                    .get_mut(unit.0 as usize)
                    .ok_or("an unknown unit has changed")?;
                *seen = world.state(*unit).clone();
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
        }
    }

    fn sees_prepare(
        &mut self,
        world: &Supervisor,
        kernel: &Kernel,
        unit: UnitId,
    ) -> Result<(), String> {
        self.judge_prepare(world, kernel, unit)?;
        let restarts = self.restarts;
        self.memories.entry(unit).or_default().restarts = restarts;
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
            let other = name(world, link.unit);
            if link.required && !is_ready(world, kernel, link.unit) {
                return Err(format!(
                    "it starts, but {other}, which it requires and comes after, is not ready"
                ));
            }
            let failures = self
                .memories
                .get(&link.unit)
                .map_or(0, |memory| memory.failures_ever);
            let hopeful = failures < supervisor::FAILURES_STUCK;
            if hopeful
                && world.goal(link.unit) == Goal::Up
                && is_on_its_way(world, kernel, link.unit)
            {
                return Err(format!(
                    "it starts while {other}, which it comes after, is on its way"
                ));
            }
        }
        let Some(memory) = self
            .memories
            .get(&unit)
            .filter(|memory| memory.starts == self.starts)
        else {
            return Ok(());
        };
        match memory.next {
            Some(NextStart::Never(why)) => Err(format!("it starts again by itself though {why}")),
            Some(NextStart::NotBefore(at)) if kernel.now < at => {
                Err(format!("its back-off lasts until {} ms", at.0))
            }
            Some(NextStart::NotBefore(_)) | None => Ok(()),
        }
    }

    fn sees_kill(&self, world: &Supervisor, kernel: &Kernel, unit: UnitId) -> Result<(), String> {
        let Some(run) = kernel.runs.get(&unit) else {
            return Ok(());
        };
        let Some(asked_at) = run.terminated_at else {
            return self.sees_stop(world, kernel, unit);
        };
        let service = rules(world, unit)?
            .service
            .as_ref()
            .ok_or("a target is killed")?;
        if kernel.now < asked_at.plus(service.stop_timeout_ms) && !self.budget_is_spent(kernel.now)
        {
            return Err("it is killed before its stop_timeout".to_owned());
        }
        Ok(())
    }

    /// The first signal of a stop. One that has not started is used by nobody, so it needs no order.
    fn sees_stop(&self, world: &Supervisor, kernel: &Kernel, unit: UnitId) -> Result<(), String> {
        let started = kernel
            .runs
            .get(&unit)
            .is_some_and(|run| run.told.started.is_some());
        if !started || world.goal(unit) == Goal::Up || self.budget_is_spent(kernel.now) {
            return Ok(());
        }
        let later = world.graph().before(unit).iter().map(|link| link.unit);
        let mut stopping = later.filter(|other| world.goal(*other) == Goal::Down);
        let runs = |other: &UnitId| {
            kernel
                .runs
                .get(other)
                .is_some_and(|run| run.spawned && run.told.ended.is_none())
        };
        match stopping.find(runs) {
            Some(other) => Err(format!(
                "it is stopped before {}, which comes after it",
                name(world, other)
            )),
            None => Ok(()),
        }
    }

    fn budget_is_spent(&self, now: Timestamp) -> bool {
        self.shutdown
            .is_some_and(|(at, within_ms)| now >= at.plus(within_ms))
    }

    /// A run is over: what may come next without anybody asking for it.
    fn remember_end(&mut self, world: &Supervisor, kernel: &Kernel, unit: UnitId) {
        let (starts, restarts) = (self.starts, self.restarts);
        let memory = self.memories.entry(unit).or_default();
        if memory.starts != starts {
            let (failures_ever, restarts) = (memory.failures_ever, memory.restarts);
            *memory = Memory {
                failures_ever,
                starts,
                restarts,
                ..Memory::default()
            };
        }
        memory.next = None;
        let service = world
            .rules()
            .get(unit.0 as usize)
            .and_then(|rules| rules.service.as_ref());
        let (Some(run), Some(service)) = (kernel.runs.get(&unit), service) else {
            return;
        };
        let Some(ended) = run.told.ended else { return };
        // A run killed for its start_timeout failed, however it ended.
        memory.failures_ever += u32::from(!ended.success || run.killed);
        // A restart that waits for its turn to stop the unit makes any end the one that was asked for.
        if run.terminated_at.is_some() || run.killed || memory.restarts != restarts {
            return;
        }
        let lasted = run
            .told
            .started
            .is_some_and(|at| ended.at.since(at) >= service.restart_reset_after_ms);
        if lasted {
            memory.delay_ms = None;
            memory.failures = 0;
        }
        memory.failures = if ended.success {
            0
        } else {
            memory.failures + 1
        };
        let delay_ms = least_delay_ms(service, memory.delay_ms);
        memory.delay_ms = Some(delay_ms);
        let oneshot = service.kind == unit::ServiceKind::Oneshot;
        memory.next = Some(match (ended.success, service.restart) {
            (true, _) if oneshot => NextStart::Never("it has finished"),
            (
                true,
                Restart::No | Restart::OnFailure | Restart::OnAbnormal | Restart::OnWatchdog,
            ) => NextStart::Never("it has finished"),
            (false, Restart::No | Restart::OnWatchdog) => NextStart::Never("its policy is no"),
            (false, Restart::OnFailure)
                if service.restart_max > 0 && memory.failures > service.restart_max =>
            {
                NextStart::Never("restart_max is reached")
            }
            (
                _,
                Restart::Always | Restart::UnlessStopped | Restart::OnFailure | Restart::OnAbnormal,
            ) => NextStart::NotBefore(ended.at.plus(delay_ms)),
        });
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
                    Wish::Up => world.is_ready(unit),
                    Wish::Down => *world.state(unit) == State::Inactive,
                };
                let name = name(world, unit);
                if there {
                    Ok(())
                } else {
                    Err(format!("{name} is said to be {wish:?}, and is not"))
                }
            }
            Outcome::Failed { .. } | Outcome::ShuttingDown => Ok(()),
        }
    }

    /// After a turn in which deadlines were served.
    pub(crate) fn after_timeout(&self, world: &Supervisor, now: Timestamp) -> Result<(), String> {
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
            if world.state(unit) != seen {
                return Err(format!("{} has changed without a word", name(world, unit)));
            }
        }
        Ok(())
    }

    /// Nothing is under way and nothing is planned: every unit is where its goal says.
    pub(crate) fn at_rest(&self, world: &Supervisor, kernel: &Kernel) -> Result<(), String> {
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
        for unit in
            (0..self.states.len()).map(|unit| UnitId(u32::try_from(unit).unwrap_or(u32::MAX)))
        {
            unit_at_rest(world, kernel, unit)
                .map_err(|what| format!("{}: {what}", name(world, unit)))?;
        }
        Ok(())
    }
}

fn unit_at_rest(world: &Supervisor, kernel: &Kernel, unit: UnitId) -> Result<(), String> {
    let service = rules(world, unit)?.service.as_ref();
    let run = kernel.runs.get(&unit);
    let alive = run.is_some_and(|run| run.alive);
    let state = world.state(unit);
    let at_rest = match (world.goal(unit), state) {
        (Goal::Down, State::Inactive) => !alive,
        (Goal::Up, State::Running { .. }) => alive || service.is_none(),
        (Goal::Up, State::Finished { .. }) => {
            !alive
                && run
                    .and_then(|run| run.told.ended)
                    .is_some_and(|ended| ended.success)
        }
        (
            Goal::Up,
            State::Failed {
                reason: Failure::Dependency { .. },
            },
        ) => !alive,
        (Goal::Up, State::Failed { .. }) => {
            let restart = service.map(|service| service.restart);
            !alive && !matches!(restart, Some(Restart::Always | Restart::UnlessStopped))
        }
        (Goal::Up | Goal::Down, _) => false,
    };
    if at_rest {
        return Ok(());
    }
    let goal = world.goal(unit);
    Err(format!(
        "at rest with goal {goal:?}, state {state:?}, {}",
        if alive { "alive" } else { "no process" }
    ))
}

/// As far as the supervisor can know.
fn is_ready(world: &Supervisor, kernel: &Kernel, unit: UnitId) -> bool {
    let Some(rules) = world.rules().get(unit.0 as usize) else {
        return false;
    };
    if rules.service.is_none() {
        return matches!(world.state(unit), State::Running { .. });
    }
    let Some(run) = kernel.runs.get(&unit) else {
        return false;
    };
    let asked_to_stop = run.terminated_at.is_some() || run.killed;
    match run.told.ended {
        Some(ended) => ended.success && !asked_to_stop,
        None => run.told.started.is_some() && !asked_to_stop && !is_oneshot(rules),
    }
}

/// It has a run that has not come to anything yet.
fn is_on_its_way(world: &Supervisor, kernel: &Kernel, unit: UnitId) -> bool {
    let under_way = |run: &Run| !run.release_asked && run.told.ended.is_none();
    let run = kernel.runs.get(&unit).filter(|run| under_way(run));
    run.is_some() && !is_ready(world, kernel, unit)
}

fn wanted_up(world: &Supervisor, unit: UnitId) -> Result<(), String> {
    match world.goal(unit) {
        Goal::Up => Ok(()),
        Goal::Down => Err("it is started though its goal is down".to_owned()),
    }
}

/// The oracle's own reckoning of the back-off.
fn least_delay_ms(service: &Service, previous: Option<u64>) -> u64 {
    let wanted = previous.map_or(service.restart_delay_ms, |ms| {
        ms * service.restart_backoff_milli / 1_000
    });
    wanted
        .min(service.restart_delay_max_ms)
        .max(RESTART_DELAY_MS_MIN)
}

fn rules(world: &Supervisor, unit: UnitId) -> Result<&Rules, String> {
    world
        .rules()
        .get(unit.0 as usize)
        .ok_or_else(|| format!("there is no unit {}", unit.0))
}

pub(crate) fn name(world: &Supervisor, unit: UnitId) -> String {
    rules(world, unit).map_or_else(
        |_| format!("unit {}", unit.0),
        |rules| rules.name.to_string(),
    )
}
