//! The machine's nftables table.
//!
//! ```text
//! raw          prerouting   not from lo, to 127.0.0.0/8                        → drop
//! prerouting   to an address of this machine                                   → dnat by map `published`, `published_any`
//! output       the same, for the machine itself
//! forward      established, related | from the bridge | to the bridge and dnat → accept, else drop
//! postrouting  from a container to a published port, out of the bridge         → masquerade (the answer must come back here)
//!              from 127.0.0.0/8 out of the bridge                              → masquerade
//!              from a container, not to the bridge                             → masquerade
//! ```
//!
//! The rules are the same whatever is published: a port is an element of a map.

use super::ports::{HostPort, Published, Transport};
use super::subnet::Subnet;
use crate::netlink::nft::{
    Chain, Compare, Ct, Element, Expression, Field, Header, Hook, Map, Meta, Register, Transaction,
    Verdict,
};
use std::net::Ipv4Addr;

pub(crate) const TABLE: &str = "keelson";

/// Ports published on one address.
pub(crate) const PUBLISHED: Map = Map {
    name: "published",
    key: &[Field::Ipv4Address, Field::Protocol, Field::Port],
    value: &[Field::Ipv4Address, Field::Port],
};
/// Ports published on every address.
pub(crate) const PUBLISHED_ANY: Map = Map {
    name: "published_any",
    key: &[Field::Protocol, Field::Port],
    value: &[Field::Ipv4Address, Field::Port],
};

/// Priorities of linux/netfilter_ipv4.h.
const RAW: Chain = chain("raw", "filter", Hook::Prerouting, -300, Verdict::Accept);
const PREROUTING: Chain = chain("prerouting", "nat", Hook::Prerouting, -100, Verdict::Accept);
const OUTPUT: Chain = chain("output", "nat", Hook::Output, -100, Verdict::Accept);
const FORWARD: Chain = chain("forward", "filter", Hook::Forward, 0, Verdict::Drop);
const POSTROUTING: Chain = chain(
    "postrouting",
    "nat",
    Hook::Postrouting,
    100,
    Verdict::Accept,
);

const fn chain(
    name: &'static str,
    kind: &'static str,
    hook: Hook,
    priority: i32,
    policy: Verdict,
) -> Chain {
    Chain {
        name,
        kind,
        hook,
        priority,
        policy,
    }
}

/// Of Linux, in every network namespace.
const LOOPBACK_INDEX: u32 = 1;
/// `RTN_LOCAL` (rtnetlink(7)): an address of this machine.
const LOCAL: u32 = 2;
/// `IPS_DST_NAT` (nf_conntrack_common.h).
const STATUS_DNAT: u32 = 1 << 5;
/// `NF_CT_STATE_BIT` of established and related.
const STATE_KNOWN: u32 = 1 << 1 | 1 << 2;
const SOURCE_OFFSET: u32 = 12;
const DESTINATION_OFFSET: u32 = 16;
const LOOPBACK_NET: u8 = 127;

/// The whole table, as one transaction.
pub(crate) fn table(bridge: u32, subnet: Subnet, published: &[Published]) -> Transaction {
    let mut transaction = Transaction::new(TABLE);
    transaction.replace_table();
    fill(&mut transaction, bridge, subnet);
    add_published(&mut transaction, published);
    transaction
}

/// The same where the table is there, with other ports or other rules: chains and maps stay, and so do the elements that
/// are right.
///
/// A packet that is on its way when a table is replaced by another one may see neither: it has passed the new chain
/// before that was in force, and passes the old one when that is not any more, or looks into the old map then. (The
/// kernel asks for each chain and for each look which of the two is in force.)
pub(crate) fn renewed(
    bridge: u32,
    subnet: Subnet,
    withdrawn: &[Published],
    published: &[Published],
) -> Transaction {
    let mut transaction = Transaction::new(TABLE);
    transaction.keep_table();
    transaction.delete_rules();
    fill(&mut transaction, bridge, subnet);
    delete_published(&mut transaction, withdrawn);
    add_published(&mut transaction, published);
    transaction
}

