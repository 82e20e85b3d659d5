//! Network namespaces of containers: made, wired to the bridge, looked into (network_namespaces(7), veth(4)).
//!
//! This program has one thread. It enters a namespace only between two lines of this file and comes back before it
//! does anything else; if it can't come back, it ends, and starts again where it belongs.

use crate::bridge;
use crate::netlink::route::{
    self, Link, LinkAddress, LinkChange, LinkKey, Mac, Route, VethPair, set_link,
};
use crate::netlink::{Batch, NetlinkError, Socket};
use crate::plan::addresses::mac_of;
use nix::sched::{CloneFlags, setns, unshare};
use std::collections::VecDeque;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread;
use std::time::Duration;

/// Name of a container's link, inside.
const INNER_LINK: &str = "eth0";
const OWN_NAMESPACE: &str = "/proc/thread-self/ns/net";
/// Namespaces made in quiet moments, so that a start need not wait for one (0.4 ms, and more in an emulated machine).
const PREPARED: usize = 2;
/// On kernels before 6.8 the link watch is waited for: it runs within a millisecond, so 50 of them are plenty.
const LINK_WATCH_PAUSE: Duration = Duration::from_micros(200);
const LINK_WATCH_TRIES: u32 = 250;
/// As Docker has them: a port below 1024 needs no privilege in a namespace of one's own, and `ping` none at all.
const SYSCTLS: [(&str, &str); 2] = [
    ("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0"),
    ("/proc/sys/net/ipv4/ping_group_range", "0 2147483647"),
];

#[derive(Debug)]
pub(crate) enum NamespaceError {
    Io {
        what: &'static str,
        error: io::Error,
    },
    Netlink(NetlinkError),
}

impl fmt::Display for NamespaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { what, error } => write!(f, "can't {what}: {error}"),
            Self::Netlink(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for NamespaceError {}

impl From<NetlinkError> for NamespaceError {
    fn from(error: NetlinkError) -> Self {
        Self::Netlink(error)
    }
}

/// A namespace with nothing but loopback, which is up.
#[derive(Debug)]
pub(crate) struct Namespace {
    pub(crate) descriptor: OwnedFd,
    inside: Socket,
}

/// What a container's link is to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wiring<'a> {
    /// Of the end on the bridge.
    pub(crate) name: &'a str,
    pub(crate) alias: &'a str,
    pub(crate) bridge: u32,
    pub(crate) mtu: u32,
    pub(crate) address: Ipv4Addr,
    pub(crate) prefix: u8,
    pub(crate) gateway: Ipv4Addr,
    pub(crate) ipv6: Ipv6,
}

/// Whether the kernel has IPv6: without it, attributes about it are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ipv6 {
    Present,
    Absent,
}

/// What was found in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Inside {
    pub(crate) address: Ipv4Addr,
    /// Index of the end on the bridge, in the machine's namespace.
    pub(crate) outer: u32,
}

/// Makes namespaces, and knows the way home.
#[derive(Debug)]
pub(crate) struct Namespaces {
    home: OwnedFd,
    prepared: VecDeque<Namespace>,
    /// Making one for later has failed: not tried again, or it would be in every quiet moment.
    unable: bool,
}

impl Namespaces {
    pub(crate) fn new() -> Result<Self, NamespaceError> {
        Ok(Self {
            home: own_namespace()?,
            prepared: VecDeque::new(),
            unable: false,
        })
    }

    pub(crate) fn is_stocked(&self) -> bool {
        self.unable || self.prepared.len() >= PREPARED
    }

    /// Make one for later.
    pub(crate) fn stock(&mut self) -> Result<(), NamespaceError> {
        let made = self.make();
        self.unable = made.is_err();
        self.prepared.push_back(made?);
        Ok(())
    }

    pub(crate) fn take(&mut self) -> Result<Namespace, NamespaceError> {
        match self.prepared.pop_front() {
            Some(namespace) => Ok(namespace),
            None => self.make(),
        }
    }

    fn make(&self) -> Result<Namespace, NamespaceError> {
        unshare(CloneFlags::CLONE_NEWNET)
            .map_err(|errno| io_error("make a network namespace", errno.into()))?;
        let made = Self::set_up();
        self.return_home();
        made
    }

