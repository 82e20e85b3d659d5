//! Links, addresses, routes and neighbours (rtnetlink(7), linux/if_link.h, linux/rtnetlink.h).

use super::wire::{Attributes, Batch, attributes, flag};
use super::{NetlinkError, Socket};
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Of rtnetlink(7): notices about links (made, changed, gone).
pub(crate) const GROUP_LINK: u32 = 1;

pub(crate) const RTM_NEWLINK: u16 = 16;
pub(crate) const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const RTM_SETLINK: u16 = 19;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_GETADDR: u16 = 22;
const RTM_NEWROUTE: u16 = 24;

const AF_INET: u8 = 2;
const AF_INET6: u16 = 10;
const ARPHRD_ETHER: u16 = 1;
const IFF_UP: u32 = 1;
const IFF_LOOPBACK: u32 = 8;
const IFF_RUNNING: u32 = 1 << 6;
const IFF_LOWER_UP: u32 = 1 << 16;
/// `IF_OPER_UP` (linux/if.h).
const OPERSTATE_UP: u8 = 6;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_LINK: u16 = 5;
const IFLA_MASTER: u16 = 10;
const IFLA_OPERSTATE: u16 = 16;
const IFLA_LINKINFO: u16 = 18;
const IFLA_IFALIAS: u16 = 20;
const IFLA_AF_SPEC: u16 = 26;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_EXT_MASK: u16 = 29;
const IFLA_NUM_TX_QUEUES: u16 = 31;
const IFLA_NUM_RX_QUEUES: u16 = 32;
const IFLA_CARRIER_DOWN_COUNT: u16 = 48;
/// `RTEXT_FILTER_SKIP_STATS`: counters are half of what the kernel says of a link, and nobody here reads them.
const WITHOUT_COUNTERS: u32 = 1 << 3;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_INET6_ADDR_GEN_MODE: u16 = 8;
/// `IN6_ADDR_GEN_MODE_NONE`: no link-local address, so nothing is tested for duplicates and nothing is solicited.
const ADDR_GEN_MODE_NONE: u8 = 1;
const VETH_INFO_PEER: u16 = 1;

const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;

const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RT_TABLE_MAIN: u8 = 254;
const RTPROT_STATIC: u8 = 4;
const RT_SCOPE_UNIVERSE: u8 = 0;
const RT_SCOPE_LINK: u8 = 253;
const RTN_UNICAST: u8 = 1;
/// The gateway is on the link although no address says so (clouds that lease a /32).
const RTNH_F_ONLINK: u32 = 4;

pub(crate) type Mac = [u8; 6];

/// What matters here of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) mac: Mac,
    pub(crate) loopback: bool,
    /// Ethernet, and not made by software: `IFLA_LINKINFO` names no kind.
    pub(crate) physical: bool,
    pub(crate) up: bool,
    /// There is somebody at the other end, and the kernel has taken note of it: what is sent goes out.
    pub(crate) carrier: bool,
    /// So often has it lost its carrier: a short loss shows here.
    pub(crate) carrier_losses: u32,
    /// The kernel has said so in `operstate` too (some drivers never do).
    pub(crate) operational: bool,
    pub(crate) mtu: u32,
    /// The other end of a veth, an index of the namespace that it is in.
    pub(crate) peer: Option<u32>,
}

impl Link {
    /// From the body of `RTM_NEWLINK` or `RTM_DELLINK`.
    pub(crate) fn parse(body: &[u8]) -> Option<Self> {
        let head = body.first_chunk::<16>()?;
        let word =
            |at: usize| u32::from_ne_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        if head[0] != 0 {
            // Another family's view of the link (a bridge's ports, AF_BRIDGE).
            return None;
        }
        let flags = word(8);
        let mut link = Self {
            index: word(4),
            name: String::new(),
            mac: [0; 6],
            loopback: flags & IFF_LOOPBACK != 0,
            physical: u16::from_ne_bytes([head[2], head[3]]) == ARPHRD_ETHER,
            up: flags & IFF_UP != 0,
            carrier: flags & IFF_LOWER_UP != 0 && flags & IFF_RUNNING != 0,
            carrier_losses: 0,
            operational: false,
            mtu: 0,
            peer: None,
        };
        for (kind, value) in attributes(&body[16..]) {
            match kind {
                IFLA_IFNAME => {
                    let text = value.strip_suffix(&[0]).unwrap_or(value);
                    link.name = String::from_utf8_lossy(text).into_owned();
                }
                IFLA_ADDRESS => link.mac = value.try_into().unwrap_or_default(),
                IFLA_MTU => link.mtu = number(value).unwrap_or(0),
                IFLA_LINK => link.peer = number(value),
                IFLA_CARRIER_DOWN_COUNT => link.carrier_losses = number(value).unwrap_or(0),
                IFLA_OPERSTATE => link.operational = value == [OPERSTATE_UP],
                IFLA_LINKINFO => {
                    let made = attributes(value).any(|(kind, _)| kind == IFLA_INFO_KIND);
                    link.physical = link.physical && !made;
                }
                _ => {}
            }
        }
        Some(link)
    }
}

