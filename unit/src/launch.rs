//! What PID 1 hands to the launcher, and what comes back.

use crate::{Container, ImageHealth, Mount, Resources, UnitName};
use serde::{Deserialize, Serialize};

/// JSON on descriptor 3 (a memfd) of the launcher. Its other descriptors:
/// 0 `/dev/null`, 1 and 2 the pipes to logd, 4 the report pipe (write end), 5 a `SOCK_SEQPACKET` socket from PID 1.
///
/// The launcher does what can be done without a network, then waits on descriptor 5 for [`LaunchGo`]: meanwhile the network
/// is made. When PID 1 closes its end instead, the launch is off.
///
/// PID 1 has already cloned the launcher into its cgroup and into new pid, mount, uts, ipc and cgroup namespaces,
/// so the launcher is PID 1 of the container and becomes the workload by execve(2).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LaunchSpec {
    pub unit: UnitName,
    pub run: u64,
    /// The cgroup that it was born in, below that of all containers.
    pub group: String,
    pub container: Container,
    /// `NAME=VALUE`, over the container's own.
    pub environment: Vec<String>,
    pub resources: Resources,
    pub mounts: Vec<Mount>,
    pub root: LaunchRoot,
    /// Path of the run's notify socket on the machine; it is mounted at [`NOTIFY_SOCKET`].
    pub notify_socket: Option<String>,
    pub network: LaunchNetwork,
}

/// What is written to the container's root.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LaunchRoot {
    /// The unit's writable layer, which is kept as long as its image stays the same.
    #[default]
    Kept,
    /// One of its own, new, because another run of the unit has the unit's. The number is that of the run for which it was
    /// made. When that one takes over, the two layers change places.
    Beside(u64),
    /// In memory, and gone with the container: for steps beside a run.
    Scratch,
}

impl LaunchRoot {
    /// The folder below `/var/containers`. No unit's name has a colon.
    #[must_use]
    pub fn folder(self, unit: &UnitName) -> String {
        match self {
            Self::Kept | Self::Scratch => unit.to_string(),
            Self::Beside(run) => format!("{unit}:{run}"),
        }
    }
}

/// Where a container finds its notify socket.
pub const NOTIFY_SOCKET: &str = "/run/keelson/notify";

/// JSON, one datagram on descriptor 5; with [`LaunchNetwork::Namespace`] the namespace's descriptor rides along.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchGo {
    /// Texts of /etc/hosts and /etc/resolv.conf.
    pub hosts: String,
    pub resolv_conf: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LaunchNetwork {
    /// Enter the namespace that comes with [`LaunchGo`].
    Namespace,
    /// Stay in the machine's.
    Host,
}

/// JSON, one object per line, on the report pipe. The pipe is close-on-exec: its end after `Prepared` means that the
/// workload runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LaunchReport {
    /// Just before execve(2).
    Prepared {
        /// What is executed.
        argv: Vec<String>,
        /// Signal that asks it to end.
        stop_signal: i32,
        /// `sha256:…` of the image's manifest.
        image_digest: String,
        /// Of a container: what the image says about its health.
        health: Option<ImageHealth>,
        /// What the operator should know of this run, one line each.
        #[serde(default)]
        notes: Vec<String>,
    },
    Failed(LaunchFailure),
}

/// The step that failed; `status` shows it as `step: path: message (errno)`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchFailure {
    /// `image`, `root`, `mount`, `network`, `user`, `capabilities`, `exec`, …
    pub step: String,
    pub path: String,
    /// 0: not a system call's.
    pub errno: i32,
    pub message: String,
}

/// JSON on descriptor 3 of `launcher exec`. Its other descriptors: 0, 1, 2 the client's (without terminal),
/// 4 the report pipe, 5 the pidfd of the container's PID 1, 6 the console socket (with terminal), 7 the folder of the
/// cgroup that the command is born in.
///
/// PID 1 has cloned it into the container's PID and network namespaces, and into a cgroup of the machine's: what it needs itself is
/// not the container's. It enters the other namespaces, starts `argv` there, waits, and ends with its exit status
/// (128 + signal) when nothing of what `argv` has started is left. `SIGTERM` of PID 1 ends all of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecSpec {
    pub unit: UnitName,
    /// As the container was launched, but for a change of places since.
    pub root: LaunchRoot,
    pub container: Container,
    pub argv: Vec<String>,
    pub tty: bool,
    pub env: Vec<String>,
    pub user: String,
    pub working_dir: String,
}
