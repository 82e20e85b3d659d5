//! The supervisor: its parts, and one turn of it.

use crate::deadline::Deadlines;
use crate::graph::index;
use crate::journal::{Cause, Journal};
use crate::life::Life;
use crate::request::Requests;
use crate::settle::SettleWatch;
use crate::shutdown::Shutdown;
use crate::{Action, Event, Goal, Graph, Rules, RunId, State, Timestamp, UnitId};
use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;
use unit::UnitSet;

/// Decides over the life of a set of units. See the crate's page.
#[derive(Clone, Debug)]
pub struct Supervisor {
    pub(crate) graph: Graph,
    pub(crate) rules: Vec<Rules>,
    /// `default.target`
    pub(crate) default: Option<UnitId>,
    pub(crate) lives: Vec<Life>,
    /// Of the present turn; never goes back.
    pub(crate) now: Timestamp,
    pub(crate) last_run: RunId,
    /// To be advanced, each at most once.
    pub(crate) touched: VecDeque<UnitId>,
    /// Those that have entered another state in this turn, each once.
    pub(crate) changed: Vec<UnitId>,
    pub(crate) deadlines: Deadlines,
    pub(crate) requests: Requests,
    pub(crate) settle: SettleWatch,
    pub(crate) shutdown: Option<Shutdown>,
    /// Containers whose state may have a process.
    pub(crate) live: u32,
    /// Containers with a run that is not released.
    pub(crate) busy: u32,
    /// Of the present turn.
    pub(crate) actions: Vec<Action>,
    pub(crate) journal: Journal,
    /// Units advanced and edges walked so far.
    pub(crate) steps: u64,
    #[cfg(feature = "mutants")]
    pub(crate) mutant: Option<crate::Mutant>,
}

impl Supervisor {
    #[must_use]
    pub fn new(set: &UnitSet) -> Self {
        let default = set.default_target().map(UnitId);
        Self::with(Graph::from(set), Rules::of(set), default)
    }

    /// From its parts. Units without rules are left alone for ever.
    #[must_use]
    pub fn with(graph: Graph, rules: Vec<Rules>, default: Option<UnitId>) -> Self {
        let mut lives = vec![Life::new(); graph.len()];
        for (unit, life) in (0u32..).map(UnitId).zip(&mut lives) {
            let required = graph.after(unit).iter().filter(|link| link.required);
            life.blockers = u32::try_from(required.count()).unwrap_or(u32::MAX);
        }
        Self {
            graph,
            rules,
            default,
            lives,
            now: Timestamp(0),
            last_run: RunId(0),
            touched: VecDeque::new(),
            changed: Vec::new(),
            deadlines: Deadlines::default(),
            requests: Requests::default(),
            settle: SettleWatch::default(),
            shutdown: None,
            live: 0,
            busy: 0,
            actions: Vec::new(),
            journal: Journal::default(),
            steps: 0,
            #[cfg(feature = "mutants")]
            mutant: None,
        }
    }

    /// Takes in one event and appends what is to be done to `actions`.
    pub fn handle(&mut self, now: Timestamp, event: Event, actions: &mut Vec<Action>) {
        self.turn(now, Cause::Event(event), actions);
    }

    /// To be called when [`Self::next_deadline`] has come; harmless at any other time.
    pub fn handle_timeout(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        self.turn(now, Cause::Timeout, actions);
    }

