//! Where a unit is.

use crate::{Exit, Hook, RunId, Timestamp, UnitId};
use alloc::string::String;
use serde::{Deserialize, Serialize};

/// The fact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    Inactive,
    /// Goal up, between two runs of its timer.
    Scheduled,
    /// Goal up, dependencies not ready.
    Waiting,
    /// Image and network are on their way.
    Preparing {
        run: RunId,
        deadline: Timestamp,
    },
    /// A step before the container runs.
    PreStart {
        run: RunId,
        step: HookStep,
    },
    Starting {
        run: RunId,
        deadline: Timestamp,
    },
    /// The container runs, and those that wait for the unit still do.
    Started {
        run: RunId,
        since: Timestamp,
        deadline: Timestamp,
    },
    /// Ready; of a job: it runs.
    Running {
        run: RunId,
        since: Timestamp,
    },
    /// A step before the stop signal.
    PreStop {
        run: RunId,
        step: HookStep,
    },
    /// What comes then is decided when it has ended.
    Stopping {
        run: RunId,
        kill_at: Timestamp,
        killed: bool,
    },
    /// A step after the container has ended.
    PostStop {
        run: RunId,
        step: HookStep,
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
    /// A condition is not met.
    Skipped {
        reason: String,
    },
    Failed {
        reason: Failure,
    },
}

/// A hook that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookStep {
    /// In its list.
    pub index: u32,
    pub deadline: Timestamp,
    pub killed: bool,
}

/// Why a run failed, or why a unit will not be started again by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Failure {
    Exited {
        exit: Exit,
    },
    PrepareFailed {
        reason: String,
        /// Every further run would fail the same.
        #[serde(default)]
        lasting: bool,
    },
    SpawnFailed {
        reason: String,
    },
    Hook {
        hook: Hook,
        reason: String,
    },
    /// Image and network were not there within `start_timeout`.
    PrepareTimeout,
    StartTimeout,
    ReadinessTimeout,
    /// `runtime_max`
    RuntimeLimit,
    Watchdog,
    /// `stop_timeout` after `STOPPING=1`.
    StopTimeout,
    Unhealthy {
        reason: String,
    },
    /// A unit that it requires failed.
    Dependency {
        unit: UnitId,
    },
    /// A unit that must be active already is not.
    Requisite {
        unit: UnitId,
    },
    /// `restart_max`
    RestartLimit,
    StartLimit,
}

impl Failure {
    /// In systemd.service(5)'s sense: neither an exit code nor a mistake of configuration.
    pub(crate) fn is_abnormal(&self) -> bool {
        match self {
            Self::Exited {
                exit: Exit::Signal { .. },
            }
            | Self::PrepareTimeout
            | Self::StartTimeout
            | Self::ReadinessTimeout
            | Self::RuntimeLimit
            | Self::Watchdog
            | Self::StopTimeout
            | Self::Unhealthy { .. } => true,
            Self::Exited {
                exit: Exit::Code(_),
            }
            | Self::PrepareFailed { .. }
            | Self::SpawnFailed { .. }
            | Self::Hook { .. }
            | Self::Dependency { .. }
            | Self::Requisite { .. }
            | Self::RestartLimit
            | Self::StartLimit => false,
        }
    }
}
