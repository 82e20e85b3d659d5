//! Keeps what containers write.
//!
//! ```text
//! container ─▶ pipe ─▶ peek (tee(2)) ─▶ whole lines to /var/logs/UNIT/current ─▶ take them out of the pipe (splice(2))
//!               ▲ PID 1 keeps a read end too                │
//!               └ so that logd can die                      └▶ query threads: history, follow
//! ```
//!
//! A line leaves its pipe only after it was written: a logd that is killed loses none. What was written and not yet taken is
//! in the `ledger`, which outlives it, so that the next one keeps none twice. A container that writes faster than the disk takes it waits in its pipe; one whose log can't be written
//! at all (full disk) does not wait: its lines are dropped, counted, and the count is written as soon as there is room.
//!
//! A run's readiness may wait for a line of its output: see `watch`.
//!
//! What was asked goes on with the next logd where this one was: see `bookmark`.
//!
//! To change the format of a line, see `record`; what bounds the files, `unit_log`; who reads them, `query`.

mod answer;
mod bookmark;
mod follower;
mod ledger;
mod line_splitter;
mod peek;
mod query;
mod record;
mod service;
mod stream;
mod unit_log;
mod unit_reader;
mod watch;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The program `logd`, which has no arguments.
#[must_use]
pub fn run() -> ExitCode {
    sys::kmsg::install("logd");
    // The tests' own folder, with a name in it that no unit has; on a machine nothing sets the variable.
    let (folder, ledger) = match std::env::var_os("KEELSON_LOGS") {
        Some(folder) => (PathBuf::from(&folder), Path::new(&folder).join(".ledger")),
        None => (sys::paths::LOGS.into(), sys::paths::LOG_LEDGER.into()),
    };
    match service::Service::new(&folder, &ledger).and_then(service::Service::run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error!("{error}");
            ExitCode::FAILURE
        }
    }
}
