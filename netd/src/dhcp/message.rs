//! A DHCP message (RFC 2131 section 2, options of RFC 2132, 3396, 3442).

use crate::netlink::route::{Mac, Route};
use crate::plan::command_line::{class_prefix, prefix_of_mask};
use crate::plan::subnet::Subnet;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

const FIXED_BYTES: usize = 236;
const COOKIE: [u8; 4] = [99, 130, 83, 99];
/// Old relays and servers drop what is shorter (RFC 1542 section 2.1).
const BYTES_MIN: usize = 300;
const SERVER_NAME: std::ops::Range<usize> = 44..108;
const BOOT_FILE: std::ops::Range<usize> = 108..236;
const REQUEST: u8 = 1;
const REPLY: u8 = 2;
const ETHERNET: u8 = 1;
/// An option's length is one byte, and a host name is at most this long (HOST_NAME_MAX).
const HOSTNAME_BYTES_MAX: usize = 64;
/// Smallest link MTU that a lease may ask for: every IPv4 host takes packets of this size (RFC 791).
const MTU_MIN: u16 = 576;
/// A lease may bring a table of routes; what goes beyond is left out.
const ROUTES_MAX: usize = 64;
const RESOLVERS_MAX: usize = 8;

/// Of RFC 2132.
mod option {
    pub(super) const PAD: u8 = 0;
    pub(super) const MASK: u8 = 1;
    pub(super) const ROUTER: u8 = 3;
    pub(super) const RESOLVER: u8 = 6;
    pub(super) const HOSTNAME: u8 = 12;
    pub(super) const DOMAIN: u8 = 15;
    pub(super) const MTU: u8 = 26;
    pub(super) const ADDRESS: u8 = 50;
    pub(super) const LEASE_TIME: u8 = 51;
    pub(super) const OVERLOAD: u8 = 52;
    pub(super) const KIND: u8 = 53;
    pub(super) const SERVER: u8 = 54;
    pub(super) const PARAMETERS: u8 = 55;
    pub(super) const SIZE_MAX: u8 = 57;
    pub(super) const RENEW: u8 = 58;
    pub(super) const REBIND: u8 = 59;
    pub(super) const CLIENT_ID: u8 = 61;
    /// RFC 3442
    pub(super) const ROUTES: u8 = 121;
    pub(super) const END: u8 = 255;
}

/// What a client sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outgoing<'a> {
    pub(crate) kind: Kind,
    pub(crate) transaction: u32,
    pub(crate) mac: Mac,
    pub(crate) seconds: u16,
    /// The address in use, when it is being extended; else unspecified.
    pub(crate) own: Ipv4Addr,
    pub(crate) requested: Option<Ipv4Addr>,
    pub(crate) server: Option<Ipv4Addr>,
    pub(crate) hostname: Option<&'a str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Discover = 1,
    Offer = 2,
    Request = 3,
    Acknowledge = 5,
    Refuse = 6,
}

impl Outgoing<'_> {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0; FIXED_BYTES];
        bytes[..3].copy_from_slice(&[REQUEST, ETHERNET, 6]);
        bytes[4..8].copy_from_slice(&self.transaction.to_be_bytes());
        bytes[8..10].copy_from_slice(&self.seconds.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.own.octets());
        bytes[28..34].copy_from_slice(&self.mac);
        bytes.extend_from_slice(&COOKIE);
        let mut put = |code: u8, value: &[u8]| {
            bytes.push(code);
            bytes.push(u8::try_from(value.len()).unwrap_or(0));
            bytes.extend_from_slice(value);
        };
        put(option::KIND, &[self.kind as u8]);
        put(option::CLIENT_ID, &[&[ETHERNET], &self.mac[..]].concat());
        if let Some(address) = self.requested {
            put(option::ADDRESS, &address.octets());
        }
        if let Some(server) = self.server {
            put(option::SERVER, &server.octets());
        }
        if let Some(name) = self
            .hostname
            .filter(|name| name.len() <= HOSTNAME_BYTES_MAX)
        {
            put(option::HOSTNAME, name.as_bytes());
        }
        put(option::SIZE_MAX, &1472_u16.to_be_bytes());
        // Classless routes before the router: a server that runs out of room leaves out the last (RFC 3442).
        let parameters = [
            option::MASK,
            option::ROUTES,
            option::ROUTER,
            option::RESOLVER,
            option::DOMAIN,
            option::MTU,
            option::LEASE_TIME,
            option::RENEW,
            option::REBIND,
        ];
        put(option::PARAMETERS, &parameters);
        bytes.push(option::END);
        bytes.resize(bytes.len().max(BYTES_MIN), 0);
        bytes
    }
}

