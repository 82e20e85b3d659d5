//! What PID 1 answers. The JSON of these types is what `keelctl --json` prints: fields are added, never renamed.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// Taken; the outcome follows as `Done` or `Failed` on this connection.
    Accepted,
    Done,
    /// What was asked for was tried and did not come about: one readable line.
    Failed {
        message: String,
    },
    /// Refused before anything was done.
    Denied {
        reason: Denial,
    },
    Units(Vec<UnitStatus>),
    Unit(Box<UnitStatus>),
    Images(Vec<ImageSummary>),
    BootChart(BootChart),
    /// One line per entry of the ring.
    Trace(Vec<String>),
    Top(Box<Top>),
    /// Progress of a long job, for a human.
    Progress {
        message: String,
    },
    /// End of an exec: the exit status, or 128 + signal.
    Exited {
        code: i32,
    },
    /// The command of an exec could not be started: one readable line, and the exit status that shells and Docker have
    /// for it: 127 it was not found, 126 it can't be executed, 125 it did not come that far.
    NotStarted {
        message: String,
        code: i32,
    },
}

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Denial {
    /// With the nearest known name, if there is one.
    UnknownUnit {
        unit: String,
        nearest: Option<String>,
    },
    /// The unit file did not pass the check.
    BadUnit {
        unit: String,
        message: String,
    },
    NotRunning {
        unit: String,
    },
    ShuttingDown,
    VersionMismatch {
        ours: u32,
        theirs: u32,
    },
    Malformed {
        message: String,
    },
    TooManyConnections {
        limit: usize,
    },
    /// The request needs descriptors that did not come with it.
    MissingDescriptors,
    NotPermitted,
}

impl Reply {
    /// Whether nothing follows it but the ends of the streams.
    #[must_use]
    pub fn is_final(&self) -> bool {
        !matches!(self, Self::Accepted | Self::Progress { .. })
    }
}

/// A unit as `ps` and `status` show it.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Default)]
pub struct UnitStatus {
    pub name: String,
    /// `container`, `target`
    pub kind: String,
    pub description: String,
    /// `inactive`, `waiting`, `preparing`, `starting`, `running`, `stopping`, `releasing`, `backoff`, `finished`, `failed`
    pub state: String,
    /// Why it is in that state, one line: last exit, failed step, what it waits for.
    pub reason: String,
    /// `up` or `down`
    pub goal: String,
    pub image: String,
    pub command: Vec<String>,
    /// Of the main process, in the machine's PID namespace.
    pub pid: Option<i32>,
    /// `10.88.0.2`
    pub address: Option<String>,
    /// `0.0.0.0:7001->6379/tcp`
    pub ports: Vec<String>,
    /// Milliseconds since boot at which the state was entered.
    pub since_ms: u64,
    /// Milliseconds for which it has been in that state.
    pub age_ms: u64,
    pub restarts: u64,
    pub run: u64,
    /// Bytes, from `memory.current`.
    pub memory: Option<u64>,
    /// Bytes, from `memory.max`; none: no limit.
    pub memory_max: Option<u64>,
    /// The last end of a run: `exited 1`, `killed by SIGKILL (out of memory)`.
    pub last_exit: Option<String>,
    /// Milliseconds until the next start, in back-off.
    pub next_start_ms: Option<u64>,
    pub source: String,
    pub requires: Vec<String>,
    pub wants: Vec<String>,
    pub after: Vec<String>,
    /// Diagnostics of the unit file, when it is bad.
    pub diagnostics: Vec<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct ImageSummary {
    /// `docker.io/library/redis:7`
    pub reference: String,
    /// `sha256:…` of the manifest.
    pub digest: String,
    /// Bytes of the layers as stored.
    pub size: u64,
    pub layers: usize,
    /// RFC 3339, from the image's configuration.
    pub created: String,
}

/// Times are milliseconds since the kernel's start (`CLOCK_BOOTTIME`).
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq, Default)]
pub struct BootChart {
    pub stages: Vec<ChartSpan>,
    pub units: Vec<ChartUnit>,
}

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct ChartSpan {
    pub name: String,
    pub start_ms: u64,
    pub end_ms: u64,
    pub ok: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct ChartUnit {
    pub name: String,
    /// (state, entered at)
    pub states: Vec<(String, u64)>,
}

/// The machine, but for its units. Memory in bytes, as the kernel counts it (proc_meminfo(5), smaps_rollup in
/// proc_pid_smaps(5), cgroup v2).
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq, Default)]
pub struct Top {
    /// Milliseconds since the kernel's start.
    pub uptime_ms: u64,
    /// What the kernel has to give: `MemTotal`.
    pub memory: u64,
    /// What a new program could have without harm: `MemAvailable`.
    pub memory_available: u64,
    /// What nothing uses: `MemFree`.
    pub memory_free: u64,
    /// Free as well, but kept at hand by the processors, and not in the two above (`pagesets` of /proc/zoneinfo).
    #[serde(default)]
    pub memory_at_hand: u64,
    /// Of all containers together, page cache included.
    pub containers_memory: u64,
    /// Of all containers together; what `pids.max` limits.
    pub containers_threads: u64,
    /// `/dev/vda3`; none: the state is in memory.
    #[serde(default)]
    pub state_device: Option<String>,
    /// Bytes of the file system with the state.
    #[serde(default)]
    pub state: u64,
    /// What a container may still write there.
    #[serde(default)]
    pub state_available: u64,
    /// What an operator has to look at on the machine itself, with what to do: one line each.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Every process that is not in a container, by process id.
    pub programs: Vec<Program>,
}

/// One process of the system itself.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq, Default)]
pub struct Program {
    /// `init`, `netd`, …
    pub name: String,
    pub pid: i32,
    /// Bytes: its own memory, and its share of what it has in common with others (`Pss`).
    pub pss: u64,
    /// Open descriptors.
    pub descriptors: u64,
    /// Milliseconds of processor time so far.
    pub cpu_ms: u64,
}