fn number(value: &[u8]) -> Option<u32> {
    value.try_into().ok().map(u32::from_ne_bytes)
}

/// An IPv4 address of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LinkAddress {
    pub(crate) link: u32,
    pub(crate) address: Ipv4Addr,
    pub(crate) prefix: u8,
}

/// All links of the socket's namespace.
pub(crate) fn links(socket: &mut Socket) -> Result<Vec<Link>, NetlinkError> {
    let mut batch = Batch::new();
    let head = link_head(0, 0, 0);
    batch.message(RTM_GETLINK, flag::DUMP, &head, "list links", |a| {
        a.u32(IFLA_EXT_MASK, WITHOUT_COUNTERS);
    });
    links_told(socket, &batch)
}

/// Do what is in the batch; the links that [`get_link`] asked for in it, in that order.
pub(crate) fn links_told(socket: &mut Socket, batch: &Batch) -> Result<Vec<Link>, NetlinkError> {
    let mut links = Vec::new();
    socket.ask(batch, |kind, body| {
        if kind == RTM_NEWLINK {
            links.extend(Link::parse(body));
        }
    })?;
    Ok(links)
}

/// Ask how a link is; `ENODEV` when there is none. From Linux 6.8 the kernel's link watch, which otherwise takes note of a
/// new carrier in the background and up to a second late (net/core/link_watch.c), is run for it first.
pub(crate) fn get_link(batch: &mut Batch, link: LinkKey<'_>) {
    let (index, purpose) = match link {
        LinkKey::Index(index) => (index, format!("look at link number {index}")),
        LinkKey::Name(name) => (0, format!("find link {name}")),
    };
    batch.message(RTM_GETLINK, 0, &link_head(index, 0, 0), purpose, |a| {
        if let LinkKey::Name(name) = link {
            a.text(IFLA_IFNAME, name);
        }
        a.u32(IFLA_EXT_MASK, WITHOUT_COUNTERS);
    });
}

/// The link of this name; `ENODEV` when there is none.
pub(crate) fn link_named(socket: &mut Socket, name: &str) -> Result<Link, NetlinkError> {
    let mut batch = Batch::new();
    get_link(&mut batch, LinkKey::Name(name));
    last_link(socket, &batch)
}

/// Do what is in the batch; the link that its last message asked for.
pub(crate) fn last_link(socket: &mut Socket, batch: &Batch) -> Result<Link, NetlinkError> {
    let missing = || NetlinkError {
        purpose: batch.last_purpose().to_owned(),
        errno: nix::errno::Errno::ENODEV,
        detail: None,
    };
    links_told(socket, batch)?.pop().ok_or_else(missing)
}

/// All IPv4 addresses of the socket's namespace.
pub(crate) fn addresses(socket: &mut Socket) -> Result<Vec<LinkAddress>, NetlinkError> {
    let mut batch = Batch::new();
    let head = [AF_INET, 0, 0, 0, 0, 0, 0, 0];
    batch.message(RTM_GETADDR, flag::DUMP, &head, "list addresses", |_| {});
    let mut found = Vec::new();
    socket.ask(&batch, |kind, body| {
        let Some((head, rest)) = body.split_first_chunk::<8>() else {
            return;
        };
        let local = attributes(rest).find(|(kind, _)| *kind == IFA_LOCAL);
        let octets = local.and_then(|(_, value)| <[u8; 4]>::try_from(value).ok());
        if let (RTM_NEWADDR, Some(octets)) = (kind, octets) {
            found.push(LinkAddress {
                link: u32::from_ne_bytes([head[4], head[5], head[6], head[7]]),
                address: octets.into(),
                prefix: head[1],
            });
        }
    })?;
    Ok(found)
}

/// What `set_link` changes; the rest stays.
#[derive(Clone, Debug, Default)]
pub(crate) struct LinkChange<'a> {
    pub(crate) up: bool,
    pub(crate) mtu: Option<u32>,
    /// Shown by `ip link` as `alias`.
    pub(crate) alias: Option<&'a str>,
    /// No IPv6 link-local address.
    pub(crate) without_ipv6: bool,
}

