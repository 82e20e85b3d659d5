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
/// `Logs`: where the text goes. `ImageLoad`, `ImageLoadAs`: where the archive comes from (a file or a pipe).
/// `TraceDump`: a pipe into which it goes.
/// `Diff`, `Apply`: a pipe out of which the unit files come: one JSON object, path in the folder → text.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// All units in all detail; [`Self::List`] is what most ask for.
    Ps,
    /// One row for each unit.
    List {
        /// With what each has in memory, for which the kernel has to be asked about each.
        memory: bool,
    },
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
    /// Forget failures, limits that were hit and completed jobs; of all units, when none is named.
    ResetFailed {
        units: Vec<String>,
    },
    /// Let running containers take up their new configuration.
    Reload {
        units: Vec<String>,
    },
    /// Which units are started, and by what; `Done`, or `Refused`.
    Choose(Choice),
    /// What these unit files would change: `Changes` or `Refused`.
    Diff,
    /// Put them in the place of the operator's present ones: `Refused`, or `Changes` when that is done; with `wait`,
    /// `Changing`, and then `Done` or `Failed`.
    Apply {
        wait: bool,
    },
    /// Freeze running containers; answered `Done` when nothing in them runs any more.
    Pause {
        units: Vec<String>,
    },
    Unpause {
        units: Vec<String>,
    },
    Exec(ExecRequest),
    Logs(LogsRequest),
    ImageLoad,
    /// The only image of the archive is called so, too. Not a field of `ImageLoad`: that goes on being written as it
    /// was, so that either side may be of an older release.
    ImageLoadAs {
        name: String,
    },
    ImageLs,
    /// Boot stages and unit transitions with their times.
    BootChart,
    /// The last decisions of the supervisor, as lines.
    Trace,
    /// The last decisions and the state before them, for `sim --replay`: one JSON object, to the descriptor.
    TraceDump,
    /// The chain of events that led to a unit's state.
    Why {
        unit: String,
    },
    /// The latest runs of a unit whose command is meant to end.
    History {
        unit: String,
    },
    Timers,
    /// All units and what they say about each other.
    Graph,
    /// Of that, what a unit needs and who needs it, over whatever is between.
    Kin {
        unit: String,
    },
    /// Memory, and what the machine's own programs use.
    Top,
    /// Answered when every default unit is ready, or one of them has failed for good.
    WaitReady,
    /// PID 1 executes itself anew and goes on where it was; answered `Done` by the new program.
    Reexec,
    PowerOff,
    Reboot,
}

/// What an operator decides about units beside their files; it outlives a reboot.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Choice {
    /// Targets start them, default.target at least; all units of the profiles may be started.
    Enable {
        units: Vec<String>,
        profiles: Vec<String>,
    },
    /// No target starts them.
    Disable {
        units: Vec<String>,
        profiles: Vec<String>,
    },
    /// Nothing starts them.
    Mask {
        units: Vec<String>,
    },
    Unmask {
        units: Vec<String>,
    },
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
