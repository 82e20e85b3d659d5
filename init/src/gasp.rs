//! The last gasp: when PID 1 itself fails, say why where it will be read, save what is on its way to the disk, reboot.
//!
//! A machine that never does this is one whose recovery nobody has seen: `keelson.panic=STAGE` has PID 1 panic when that
//! stage is over (docs/debug.md).
//!
//! With `panic=0` on the kernel command line the machine stays as it is, for whoever debugs it.

use crate::cmdline::Cmdline;
use crate::console;
use std::time::Duration;
use sys::power::PowerAction;

/// Time for a person at the console to see that there is something to read.
const READING_TIME: Duration = Duration::from_secs(5);

/// Have panics end in a last gasp. The release is built with `panic = "abort"`: the hook is all that runs.
pub(crate) fn install() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        let message = panic.payload_as_str().unwrap_or("no message");
        last(&format!("panic at {place}: {message}"));
    }));
}

/// Panic at this moment if the operator has asked for it. At every boot, until he takes the word away.
#[expect(
    clippy::panic,
    reason = "it is what was asked for, and nothing less would show the way that a panic takes"
)]
pub(crate) fn rehearse(cmdline: &Cmdline, moment: &str) {
    if cmdline.get("keelson.panic") == Some(moment) {
        panic!("keelson.panic={moment} on the kernel command line asks for it");
    }
}

/// Say why, sync, reboot.
pub(crate) fn last(why: &str) -> ! {
    if std::process::id() != 1 {
        // A copy of PID 1: only its work is lost.
        log::error!("a copy of PID 1 can't go on: {why}");
        std::process::abort();
    }
    console::say(format_args!("PID 1 can't go on: {why}"));
    log::error!("PID 1 can't go on: {why}");
    nix::unistd::sync();
    if Cmdline::read().get("panic") == Some("0") {
        console::say("panic=0: the machine is left as it is; switch it off by hand");
        loop {
            std::thread::park();
        }
    }
    #[expect(
        clippy::disallowed_methods,
        reason = "nothing is left that could be kept waiting"
    )]
    std::thread::sleep(READING_TIME);
    // It syncs once more: containers have gone on writing.
    let error = sys::power::end(PowerAction::Reboot);
    console::say(format_args!("reboot: {error}"));
    // The kernel panics when PID 1 exits, and reboots by its own `panic=` setting.
    std::process::abort()
}
