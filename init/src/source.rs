//! Who may wake the event loop: a token for each descriptor in the epoll set.

use control::request::Request;

/// What a token stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Signals,
    Uevents,
    PowerButton {
        index: usize,
    },
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
    /// The launcher's report of an exec.
    ExecReport {
        id: u64,
    },
    JobOutput {
        job: u64,
    },
    JobErrors {
        job: u64,
    },
}

/// The system programs that run as long as the machine does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum HelperKind {
    Netd,
    Logd,
    Relay,
}

impl HelperKind {
    pub(crate) const ALL: [Self; 3] = [Self::Netd, Self::Logd, Self::Relay];

    /// Its program, cgroup and name in messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Netd => "netd",
            Self::Logd => "logd",
            Self::Relay => "relay",
        }
    }
}

/// A child of PID 1, by its process id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// Loads drivers of the boot.
    Drivers {
        wave: crate::drivers::Wave,
    },
    /// Puts modules that no device has asked for on the state partition.
    Shelf,
    /// Loads a module for a device that has come.
    Modprobe,
}

/// How many descriptors must come with a request.
pub(crate) fn descriptors_needed(request: &Request) -> usize {
    match request {
        Request::Exec(exec) if exec.tty => 1,
        Request::Exec(_) => 3,
        Request::Logs(_) | Request::ImageLoad => 1,
        Request::Ps
        | Request::Status { .. }
        | Request::Start { .. }
        | Request::Stop { .. }
        | Request::Restart { .. }
        | Request::ImageLs
        | Request::BootChart
        | Request::Trace
        | Request::Top
        | Request::WaitReady
        | Request::PowerOff
        | Request::Reboot => 0,
    }
}
