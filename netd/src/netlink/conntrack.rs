//! Connection tracking (linux/netfilter/nfnetlink_conntrack.h): forgetting flows.
//!
//! A published UDP port keeps the address it was translated to for as long as packets come (30 s to 180 s after the
//! last one), so a flow that goes on would go to a container that is no longer there.

use super::wire::{Batch, attributes, flag};
use super::{NetlinkError, Socket};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

const SUBSYSTEM: u16 = 1;
const GET: u16 = SUBSYSTEM << 8 | 1;
const DELETE: u16 = SUBSYSTEM << 8 | 2;
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_TUPLE_IP: u16 = 1;
const CTA_IP_V4_SRC: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_DST_PORT: u16 = 3;
const NESTED: u16 = 0x8000;
const UDP: u8 = 17;
/// `struct nfgenmsg`: IPv4.
const HEAD: [u8; 4] = [2, 0, 0, 0];

/// Which UDP flows.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Flows<'a> {
    /// First sent to one of these host ports.
    ToPorts(&'a BTreeSet<u16>),
    /// Answered from this address: where a published port had led them.
    AnsweredFrom(Ipv4Addr),
}

impl Flows<'_> {
    /// `original` and `reply`: the two tuples of a flow.
    fn has(self, original: &[u8], reply: &[u8]) -> bool {
        let port = udp_port(original);
        match self {
            Self::ToPorts(ports) => port.is_some_and(|port| ports.contains(&port)),
            Self::AnsweredFrom(address) => port.is_some() && source(reply) == Some(address),
        }
    }
}

/// Forget these flows. Listing and deleting one by one works on every kernel; a filtered delete needs Linux 6.11.
pub(crate) fn forget_udp(socket: &mut Socket, flows: Flows<'_>) -> Result<(), NetlinkError> {
    let mut list = Batch::new();
    list.message(GET, flag::DUMP, &HEAD, "list tracked flows", |_| {});
    let mut tuples = Vec::new();
    socket.ask(&list, |_, body| {
        let tuple = |wanted| {
            attributes(body.get(4..).unwrap_or_default())
                .find(|(kind, _)| *kind == wanted)
                .map(|(_, tuple)| tuple)
        };
        if let (Some(original), Some(reply)) = (tuple(CTA_TUPLE_ORIG), tuple(CTA_TUPLE_REPLY))
            && flows.has(original, reply)
        {
            tuples.push(original.to_vec());
        }
    })?;
    for tuple in tuples {
        let mut batch = Batch::new();
        batch.message(DELETE, 0, &HEAD, "forget a tracked flow", |a| {
            a.bytes(CTA_TUPLE_ORIG | NESTED, &tuple);
        });
        match socket.run(&batch) {
            // It ended in the meantime.
            Err(error) if error.errno == nix::errno::Errno::ENOENT => {}
            other => other?,
        }
    }
    Ok(())
}

/// The destination port of a UDP tuple.
fn udp_port(tuple: &[u8]) -> Option<u16> {
    let (_, protocol) = attributes(tuple).find(|(kind, _)| *kind == CTA_TUPLE_PROTO)?;
    let value = |kind| {
        attributes(protocol)
            .find(|(found, _)| *found == kind)
            .map(|(_, value)| value)
    };
    if value(CTA_PROTO_NUM) != Some(&[UDP]) {
        return None;
    }
    let port = value(CTA_PROTO_DST_PORT)?.try_into().ok()?;
    Some(u16::from_be_bytes(port))
}

/// The address that a tuple comes from.
fn source(tuple: &[u8]) -> Option<Ipv4Addr> {
    let (_, addresses) = attributes(tuple).find(|(kind, _)| *kind == CTA_TUPLE_IP)?;
    let (_, source) = attributes(addresses).find(|(kind, _)| *kind == CTA_IP_V4_SRC)?;
    let octets: [u8; 4] = source.try_into().ok()?;
    Some(Ipv4Addr::from(octets))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tuple(protocol: u8, source: [u8; 4]) -> Vec<u8> {
        let mut batch = Batch::new();
        batch.message(0, 0, &[], "", |a| {
            a.nest(CTA_TUPLE_IP, |a| a.bytes(CTA_IP_V4_SRC, &source));
            a.nest(CTA_TUPLE_PROTO, |a| {
                a.u8(CTA_PROTO_NUM, protocol);
                a.bytes(CTA_PROTO_DST_PORT, &5353_u16.to_be_bytes());
            });
        });
        batch.bytes()[16..].to_vec()
    }

    #[test]
    fn flows_are_told_by_their_port_or_by_who_answers_and_only_udp_counts() {
        let (client, container) = ([9, 9, 9, 9], [10, 88, 0, 2]);
        let ports = BTreeSet::from([5353]);
        let other = BTreeSet::from([53]);
        let from = |address: [u8; 4]| Flows::AnsweredFrom(address.into());
        let has = |flows: Flows<'_>, protocol| {
            flows.has(&tuple(protocol, client), &tuple(protocol, container))
        };
        assert!(has(Flows::ToPorts(&ports), UDP) && has(from(container), UDP));
        assert!(!has(Flows::ToPorts(&other), UDP) && !has(from(client), UDP));
        assert!(!has(Flows::ToPorts(&ports), 6) && !has(from(container), 6));
    }
}
