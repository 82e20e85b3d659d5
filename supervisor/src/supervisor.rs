//! The supervisor: its parts, and one turn of it.

use crate::adjacency::index;
use crate::deadline::Deadlines;
use crate::group::Groups;
use crate::journal::{Cause, Change, Journal};
use crate::life::Life;
use crate::replace::Replacement;
use crate::request::Requests;
use crate::settle::SettleWatch;
use crate::shutdown::Shutdown;
use crate::{Action, Event, Goal, Graph, Plan, Rules, RunId, State, Timestamp, UnitId};
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};
use unit::UnitSet;

/// Decides over the life of a set of units. See the crate's page.
///
/// Serialised and read again, it goes on exactly where it was: that is how PID 1 re-executes itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Supervisor {
    pub(crate) graph: Graph,
    pub(crate) rules: Vec<Rules>,
    /// `default.target`
    pub(crate) default: Option<UnitId>,
    pub(crate) default_started: bool,
    pub(crate) lives: Vec<Life>,
    pub(crate) groups: Groups,
    /// Of the present turn; never goes back.
    pub(crate) now: Timestamp,
    pub(crate) last_run: RunId,
    /// To be advanced, each at most once.
    pub(crate) touched: VecDeque<UnitId>,
    /// To be started because of another unit's end, or by a timer.
    pub(crate) triggered: BTreeSet<UnitId>,
    /// The starts of this moment are not by request.
    pub(crate) keeps_start_limits: bool,
    /// Those that have entered another state in this turn, each once.
    pub(crate) changed: Vec<UnitId>,
    /// Where the runs are that have changed their place.
    pub(crate) moved: BTreeMap<RunId, UnitId>,
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
    /// For random delays.
    pub(crate) seed: u64,
    pub(crate) record_version: u64,
    #[cfg(feature = "mutants")]
    #[serde(skip)]
    pub(crate) mutant: Option<crate::Mutant>,
}

impl Supervisor {
    /// The places of the units are their indices in the set.
    #[must_use]
    pub fn new(set: &UnitSet) -> Self {
        Self::with(Plan::from(set))
    }

    /// From its parts. Units without rules are left alone for ever.
    #[must_use]
    pub fn with(plan: Plan) -> Self {
        let graph = Graph::new(&plan.edges);
        let lives = vec![Life::new(); graph.len()];
        let mut supervisor = Self {
            graph,
            rules: plan.rules,
            default: plan.default.map(UnitId),
            default_started: false,
            lives,
            groups: Groups::default(),
            now: Timestamp(0),
            last_run: RunId(0),
            touched: VecDeque::new(),
            triggered: BTreeSet::new(),
            keeps_start_limits: false,
            changed: Vec::new(),
            moved: BTreeMap::new(),
            deadlines: Deadlines::default(),
            requests: Requests::default(),
            settle: SettleWatch::default(),
            shutdown: None,
            live: 0,
            busy: 0,
            actions: Vec::new(),
            journal: Journal::default(),
            steps: 0,
            seed: 0,
            record_version: 0,
            #[cfg(feature = "mutants")]
            mutant: None,
        };
        supervisor.form_groups();
        supervisor.recount();
        supervisor
    }

    /// Takes in one event and appends what is to be done to `actions`.
    pub fn handle(&mut self, now: Timestamp, event: Event, actions: &mut Vec<Action>) {
        let first = actions.len();
        self.begin_turn(now, actions);
        self.take_in(&event);
        self.end_turn(Cause::Event(event), first, actions);
    }

