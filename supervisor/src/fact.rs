//! Where a unit is.

use crate::{Exit, RunId, Timestamp, UnitId};
use alloc::string::String;
use serde::{Deserialize, Serialize};

/// The fact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    Inactive,
    /// Goal up, dependencies not ready.
    Waiting,
    Preparing {
        run: RunId,
    },
    Starting {
        run: RunId,
        deadline: Timestamp,
    },
    Running {
        run: RunId,
        since: Timestamp,
    },
    /// What comes then is decided when it has ended.
    Stopping {
        run: RunId,
        kill_at: Timestamp,
        killed: bool,
    },
    /// Ended; its network and cgroup are being given back.
    Releasing {
        run: RunId,
    },
    Backoff {
        until: Timestamp,
    },
    /// Ended with success, and its policy does not start it again: above all a oneshot.
    Finished {
        exit: Exit,
    },
    Failed {
        reason: Failure,
    },
}

/// Why a unit will not be started again by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Failure {
    Exited {
        exit: Exit,
    },
    PrepareFailed {
        reason: String,
    },
    SpawnFailed {
        reason: String,
    },
    StartTimeout,
    /// A unit that it requires failed.
    Dependency {
        unit: UnitId,
    },
    RestartLimit,
}
