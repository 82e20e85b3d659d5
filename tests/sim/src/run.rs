//! One run, as it really is and as far as the supervisor has been told.

use crate::behaviour::Behaviour;
use std::rc::Rc;
use supervisor::{Hook, HookKind, Rules, RunId, Timestamp, UnitId};
use unit::{HealthPlan, HookFailure, ReadinessMode, ServiceKind};

/// What is at a place: the definition that `init` has there.
#[derive(Clone, Debug)]
pub(crate) struct Definition {
    pub(crate) unit: u32,
    pub(crate) rules: Rc<Rules>,
    pub(crate) behaviour: Behaviour,
    pub(crate) plan: Option<HealthPlan>,
}

#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) run: RunId,
    /// Where it is now.
    pub(crate) place: UnitId,
    /// Where it began: late reports still say so.
    pub(crate) first_place: UnitId,
    pub(crate) definition: Definition,
    /// The n-th of its unit.
    pub(crate) number: u64,
    /// It is, or was, the old or the new version in a replacement that has not come to its end for it.
    pub(crate) beside: bool,
    pub(crate) spawned: bool,
    /// There is a container.
    pub(crate) alive: bool,
    pub(crate) watched: bool,
    pub(crate) frozen: bool,
    /// Its own end came while it was frozen.
    pub(crate) end_waits: bool,
    pub(crate) terminated_at: Option<Timestamp>,
    pub(crate) killed: bool,
    pub(crate) release_asked: bool,
    /// The step that runs, in a container of its own or in this one.
    pub(crate) hook: Option<Hook>,
    pub(crate) hook_killed: bool,
    /// A step before its container was to end early, whatever has run since.
    pub(crate) start_cancelled: bool,
    /// Steps of each list that have ended, as told, and whether one of them counts as a failure.
    pub(crate) steps: [Steps; 4],
    pub(crate) pausing: bool,
    pub(crate) told: Told,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Steps {
    pub(crate) begun: u32,
    pub(crate) ended: u32,
    pub(crate) failed: bool,
}

/// What has been delivered about a run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Told {
    pub(crate) began: Timestamp,
    pub(crate) prepared: bool,
    pub(crate) skipped: bool,
    pub(crate) started: Option<Timestamp>,
    pub(crate) ended: Option<Ended>,
    pub(crate) released: bool,
    pub(crate) sign: bool,
    /// It has done what it is for since then.
    pub(crate) served: Option<Timestamp>,
    /// Number of the last probe that was asked, and of the last one that was answered.
    pub(crate) probe_asked: u64,
    pub(crate) probe_answered: u64,
    /// The latest answer was one to an open probe.
    pub(crate) probe_heard: bool,
    /// When the last probe that was asked may be given up.
    pub(crate) probe_until: Timestamp,
    /// In a row, of those that count; a probe that is never answered is a failure. At least, and at most: of an answer that
    /// comes too late nobody can say from outside whether it was waited for.
    pub(crate) probe_failures: u32,
    pub(crate) probe_failures_most: u32,
    pub(crate) probe_successes: u32,
    pub(crate) ever_succeeded: bool,
    pub(crate) ever_healthy: bool,
    pub(crate) healthy: bool,
    pub(crate) pinged: Option<Timestamp>,
    pub(crate) flipped: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) at: Timestamp,
    pub(crate) success: bool,
    /// By an exit code, with which one.
    pub(crate) code: Option<i32>,
    pub(crate) by_signal: bool,
}

pub(crate) fn slot(kind: HookKind) -> usize {
    match kind {
        HookKind::PreStart => 0,
        HookKind::PostStart => 1,
        HookKind::PreStop => 2,
        HookKind::PostStop => 3,
    }
}

impl Run {
    pub(crate) fn hooks(&self, kind: HookKind) -> &[unit::Hook] {
        let Some(service) = &self.definition.rules.service else {
            return &[];
        };
        match kind {
            HookKind::PreStart => &service.pre_start,
            HookKind::PostStart => &service.post_start,
            HookKind::PreStop => &service.pre_stop,
            HookKind::PostStop => &service.post_stop,
        }
    }

    /// All steps of the list have ended, and none has failed that counts.
    pub(crate) fn has_passed(&self, kind: HookKind) -> bool {
        let steps = self.steps[slot(kind)];
        !steps.failed && steps.ended as usize >= self.hooks(kind).len()
    }

    pub(crate) fn counts(&self, hook: Hook) -> bool {
        let list = self.hooks(hook.kind);
        list.get(hook.index as usize)
            .is_some_and(|hook| hook.on_failure == HookFailure::Fail)
    }

    pub(crate) fn asked_to_stop(&self) -> bool {
        self.terminated_at.is_some() || self.killed || self.steps[slot(HookKind::PreStop)].begun > 0
    }

    /// Nobody has said that it is prepared, or why it can't be, though its time for that is over.
    pub(crate) fn has_prepared_too_long(&self, now: Timestamp) -> bool {
        let service = self.definition.rules.service.as_ref();
        let silent = !self.told.prepared && !self.told.skipped && self.told.ended.is_none();
        silent && service.is_some_and(|it| now.since(self.told.began) >= it.start_timeout_ms)
    }

    /// Its command is meant to end.
    pub(crate) fn ends(&self) -> bool {
        ends(&self.definition.rules)
    }

    /// As far as the supervisor can know, those that wait for it may start.
    pub(crate) fn is_ready(&self) -> bool {
        match self.told.ended {
            Some(ended) => {
                let cleaned = !self.steps[slot(HookKind::PostStop)].failed;
                ended.success && !self.asked_to_stop() && cleaned
            }
            None if self.told.skipped => true,
            None => self.is_serving() && !self.ends(),
        }
    }

    /// The container runs, and has shown all that its readiness asks for.
    pub(crate) fn is_serving(&self) -> bool {
        let rules = &self.definition.rules;
        let shown = match &rules.readiness.mode {
            ReadinessMode::Started => true,
            ReadinessMode::Exit => {
                rules.service.as_ref().map(|it| it.kind) == Some(ServiceKind::Job)
            }
            ReadinessMode::Healthy => self.told.ever_healthy,
            ReadinessMode::Notify | ReadinessMode::Port { .. } | ReadinessMode::Log { .. } => {
                self.told.sign
            }
        };
        let started = self.told.started.is_some() && self.told.ended.is_none();
        started && !self.asked_to_stop() && shown && self.has_passed(HookKind::PostStart)
    }

    pub(crate) fn is_on_its_way(&self) -> bool {
        !self.release_asked && self.told.ended.is_none() && !self.is_ready()
    }
}

pub(crate) fn ends(rules: &Rules) -> bool {
    rules
        .service
        .as_ref()
        .is_some_and(|service| service.kind.ends())
}
