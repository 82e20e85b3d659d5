//! Network namespaces of containers: made, wired to the bridge, looked into (network_namespaces(7), veth(4)).
//!
//! This program has one thread. It enters a namespace only between two lines of this file and comes back before it
//! does anything else; if it can't come back, it ends, and starts again where it belongs.

use crate::bridge;
use crate::netlink::route::{self, LinkAddress, LinkChange, LinkKey, Route, VethPair, set_link};
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
        set_link(&mut batch, LinkKey::Name("lo"), &up());
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

    /// No socket is left in it, nor what the kernel keeps of one that was closed.
    pub(crate) fn has_no_sockets(&self, namespace: BorrowedFd<'_>) -> Result<bool, NamespaceError> {
        setns(namespace, CloneFlags::CLONE_NEWNET)
            .map_err(|errno| io_error("enter a network namespace", errno.into()))?;
        let read = || -> io::Result<bool> {
            let text = fs::read_to_string("/proc/thread-self/net/sockstat")?;
            // Without IPv6 there is none.
            let text6 = match fs::read_to_string("/proc/thread-self/net/sockstat6") {
                Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
                other => other?,
            };
            Ok(counts_no_socket(&text) && counts_no_socket(&text6))
        };
        let found = read();
        self.return_home();
        found.map_err(|error| io_error("count the sockets of a network namespace", error))
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
    /// Connect it, in three messages to the kernel: both ends, the outer one up; the inner one with its address, up, which
    /// gives both their carrier; and a look whether they have it. The bridge forwards from that moment on (no spanning
    /// tree, so no learning delay), and nothing tests for duplicate addresses.
    pub(crate) fn wire(
        &mut self,
        outside: &mut Socket,
        wiring: &Wiring<'_>,
    ) -> Result<(), NamespaceError> {
        let inner = self.make_ends(outside, wiring)?;
        let mut batch = Batch::new();
        quieten(&mut batch, LinkKey::Index(inner), wiring);
        let at = LinkAddress {
            link: inner,
            address: wiring.address,
            prefix: wiring.prefix,
        };
        route::add_address(&mut batch, at);
        set_link(&mut batch, LinkKey::Index(inner), &up());
        route::add_route(&mut batch, inner, Route::default_through(wiring.gateway));
        route::get_link(&mut batch, LinkKey::Index(inner));
        until_operational(&mut self.inside, batch, &[LinkKey::Index(inner)])?;
        // The bridge gets its carrier with its first port.
        let outer = [LinkKey::Name(wiring.name), LinkKey::Name(bridge::NAME)];
        let mut batch = Batch::new();
        for link in outer {
            route::get_link(&mut batch, link);
        }
        until_operational(outside, batch, &outer)
    }

    /// The number of the inner one.
    fn make_ends(&self, outside: &mut Socket, wiring: &Wiring<'_>) -> Result<u32, NamespaceError> {
        let outer = LinkKey::Name(wiring.name);
        let mut batch = Batch::new();
        route::add_veth(
            &mut batch,
            &VethPair {
                name: wiring.name,
                bridge: wiring.bridge,
                mtu: wiring.mtu,
                peer: INNER_LINK,
                peer_mac: mac_of(wiring.address),
                peer_namespace: self.descriptor.as_fd(),
            },
        );
        quieten(&mut batch, outer, wiring);
        let named = LinkChange {
            alias: Some(wiring.alias),
            ..up()
        };
        set_link(&mut batch, outer, &named);
        route::get_link(&mut batch, outer);
        let peer = route::last_link(outside, &batch)?.peer;
        peer.ok_or_else(|| {
            io_error(
                "find the other end of a container's link",
                io::ErrorKind::NotFound.into(),
            )
        })
    }
}

fn up() -> LinkChange<'static> {
    LinkChange {
        up: true,
        ..LinkChange::default()
    }
}

/// No IPv6 link-local address. Before it is up: in one message with that it would come too late.
fn quieten(batch: &mut Batch, link: LinkKey<'_>, wiring: &Wiring<'_>) {
    if wiring.ipv6 == Ipv6::Present {
        let change = LinkChange {
            without_ipv6: true,
            ..LinkChange::default()
        };
        set_link(batch, link, &change);
    }
}

/// A link that has just got its carrier drops what is sent until the kernel's link watch has run, which it does in the
/// background; a first packet lost is a second until it is sent again. Asking for a link makes the kernel (since 6.8)
/// do that work before it answers. `batch` ends with asking for each of `links`.
fn until_operational(
    socket: &mut Socket,
    mut batch: Batch,
    links: &[LinkKey<'_>],
) -> Result<(), NamespaceError> {
    for _ in 0..LINK_WATCH_TRIES {
        let told = route::links_told(socket, &batch)?;
        if told.len() == links.len() && told.iter().all(|link| link.operational) {
            return Ok(());
        }
        thread::sleep(LINK_WATCH_PAUSE);
        batch = Batch::new();
        for link in links {
            route::get_link(&mut batch, *link);
        }
    }
    log::warn!("{links:?} not operational yet; the first packets may be lost");
    Ok(())
}

/// Of proc_pid_net(5) `sockstat`: lines such as `TCP: inuse 0 orphan 2 tw 0 alloc 9 mem 1`. What is in use and what is in
/// TIME_WAIT is counted by namespace, the rest for the whole machine.
fn counts_no_socket(text: &str) -> bool {
    text.lines().all(|line| {
        let (protocol, counts) = line.split_once(':').unwrap_or((line, ""));
        let words: Vec<&str> = counts.split_whitespace().collect();
        let mut pairs = words.chunks_exact(2);
        // The sum of all kinds has netlink sockets in it, of which this program holds some.
        protocol == "sockets"
            || pairs.all(|pair| !matches!(pair, ["inuse" | "tw", count] if *count != "0"))
    })
}

fn own_namespace() -> Result<OwnedFd, NamespaceError> {
    let file = File::open(OWN_NAMESPACE);
    file.map(OwnedFd::from)
        .map_err(|error| io_error("open /proc/thread-self/ns/net", error))
}

fn io_error(what: &'static str, error: io::Error) -> NamespaceError {
    NamespaceError::Io { what, error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_connection_that_waits_is_a_socket_and_those_of_the_machine_are_not() {
        let quiet = "sockets: used 3\nTCP: inuse 0 orphan 4 tw 0 alloc 90 mem 7\nUDP: inuse 0 mem 5\nFRAG: inuse 0 memory 0\n";
        assert!(counts_no_socket(quiet));
        assert!(counts_no_socket(""));
        assert!(!counts_no_socket(&quiet.replace("tw 0", "tw 1")));
        assert!(!counts_no_socket(
            &quiet.replace("UDP: inuse 0", "UDP: inuse 2")
        ));
        assert!(!counts_no_socket("TCP6: inuse 1\nUDP6: inuse 0\n"));
    }
}
