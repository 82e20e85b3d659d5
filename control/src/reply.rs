//! What PID 1 answers. The JSON of these types is what `keelctl --json` prints: fields are added, never renamed.

use crate::change::Changes;
use crate::explain::{PastRun, TimerStatus, UnitGraph, WhyStep};
use crate::frame::{self, FRAME_BYTES_MAX, FrameError};
use crate::row::Rows;
use serde::{Deserialize, Serialize};
use unit::Diagnostic;

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
    /// Of a diff, or of an apply whose end nobody waits for.
    Changes(Box<Changes>),
    /// Of an apply: it has been taken over, and `Done` or `Failed` follows.
    Changing(Box<Changes>),
    /// Unit files that are not taken, or a choice with which units could not be loaded; nothing was changed.
    Refused {
        diagnostics: Vec<Diagnostic>,
    },
    Units(Vec<UnitStatus>),
    Rows(Rows),
    Unit(Box<UnitStatus>),
    Images(Vec<ImageSummary>),
    BootChart(BootChart),
    /// One line per entry of the ring.
    Trace(Vec<String>),
    Why(Vec<WhyStep>),
    History(Vec<PastRun>),
    Timers(Vec<TimerStatus>),
    Graph(Box<UnitGraph>),
    Top(Box<Top>),
    /// Progress of a long job, for a human.
    Progress {
        message: String,
    },
    /// End of an exec: the exit status, or 128 + signal.
    Exited {
        code: i32,
        /// The limit of the unit that the command has run into, in words, when it did not end well.
        #[serde(default)]
        reason: Option<String>,
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

/// What is around the rows of an answer.
const ROWS_HEAD: &str = "{\"rows\":";
const ROWS_TAIL: &str = "}";

impl Reply {
    /// As [`frame::encode`] makes it, without a look at each of many rows.
    ///
    /// # Errors
    /// When it would be longer than [`FRAME_BYTES_MAX`].
    pub fn frame(&self) -> Result<Vec<u8>, FrameError> {
        match self {
            Self::Rows(rows) => frame::encode_text(&[ROWS_HEAD, rows.as_text(), ROWS_TAIL]),
            other => frame::encode(other),
        }
    }

    /// As [`frame::decode`] reads it, but for rows, which are read when they are looked at.
    ///
    /// # Errors
    /// When it is no reply.
    pub fn of_frame(buffer: &[u8]) -> Result<Option<(Self, usize)>, FrameError> {
        let Some((body, bytes)) = frame::body(buffer, FRAME_BYTES_MAX)? else {
            return Ok(None);
        };
        let rows = body
            .strip_prefix(ROWS_HEAD.as_bytes())
            .and_then(|rest| str::from_utf8(rest.strip_suffix(ROWS_TAIL.as_bytes())?).ok());
        let reply = match rows {
            Some(rows) => Self::Rows(Rows::from_text(rows.to_owned())),
            None => serde_json::from_slice(body).map_err(FrameError::Json)?,
        };
        Ok(Some((reply, bytes)))
    }

    /// Whether nothing follows it but the ends of the streams.
    #[must_use]
    pub fn is_final(&self) -> bool {
        !matches!(
            self,
            Self::Accepted | Self::Progress { .. } | Self::Changing(_)
        )
    }
}

/// A unit in all detail, as `status` and `ps --json` show it.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Default)]
pub struct UnitStatus {
    pub name: String,
    /// `container`, `target`, `timer`
    pub kind: String,
    pub description: String,
    /// `inactive`, `scheduled`, `waiting`, `preparing`, `pre-start`, `starting`, `started`, `running`, `pre-stop`, `stopping`,
    /// `post-stop`, `releasing`, `backoff`, `finished`, `skipped`, `failed`
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
    /// Processes and threads, with those of commands beside the container: `pids.current`.
    #[serde(default)]
    pub pids: Option<u64>,
    /// `pids.max`.
    #[serde(default)]
    pub pids_max: Option<u64>,
    /// The last end of a run: `exited 1`, `killed by SIGKILL (out of memory)`.
    pub last_exit: Option<String>,
    /// Milliseconds until the next start, in back-off.
    pub next_start_ms: Option<u64>,
    pub source: String,
    pub requires: Vec<String>,
    pub wants: Vec<String>,
    pub after: Vec<String>,
    #[serde(default)]
    pub required_by: Vec<String>,
    #[serde(default)]
    pub wanted_by: Vec<String>,
    /// The units that hold it back: not ready yet, or not ended yet.
    #[serde(default)]
    pub waits_for: Vec<String>,
    /// `enabled`, `disabled`, `masked`, `not in an enabled profile`
    #[serde(default)]
    pub enablement: String,
    /// Why its last failed run failed.
    #[serde(default)]
    pub last_failure: Option<String>,
    /// The key of the limit that ended its last failed run, or that keeps it from starting again: `restart_max`.
    #[serde(default)]
    pub limit: Option<String>,
    /// What the container says about itself (`STATUS=`).
    #[serde(default)]
    pub status: String,
    /// A new version is on its way.
    #[serde(default)]
    pub replacing: bool,
    /// Why the last new version did not take its place.
    #[serde(default)]
    pub replace_problem: Option<String>,
    /// What of the latest run is not as its image or its unit file would have it, and why: one line each.
    #[serde(default)]
    pub notes: Vec<String>,
    /// Diagnostics of the unit file, when it is bad.
    pub diagnostics: Vec<String>,
    /// None: nobody probes it, or it does not run.
    #[serde(default)]
    pub health: Option<UnitHealth>,
    /// Its processes stand still, or are about to.
    #[serde(default)]
    pub paused: bool,
}

/// Whether a running container does its work.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq, Default)]
pub struct UnitHealth {
    /// `starting`, `healthy`, `unhealthy`
    pub status: String,
    /// `http port 80 path /healthz`, `tcp port 6379`, `exec pg_isready -q`
    pub probe: String,
    /// In a row, those of the start period left out; so many as `retries` are unhealthy.
    pub failures: u32,
    pub retries: u32,
    /// In a row.
    pub successes: u32,
    /// Why the last probe that failed did; empty: none has failed.
    pub reason: String,
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
    /// Those of the boot, and what was done once it was over.
    pub stages: Vec<ChartSpan>,
    /// From the boot until now.
    pub units: Vec<ChartUnit>,
    /// When the boot was over: every default unit was ready or had failed, and whether there is a network was known. None:
    /// it is not over.
    #[serde(default)]
    pub ready_ms: Option<u64>,
    #[serde(default)]
    pub now_ms: u64,
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
    /// (state, entered at), of the run in force: while a new version gets ready beside the old one, of the old one.
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
    /// How promptly PID 1 answers.
    #[serde(default)]
    pub turns: Turns,
}

/// Classes of turns by their length; the last one has all that are longer.
pub const TURN_CLASSES: usize = 16;

/// Turns of PID 1's loop since the boot: while one lasts, nobody is answered.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq, Default)]
pub struct Turns {
    /// How many took less than 1 ms, then less than 2, 4, 8 ms and so on.
    pub by_length: Vec<u64>,
    /// Microseconds.
    pub longest_us: u64,
    /// Milliseconds since the kernel's start at which that one was over.
    pub longest_at_ms: u64,
}

impl Turns {
    #[must_use]
    pub fn count(&self) -> u64 {
        self.by_length.iter().sum()
    }

    /// How many took so long or longer; `ms` is a power of two.
    #[must_use]
    pub fn longer_than_ms(&self, ms: u64) -> u64 {
        let class = usize::try_from(ms.checked_ilog2().map_or(0, |power| power + 1)).unwrap_or(0);
        self.by_length.iter().skip(class).sum()
    }
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