/// Whatever is published.
fn fill(transaction: &mut Transaction, bridge: u32, subnet: Subnet) {
    transaction.add_map(&PUBLISHED, 1);
    transaction.add_map(&PUBLISHED_ANY, 2);
    for chain in [RAW, PREROUTING, OUTPUT, FORWARD, POSTROUTING] {
        transaction.add_chain(&chain);
    }
    for (chain, rule) in rules(bridge, subnet) {
        transaction.add_rule(&chain, &rule);
    }
}

/// From one set of published ports to another: a packet sees either the one or the other.
pub(crate) fn exchange(withdrawn: &[Published], published: &[Published]) -> Transaction {
    let mut transaction = Transaction::new(TABLE);
    delete_published(&mut transaction, withdrawn);
    add_published(&mut transaction, published);
    transaction
}

fn delete_published(transaction: &mut Transaction, published: &[Published]) {
    let (one, any) = elements(published);
    transaction.delete_elements(&PUBLISHED, &one);
    transaction.delete_elements(&PUBLISHED_ANY, &any);
}

fn add_published(transaction: &mut Transaction, published: &[Published]) {
    let (one, any) = elements(published);
    transaction.add_elements(&PUBLISHED, &one);
    transaction.add_elements(&PUBLISHED_ANY, &any);
}

fn rules(bridge: u32, subnet: Subnet) -> Vec<(Chain, Vec<Expression>)> {
    use Compare::{Equal, NotEqual};
    let a = Register(0);
    let link = |key, how, index: u32| {
        [
            Expression::Meta { key, to: a },
            Expression::Compare {
                register: a,
                how,
                value: index.to_ne_bytes().to_vec(),
            },
        ]
    };
    let destination_local = [
        Expression::DestinationType { to: a },
        Expression::Compare {
            register: a,
            how: Equal,
            value: LOCAL.to_ne_bytes().to_vec(),
        },
    ];
    let ct = |key, bits: u32| {
        [
            Expression::Ct { key, to: a },
            Expression::Mask {
                register: a,
                mask: bits.to_ne_bytes().to_vec(),
            },
            Expression::Compare {
                register: a,
                how: NotEqual,
                value: vec![0; 4],
            },
        ]
    };
    let loopback_net = |offset| {
        [
            Expression::Payload {
                header: Header::Network,
                offset,
                bytes: 1,
                to: a,
            },
            Expression::Compare {
                register: a,
                how: Equal,
                value: vec![LOOPBACK_NET],
            },
        ]
    };
    let from_container = [
        Expression::Payload {
            header: Header::Network,
            offset: SOURCE_OFFSET,
            bytes: 4,
            to: a,
        },
        Expression::Mask {
            register: a,
            mask: subnet.mask().octets().to_vec(),
        },
        Expression::Compare {
            register: a,
            how: Equal,
            value: subnet.network.octets().to_vec(),
        },
    ];
    let to_published = |map: &Map| {
        let mut next = 0;
        let mut field = |field: &Field| {
            let to = Register(next);
            next += 1;
            match field {
                Field::Ipv4Address => {
                    let (header, offset) = (Header::Network, DESTINATION_OFFSET);
                    Expression::Payload {
                        header,
                        offset,
                        bytes: 4,
                        to,
                    }
                }
                Field::Protocol => Expression::Meta {
                    key: Meta::Transport,
                    to,
                },
                Field::Port => Expression::Payload {
                    header: Header::Transport,
                    offset: 2,
                    bytes: 2,
                    to,
                },
            }
        };
        let mut rule = destination_local.to_vec();
        rule.extend(map.key.iter().map(&mut field));
        rule.push(Expression::Lookup {
            map: map.name,
            key: a,
            to: a,
        });
        rule.push(Expression::Dnat {
            address: a,
            port: Register(1),
        });
        rule
    };
    let accept = || vec![Expression::Verdict(Verdict::Accept)];
    let masquerade = || vec![Expression::Masquerade];
    let to_bridge = || link(Meta::OutLink, Equal, bridge).to_vec();

    let not_loopback = link(Meta::InLink, NotEqual, LOOPBACK_INDEX).to_vec();
    let drop = vec![Expression::Verdict(Verdict::Drop)];
    vec![
        (
            RAW,
            [
                not_loopback,
                loopback_net(DESTINATION_OFFSET).to_vec(),
                drop,
            ]
            .concat(),
        ),
        (PREROUTING, to_published(&PUBLISHED)),
        (PREROUTING, to_published(&PUBLISHED_ANY)),
        (OUTPUT, to_published(&PUBLISHED)),
        (OUTPUT, to_published(&PUBLISHED_ANY)),
        (
            FORWARD,
            [ct(Ct::State, STATE_KNOWN).to_vec(), accept()].concat(),
        ),
        (
            FORWARD,
            [link(Meta::InLink, Equal, bridge).to_vec(), accept()].concat(),
        ),
        (
            FORWARD,
            [to_bridge(), ct(Ct::Status, STATUS_DNAT).to_vec(), accept()].concat(),
        ),
        (
            POSTROUTING,
            [
                to_bridge(),
                from_container.to_vec(),
                ct(Ct::Status, STATUS_DNAT).to_vec(),
                masquerade(),
            ]
            .concat(),
        ),
        (
            POSTROUTING,
            [
                to_bridge(),
                loopback_net(SOURCE_OFFSET).to_vec(),
                masquerade(),
            ]
            .concat(),
        ),
        (
            POSTROUTING,
            [
                link(Meta::OutLink, NotEqual, bridge).to_vec(),
                from_container.to_vec(),
                masquerade(),
            ]
            .concat(),
        ),
    ]
}

