//! The bridge that containers are connected to, and what the kernel must be told so that it routes for them.

use crate::netlink::route::{self, Link, LinkAddress, LinkChange, LinkKey, set_link};
use crate::netlink::{Batch, NetlinkError, Socket};
use crate::plan::addresses::mac_of;
use crate::plan::subnet::{self, Subnet};
use std::fs;

pub(crate) const NAME: &str = "keelson0";
const BRIDGE_NETFILTER: &str = "/proc/sys/net/bridge/bridge-nf-call-iptables";

/// What the machine has when the first container comes.
#[derive(Debug)]
pub(crate) struct Surroundings<'a> {
    pub(crate) links: Vec<&'a Link>,
    pub(crate) addresses: &'a [LinkAddress],
    /// Networks of the machine, as far as they are known.
    pub(crate) networks: Vec<Subnet>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Bridge {
    pub(crate) index: u32,
    pub(crate) subnet: Subnet,
}

impl Bridge {
    /// Take over the bridge that is there, or make one, on a network that none of the machine's overlaps.
    pub(crate) fn establish(
        socket: &mut Socket,
        surroundings: &Surroundings<'_>,
    ) -> Result<Self, NetlinkError> {
        let mut links = surroundings.links.iter();
        let existing = links.find(|link| link.name == NAME).map(|link| link.index);
        let mut addresses = surroundings.addresses.iter();
        let found = addresses
            .find(|found| Some(found.link) == existing)
            .map(|found| Subnet::of(found.address, found.prefix));
        let subnet = found.unwrap_or_else(|| subnet::choose(&surroundings.networks));
        let index = match existing {
            Some(index) => index,
            None => {
                let mut batch = Batch::new();
                route::add_bridge(&mut batch, NAME, mac_of(subnet.gateway()));
                route::get_link(&mut batch, LinkKey::Name(NAME));
                route::last_link(socket, &batch)?.index
            }
        };
        let bridge = Self { index, subnet };
        let mut batch = Batch::new();
        let up = LinkChange {
            up: true,
            ..LinkChange::default()
        };
        route::add_address(&mut batch, bridge.address());
        set_link(&mut batch, LinkKey::Index(index), &up);
        socket.run(&batch)?;
        // Where br_netfilter is loaded it translates addresses inside the bridge, and a container that asks for a port of
        // its own is sent back through the port it came from, which a bridge doesn't do. Nothing here needs it.
        if fs::exists(BRIDGE_NETFILTER).unwrap_or(false) {
            write_sysctl(BRIDGE_NETFILTER, "0");
        }
        // So that 127.0.0.1:PORT of the machine reaches a published port; the firewall drops what others send there.
        write_sysctl(
            &format!("/proc/sys/net/ipv4/conf/{NAME}/route_localnet"),
            "1",
        );
        Ok(bridge)
    }

    /// Move to a network that does not overlap the machine's. Only while no container is connected.
    pub(crate) fn move_away(
        &mut self,
        socket: &mut Socket,
        taken: Subnet,
    ) -> Result<(), NetlinkError> {
        let subnet = subnet::choose(&[taken]);
        let mut batch = Batch::new();
        route::delete_address(&mut batch, self.address());
        self.subnet = subnet;
        route::add_address(&mut batch, self.address());
        socket.run(&batch)
    }

    fn address(&self) -> LinkAddress {
        LinkAddress {
            link: self.index,
            address: self.subnet.gateway(),
            prefix: self.subnet.prefix,
        }
    }
}

/// Let the machine route. Only once the firewall is in place: until then it would route for everybody.
pub(crate) fn forward() {
    write_sysctl("/proc/sys/net/ipv4/ip_forward", "1");
}

/// Bytes of the machine's memory for each flow that may be tracked. One takes 320 while it is: all of them, a fiftieth.
const MEMORY_PER_FLOW: u64 = 16 << 10;
const FLOWS_MAX: &str = "/proc/sys/net/netfilter/nf_conntrack_max";

/// Let the kernel track as many flows as a container host has (nf_conntrack-sysctl.rst). Of its own it takes 8192 on a
/// machine of 1 GiB. A TCP connection is tracked for two minutes after its end, so 70 new ones in a second fill that, and
/// then packets are dropped.
pub(crate) fn track_more_flows() {
    let now = fs::read_to_string(FLOWS_MAX).ok();
    let now = now.and_then(|text| text.trim().parse::<u64>().ok());
    let wanted = sys::memory::total().map(|bytes| bytes / MEMORY_PER_FLOW);
    let (Some(now), Some(wanted)) = (now, wanted) else {
        return log::info!("{FLOWS_MAX}: not known; it stays as it is");
    };
    // In a network namespace it is the machine's, and can't be written.
    if now < wanted
        && let Err(error) = fs::write(FLOWS_MAX, wanted.to_string())
    {
        log::info!("can't write {wanted} to {FLOWS_MAX}: {error}; it stays at {now}");
    }
}

fn write_sysctl(path: &str, value: &str) {
    if let Err(error) = fs::write(path, value) {
        log::error!(
            "can't write {value} to {path}: {error}; published ports or outgoing connections will not work"
        );
    }
}