/// What a server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Incoming {
    pub(crate) kind: Kind,
    pub(crate) server: Ipv4Addr,
    pub(crate) lease: Lease,
}

/// An address and what comes with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) address: Ipv4Addr,
    pub(crate) prefix: u8,
    pub(crate) routes: Vec<Route>,
    pub(crate) resolvers: Vec<Ipv4Addr>,
    pub(crate) domain: Option<String>,
    pub(crate) mtu: Option<u32>,
    /// Seconds; `u32::MAX` is for ever.
    pub(crate) seconds: u32,
    pub(crate) renew_seconds: Option<u32>,
    pub(crate) rebind_seconds: Option<u32>,
}

/// A reply to this client's transaction; None for everything else.
pub(crate) fn parse(bytes: &[u8], transaction: u32, mac: Mac) -> Option<Incoming> {
    let fixed = bytes.first_chunk::<FIXED_BYTES>()?;
    let ours = fixed[0] == REPLY
        && fixed[4..8] == transaction.to_be_bytes()
        && fixed[28..34] == mac
        && bytes.get(FIXED_BYTES..FIXED_BYTES + 4)? == COOKIE;
    if !ours {
        return None;
    }
    let options = all_options(fixed, &bytes[FIXED_BYTES + 4..]);
    let value = |code: u8| options.get(&code).map(Vec::as_slice);
    let seconds = |code| Some(u32::from_be_bytes(value(code)?.try_into().ok()?));
    let kind = match value(option::KIND)? {
        [2] => Kind::Offer,
        [5] => Kind::Acknowledge,
        [6] => Kind::Refuse,
        _ => return None,
    };
    let address = Ipv4Addr::new(fixed[16], fixed[17], fixed[18], fixed[19]);
    let usable = !address.is_unspecified() && !address.is_multicast() && !address.is_broadcast();
    if kind != Kind::Refuse && !usable {
        return None;
    }
    let mask = value(option::MASK).and_then(|mask| addresses(mask).next());
    let routes = match value(option::ROUTES) {
        // Where there are classless routes, the router option doesn't count (RFC 3442).
        Some(routes) => classless_routes(routes),
        None => {
            let router = value(option::ROUTER).and_then(|routers| addresses(routers).next());
            router.into_iter().map(Route::default_through).collect()
        }
    };
    let mtu = value(option::MTU).and_then(|mtu| Some(u16::from_be_bytes(mtu.try_into().ok()?)));
    Some(Incoming {
        kind,
        server: value(option::SERVER).and_then(|server| addresses(server).next())?,
        lease: Lease {
            address,
            prefix: mask
                .and_then(prefix_of_mask)
                .unwrap_or_else(|| class_prefix(address)),
            routes,
            resolvers: value(option::RESOLVER)
                .map(|resolvers| addresses(resolvers).take(RESOLVERS_MAX).collect())
                .unwrap_or_default(),
            domain: value(option::DOMAIN).and_then(domain),
            mtu: mtu.filter(|mtu| *mtu >= MTU_MIN).map(u32::from),
            seconds: seconds(option::LEASE_TIME).unwrap_or(u32::MAX),
            renew_seconds: seconds(option::RENEW),
            rebind_seconds: seconds(option::REBIND),
        },
    })
}

