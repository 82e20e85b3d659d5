//! The last gasp: when PID 1 itself fails, say why where it will be read, save what is on its way to the disk, reboot.
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

/// Say why, sync, reboot.
pub(crate) fn last(why: &str) -> ! {
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
    let error = sys::power::end(PowerAction::Reboot);
    console::say(format_args!("reboot: {error}"));
    // The kernel panics when PID 1 exits, and reboots by its own `panic=` setting.
    std::process::abort()
}
