//! What is known of a unit's present run beside its state: all of it ends with the run.

use crate::health::HealthWatch;
use crate::{HookStep, Timestamp};
use alloc::string::String;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Present {
    /// The launcher has become the workload.
    pub(crate) started: Option<Timestamp>,
    /// It has done what it is for since then: ready, or, where that is its end, started.
    pub(crate) served: Option<Timestamp>,
    /// When the run began: `Prepare`.
    pub(crate) began: Option<Timestamp>,
    /// The calendar time that it is for.
    pub(crate) scheduled_wall_ms: Option<i64>,
    /// The sign of readiness has been seen, perhaps before the report of the start.
    pub(crate) sign: bool,
    /// The step of `post_start` that runs.
    pub(crate) post_start: Option<HookStep>,
    /// All steps of `post_start` have ended.
    pub(crate) post_started: bool,
    pub(crate) health: Option<HealthWatch>,
    pub(crate) pause: Pause,
    /// Until when a reload that somebody asked for may take.
    pub(crate) reload: Option<Timestamp>,
    /// `RELOADING=1` was said.
    pub(crate) reloading: bool,
    /// The next `WATCHDOG=1` is due.
    pub(crate) watchdog: Option<Timestamp>,
    /// `runtime_max`
    pub(crate) runtime_until: Option<Timestamp>,
    /// Of a job: it has failed if it has not ended by then.
    pub(crate) ready_until: Option<Timestamp>,
    /// `STOPPING=1` was said.
    pub(crate) ending: bool,
    /// Then it is over anyhow.
    pub(crate) ending_until: Option<Timestamp>,
    /// `STATUS=`
    pub(crate) status: String,
    /// A process has been started for it, so that `post_stop` is due.
    pub(crate) begun: bool,
    /// Steps of `post_stop` are over.
    pub(crate) post_stopped: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Pause {
    #[default]
    Off,
    Pausing,
    Paused,
}

impl Present {
    /// The earliest of what is waited for while the container runs.
    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        let step = self.post_start.filter(|step| !step.killed);
        [
            step.map(|step| step.deadline),
            self.health.as_ref().and_then(HealthWatch::deadline),
            self.reload,
            self.watchdog,
            self.runtime_until,
            self.ready_until,
            self.ending_until,
        ]
        .into_iter()
        .flatten()
        .min()
    }
}