/// Options by code; parts of a long one are put together (RFC 3396), from the file and server name fields too when the
/// overload option says so.
fn all_options(fixed: &[u8; FIXED_BYTES], rest: &[u8]) -> BTreeMap<u8, Vec<u8>> {
    let mut options = BTreeMap::new();
    read_options(rest, &mut options);
    let overload = options
        .get(&option::OVERLOAD)
        .and_then(|value| value.first().copied());
    let overload = overload.unwrap_or(0);
    if overload & 1 != 0 {
        read_options(&fixed[BOOT_FILE], &mut options);
    }
    if overload & 2 != 0 {
        read_options(&fixed[SERVER_NAME], &mut options);
    }
    options
}

fn read_options(mut bytes: &[u8], options: &mut BTreeMap<u8, Vec<u8>>) {
    while let [code, rest @ ..] = bytes {
        match (*code, rest) {
            (option::END, _) => return,
            (option::PAD, _) => bytes = rest,
            (code, [length, rest @ ..]) => {
                let Some((value, rest)) = rest.split_at_checked(usize::from(*length)) else {
                    return;
                };
                options.entry(code).or_default().extend_from_slice(value);
                bytes = rest;
            }
            (_, []) => return,
        }
    }
}

fn addresses(value: &[u8]) -> impl Iterator<Item = Ipv4Addr> {
    value
        .as_chunks::<4>()
        .0
        .iter()
        .map(|octets| Ipv4Addr::from(*octets))
}

fn classless_routes(mut value: &[u8]) -> Vec<Route> {
    let mut routes = Vec::new();
    while let [prefix @ 0..=32, rest @ ..] = value {
        let significant = usize::from(prefix.div_ceil(8));
        let Some((head, rest)) = rest.split_at_checked(significant) else {
            break;
        };
        let Some((gateway, rest)) = rest.split_first_chunk::<4>() else {
            break;
        };
        let mut octets = [0; 4];
        octets[..significant].copy_from_slice(head);
        let gateway = Some(Ipv4Addr::from(*gateway)).filter(|gateway| !gateway.is_unspecified());
        let destination = Subnet::of(octets.into(), *prefix).network;
        routes.push(Route {
            destination,
            prefix: *prefix,
            gateway,
        });
        value = rest;
        if routes.len() == ROUTES_MAX {
            break;
        }
    }
    routes
}

