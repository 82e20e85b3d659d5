//! Who may wake the event loop: a token for each descriptor in the epoll set.

use crate::limits;
use control::request::Request;
use serde::{Deserialize, Serialize};

/// What a token stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Source {
    Signals,
    Uevents,
    PowerButton {
        index: usize,
    },
    /// A virtio-serial port of the control channel, while the relay does not run.
    ControlPort,
    /// The control socket's listener.
    Listener,
    Connection {
        id: u64,
    },
    Helper {
        kind: HelperKind,
    },
    /// The launcher's report of a run.
    Report {
        run: u64,
    },
    /// What the container of a run says.
    Notify {
        run: u64,
    },
    /// The launcher's report of an exec.
    ExecReport {
        id: u64,
    },
    /// The launcher's report of a step.
    StepReport {
        id: u64,
    },
    StepOutput {
        id: u64,
    },
    /// `cgroup.events` of a run that is being frozen.
    Freezing {
        run: u64,
    },
    JobOutput {
        job: u64,
    },
    JobErrors {
        job: u64,
    },
    /// Unit files that come with a request.
    Upload {
        connection: u64,
    },
    /// The trace on its way to a client.
    Dump {
        connection: u64,
    },
    /// The clock on the wall.
    Clock,
}

/// The system programs that run as long as the machine does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum HelperKind {
    Netd,
    Logd,
    Relay,
    /// Only where there is something to probe.
    Prober,
}

impl HelperKind {
    pub(crate) const ALL: [Self; 4] = [Self::Netd, Self::Logd, Self::Relay, Self::Prober];

    /// Its program, cgroup and name in messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Netd => "netd",
            Self::Logd => "logd",
            Self::Relay => "relay",
            Self::Prober => "prober",
        }
    }

    /// The longest wait before it is started again.
    pub(crate) fn delay_max_ms(self) -> u64 {
        match self {
            Self::Netd | Self::Logd | Self::Relay => limits::HELPER_DELAY_MAX_MS,
            Self::Prober => limits::PROBER_DELAY_MAX_MS,
        }
    }
}

/// A child of PID 1, by its process id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ChildKind {
    Run {
        run: u64,
    },
    Exec {
        connection: u64,
    },
    Helper {
        kind: HelperKind,
    },
    Job {
        job: u64,
    },
    /// A hook, a reload, a probe.
    Step {
        id: u64,
    },
    /// Closes what came over the notify socket of a run.
    Closer {
        run: u64,
    },
    /// Loads drivers of the boot.
    Drivers {
        part: crate::drivers::Part,
    },
    /// Writes unit files.
    UnitFiles,
    /// When the boot is over: renews the random seed, puts modules that no device has asked for on the state partition.
    Afterwards,
    /// Loads a module for a device that has come.
    Modprobe,
    /// Sees whether the next program could read what would be handed over.
    Check,
    /// Removes writable layers that nobody uses any more.
    Discard,
    /// Works something out.
    Aside {
        id: u64,
    },
}

/// How many descriptors must come with a request.
pub(crate) fn descriptors_needed(request: &Request) -> usize {
    match request {
        Request::Exec(exec) if exec.tty => 1,
        Request::Exec(_) => 3,
        Request::Logs(_)
        | Request::TraceDump
        | Request::ImageLoad
        | Request::ImageLoadAs { .. }
        | Request::Diff
        | Request::Apply { .. } => 1,
        Request::Ps
        | Request::List { .. }
        | Request::Status { .. }
        | Request::Start { .. }
        | Request::Stop { .. }
        | Request::Restart { .. }
        | Request::ResetFailed { .. }
        | Request::Reload { .. }
        | Request::Choose(_)
        | Request::Pause { .. }
        | Request::Unpause { .. }
        | Request::ImageLs
        | Request::BootChart
        | Request::Trace
        | Request::Why { .. }
        | Request::History { .. }
        | Request::Timers
        | Request::Graph
        | Request::Kin { .. }
        | Request::Top
        | Request::WaitReady
        | Request::Reexec
        | Request::PowerOff
        | Request::Reboot => 0,
    }
}
