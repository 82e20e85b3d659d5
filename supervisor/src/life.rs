//! The record of one unit.

use crate::history::History;
use crate::present::Present;
use crate::replace::Replacement;
use crate::standing::Standing;
use crate::{Exit, Failure, Goal, RunId, State, Timestamp, UnitId};
use alloc::collections::VecDeque;
use alloc::string::String;
use serde::{Deserialize, Serialize};

/// Everything that is known of one unit's life. Only `Supervisor::enter` changes `state`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Life {
    pub(crate) goal: Goal,
    /// It has to be down once before it may be up again.
    pub(crate) bounce: bool,
    pub(crate) state: State,
    /// An operator has stopped it since it was last started.
    pub(crate) stopped: bool,
    /// Why the goal is down; `None`: nobody has wanted it up yet.
    pub(crate) lowered: Option<Lowered>,
    /// A run is due although the unit is scheduled or completed: somebody asked, or a time has come.
    pub(crate) due: bool,
    /// When `state` was entered.
    pub(crate) since: Timestamp,
    /// The latest run.
    pub(crate) run: Option<RunId>,
    /// What is known of that run.
    pub(crate) present: Present,
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
    /// Of the starts that `start_limit` looks at, oldest first; at most `burst` of them.
    pub(crate) starts: VecDeque<Timestamp>,
    pub(crate) last_exit: Option<Exit>,
    pub(crate) last_failure: Option<Failure>,
    pub(crate) settling: Settling,
    pub(crate) clock: Clock,
    pub(crate) history: History,
    /// A job that has succeeded, in this boot or an earlier one.
    pub(crate) completed: bool,
    /// When another unit's end last started it, and when the next such start is due if it came too soon.
    pub(crate) triggered: Option<Timestamp>,
    pub(crate) trigger_at: Option<Timestamp>,
    /// It has one of its group's places for those on their way.
    pub(crate) token: bool,
    /// It waited for one, and may take it now.
    pub(crate) offered: bool,
    pub(crate) replacement: Option<Replacement>,
    /// Why the last replacement did not come about.
    pub(crate) replace_problem: Option<String>,
    /// Not part of the set any more, or never was: the place is given back when it is inactive.
    pub(crate) leaves: bool,
    /// While it leaves: it was the old or the new version in a replacement, so its unit has another place.
    #[serde(default)]
    pub(crate) beside: bool,
    /// Nothing is here.
    pub(crate) vacant: bool,

    /// What the neighbours have counted of this unit.
    pub(crate) standing: Standing,
    /// Units that this one comes after and that are not far enough.
    pub(crate) blockers: u32,
    /// Units that it cannot do without and that will not get there.
    pub(crate) failed_requirements: u32,
    /// Units that it requires and comes after, and that do not get ready.
    pub(crate) stuck_requirements: u32,
    /// Later units that are going down and have not ended yet.
    pub(crate) stop_blockers: u32,
    /// Units that it conflicts with and that have a run.
    pub(crate) rivals: u32,

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
    Skipped { reason: String },
    Failed { reason: Failure },
}

/// Why a goal is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Lowered {
    Asked,
    /// This unit was stopped, and takes it along.
    With(UnitId),
    /// This unit was started, and they conflict.
    Conflict(UnitId),
    /// It cannot be up together with what is wanted more.
    Excluded,
    /// It is not in the set any more.
    Removed,
    Reset,
    Shutdown,
}

/// What the unit is to the first start of `default.target`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Settling {
    /// Not one of its units, or a target.
    No,
    Pending,
    Ready,
    Failed,
    /// An operator stopped it before it got there, or a condition is not met.
    Stopped,
}

/// What a unit's timer has done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Clock {
    /// `init` has been asked for the calendar times.
    pub(crate) armed: bool,
    /// The calendar time of the last run it started.
    pub(crate) last_wall_ms: Option<i64>,
    /// Calendar times that have come, the latest last.
    pub(crate) told: VecDeque<i64>,
    /// `on_boot` has had its turn.
    pub(crate) booted: bool,
    /// `on_unit_active` since the last start, or since a time that came without one.
    pub(crate) again_at: Option<Timestamp>,
    /// Runs that wait for the end of the present one (`concurrency = "allow"`).
    pub(crate) queued: u32,
    /// Times that came while a run was under way (`concurrency = "forbid"`).
    pub(crate) missed: u64,
    /// The calendar time that the next run is for.
    pub(crate) run_for_wall_ms: Option<i64>,
}

impl Life {
    pub(crate) fn new() -> Self {
        Self {
            goal: Goal::Down,
            bounce: false,
            state: State::Inactive,
            stopped: false,
            lowered: None,
            due: false,
            since: Timestamp(0),
            run: None,
            present: Present::default(),
            stop_cause: None,
            next: Next::Start,
            restarts: 0,
            failures: 0,
            delay_ms: None,
            starts: VecDeque::new(),
            last_exit: None,
            last_failure: None,
            settling: Settling::No,
            clock: Clock::default(),
            history: History::default(),
            completed: false,
            triggered: None,
            trigger_at: None,
            token: false,
            offered: false,
            replacement: None,
            replace_problem: None,
            leaves: false,
            beside: false,
            vacant: false,
            standing: Standing::INACTIVE,
            blockers: 0,
            failed_requirements: 0,
            stuck_requirements: 0,
            stop_blockers: 0,
            rivals: 0,
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

    /// It has a container that nobody wants to end.
    pub(crate) fn is_serving(&self) -> bool {
        matches!(self.state, State::Running { .. }) && !self.is_leaving()
    }
}
