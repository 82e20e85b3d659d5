//! The end of the machine's day (reboot(2)), and who may ask for it.

use nix::sys::reboot::{RebootMode, reboot, set_cad_enabled};
use std::io;

/// How the machine ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PowerAction {
    PowerOff,
    Reboot,
}

/// Write everything to the disks (sync(2)) and end. Returns only on failure.
///
/// # Errors
/// As reboot(2).
pub fn end(action: PowerAction) -> io::Error {
    nix::unistd::sync();
    let mode = match action {
        PowerAction::PowerOff => RebootMode::RB_POWER_OFF,
        PowerAction::Reboot => RebootMode::RB_AUTOBOOT,
    };
    match reboot(mode) {
        Ok(never) => match never {},
        Err(errno) => errno.into(),
    }
}

/// Make Ctrl-Alt-Del a `SIGINT` to PID 1 instead of an immediate reset.
///
/// # Errors
/// As reboot(2).
pub fn ctrl_alt_del_as_signal() -> io::Result<()> {
    Ok(set_cad_enabled(false)?)
}