/// Elements of [`PUBLISHED`] and of [`PUBLISHED_ANY`].
fn elements(published: &[Published]) -> (Vec<Element>, Vec<Element>) {
    let (mut one, mut any) = (Vec::new(), Vec::new());
    for Published {
        host,
        container,
        container_port,
    } in published
    {
        let [high, low] = host.port.to_be_bytes();
        let key = [host.transport.number(), 0, 0, 0, high, low, 0, 0];
        let [high, low] = container_port.to_be_bytes();
        let value = [&container.octets()[..], &[high, low, 0, 0]].concat();
        if host.address.is_unspecified() {
            any.push((key.to_vec(), value));
        } else {
            one.push(([&host.address.octets()[..], &key].concat(), value));
        }
    }
    (one, any)
}

/// The opposite of [`elements`], for what is found in the kernel.
pub(crate) fn published(one: &[Element], any: &[Element]) -> Vec<Published> {
    let with_address = one.iter().filter_map(|(key, value)| {
        let (address, key) = key.split_first_chunk::<4>()?;
        element(Ipv4Addr::from(*address), key, value)
    });
    let without = any
        .iter()
        .filter_map(|(key, value)| element(Ipv4Addr::UNSPECIFIED, key, value));
    with_address.chain(without).collect()
}

fn element(address: Ipv4Addr, key: &[u8], value: &[u8]) -> Option<Published> {
    let (&[number, _, _, _, high, low, ..], &[a, b, c, d, to_high, to_low, ..]) = (key, value)
    else {
        return None;
    };
    let transport = [Transport::Tcp, Transport::Udp]
        .into_iter()
        .find(|t| t.number() == number)?;
    Some(Published {
        host: HostPort {
            address,
            transport,
            port: u16::from_be_bytes([high, low]),
        },
        container: Ipv4Addr::new(a, b, c, d),
        container_port: u16::from_be_bytes([to_high, to_low]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_read_back_as_they_were_written() {
        let at = |address, transport| Published {
            host: HostPort {
                address,
                transport,
                port: 7001,
            },
            container: Ipv4Addr::new(10, 88, 1, 2),
            container_port: 6379,
        };
        let all = [
            at(Ipv4Addr::LOCALHOST, Transport::Udp),
            at(Ipv4Addr::UNSPECIFIED, Transport::Tcp),
        ];
        let (one, any) = elements(&all);
        assert_eq!((one[0].0.len(), any[0].0.len(), any[0].1.len()), (12, 8, 8));
        assert_eq!(published(&one, &any), all);
    }

    #[test]
    fn the_rules_do_not_depend_on_what_is_published() {
        let subnet = Subnet::of(Ipv4Addr::new(10, 88, 0, 0), 16);
        assert_eq!(rules(7, subnet).len(), 11);
    }
}
