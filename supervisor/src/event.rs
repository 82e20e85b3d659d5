//! What comes in and what goes out.

use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Milliseconds since boot (`CLOCK_BOOTTIME`).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Timestamp(pub u64);

/// Increases with every start on this machine's boot, over all units.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct RunId(pub u64);

/// Index into the unit set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct UnitId(pub u32);

/// Who asked; comes back in [`Action::Reply`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ticket(pub u64);

/// The wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Goal {
    Up,
    Down,
}

/// A fact or a request. Every report carries the run it is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// What the operator had stopped when the machine went down; to be told before `StartDefault`, which leaves out
    /// those of these units that are `unless-stopped`, unless a unit that it starts requires them.
    StoppedBefore { units: Vec<UnitId> },
    /// Goal up for every unit that `default.target` reaches.
    StartDefault,
    Start {
        units: Vec<UnitId>,
        ticket: Option<Ticket>,
    },
    Stop {
        units: Vec<UnitId>,
        ticket: Option<Ticket>,
    },
    Restart {
        units: Vec<UnitId>,
        ticket: Option<Ticket>,
    },
    /// Everything down in order; `within_ms` is the budget after which the rest is killed.
    Shutdown { within_ms: u64 },
    /// Image present, network attached.
    Prepared { unit: UnitId, run: RunId },
    PrepareFailed {
        unit: UnitId,
        run: RunId,
        reason: String,
    },
    /// The launcher has become the workload.
    Started { unit: UnitId, run: RunId },
    /// The launcher could not be started, or a step of it failed. No process is left.
    SpawnFailed {
        unit: UnitId,
        run: RunId,
        reason: String,
    },
    /// The main process has ended, and with it everything in the container.
    Exited {
        unit: UnitId,
        run: RunId,
        exit: Exit,
    },
    /// Network and cgroup of the run are given back.
    Released { unit: UnitId, run: RunId },
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exit {
    Code(i32),
    Signal {
        signal: i32,
        /// `memory.events` counted an `oom_kill`.
        out_of_memory: bool,
    },
}

/// What `init` shall do. None of these returns anything: the outcome is an [`Event`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// See that the image is here and make the network. → `Prepared` or `PrepareFailed`
    Prepare {
        unit: UnitId,
        run: RunId,
    },
    /// Start the launcher. → `Started` or `SpawnFailed`, later `Exited`
    Spawn {
        unit: UnitId,
        run: RunId,
    },
    /// Send the stop signal. → `Exited`, perhaps
    Terminate {
        unit: UnitId,
        run: RunId,
    },
    /// `cgroup.kill`. → `Exited`
    Kill {
        unit: UnitId,
        run: RunId,
    },
    /// Give network and cgroup back. → `Released`, when nothing of the run is left
    ///
    /// Exactly one for each `Prepare`. It may come while the `Prepare` is under way, and cancels it.
    Release {
        unit: UnitId,
        run: RunId,
    },
    /// The unit has entered another state: for subscribers, the log and the boot chart.
    Changed {
        unit: UnitId,
    },
    Reply {
        ticket: Ticket,
        outcome: Outcome,
    },
    /// Every default unit is ready or has failed for good. Once per boot.
    Settled {
        ready: u32,
        failed: u32,
    },
    /// Nothing runs any more.
    ShutdownComplete,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    Done,
    /// One readable line per unit that did not come about.
    Failed {
        message: String,
    },
    ShuttingDown,
}

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
