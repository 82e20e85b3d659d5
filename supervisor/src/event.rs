//! What comes in: requests and facts.

use crate::Record;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};
use unit::HealthPlan;

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

/// Number of a place for one unit. At boot it is the unit's index in its set; after [`crate::Supervisor::apply`] the
/// units that stay keep their numbers, and `Applied` says which number each unit of the new set has.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct UnitId(pub u32);

/// Who asked; comes back in [`crate::Action::Reply`].
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Ticket(pub u64);

/// The wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Goal {
    Up,
    Down,
}

/// A fact or a request. Every report carries the run it is about; what is not about the present run is dropped, and a
/// repeated one changes nothing. The unit of a report may be the one that the run had when it began: the run counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// What was on disk from before this boot; to be told before `StartDefault`, which leaves out the units that an
    /// operator has stopped and that are `unless-stopped`, unless a unit that it starts requires them.
    Recall { record: Record },
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
    /// Let the running containers take up their new configuration.
    Reload {
        units: Vec<UnitId>,
        ticket: Option<Ticket>,
    },
    /// Freeze the running containers.
    Pause {
        units: Vec<UnitId>,
        ticket: Option<Ticket>,
    },
    Unpause {
        units: Vec<UnitId>,
        ticket: Option<Ticket>,
    },
    /// Forget failures, limits that were hit and completed jobs; failed units that nothing runs on become inactive.
    ResetFailed {
        units: Vec<UnitId>,
        ticket: Option<Ticket>,
    },
    /// Whoever asked is gone and waits for no answer; what was asked for stays so.
    Withdrawn { ticket: Ticket },
    /// Everything down in order; `within_ms` is the budget after which the rest is killed.
    Shutdown { within_ms: u64 },
    /// A calendar time of the unit's timer has come. `scheduled_wall_ms`: that time (Unix, milliseconds), without the
    /// random delay: told twice, it counts once.
    TimerElapsed {
        unit: UnitId,
        scheduled_wall_ms: i64,
    },
    /// The clock on the wall shows `wall_ms` now, hours before a calendar time that was told: it was wrong, and what was
    /// told for later than now counts no more.
    ClockSetBack { wall_ms: i64 },

    /// Image present, network attached, conditions met.
    Prepared { unit: UnitId, run: RunId },
    /// Something of it can't be had; or, while the steps of `pre_start` run, is lost again.
    PrepareFailed {
        unit: UnitId,
        run: RunId,
        reason: String,
        /// What the unit's definition asks for is never to be had: no restart policy tries again.
        #[serde(default)]
        lasting: bool,
    },
    /// A condition is not met: the answer to `Prepare` in place of the two above. `reason` names it.
    Skipped {
        unit: UnitId,
        run: RunId,
        reason: String,
    },
    /// Exactly one for each `RunHook`, killed or not.
    HookEnded {
        unit: UnitId,
        run: RunId,
        hook: Hook,
        failure: Option<String>,
    },
    /// How this run is probed, from the unit and its image; to be told before `Started`. Without it, nobody probes.
    HealthPlan {
        unit: UnitId,
        run: RunId,
        plan: HealthPlan,
    },
    /// The launcher has become the workload.
    Started { unit: UnitId, run: RunId },
    /// The launcher could not be started, or a step of it failed. No process is left.
    SpawnFailed {
        unit: UnitId,
        run: RunId,
        reason: String,
    },
    /// `READY=1`, or what `WatchReadiness` asked for has been seen.
    Ready { unit: UnitId, run: RunId },
    /// The container said something else over its notify socket.
    Notified {
        unit: UnitId,
        run: RunId,
        notice: Notice,
    },
    /// The answer to `Probe`.
    Probed {
        unit: UnitId,
        run: RunId,
        probe: u64,
        failure: Option<String>,
    },
    /// The answer to `Reload`: the command has ended, or the signal is sent.
    Reloaded {
        unit: UnitId,
        run: RunId,
        failure: Option<String>,
    },
    /// The answer to `Pause`.
    Paused {
        unit: UnitId,
        run: RunId,
        failure: Option<String>,
    },
    /// The answer to `FlipPorts`; `run` is its `to`.
    Flipped {
        unit: UnitId,
        run: RunId,
        failure: Option<String>,
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

/// Over the notify socket: sd_notify(3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Notice {
    /// `STATUS=`
    Status(String),
    /// `WATCHDOG=1`
    Watchdog,
    /// `EXTEND_TIMEOUT_USEC=`, in milliseconds: what is due sooner than that is put off until then. While a unit is being
    /// prepared, `init`'s own word: an image is on its way.
    ExtendTimeout(u64),
    /// `RELOADING=1`; `READY=1` ends it.
    Reloading,
    /// `STOPPING=1`: it ends by itself, within `stop_timeout`, and answers neither probes nor the watchdog any more.
    Stopping,
}

/// One step beside the run: the n-th of its list in the unit file, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Hook {
    pub kind: HookKind,
    pub index: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum HookKind {
    /// In a container of its own, before the unit's.
    PreStart,
    /// In the unit's container.
    PostStart,
    /// In the unit's container.
    PreStop,
    /// In a container of its own, after the unit's.
    PostStop,
}
