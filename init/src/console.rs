//! The serial console: one line per fact that an operator waits for.
//!
//! ```text
//! keelson: stage NAME ok|failed MS ms[: REASON]
//! keelson: ready N units MS ms
//! keelson: warning: …
//! ```
//! The first two are scripted against; their form is settled. Everything goes to the kernel's log as well.

use std::fmt::Display;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::sync::OnceLock;

static CONSOLE: OnceLock<Option<File>> = OnceLock::new();

/// Open the console; before this, lines go to the descriptors that the kernel gave us.
pub(crate) fn open() {
    CONSOLE.get_or_init(|| OpenOptions::new().write(true).open("/dev/console").ok());
}

/// One line, `keelson: ` in front.
pub(crate) fn say(text: impl Display) {
    // First: where the kernel's log is shown on the same line, it would come into the middle of what is still being sent.
    log::info!("{text}");
    let line = format!("keelson: {text}\n");
    if let Some(Some(console)) = CONSOLE.get() {
        let mut console: &File = console;
        // A console that can't be written (unplugged serial line) must not stop the boot.
        let _ = console.write_all(line.as_bytes());
    } else {
        let _ = std::io::stdout().write_all(line.as_bytes());
    }
}

/// The end of a stage, and why it failed.
pub(crate) fn stage(name: &str, took_ms: u64, result: Result<(), impl Display>) {
    match result {
        Ok(()) => say(format_args!("stage {name} ok {took_ms} ms")),
        Err(reason) => say(format_args!("stage {name} failed {took_ms} ms: {reason}")),
    }
}

/// A line that asks for an operator's attention.
pub(crate) fn warn(text: impl Display) {
    say(format_args!("warning: {text}"));
}
