//! What goes out.

use crate::{Hook, RunId, Ticket, UnitId};
use alloc::string::String;
use serde::{Deserialize, Serialize};

/// What `init` shall do, in this order. None of these returns anything: the outcome is an [`crate::Event`].
///
/// Before it performs the actions of a turn, `init` writes [`crate::Supervisor::record`] to the disk if its version has
/// changed: what was promised or begun must not be forgotten by a power cut.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// See that the conditions are met and the image is here, and make the network.
    /// → `Prepared`, `PrepareFailed` or `Skipped`
    ///
    /// For a successor ([`crate::Supervisor::successor_of`]) without publishing ports: `FlipPorts` does.
    Prepare {
        unit: UnitId,
        run: RunId,
    },
    /// Run a step. → `HookEnded`
    RunHook {
        unit: UnitId,
        run: RunId,
        hook: Hook,
    },
    /// End a step at once. → the `HookEnded` of it
    KillHook {
        unit: UnitId,
        run: RunId,
        hook: Hook,
    },
    /// Start the launcher. → `HealthPlan` perhaps, `Started` or `SpawnFailed`, later `Exited`
    Spawn {
        unit: UnitId,
        run: RunId,
    },
    /// Readiness by port or log line: look for it. → `Ready`, when it comes
    WatchReadiness {
        unit: UnitId,
        run: RunId,
    },
    /// Probe once, as the health plan says, with its time limit. → `Probed` with this number
    Probe {
        unit: UnitId,
        run: RunId,
        probe: u64,
    },
    /// As the unit's `reload` says. → `Reloaded`
    Reload {
        unit: UnitId,
        run: RunId,
    },
    /// Freeze the cgroup. → `Paused`
    Pause {
        unit: UnitId,
        run: RunId,
    },
    /// Thaw it, also one that is being frozen.
    Unpause {
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
    /// Lead the published ports of the unit to the run `to`, wherever they led before (`from`, if that still has them):
    /// in one step, and harmless when it is the case already. → `Flipped`
    FlipPorts {
        unit: UnitId,
        from: RunId,
        to: RunId,
    },
    /// The successor has taken the unit's place: what `init` has under the two numbers (the unit's definition, the runs)
    /// changes places.
    Swapped {
        unit: UnitId,
        successor: UnitId,
    },
    /// The place is empty: its unit is not part of the set any more and has ended, or was a successor.
    RemoveUnit {
        unit: UnitId,
    },
    /// Tell of each calendar time of the unit's timer from now on. → `TimerElapsed`, each time
    ///
    /// With `persistent`, the latest time between the one in the record and now counts as one that has come just now.
    ArmTimer {
        unit: UnitId,
    },
    DisarmTimer {
        unit: UnitId,
    },
    /// The unit has entered another state: for subscribers, the log and the boot chart.
    Changed {
        unit: UnitId,
    },
    /// A run has ended, and the unit's delay was over when all of it was given back: the unit was in `Backoff` in between, which
    /// nobody can have seen. For the log and the console.
    RestartsAtOnce {
        unit: UnitId,
        /// The one that has ended.
        run: RunId,
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