    /// When `handle_timeout` wants to be called, unless an event comes first.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let shutdown = self.shutdown.as_ref().and_then(Shutdown::next_deadline);
        [self.deadlines.first(), shutdown]
            .into_iter()
            .flatten()
            .min()
    }

    fn turn(&mut self, now: Timestamp, cause: Cause, actions: &mut Vec<Action>) {
        self.now = self.now.max(now);
        let first = actions.len();
        core::mem::swap(&mut self.actions, actions);
        match &cause {
            Cause::Event(event) => self.take_in(event),
            Cause::Timeout => self.take_due(),
        }
        while let Some(unit) = self.touched.pop_front() {
            self.steps = self.steps.saturating_add(1);
            if let Some(life) = self.life_mut(unit) {
                life.touched = false;
            }
            self.advance(unit);
        }
        self.answer_new_request();
        self.tell_changes();
        self.tell_settled();
        self.tell_shutdown_complete();
        core::mem::swap(&mut self.actions, actions);
        self.journal
            .record(self.now, cause, actions.get(first..).unwrap_or(&[]));
    }

    fn take_in(&mut self, event: &Event) {
        match event {
            Event::Recall { record } => self.recall(record),
            Event::StartDefault => self.start_default(),
            Event::Start { units, ticket } => self.start(units, *ticket),
            Event::Stop { units, ticket } => self.stop(units, *ticket),
            Event::Restart { units, ticket } => self.restart(units, *ticket),
            Event::Shutdown { within_ms } => self.shut_down(*within_ms),
            Event::Prepared { .. }
            | Event::PrepareFailed { .. }
            | Event::Started { .. }
            | Event::SpawnFailed { .. }
            | Event::Exited { .. }
            | Event::Released { .. } => self.report(event),
            // Decided by what is being built; nobody sends these yet.
            Event::Reload { .. }
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
            | Event::Flipped { .. } => {}
        }
    }

    fn take_due(&mut self) {
        while let Some(unit) = self.deadlines.pop_due(self.now) {
            if let Some(life) = self.life_mut(unit) {
                life.deadline = None;
            }
            self.touch(unit);
        }
        self.end_shutdown_budget();
    }

    fn tell_changes(&mut self) {
        for unit in core::mem::take(&mut self.changed) {
            if let Some(life) = self.life_mut(unit) {
                life.changed = false;
            }
            self.actions.push(Action::Changed { unit });
        }
    }

    /// The only way into another state.
    pub(crate) fn enter(&mut self, unit: UnitId, state: State) {
        let place = index(unit.0);
        let (Some(life), Some(rules)) = (self.lives.get_mut(place), self.rules.get(place)) else {
            return;
        };
        let old = core::mem::replace(&mut life.state, state);
        life.since = self.now;
        if !life.changed {
            life.changed = true;
            self.changed.push(unit);
        }
        let deadline = life.state.deadline();
        self.deadlines.rearm(unit, life.deadline, deadline);
        life.deadline = deadline;
        if !rules.is_target() {
            count(&mut self.live, old.is_live(), life.state.is_live());
            count(
                &mut self.busy,
                old.run().is_some(),
                life.state.run().is_some(),
            );
        }
        let down = life.state == State::Inactive && life.goal == Goal::Down;
        self.publish(unit);
        if down {
            self.has_got_down(unit);
        }
    }

    pub(crate) fn life(&self, unit: UnitId) -> Option<&Life> {
        self.lives.get(index(unit.0))
    }

    pub(crate) fn life_mut(&mut self, unit: UnitId) -> Option<&mut Life> {
        self.lives.get_mut(index(unit.0))
    }

    pub(crate) fn rules_of(&self, unit: UnitId) -> Option<&Rules> {
        self.rules.get(index(unit.0))
    }

    pub(crate) fn touch(&mut self, unit: UnitId) {
        let Self { lives, touched, .. } = self;
        if let Some(life) = lives.get_mut(index(unit.0)) {
            life.touch(unit, touched);
        }
    }

    pub(crate) fn units(&self) -> impl Iterator<Item = UnitId> + use<> {
        (0u32..).take(self.lives.len()).map(UnitId)
    }
}

impl Life {
    /// Queues the unit to be advanced.
    pub(crate) fn touch(&mut self, unit: UnitId, touched: &mut VecDeque<UnitId>) {
        if !self.touched {
            self.touched = true;
            touched.push_back(unit);
        }
    }
}

fn count(total: &mut u32, old: bool, new: bool) {
    *total = match (old, new) {
        (false, true) => total.saturating_add(1),
        (true, false) => total.saturating_sub(1),
        (false, false) | (true, true) => *total,
    };
}