/// It goes into resolv.conf: only what can be in a domain name.
fn domain(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?.trim_end_matches('\0');
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    (!text.is_empty() && text.len() <= 253 && text.chars().all(good)).then(|| text.to_owned())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const MAC: Mac = [2, 0, 0, 0, 0, 7];

    /// A server's message, with the given options after its kind and identity.
    pub(crate) fn reply(kind: u8, transaction: u32, options: &[(u8, &[u8])]) -> Vec<u8> {
        let mut bytes = vec![0; FIXED_BYTES];
        bytes[0] = REPLY;
        bytes[4..8].copy_from_slice(&transaction.to_be_bytes());
        bytes[16..20].copy_from_slice(&[10, 0, 2, 15]);
        bytes[28..34].copy_from_slice(&MAC);
        bytes.extend_from_slice(&COOKIE);
        bytes.extend_from_slice(&[option::KIND, 1, kind, option::SERVER, 4, 10, 0, 2, 2]);
        for (code, value) in options {
            bytes.push(*code);
            bytes.push(u8::try_from(value.len()).unwrap());
            bytes.extend_from_slice(value);
        }
        bytes.push(option::END);
        bytes
    }

    #[test]
    fn a_lease_brings_mask_router_resolvers_domain_and_times() {
        let bytes = reply(
            5,
            9,
            &[
                (1, &[255, 255, 255, 0]),
                (3, &[10, 0, 2, 2]),
                (6, &[10, 0, 2, 3, 9, 9, 9, 9]),
                (15, b"lan"),
                (26, &[5, 180]),
                (51, &[0, 1, 81, 128]),
            ],
        );
        let incoming = parse(&bytes, 9, MAC).unwrap();
        assert_eq!(
            (incoming.kind, incoming.server),
            (Kind::Acknowledge, Ipv4Addr::new(10, 0, 2, 2))
        );
        let lease = incoming.lease;
        assert_eq!(
            (lease.address, lease.prefix),
            (Ipv4Addr::new(10, 0, 2, 15), 24)
        );
        assert_eq!(
            lease.routes,
            [Route::default_through(Ipv4Addr::new(10, 0, 2, 2))]
        );
        assert_eq!(
            (lease.resolvers.len(), lease.domain.as_deref()),
            (2, Some("lan"))
        );
        assert_eq!((lease.mtu, lease.seconds), (Some(1460), 86400));
    }

    #[test]
    fn classless_routes_replace_the_router() {
        let bytes = reply(
            5,
            9,
            &[
                (3, &[10, 0, 2, 2]),
                (121, &[32, 10, 128, 0, 1, 0, 0, 0, 0, 0, 10, 128, 0, 1]),
            ],
        );
        let routes = parse(&bytes, 9, MAC).unwrap().lease.routes;
        let gateway = Ipv4Addr::new(10, 128, 0, 1);
        let on_link = Route {
            destination: gateway,
            prefix: 32,
            gateway: None,
        };
        assert_eq!(routes, [on_link, Route::default_through(gateway)]);
    }

    #[test]
    fn a_message_for_another_client_or_transaction_is_none() {
        let bytes = reply(2, 9, &[]);
        assert!(parse(&bytes, 9, MAC).is_some());
        assert_eq!(parse(&bytes, 8, MAC), None);
        assert_eq!(parse(&bytes, 9, [0; 6]), None);
    }

    #[test]
    fn a_domain_that_would_break_resolv_conf_is_left_out() {
        let bytes = reply(2, 9, &[(15, b"lan\nnameserver 6.6.6.6")]);
        assert_eq!(parse(&bytes, 9, MAC).unwrap().lease.domain, None);
    }

    #[test]
    fn no_message_however_broken_ends_the_program() {
        let whole = reply(
            5,
            9,
            &[(121, &[33, 1, 2]), (1, &[255]), (51, &[1]), (52, &[3])],
        );
        for end in 0..whole.len() {
            let _ = parse(&whole[..end], 9, MAC);
        }
        let mut state = 1_u32;
        for _ in 0..20_000 {
            let mut bytes = whole.clone();
            for _ in 0..4 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let at = FIXED_BYTES + 4 + (state >> 8) as usize % (whole.len() - FIXED_BYTES - 4);
                bytes[at] = state.to_be_bytes()[0];
            }
            let _ = parse(&bytes, 9, MAC);
        }
    }

    #[test]
    fn a_request_carries_what_the_server_must_know() {
        let bytes = Outgoing {
            kind: Kind::Request,
            transaction: 0x0102_0304,
            mac: MAC,
            seconds: 3,
            own: Ipv4Addr::UNSPECIFIED,
            requested: Some(Ipv4Addr::new(10, 0, 2, 15)),
            server: Some(Ipv4Addr::new(10, 0, 2, 2)),
            hostname: Some("box"),
        }
        .encode();
        assert_eq!(bytes.len(), BYTES_MIN);
        assert_eq!(&bytes[..12], [1, 1, 6, 0, 1, 2, 3, 4, 0, 3, 0, 0]);
        let mut options = BTreeMap::new();
        read_options(&bytes[FIXED_BYTES + 4..], &mut options);
        assert_eq!(options[&option::KIND], [3]);
        assert_eq!(options[&option::ADDRESS], [10, 0, 2, 15]);
        assert_eq!(options[&option::SERVER], [10, 0, 2, 2]);
        assert_eq!(options[&option::HOSTNAME], b"box");
    }
}