/// How a message names a link.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LinkKey<'a> {
    Index(u32),
    Name(&'a str),
}

pub(crate) fn set_link(batch: &mut Batch, link: LinkKey<'_>, change: &LinkChange<'_>) {
    let flags = if change.up { IFF_UP } else { 0 };
    let (index, name) = match link {
        LinkKey::Index(index) => (index, None),
        LinkKey::Name(name) => (0, Some(name)),
    };
    let purpose = match name {
        Some(name) => format!("set up link {name}"),
        None => format!("set up link number {index}"),
    };
    batch.message(
        RTM_SETLINK,
        0,
        &link_head(index, flags, flags),
        purpose,
        |a| {
            if let Some(name) = name {
                a.text(IFLA_IFNAME, name);
            }
            if let Some(mtu) = change.mtu {
                a.u32(IFLA_MTU, mtu);
            }
            if let Some(alias) = change.alias {
                a.text(IFLA_IFALIAS, alias);
            }
            if change.without_ipv6 {
                without_ipv6(a);
            }
        },
    );
}

fn without_ipv6(a: &mut Attributes<'_>) {
    a.nest(IFLA_AF_SPEC, |a| {
        a.nest(AF_INET6, |a| {
            a.u8(IFLA_INET6_ADDR_GEN_MODE, ADDR_GEN_MODE_NONE)
        });
    });
}

/// A bridge with an address of its own: left to the kernel, a bridge takes the lowest address of its ports, which
/// changes as containers come and go, and their neighbour entries for it go stale.
pub(crate) fn add_bridge(batch: &mut Batch, name: &str, mac: Mac) {
    let flags = flag::CREATE | flag::EXCLUSIVE;
    batch.message(
        RTM_NEWLINK,
        flags,
        &link_head(0, 0, 0),
        format!("create bridge {name}"),
        |a| {
            a.text(IFLA_IFNAME, name);
            a.bytes(IFLA_ADDRESS, &mac);
            a.nest(IFLA_LINKINFO, |a| a.text(IFLA_INFO_KIND, "bridge"));
        },
    );
}

/// A pair of links, this end a port of a bridge, the other in another namespace.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VethPair<'a> {
    pub(crate) name: &'a str,
    pub(crate) bridge: u32,
    pub(crate) mtu: u32,
    pub(crate) peer: &'a str,
    pub(crate) peer_mac: Mac,
    pub(crate) peer_namespace: BorrowedFd<'a>,
}

/// Both ends are down: a peer that is created up fails with `ENOTCONN`. One queue each way: left to the kernel it would be
/// one for each processor (since 5.17), which a veth has no use for without XDP, and each is an object in sysfs and an
/// event that PID 1 hears.
pub(crate) fn add_veth(batch: &mut Batch, pair: &VethPair<'_>) {
    let flags = flag::CREATE | flag::EXCLUSIVE;
    let purpose = format!("create link {}", pair.name);
    let namespace = u32::try_from(pair.peer_namespace.as_raw_fd()).unwrap_or(u32::MAX);
    batch.message(RTM_NEWLINK, flags, &link_head(0, 0, 0), purpose, |a| {
        a.text(IFLA_IFNAME, pair.name);
        a.u32(IFLA_MTU, pair.mtu);
        a.u32(IFLA_MASTER, pair.bridge);
        one_queue(a);
        a.nest(IFLA_LINKINFO, |a| {
            a.text(IFLA_INFO_KIND, "veth");
            a.nest(IFLA_INFO_DATA, |a| {
                a.nest_after(VETH_INFO_PEER, &link_head(0, 0, 0), |a| {
                    a.text(IFLA_IFNAME, pair.peer);
                    a.bytes(IFLA_ADDRESS, &pair.peer_mac);
                    a.u32(IFLA_MTU, pair.mtu);
                    a.u32(IFLA_NET_NS_FD, namespace);
                    one_queue(a);
                });
            });
        });
    });
}

fn one_queue(a: &mut Attributes<'_>) {
    a.u32(IFLA_NUM_TX_QUEUES, 1);
    a.u32(IFLA_NUM_RX_QUEUES, 1);
}

/// Slow (12 to 25 ms): only for what a former run of this program left behind.
pub(crate) fn delete_link(batch: &mut Batch, index: u32) {
    let purpose = format!("delete link number {index}");
    batch.message(RTM_DELLINK, 0, &link_head(index, 0, 0), purpose, |_| {});
}

