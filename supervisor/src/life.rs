//! The record of one unit.

use crate::standing::Standing;
use crate::{Exit, Failure, Goal, RunId, State, Timestamp};
use serde::{Deserialize, Serialize};

/// Everything that is known of one unit's life. Only `Supervisor::enter` changes `state`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Life {
    pub(crate) goal: Goal,
    /// An operator asked for a restart: it has to be down once before it may be up again.
    pub(crate) bounce: bool,
    pub(crate) state: State,
    /// The operator has stopped it since it was last started.
    pub(crate) stopped: bool,
    /// When `state` was entered.
    pub(crate) since: Timestamp,
    /// The latest run.
    pub(crate) run: Option<RunId>,
    /// While stopping: the failure it is stopped for; `None` when it was asked for.
    pub(crate) stop_cause: Option<Failure>,
    /// While releasing: what comes then, if the goal is still up.
    pub(crate) next: Next,
    /// Restarts by itself since somebody last started it.
    pub(crate) restarts: u32,
    /// Failed runs in a row.
    pub(crate) failures: u32,
    /// The back-off of the last restart, from which the next one grows. `None`: there was none in a row.
    pub(crate) delay_ms: Option<u64>,
    pub(crate) last_exit: Option<Exit>,
    pub(crate) last_failure: Option<Failure>,
    pub(crate) settling: Settling,

    /// What the neighbours have counted of this unit.
    pub(crate) standing: Standing,
    /// Units that this one comes after and that are not far enough.
    pub(crate) blockers: u32,
    /// Units that it requires and that failed.
    pub(crate) failed_requirements: u32,
    /// Units that it requires and comes after, and that do not get ready.
    pub(crate) stuck_requirements: u32,
    /// Later units that are going down and have not ended yet.
    pub(crate) stop_blockers: u32,

    pub(crate) deadline: Option<Timestamp>,
    /// It is in the queue of units to advance.
    pub(crate) touched: bool,
    /// It has entered another state in this turn.
    pub(crate) changed: bool,
}

/// What follows a run, once it is released.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Next {
    Start,
    Backoff { until: Timestamp },
    Finished { exit: Exit },
    Failed { reason: Failure },
}

/// What the unit is to the first start of `default.target`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Settling {
    /// Not one of its units, or a target.
    No,
    Pending,
    Ready,
    Failed,
    /// An operator stopped it before it got there.
    Stopped,
}

impl Life {
    pub(crate) fn new() -> Self {
        Self {
            goal: Goal::Down,
            bounce: false,
            stopped: false,
            state: State::Inactive,
            since: Timestamp(0),
            run: None,
            stop_cause: None,
            next: Next::Start,
            restarts: 0,
            failures: 0,
            delay_ms: None,
            last_exit: None,
            last_failure: None,
            settling: Settling::No,
            standing: Standing::INACTIVE,
            blockers: 0,
            failed_requirements: 0,
            stuck_requirements: 0,
            stop_blockers: 0,
            deadline: None,
            touched: false,
            changed: false,
        }
    }

    /// Somebody starts it: what it did before no longer counts.
    pub(crate) fn forget_failures(&mut self) {
        self.restarts = 0;
        self.failures = 0;
        self.delay_ms = None;
    }

    /// It is to be down, for good or for a restart.
    pub(crate) fn is_leaving(&self) -> bool {
        self.goal == Goal::Down || self.bounce
    }
}
