//! Connection tracking (linux/netfilter/nfnetlink_conntrack.h): forgetting flows.
//!
//! A published UDP port keeps the address it was translated to for as long as packets come (30 s to 180 s after the
//! last one), so a flow that goes on would go to a container that is no longer there.

use super::wire::{Batch, attributes, flag};
use super::{NetlinkError, Socket};
use std::collections::BTreeSet;

const SUBSYSTEM: u16 = 1;
const GET: u16 = SUBSYSTEM << 8 | 1;
const DELETE: u16 = SUBSYSTEM << 8 | 2;
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_DST_PORT: u16 = 3;
const NESTED: u16 = 0x8000;
const UDP: u8 = 17;
/// `struct nfgenmsg`: IPv4.
const HEAD: [u8; 4] = [2, 0, 0, 0];

/// Forget every UDP flow that was first sent to one of `ports` (host ports). Listing and deleting one by one works on
/// every kernel; a filtered delete needs Linux 6.11.
pub(crate) fn forget_udp(socket: &mut Socket, ports: &BTreeSet<u16>) -> Result<(), NetlinkError> {
    let mut list = Batch::new();
    list.message(GET, flag::DUMP, &HEAD, "list tracked flows", |_| {});
    let mut tuples = Vec::new();
    socket.ask(&list, |_, body| {
        let original = attributes(body.get(4..).unwrap_or_default())
            .find(|(kind, _)| *kind == CTA_TUPLE_ORIG)
            .map(|(_, tuple)| tuple);
        if let Some(tuple) = original
            && udp_port(tuple).is_some_and(|port| ports.contains(&port))
        {
            tuples.push(tuple.to_vec());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_udp_tuples_have_a_udp_port() {
        let tuple = |protocol| {
            let mut batch = Batch::new();
            batch.message(0, 0, &[], "", |a| {
                a.nest(CTA_TUPLE_PROTO, |a| {
                    a.u8(CTA_PROTO_NUM, protocol);
                    a.bytes(CTA_PROTO_DST_PORT, &5353_u16.to_be_bytes());
                });
            });
            batch.bytes()[16..].to_vec()
        };
        assert_eq!(udp_port(&tuple(UDP)), Some(5353));
        assert_eq!(udp_port(&tuple(6)), None);
    }
}
