//! Steps beside the run: one after the other, each with its own time limit.
//!
//! Those of `pre_start` and `post_stop` have containers of their own, so that the run goes on only when theirs has ended.
//! Those of `post_start` and `pre_stop` run in the unit's container and end with it at the latest.

use crate::advance::Step;
use crate::mutant::Mutant;
use crate::restart::End;
use crate::text::shortened;
use crate::{Action, Failure, Hook, HookKind, HookStep, RunId, State, Supervisor, UnitId};
use alloc::string::String;
use unit::{HookFailure, Service};

impl HookKind {
    pub(crate) fn list(self, service: &Service) -> &[unit::Hook] {
        match self {
            Self::PreStart => &service.pre_start,
            Self::PostStart => &service.post_start,
            Self::PreStop => &service.pre_stop,
            Self::PostStop => &service.post_stop,
        }
    }

    /// As in the unit file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PreStart => "pre_start",
            Self::PostStart => "post_start",
            Self::PreStop => "pre_stop",
            Self::PostStop => "post_stop",
        }
    }
}

impl Supervisor {
    /// Starts the first step of the list; `false` when it is empty.
    pub(crate) fn begin_hooks(&mut self, unit: UnitId, run: RunId, kind: HookKind) -> bool {
        self.run_hook(unit, run, Hook { kind, index: 0 })
    }

    fn hook_of(&self, unit: UnitId, hook: Hook) -> Option<&unit::Hook> {
        let service = self.rules_of(unit)?.service.as_ref()?;
        let place = crate::adjacency::index(hook.index);
        hook.kind.list(service).get(place)
    }

    fn run_hook(&mut self, unit: UnitId, run: RunId, hook: Hook) -> bool {
        let Some(timeout_ms) = self.hook_of(unit, hook).map(|it| it.timeout_ms) else {
            return false;
        };
        let step = HookStep {
            index: hook.index,
            deadline: self.now.plus(timeout_ms),
            killed: false,
        };
        if let Some(life) = self.life_mut(unit) {
            life.present.begun = true;
        }
        self.actions.push(Action::RunHook { unit, run, hook });
        match hook.kind {
            HookKind::PreStart => self.enter(unit, State::PreStart { run, step }),
            HookKind::PreStop => self.enter(unit, State::PreStop { run, step }),
            HookKind::PostStop => self.enter(unit, State::PostStop { run, step }),
            HookKind::PostStart => {
                if let Some(life) = self.life_mut(unit) {
                    life.present.post_start = Some(step);
                }
            }
        }
        true
    }

    /// `PreStart`, `PreStop` or `PostStop`: ends the step when its time is over or nobody wants it any more.
    pub(crate) fn step_hook(&mut self, unit: UnitId, run: RunId, step: HookStep) -> Step {
        let Some(life) = self.life(unit) else {
            return Step::Rest;
        };
        let spent = self.budget_is_spent();
        let (kind, unwanted) = match &life.state {
            State::PreStart { .. } => {
                let lost = life.stop_cause.is_some();
                (HookKind::PreStart, life.is_leaving() || lost || spent)
            }
            State::PreStop { .. } if spent => return self.kill(unit, run),
            State::PreStop { .. } => (HookKind::PreStop, false),
            State::PostStop { .. } => (HookKind::PostStop, spent),
            State::Inactive
            | State::Scheduled
            | State::Waiting
            | State::Preparing { .. }
            | State::Starting { .. }
            | State::Started { .. }
            | State::Running { .. }
            | State::Stopping { .. }
            | State::Releasing { .. }
            | State::Backoff { .. }
            | State::Finished { .. }
            | State::Skipped { .. }
            | State::Failed { .. } => return Step::Rest,
        };
        if step.killed || !(unwanted || self.now >= step.deadline) {
            return Step::Rest;
        }
        let hook = Hook {
            kind,
            index: step.index,
        };
        let step = HookStep {
            killed: true,
            ..step
        };
        self.actions.push(Action::KillHook { unit, run, hook });
        let state = match kind {
            HookKind::PreStart => State::PreStart { run, step },
            HookKind::PreStop => State::PreStop { run, step },
            HookKind::PostStop => State::PostStop { run, step },
            HookKind::PostStart => return Step::Rest,
        };
        self.enter(unit, state);
        Step::Rest
    }