pub(crate) fn add_address(batch: &mut Batch, at: LinkAddress) {
    let head = address_head(at);
    let flags = flag::CREATE | flag::REPLACE;
    let purpose = format!(
        "give address {}/{} to link number {}",
        at.address, at.prefix, at.link
    );
    batch.message(RTM_NEWADDR, flags, &head, purpose, |a| {
        a.ipv4(IFA_LOCAL, at.address);
        a.ipv4(IFA_ADDRESS, at.address);
        if at.prefix < 31 {
            let host_bits = u32::MAX.checked_shr(u32::from(at.prefix)).unwrap_or(0);
            a.ipv4(IFA_BROADCAST, (at.address.to_bits() | host_bits).into());
        }
    });
}

pub(crate) fn delete_address(batch: &mut Batch, at: LinkAddress) {
    let purpose = format!(
        "take address {}/{} from link number {}",
        at.address, at.prefix, at.link
    );
    batch.message(RTM_DELADDR, 0, &address_head(at), purpose, |a| {
        a.ipv4(IFA_LOCAL, at.address);
    });
}

fn address_head(at: LinkAddress) -> [u8; 8] {
    let index = at.link.to_ne_bytes();
    [
        AF_INET,
        at.prefix,
        0,
        RT_SCOPE_UNIVERSE,
        index[0],
        index[1],
        index[2],
        index[3],
    ]
}

/// A route of the main table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) destination: Ipv4Addr,
    pub(crate) prefix: u8,
    /// None: the destination is on the link itself.
    pub(crate) gateway: Option<Ipv4Addr>,
}

impl Route {
    pub(crate) fn default_through(gateway: Ipv4Addr) -> Self {
        Self {
            destination: Ipv4Addr::UNSPECIFIED,
            prefix: 0,
            gateway: Some(gateway),
        }
    }
}

/// Replaces a route to the same destination.
pub(crate) fn add_route(batch: &mut Batch, link: u32, route: Route) {
    let (scope, flags) = match route.gateway {
        Some(_) => (RT_SCOPE_UNIVERSE, RTNH_F_ONLINK),
        None => (RT_SCOPE_LINK, 0),
    };
    let mut head = vec![
        AF_INET,
        route.prefix,
        0,
        0,
        RT_TABLE_MAIN,
        RTPROT_STATIC,
        scope,
        RTN_UNICAST,
    ];
    head.extend_from_slice(&flags.to_ne_bytes());
    let purpose = match route.gateway {
        Some(gateway) => format!(
            "route {}/{} through {gateway}",
            route.destination, route.prefix
        ),
        None => format!("route {}/{} to the link", route.destination, route.prefix),
    };
    batch.message(
        RTM_NEWROUTE,
        flag::CREATE | flag::REPLACE,
        &head,
        purpose,
        |a| {
            if route.prefix > 0 {
                a.ipv4(RTA_DST, route.destination);
            }
            if let Some(gateway) = route.gateway {
                a.ipv4(RTA_GATEWAY, gateway);
            }
            a.u32(RTA_OIF, link);
        },
    );
}

/// `struct ifinfomsg`.
fn link_head(index: u32, flags: u32, change: u32) -> [u8; 16] {
    let mut head = [0; 16];
    head[4..8].copy_from_slice(&index.to_ne_bytes());
    head[8..12].copy_from_slice(&flags.to_ne_bytes());
    head[12..16].copy_from_slice(&change.to_ne_bytes());
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(kind: Option<&str>) -> Option<Link> {
        let mut batch = Batch::new();
        let mut head = link_head(3, IFF_UP | IFF_RUNNING | IFF_LOWER_UP, 0);
        head[2..4].copy_from_slice(&ARPHRD_ETHER.to_ne_bytes());
        batch.message(RTM_NEWLINK, 0, &head, "", |a| {
            a.text(IFLA_IFNAME, "eth0");
            a.bytes(IFLA_ADDRESS, &[2, 0, 0, 0, 0, 1]);
            a.u32(IFLA_MTU, 1460);
            if let Some(kind) = kind {
                a.nest(IFLA_LINKINFO, |a| a.text(IFLA_INFO_KIND, kind));
            }
        });
        Link::parse(&batch.bytes()[16..])
    }

    #[test]
    fn a_link_made_by_software_is_not_physical() {
        let physical = link(None).unwrap();
        assert!(physical.physical && physical.carrier && physical.up);
        assert_eq!((physical.name.as_str(), physical.mtu), ("eth0", 1460));
        assert!(!link(Some("veth")).unwrap().physical);
    }

    #[test]
    fn a_cut_message_is_no_link() {
        assert_eq!(Link::parse(&[0; 15]), None);
    }
}
