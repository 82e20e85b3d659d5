//! What the supervisor knows from before the reboot: manual stops, times of timers, completed jobs.

use crate::durable;
use std::io;
use std::path::Path;
use supervisor::Record;

const FILE: &str = "/var/machine/supervisor.json";

/// Empty at the first boot, and when the file is damaged: then the machine starts what a new one would.
pub(crate) fn read() -> Record {
    let Ok(text) = std::fs::read(FILE) else {
        return Record::default();
    };
    serde_json::from_slice(&text).unwrap_or_else(|error| {
        crate::console::warn(format_args!(
            "{FILE}: {error}; what was stopped by hand is started again"
        ));
        Record::default()
    })
}

/// # Errors
/// When it can't be written.
pub(crate) fn write(record: &Record) -> io::Result<()> {
    durable::write(Path::new(FILE), &serde_json::to_vec(record)?)
}
