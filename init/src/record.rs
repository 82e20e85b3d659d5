//! What the supervisor knows from before the reboot: manual stops, times of timers, completed jobs.

use crate::console;
use crate::durable::{self, Retry};
use crate::machine::Machine;
use crate::units::Units;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::Path;
use supervisor::Record;
use sys::clock::since_boot_ms;
use unit::UnitName;

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

/// What the file has.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Recorded {
    /// The supervisor's count of changes when it was compared.
    version: u64,
    record: Record,
    /// Of units that this boot does not have: their files have mistakes for this release, or were not given to it. The
    /// next boot may have them again.
    #[serde(default)]
    absent: Record,
    #[serde(default)]
    pub(crate) retry: Retry,
}

impl Recorded {
    /// What the last boot has left.
    pub(crate) fn begin_with(&mut self, record: &Record, units: &Units) {
        self.record.clone_from(record);
        self.absent.clone_from(record);
        retain(&mut self.absent, |name| units.find(name).is_none());
    }

    fn keep_declared(&mut self, units: &Units) {
        let is_absent = |name: &UnitName| units.find(name).is_none() && units.is_declared(name);
        retain(&mut self.absent, is_absent);
        // Compared anew before the loop sleeps.
        self.version = 0;
    }
}

fn retain(record: &mut Record, keep: impl Fn(&UnitName) -> bool) {
    record.stopped.retain(&keep);
    record.timers.retain(|name, _| keep(name));
    record.completed.retain(|name, _| keep(name));
}

impl Machine {
    /// Other unit files were taken over: a unit that none of them declares is no more.
    pub(crate) fn forget_undeclared(&mut self) {
        self.recorded.keep_declared(&self.units);
        self.timers.forget_undeclared(&self.units);
    }

    /// Write it where it has changed, or where it could not be written before.
    pub(crate) fn keep_record(&mut self) {
        let now = since_boot_ms();
        let version = self.supervisor.record_version();
        if version == self.recorded.version && !self.recorded.retry.is_due(now) {
            return;
        }
        self.recorded.version = version;
        let mut record = self.supervisor.record();
        let Record {
            stopped,
            timers,
            completed,
        } = self.recorded.absent.clone();
        record.stopped.extend(stopped);
        record.timers.extend(timers);
        record.completed.extend(completed);
        if record == self.recorded.record {
            self.recorded.retry = Retry::default();
            return;
        }
        match write(&record) {
            Ok(()) => {
                self.recorded.record = record;
                self.recorded.retry = Retry::default();
            }
            Err(error) => {
                if self.recorded.retry.put_off(now) {
                    console::warn(format_args!(
                        "{FILE}: {error}; until it can be written, the next boot will not know what was stopped by hand"
                    ));
                }
            }
        }
    }
}

/// # Errors
/// When it can't be written.
fn write(record: &Record) -> io::Result<()> {
    durable::write(Path::new(FILE), &serde_json::to_vec(record)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use unit::{Choices, Source, load_sources};

    #[test]
    fn what_is_known_of_units_that_this_boot_does_not_have_is_kept() {
        let source = |file: &str, text: &str| Source {
            file: file.into(),
            text: text.into(),
        };
        let loaded = load_sources(vec![
            source("web.container.toml", "[container]\nimage = \"web\"\n"),
            source("bad@.container.toml", "[container]\nnew_key = 1\n"),
        ]);
        assert!(loaded.has_errors());
        let units = Units::at_boot(loaded, Choices::default());
        let name = |text: &str| UnitName::new(text).unwrap();
        let record = Record {
            stopped: ["web", "gone", "bad@1"].map(name).into(),
            timers: [(name("gone"), 5), (name("web"), 6)].into(),
            completed: [(name("bad@1"), 7)].into(),
        };
        let mut recorded = Recorded::default();
        recorded.begin_with(&record, &units);
        assert_eq!(recorded.absent.stopped, ["bad@1", "gone"].map(name).into());
        assert_eq!(recorded.absent.timers, [(name("gone"), 5)].into());
        assert_eq!(recorded.absent.completed, [(name("bad@1"), 7)].into());
        recorded.keep_declared(&units);
        assert_eq!(recorded.absent.stopped, ["bad@1"].map(name).into());
        assert_eq!(recorded.absent.timers, [].into());
        assert_eq!(recorded.absent.completed, [(name("bad@1"), 7)].into());
    }
}
