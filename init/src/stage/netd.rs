//! netd: its program starts while the state is mounted, asks for a lease when the machine has its name, and makes the bridge
//! while the units are read. The event loop takes it over (`Machine::adopt_helpers`).

use super::{Boot, StageError};
use crate::helper::Helper;
use crate::source::HelperKind;
use control::net::NetRequest;
use std::fs::{File, OpenOptions};
use std::os::fd::AsFd;
use std::time::Duration;
use sys::clock::since_boot_ms;
use sys::epoll::Interest;

pub(super) fn run(boot: &mut Boot) -> Result<(), StageError> {
    let null = File::open("/dev/null").map_err(|error| StageError::io("/dev/null", error))?;
    let log = OpenOptions::new().write(true).open("/dev/kmsg");
    let log = log.map_err(|error| StageError::io("/dev/kmsg", error))?;
    let mut netd = Helper::new(HelperKind::Netd);
    // Where it fails, the event loop tries again.
    netd.start(since_boot_ms(), null.as_fd(), log.as_fd(), &[])
        .map_err(|error| StageError::io("netd", error))?;
    boot.netd = Some(netd);
    Ok(())
}

/// The state is mounted and the machine has its name. What can't be said now the event loop says.
pub(super) fn begin(boot: &mut Boot) {
    let drivers_are_there = drivers_are_there(boot);
    let Some(netd) = &mut boot.netd else { return };
    let mut say = |word: NetRequest| {
        let word = serde_json::to_vec(&word).map_err(std::io::Error::from);
        word.and_then(|word| netd.send(word, &[])).is_ok()
    };
    boot.network_since_ms = Some(since_boot_ms());
    // At a boot no run holds a network: that is all there is to say before it makes the bridge and its rules.
    boot.network_begun = say(NetRequest::Kept) && drivers_are_there && say(NetRequest::Synced);
}

/// The child that loads the network's drivers has ended; the event loop hears how.
fn drivers_are_there(boot: &Boot) -> bool {
    let Some((child, _)) = &boot.first_drivers else {
        return true;
    };
    let watched = [(child.pidfd.as_fd(), Interest::Read)];
    sys::poll::wait(&watched, Some(Duration::ZERO)).is_ok_and(|ready| !ready.is_empty())
}
