//! netd and logd: their programs start, a lease is asked for and the bridge is made, while the units are read. The event
//! loop takes them over (`Machine::adopt_helpers`).

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
    let mut result = Ok(());
    for kind in [HelperKind::Netd, HelperKind::Logd] {
        let (mut helper, now_ms) = (Helper::new(kind), since_boot_ms());
        if let Err(error) = helper.start(now_ms, null.as_fd(), log.as_fd()) {
            // The event loop tries again.
            helper.ended(now_ms);
            result = Err(StageError::io(kind.name(), error));
        }
        boot.helpers.push(helper);
    }
    if drivers_are_there(boot)
        && let Ok(word) = serde_json::to_vec(&NetRequest::Synced)
    {
        for netd in boot
            .helpers
            .iter_mut()
            .filter(|helper| helper.kind == HelperKind::Netd)
        {
            // At a boot no run holds a network: that is all there is to say before it makes the bridge and its rules.
            boot.network_begun = netd.pid.is_some() && netd.send(word.clone(), &[]).is_ok();
        }
    }
    result
}

/// The child that loads the network's drivers has ended; the event loop hears how.
fn drivers_are_there(boot: &Boot) -> bool {
    let Some((child, _)) = &boot.network_drivers else {
        return true;
    };
    let watched = [(child.pidfd.as_fd(), Interest::Read)];
    sys::poll::wait(&watched, Some(Duration::ZERO)).is_ok_and(|ready| !ready.is_empty())
}
