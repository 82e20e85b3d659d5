//! The kernel's log as ours (`/dev/kmsg`, dev-kmsg in Documentation/ABI): one record per line, with a level.

use log::{Level, LevelFilter, Log, Metadata, Record};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::sync::OnceLock;

/// The kernel cuts a record at about 1 KiB (`PRINTKRB_RECORD_MAX`); a longer line would be refused whole.
const RECORD_BYTES_MAX: usize = 976;

struct Kmsg {
    name: &'static str,
    device: Option<File>,
}

static KMSG: OnceLock<Kmsg> = OnceLock::new();

/// Send everything logged through the `log` crate to the kernel's log as `name: text`, or to stderr where the
/// device can't be opened. The first call wins.
pub fn install(name: &'static str) {
    let device = OpenOptions::new().write(true).open("/dev/kmsg").ok();
    let logger = KMSG.get_or_init(|| Kmsg { name, device });
    if log::set_logger(logger).is_ok() {
        log::set_max_level(LevelFilter::Info);
    }
}

impl Log for Kmsg {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= Level::Info
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        // Facility 3 (daemon) and syslog(3)'s severities.
        let severity = match record.level() {
            Level::Error => 3,
            Level::Warn => 4,
            Level::Info => 6,
            Level::Debug | Level::Trace => 7,
        };
        for line in record.args().to_string().lines() {
            let mut text = format!("<{}>{}: {line}", 24 + severity, self.name);
            if text.len() > RECORD_BYTES_MAX {
                let end = (0..=RECORD_BYTES_MAX)
                    .rev()
                    .find(|at| text.is_char_boundary(*at))
                    .unwrap_or(0);
                text.truncate(end);
            }
            text.push('\n');
            let done = self
                .device
                .as_ref()
                .map(|mut device| device.write_all(text.as_bytes()));
            if !matches!(done, Some(Ok(()))) {
                // A log that can't be written must not take the program down: there is nobody left to tell.
                let _ = std::io::stderr().write_all(format!("{}: {line}\n", self.name).as_bytes());
            }
        }
    }

    fn flush(&self) {}
}