    /// The same for `post_start`, beside the state.
    pub(crate) fn serve_post_start(&mut self, unit: UnitId, run: RunId) {
        let now = self.now;
        let Some(life) = self.life_mut(unit) else {
            return;
        };
        if let Some(step) = &mut life.present.post_start
            && !step.killed
            && now >= step.deadline
        {
            step.killed = true;
            let hook = Hook {
                kind: HookKind::PostStart,
                index: step.index,
            };
            self.actions.push(Action::KillHook { unit, run, hook });
        }
    }

    pub(crate) fn begin_post_start(&mut self, unit: UnitId, run: RunId) {
        let any = self.begin_hooks(unit, run, HookKind::PostStart);
        if let Some(life) = self.life_mut(unit) {
            life.present.post_started = !any;
        }
    }

    /// A step has ended: the next one, or what comes after the last.
    pub(crate) fn hook_ended(
        &mut self,
        unit: UnitId,
        run: RunId,
        hook: Hook,
        failure: Option<&String>,
    ) {
        let Some(life) = self.life(unit) else { return };
        let step = match (&life.state, hook.kind) {
            (State::PreStart { step, .. }, HookKind::PreStart)
            | (State::PreStop { step, .. }, HookKind::PreStop)
            | (State::PostStop { step, .. }, HookKind::PostStop) => Some(*step),
            (State::Started { .. } | State::Running { .. }, HookKind::PostStart) => {
                life.present.post_start
            }
            (
                _,
                HookKind::PreStart | HookKind::PostStart | HookKind::PreStop | HookKind::PostStop,
            ) => None,
        };
        let Some(step) = step.filter(|step| step.index == hook.index) else {
            return;
        };
        let reason = match failure {
            _ if step.killed && self.now >= step.deadline => {
                Some(String::from("took longer than its timeout"))
            }
            Some(reason) => Some(shortened(reason)),
            None if step.killed => Some(String::from("killed")),
            None => None,
        };
        let counts = self
            .hook_of(unit, hook)
            .is_some_and(|it| it.on_failure == HookFailure::Fail);
        let failure = reason
            .filter(|_| counts && !self.planted(Mutant::HookFailureIgnored))
            .map(|reason| Failure::Hook { hook, reason });
        let next = Hook {
            index: hook.index.saturating_add(1),
            ..hook
        };
        match hook.kind {
            HookKind::PreStart => self.pre_start_ended(unit, run, next, failure),
            HookKind::PostStart => self.post_start_ended(unit, run, next, failure),
            HookKind::PreStop => {
                if !self.run_hook(unit, run, next) {
                    self.terminate(unit, run);
                }
            }
            HookKind::PostStop => self.post_stop_ended(unit, run, next, failure),
        }
    }

    /// What was prepared is gone before the container could use it: the step that runs is in vain.
    pub(crate) fn lost_in_pre_start(&mut self, unit: UnitId, reason: &str, lasting: bool) {
        let ignored = self.planted(Mutant::LostPreparationIgnored);
        if let Some(life) = self.life_mut(unit)
            && matches!(life.state, State::PreStart { .. })
            && !ignored
        {
            let failure = Self::prepare_failure(reason, lasting);
            life.stop_cause.get_or_insert(failure);
        }
    }

    fn pre_start_ended(&mut self, unit: UnitId, run: RunId, next: Hook, failure: Option<Failure>) {
        let leaving = self.life(unit).is_some_and(crate::life::Life::is_leaving);
        let lost = self.life(unit).and_then(|life| life.stop_cause.clone());
        match lost.or(failure) {
            _ if leaving || self.budget_is_spent() => self.run_ended(unit, run, End::Cancelled),
            Some(failure) => self.run_ended(unit, run, End::Failure(failure)),
            None if self.run_hook(unit, run, next) => {}
            None => self.spawn(unit, run),
        }
    }

    fn post_start_ended(&mut self, unit: UnitId, run: RunId, next: Hook, failure: Option<Failure>) {
        if let Some(life) = self.life_mut(unit) {
            life.present.post_start = None;
        }
        if let Some(failure) = failure {
            self.end_for(unit, failure);
        } else if !self.run_hook(unit, run, next)
            && let Some(life) = self.life_mut(unit)
        {
            life.present.post_started = true;
        }
    }

    fn post_stop_ended(&mut self, unit: UnitId, run: RunId, next: Hook, failure: Option<Failure>) {
        if let Some(failure) = failure {
            self.clean_up_failed(unit, failure);
        }
        if self.budget_is_spent() || !self.run_hook(unit, run, next) {
            self.release(unit, run);
        }
    }
}