    fn set_up() -> Result<Namespace, NamespaceError> {
        let descriptor = own_namespace()?;
        let mut inside = Socket::route()?;
        let mut batch = Batch::new();
        let up = LinkChange {
            up: true,
            ..LinkChange::default()
        };
        set_link(&mut batch, LinkKey::Name("lo"), &up);
        inside.run(&batch)?;
        for (path, value) in SYSCTLS {
            fs::write(path, value).map_err(|error| io_error("set a network sysctl", error))?;
        }
        Ok(Namespace { descriptor, inside })
    }

    /// Address and link of a container that was wired by a former run of this program.
    pub(crate) fn look_into(&self, namespace: BorrowedFd<'_>) -> Result<Inside, NamespaceError> {
        setns(namespace, CloneFlags::CLONE_NEWNET)
            .map_err(|errno| io_error("enter a network namespace", errno.into()))?;
        let socket = Socket::route();
        self.return_home();
        let mut socket = socket?;
        let link = route::link_named(&mut socket, INNER_LINK)?;
        let addresses = route::addresses(&mut socket)?;
        let address = addresses.iter().find(|found| found.link == link.index);
        let missing = |what| io_error(what, io::ErrorKind::NotFound.into());
        Ok(Inside {
            address: address
                .ok_or_else(|| missing("find the address of a container's link"))?
                .address,
            outer: link
                .peer
                .ok_or_else(|| missing("find the other end of a container's link"))?,
        })
    }

    fn return_home(&self) {
        if let Err(errno) = setns(self.home.as_fd(), CloneFlags::CLONE_NEWNET) {
            log::error!(
                "can't return to the machine's network namespace: {}; starting again",
                errno.desc()
            );
            std::process::exit(1);
        }
    }
}

impl Namespace {
    /// Connect it: first both ends, then the inner one with its address, last the outer one up. The bridge forwards
    /// from that moment on (no spanning tree, so no learning delay), and nothing tests for duplicate addresses.
    pub(crate) fn wire(
        &mut self,
        outside: &mut Socket,
        wiring: &Wiring<'_>,
    ) -> Result<(), NamespaceError> {
        let peer_mac: Mac = mac_of(wiring.address);
        let mut batch = Batch::new();
        route::add_veth(
            &mut batch,
            &VethPair {
                name: wiring.name,
                bridge: wiring.bridge,
                mtu: wiring.mtu,
                peer: INNER_LINK,
                peer_mac,
                peer_namespace: self.descriptor.as_fd(),
            },
        );
        outside.run(&batch)?;

        let without_ipv6 = wiring.ipv6 == Ipv6::Present;
        let Link { index, .. } = route::link_named(&mut self.inside, INNER_LINK)?;
        let mut batch = Batch::new();
        let up = LinkChange {
            up: true,
            without_ipv6,
            ..LinkChange::default()
        };
        set_link(&mut batch, LinkKey::Index(index), &up);
        let at = LinkAddress {
            link: index,
            address: wiring.address,
            prefix: wiring.prefix,
        };
        route::add_address(&mut batch, at);
        route::add_route(&mut batch, index, Route::default_through(wiring.gateway));
        self.inside.run(&batch)?;

        let mut batch = Batch::new();
        let up = LinkChange {
            up: true,
            without_ipv6,
            alias: Some(wiring.alias),
            mtu: None,
        };
        set_link(&mut batch, LinkKey::Name(wiring.name), &up);
        outside.run(&batch)?;
        wait_until_operational(&mut self.inside, INNER_LINK)?;
        wait_until_operational(outside, wiring.name)?;
        // The bridge gets its carrier with its first port.
        wait_until_operational(outside, bridge::NAME)
    }
}

/// A link that has just got its carrier drops what is sent until the kernel's link watch has run, which it does in the
/// background; a first packet lost is a second until it is sent again. Asking for a link makes the kernel (since 6.8)
/// do that work before it answers.
fn wait_until_operational(socket: &mut Socket, name: &str) -> Result<(), NamespaceError> {
    for _ in 0..LINK_WATCH_TRIES {
        if route::link_named(socket, name)?.operational {
            return Ok(());
        }
        thread::sleep(LINK_WATCH_PAUSE);
    }
    log::warn!("link {name} is not operational yet; its first packets may be lost");
    Ok(())
}

fn own_namespace() -> Result<OwnedFd, NamespaceError> {
    let file = File::open(OWN_NAMESPACE);
    file.map(OwnedFd::from)
        .map_err(|error| io_error("open /proc/thread-self/ns/net", error))
}

fn io_error(what: &'static str, error: io::Error) -> NamespaceError {
    NamespaceError::Io { what, error }
}
