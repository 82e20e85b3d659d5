//! PID 1 ◀▶ `logd`: one JSON message per `SOCK_SEQPACKET` datagram on descriptor 3, and the line that `logd` keeps.

use crate::request::LogsRequest;
use serde::{Deserialize, Serialize};
use unit::UnitName;

/// From PID 1 to `logd`.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum LogRequest {
    /// Keep what comes out of these pipes; the read ends of stdout and stderr ride along, in this order.
    /// PID 1 keeps its own copies: it lends them again to the next `logd` when this one dies.
    Keep {
        unit: UnitName,
        run: u64,
        max_size: u64,
        max_files: u32,
    },
    /// A line of the system's own about a unit (`started`, `killed by SIGKILL (out of memory)`), kept with its output.
    Note {
        unit: UnitName,
        run: u64,
        message: String,
    },
    /// Answer a query; where the text goes rides along. `id` comes back in `QueryDone`.
    Query { id: u64, query: LogsRequest },
    /// The client went away.
    Cancel { id: u64 },
    /// Write everything that is still in the pipes, sync, answer `Flushed` (shutdown).
    Flush,
}

/// From `logd` to PID 1.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum LogReply {
    /// Descriptors are being read from here on.
    Ready,
    /// Both pipes of the run are at their end and written: PID 1 may close its copies.
    Drained {
        unit: UnitName,
        run: u64,
    },
    QueryDone {
        id: u64,
        error: Option<String>,
    },
    Flushed,
}

/// One kept line, as `keelctl logs --json` prints it.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct LogLine {
    /// Milliseconds since 1970-01-01 UTC.
    pub time_ms: i64,
    pub unit: String,
    pub run: u64,
    /// `stdout`, `stderr`, `system`
    pub stream: String,
    /// Without its line feed. Bytes that are not UTF-8 are replaced by U+FFFD.
    pub message: String,
    /// The line was longer than the limit, and goes on in the next one.
    #[serde(default)]
    pub partial: bool,
}