    /// To be called when [`Self::next_deadline`] has come; harmless at any other time.
    pub fn handle_timeout(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        let first = actions.len();
        self.begin_turn(now, actions);
        self.take_due();
        self.end_turn(Cause::Timeout, first, actions);
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

    pub(crate) fn begin_turn(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        self.now = self.now.max(now);
        core::mem::swap(&mut self.actions, actions);
    }

    /// `first` of the actions are not of this turn.
    pub(crate) fn end_turn(&mut self, cause: Cause, first: usize, actions: &mut Vec<Action>) {
        // Nothing was due, so nothing is decided.
        let idle = cause == Cause::Timeout && self.touched.is_empty();
        loop {
            while let Some(unit) = self.touched.pop_front() {
                self.steps = self.steps.saturating_add(1);
                if let Some(life) = self.life_mut(unit) {
                    life.touched = false;
                }
                self.advance(unit);
            }
            if !self.start_triggered() {
                break;
            }
        }
        self.answer_new_request();
        let changes = self.tell_changes();
        self.tell_settled();
        self.tell_shutdown_complete();
        core::mem::swap(&mut self.actions, actions);
        let done = actions.get(first..).unwrap_or(&[]);
        if !idle || !done.is_empty() {
            self.journal.record(self.now, cause, done, changes);
        }
    }

    fn take_in(&mut self, event: &Event) {
        match event {
            Event::Recall { record } => self.recall(record),
            Event::StartDefault => self.start_default(),
            Event::Start { units, ticket } => self.start(units, *ticket),
            Event::Stop { units, ticket } => self.stop(units, *ticket),
            Event::Restart { units, ticket } => self.restart(units, *ticket),
            Event::Reload { units, ticket } => self.reload(units, *ticket),
            Event::Pause { units, ticket } => self.pause(units, *ticket),
            Event::Unpause { units, ticket } => self.unpause(units, *ticket),
            Event::ResetFailed { units, ticket } => self.reset_failed(units, *ticket),
            Event::Withdrawn { ticket } => self.withdraw(*ticket),
            Event::Shutdown { within_ms } => self.shut_down(*within_ms),
            Event::TimerElapsed {
                unit,
                scheduled_wall_ms,
            } => self.timer_elapsed(*unit, *scheduled_wall_ms),
            Event::ClockSetBack { wall_ms } => self.clock_set_back(*wall_ms),
            Event::Prepared { .. }
            | Event::PrepareFailed { .. }
            | Event::Skipped { .. }
            | Event::HookEnded { .. }
            | Event::HealthPlan { .. }
            | Event::Started { .. }
            | Event::SpawnFailed { .. }
            | Event::Ready { .. }
            | Event::Notified { .. }
            | Event::Probed { .. }
            | Event::Reloaded { .. }
            | Event::Paused { .. }
            | Event::Flipped { .. }
            | Event::Exited { .. }
            | Event::Released { .. } => self.report(event),
        }
    }

    fn take_due(&mut self) {
        while let Some(unit) = self.deadlines.pop_due(self.now) {
            self.count_steps(1);
            if let Some(life) = self.life_mut(unit) {
                life.deadline = None;
            }
            self.touch(unit);
        }
        self.end_shutdown_budget();
    }

    fn tell_changes(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        for unit in core::mem::take(&mut self.changed) {
            let Some(life) = self.life_mut(unit) else {
                continue;
            };
            life.changed = false;
            let state = life.state.clone();
            changes.push(Change { unit, state });
            self.actions.push(Action::Changed { unit });
        }
        changes
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
        if !rules.is_target() {
            count(&mut self.live, old.is_live(), life.state.is_live());
            count(
                &mut self.busy,
                old.run().is_some(),
                life.state.run().is_some(),
            );
        }
        let down = life.state == State::Inactive && life.goal == Goal::Down;
        if down {
            // The next start is for no time, or for another one.
            life.clock.run_for_wall_ms = None;
        }
        let scheduled = life.state == State::Scheduled && !life.due;
        self.publish(unit);
        if scheduled {
            self.has_got_scheduled(unit);
        }
        if down {
            self.has_got_down(unit);
        }
    }

    /// Sets the unit's deadline to the earliest of all that it waits for.
    pub(crate) fn rearm(&mut self, unit: UnitId) {
        let new = self.wanted_deadline(unit);
        let Self {
            lives, deadlines, ..
        } = self;
        if let Some(life) = lives.get_mut(index(unit.0)) {
            deadlines.rearm(unit, life.deadline, new);
            life.deadline = new;
        }
    }

    pub(crate) fn wanted_deadline(&self, unit: UnitId) -> Option<Timestamp> {
        let life = self.life(unit)?;
        let present = match &life.state {
            State::Started { .. } | State::Running { .. } => life.present.deadline(),
            State::Inactive
            | State::Scheduled
            | State::Waiting
            | State::Preparing { .. }
            | State::PreStart { .. }
            | State::Starting { .. }
            | State::PreStop { .. }
            | State::Stopping { .. }
            | State::PostStop { .. }
            | State::Releasing { .. }
            | State::Backoff { .. }
            | State::Finished { .. }
            | State::Skipped { .. }
            | State::Failed { .. } => None,
        };
        let replacement = match life.replacement {
            Some(Replacement::Old {
                until,
                flipping: None,
                ..
            }) => Some(until),
            Some(Replacement::Old { .. } | Replacement::New { .. }) | None => None,
        };
        [
            life.state.deadline(),
            present,
            self.clock_due(unit),
            life.trigger_at,
            replacement,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// So many units or edges more have been looked at.
    pub(crate) fn count_steps(&mut self, more: usize) {
        let more = u64::try_from(more).unwrap_or(u64::MAX);
        self.steps = self.steps.saturating_add(more);
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

    pub(crate) fn both(&mut self, unit: UnitId) -> Option<(&mut Life, &Rules)> {
        let place = index(unit.0);
        self.lives.get_mut(place).zip(self.rules.get(place))
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
