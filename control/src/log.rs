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
        /// Number of this pair of pipes: beside a run's own there are those of its hooks.
        pair: u64,
        max_size: u64,
        max_files: u32,
        /// Answer `Matched` when a line of output matches this (syntax of the crate `regex-lite`).
        pattern: Option<String>,
    },
    /// A line of the system's own about a unit (`started`, `killed by SIGKILL (out of memory)`), kept with its output.
    Note {
        unit: UnitName,
        run: u64,
        message: String,
    },
    /// Answer a query; where the text goes rides along, and a memory file in which `logd` notes how far it has come. `id`
    /// comes back in `QueryDone`. PID 1 keeps copies of both: the next `logd` is asked the same with them, and goes on
    /// where this one was, or answers why it can't.
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
    /// Both pipes of the pair are at their end and written: PID 1 may close its copies.
    Drained {
        pair: u64,
        /// The last one that is not empty, its beginning; of standard error, if there is one.
        last_line: Option<String>,
    },
    /// A line of the pair has matched its pattern, which is not looked for any more. It is told before the line leaves its
    /// pipe, so a `logd` that is killed has either told it, or leaves the line to the next one.
    Matched {
        pair: u64,
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
