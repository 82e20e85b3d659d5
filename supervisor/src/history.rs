//! The latest runs of a unit whose command is meant to end.

use crate::{Exit, Failure, RunId, Timestamp};
use alloc::collections::VecDeque;
use serde::{Deserialize, Serialize};

/// Kept of each outcome at most, whatever the unit file says: it is PID 1's memory.
pub const HISTORY_MAX: u32 = 100;

/// One run that has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastRun {
    pub run: RunId,
    /// The calendar time that it was for.
    pub scheduled_wall_ms: Option<i64>,
    pub began: Timestamp,
    pub ended: Timestamp,
    pub exit: Option<Exit>,
    pub failure: Option<Failure>,
    /// It was to end before its own end, and not because of a failure.
    #[serde(default)]
    pub stopped: bool,
}

impl PastRun {
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.failure.is_none() && !self.stopped
    }
}

/// Oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct History {
    runs: VecDeque<PastRun>,
}

impl History {
    /// Of each outcome, only so many are kept. One that was stopped has not done its work, as one that failed.
    pub(crate) fn add(&mut self, run: PastRun, keep: unit::History) {
        let succeeded = run.succeeded();
        self.runs.push_back(run);
        let most = if succeeded { keep.success } else { keep.failed };
        let most = most.min(HISTORY_MAX);
        let same = |past: &PastRun| past.succeeded() == succeeded;
        let count = self.runs.iter().filter(|past| same(past)).count();
        if count > usize::try_from(most).unwrap_or(usize::MAX)
            && let Some(oldest) = self.runs.iter().position(same)
        {
            self.runs.remove(oldest);
        }
    }

    pub(crate) fn runs(&self) -> impl DoubleEndedIterator<Item = &PastRun> {
        self.runs.iter()
    }

    pub(crate) fn has_success(&self) -> bool {
        self.runs.iter().any(PastRun::succeeded)
    }
}
