//! What a client may ask of PID 1.

use serde::{Deserialize, Serialize};

/// The envelope of a request: the version first, so that a mismatch can be named.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct RequestFrame {
    pub version: u32,
    pub request: Request,
}

/// One request per connection, but for `Logs` and `Exec`, whose connection stays open until the end of the stream.
///
/// Descriptors that ride with it, in this order:
/// `Exec` without terminal: stdin, stdout, stderr; with terminal: one unix stream socket, over which the
/// launcher sends the terminal's master side (`SCM_RIGHTS`, as runc's console socket).
/// `Logs`: where the text goes. `ImageLoad`: where the archive comes from (a file or a pipe).
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// All units, or those given.
    Ps,
    Status {
        unit: String,
    },
    /// Set the goal to up; answered `Done` when the units are running (or ended, for oneshot), or `Failed`.
    Start {
        units: Vec<String>,
    },
    Stop {
        units: Vec<String>,
    },
    Restart {
        units: Vec<String>,
    },
    Exec(ExecRequest),
    Logs(LogsRequest),
    ImageLoad,
    ImageLs,
    /// Boot stages and unit transitions with their times.
    BootChart,
    /// The last decisions of the supervisor.
    Trace,
    /// Memory, and what the machine's own programs use.
    Top,
    /// Answered when every default unit is ready, or one of them has failed for good.
    WaitReady,
    PowerOff,
    Reboot,
}

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct ExecRequest {
    pub unit: String,
    pub argv: Vec<String>,
    pub tty: bool,
    /// `NAME=VALUE`, added to the container's environment.
    pub env: Vec<String>,
    /// `uid[:gid]` or `name[:group]` of the container; empty: the container's own user.
    pub user: String,
    /// Empty: the container's own.
    pub working_dir: String,
}

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq, Default)]
#[serde(deny_unknown_fields)]
pub struct LogsRequest {
    /// Empty: all units.
    pub units: Vec<String>,
    pub follow: bool,
    /// Only the last N lines.
    pub tail: Option<u64>,
    /// Only lines at or after this time, milliseconds since 1970-01-01 UTC.
    pub since_ms: Option<i64>,
    /// And before this one.
    pub until_ms: Option<i64>,
    /// One JSON object per line (`LogLine`) instead of text.
    pub json: bool,
    /// Text with time and unit in front of each line.
    pub prefix: bool,
}
