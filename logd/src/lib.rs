//! Keeps what containers write.
//!
//! ```text
//! container ─▶ pipe ─▶ peek (tee(2)) ─▶ whole lines to /var/logs/UNIT/current ─▶ take them out of the pipe
//!               ▲ PID 1 keeps a read end too                │
//!               └ so that logd can die                      └▶ query threads: history, follow
//! ```
//!
//! A line leaves its pipe only after it was written: a logd that is killed loses none, and at worst writes the last
//! batch twice. A container that writes faster than the disk takes it waits in its pipe; one whose log can't be written
//! at all (full disk) does not wait: its lines are dropped, counted, and the count is written as soon as there is room.
//!
//! A run's readiness may wait for a line of its output: see `watch`.
//!
//! What was asked goes on with the next logd where this one was: see `bookmark`.
//!
//! To change the format of a line, see `record`; what bounds the files, `unit_log`; who reads them, `query`.

mod answer;
mod bookmark;
mod line_splitter;
mod peek;
mod query;
mod record;
mod service;
mod stream;
mod unit_log;
mod unit_reader;
mod watch;

use std::process::ExitCode;

/// The program `logd`, which has no arguments.
#[must_use]
pub fn run() -> ExitCode {
    sys::kmsg::install("logd");
    // The tests' own folder; on a machine nothing sets the variable.
    let folder = std::env::var_os("KEELSON_LOGS").unwrap_or_else(|| sys::paths::LOGS.into());
    match service::Service::new(folder.as_ref()).and_then(service::Service::run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error!("{error}");
            ExitCode::FAILURE
        }
    }
}
