//! Keelson's network: the machine's link, the containers' bridge, NAT and published ports.
//!
//! ```text
//! PID 1 ◀── fd 3 ──▶ daemon ──┬─▶ machine (pure) ─▶ dhcp, link         the machine's own link
//!                             └─▶ containers ─▶ namespace, bridge,     one veth per run,
//!                                   host_ports, netlink::nft           one map element per port
//! plan: what ought to be, as pure functions        netlink: the only place that knows the kernel's messages
//! ```
//!
//! Invariants:
//! - The kernel and `addresses.json` hold the state: killed at any time and started again, this program reads both, PID 1
//!   tells which runs there are, and no container notices.
//! - The number of firewall rules does not depend on the number of containers or ports; every change is one transaction.
//! - An address has one hardware address, and is on one link at most.
//! - One thread, no runtime; nothing waits but poll(2). (A file that must outlive a power cut is written by a thread.)
//!
//! To add a feature: the rule in `plan`, the message in `netlink`, and a test in tests/netns that a packet sees it.

mod address_file;
mod bridge;
mod containers;
mod daemon;
mod dhcp;
mod host_ports;
mod lease_file;
mod link;
mod machine;
mod namespace;
mod netlink;
mod places;
mod plan;
mod port_owner;
mod reserved_ports;

use std::error::Error;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

/// Descriptor that PID 1 leaves open: one end of a socket pair.
const INIT_DESCRIPTOR: i32 = 3;

/// The program `netd`, with its arguments (without its name).
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    sys::kmsg::install("netd");
    match serve(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// `netd [--root DIR]`: DIR holds var, run, etc and proc/cmdline (tests).
fn serve(arguments: impl IntoIterator<Item = OsString>) -> Result<(), Box<dyn Error>> {
    let mut arguments = arguments.into_iter();
    let mut root = PathBuf::from("/");
    while let Some(argument) = arguments.next() {
        match (argument.to_str(), arguments.next()) {
            (Some("--root"), Some(folder)) => root = folder.into(),
            _ => {
                return Err("usage: netd [--root DIR], with PID 1's socket on descriptor 3".into());
            }
        }
    }
    let init = sys::descriptor::inherited(INIT_DESCRIPTOR)
        .map_err(|error| format!("no socket of PID 1 on descriptor {INIT_DESCRIPTOR}: {error}"))?;
    if let Err(error) = host_ports::raise_descriptor_limit() {
        log::warn!("can't raise the limit of open files: {error}");
    }
    daemon::Daemon::new(init, places::Places::below(&root))?.run()?;
    Ok(())
}
