//! nftables (linux/netfilter/nf_tables.h): tables, chains, maps, rules and their expressions, as messages of one
//! transaction. All numbers are in network byte order, but for what a rule compares with registers.
//!
//! To add an expression: a variant of [`Expression`] with the fields of its `NFTA_*` attributes, an arm in `encode`, and
//! a line in the golden test; `nft --debug=netlink` prints what a rule of the nft language becomes.

use super::wire::{Attributes, Batch, attributes, flag};
use super::{NetlinkError, Socket};

const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NEW_TABLE: u16 = message(0);
const DELETE_TABLE: u16 = message(2);
const NEW_CHAIN: u16 = message(3);
const NEW_RULE: u16 = message(6);
const DELETE_RULE: u16 = message(8);
const NEW_SET: u16 = message(9);
const NEW_ELEMENT: u16 = message(12);
const GET_ELEMENT: u16 = message(13);
const DELETE_ELEMENT: u16 = message(14);
const NFPROTO_IPV4: u8 = 2;
/// An attribute's length is 16 bits, and an element takes at most 44 bytes: a list of a thousand is well below.
const ELEMENTS_PER_MESSAGE: usize = 1000;

const fn message(kind: u16) -> u16 {
    SUBSYSTEM << 8 | kind
}

/// Registers of four bytes each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Register(pub(crate) u32);

impl Register {
    /// The first under its old name, `NFT_REG_1`, as the nft program does; the others as `NFT_REG32_01` and so on.
    fn number(self) -> u32 {
        if self.0 == 0 { 1 } else { 8 + self.0 }
    }
}

/// `enum nft_meta_keys`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meta {
    InLink = 4,
    OutLink = 5,
    Transport = 16,
}

/// `enum nft_ct_keys`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ct {
    State = 0,
    Status = 2,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compare {
    Equal = 0,
    NotEqual = 1,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Header {
    Network = 1,
    Transport = 2,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Drop = 0,
    Accept = 1,
}

/// One step of a rule; results go to registers, a comparison that fails ends the rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expression {
    Meta {
        key: Meta,
        to: Register,
    },
    Payload {
        header: Header,
        offset: u32,
        bytes: u32,
        to: Register,
    },
    Ct {
        key: Ct,
        to: Register,
    },
    /// The type of the destination address (`RTN_LOCAL` …).
    DestinationType {
        to: Register,
    },
    /// `register = register & mask`
    Mask {
        register: Register,
        mask: Vec<u8>,
    },
    Compare {
        register: Register,
        how: Compare,
        value: Vec<u8>,
    },
    /// Look the registers from `key` on up in a map; the rule ends where there is no such element.
    Lookup {
        map: &'static str,
        key: Register,
        to: Register,
    },
    /// New destination: address and port from registers.
    Dnat {
        address: Register,
        port: Register,
    },
    Masquerade,
    Verdict(Verdict),
}

impl Expression {
    fn encode(&self, a: &mut Attributes<'_>) {
        let (name, encode): (&str, &dyn Fn(&mut Attributes<'_>)) = match self {
            Self::Meta { key, to } => ("meta", &|a| {
                a.be32(2, *key as u32);
                a.be32(1, to.number());
            }),
            Self::Payload {
                header,
                offset,
                bytes,
                to,
            } => ("payload", &|a| {
                a.be32(1, to.number());
                a.be32(2, *header as u32);
                a.be32(3, *offset);
                a.be32(4, *bytes);
            }),
            Self::Ct { key, to } => ("ct", &|a| {
                a.be32(2, *key as u32);
                a.be32(1, to.number());
            }),
            Self::DestinationType { to } => ("fib", &|a| {
                a.be32(3, FIB_DADDR);
                a.be32(2, FIB_RESULT_ADDRTYPE);
                a.be32(1, to.number());
            }),
            Self::Mask { register, mask } => ("bitwise", &|a| {
                a.be32(1, register.number());
                a.be32(2, register.number());
                a.be32(3, u32::try_from(mask.len()).unwrap_or(0));
                a.nest(4, |a| a.bytes(1, mask));
                a.nest(5, |a| a.bytes(1, &vec![0; mask.len()]));
            }),
            Self::Compare {
                register,
                how,
                value,
            } => ("cmp", &|a| {
                a.be32(1, register.number());
                a.be32(2, *how as u32);
                a.nest(3, |a| a.bytes(1, value));
            }),
            Self::Lookup { map, key, to } => ("lookup", &|a| {
                a.be32(2, key.number());
                a.be32(3, to.number());
                a.text(1, map);
            }),
            Self::Dnat { address, port } => ("nat", &|a| {
                a.be32(1, NAT_DNAT);
                a.be32(2, u32::from(NFPROTO_IPV4));
                a.be32(3, address.number());
                a.be32(5, port.number());
            }),
            Self::Masquerade => ("masq", &|_| {}),
            Self::Verdict(verdict) => ("immediate", &|a| {
                a.be32(1, VERDICT_REGISTER);
                a.nest(2, |a| a.nest(2, |a| a.be32(1, *verdict as u32)));
            }),
        };
        a.text(1, name);
        a.nest(2, encode);
    }
}

const FIB_RESULT_ADDRTYPE: u32 = 3;
const FIB_DADDR: u32 = 2;
const NAT_DNAT: u32 = 1;
const VERDICT_REGISTER: u32 = 0;

/// Where a base chain hooks in (`enum nf_inet_hooks`) and its place among others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chain {
    pub(crate) name: &'static str,
    /// `filter` or `nat`
    pub(crate) kind: &'static str,
    pub(crate) hook: Hook,
    pub(crate) priority: i32,
    pub(crate) policy: Verdict,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hook {
    Prerouting = 0,
    Forward = 2,
    Output = 3,
    Postrouting = 4,
}

/// A map with keys and values of several fields, each padded to four bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Map {
    pub(crate) name: &'static str,
    pub(crate) key: &'static [Field],
    pub(crate) value: &'static [Field],
}

/// The numbers by which the nft program knows a field's type (libnftables, datatype.h): it shows the map by them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Ipv4Address = 7,
    Protocol = 12,
    Port = 13,
}

/// Six bits per field.
fn field_types(fields: &[Field]) -> u32 {
    fields.iter().fold(0, |all, field| all << 6 | *field as u32)
}

fn field_bytes(fields: &[Field]) -> u32 {
    4 * u32::try_from(fields.len()).unwrap_or(0)
}

/// Key and value, as long as the map's fields say.
pub(crate) type Element = (Vec<u8>, Vec<u8>);

/// A transaction over one IPv4 table.
#[derive(Debug)]
pub(crate) struct Transaction {
    batch: Batch,
    table: &'static str,
}

impl Transaction {
    pub(crate) fn new(table: &'static str) -> Self {
        let mut batch = Batch::new();
        batch.message(BATCH_BEGIN, 0, &batch_head(), "change the firewall", |_| {});
        Self { batch, table }
    }

    /// Make the table anew: whatever was in it is gone in the same instant in which the new content takes effect.
    pub(crate) fn replace_table(&mut self) {
        let table = self.table;
        // Made first, if need be, because deleting what is not there would fail.
        for (kind, flags) in [
            (NEW_TABLE, flag::CREATE),
            (DELETE_TABLE, 0),
            (NEW_TABLE, flag::CREATE),
        ] {
            let purpose = format!("make firewall table {table}");
            self.batch
                .message(kind, flags, &HEAD, purpose, |a| a.text(1, table));
        }
    }

    /// Keep the table, or make it; what is added afterwards and there already stays as it is.
    pub(crate) fn keep_table(&mut self) {
        let table = self.table;
        let purpose = format!("make firewall table {table}");
        self.batch
            .message(NEW_TABLE, flag::CREATE, &HEAD, purpose, |a| {
                a.text(1, table);
            });
    }

    /// Of all chains of the table.
    pub(crate) fn delete_rules(&mut self) {
        let table = self.table;
        let purpose = format!("remove the rules of firewall table {table}");
        self.batch
            .message(DELETE_RULE, 0, &HEAD, purpose, |a| a.text(1, table));
    }

    pub(crate) fn add_chain(&mut self, chain: &Chain) {
        let table = self.table;
        let purpose = format!("make firewall chain {}", chain.name);
        self.batch
            .message(NEW_CHAIN, flag::CREATE, &HEAD, purpose, |a| {
                a.text(1, table);
                a.text(3, chain.name);
                a.nest(4, |a| {
                    a.be32(1, chain.hook as u32);
                    a.bytes(2, &chain.priority.to_be_bytes());
                });
                a.be32(5, chain.policy as u32);
                a.text(7, chain.kind);
            });
    }

    pub(crate) fn add_map(&mut self, map: &Map, id: u32) {
        const NFT_SET_MAP: u32 = 8;
        let table = self.table;
        let purpose = format!("make firewall map {}", map.name);
        self.batch
            .message(NEW_SET, flag::CREATE, &HEAD, purpose, |a| {
                a.text(1, table);
                a.text(2, map.name);
                a.be32(3, NFT_SET_MAP);
                a.be32(4, field_types(map.key));
                a.be32(5, field_bytes(map.key));
                a.be32(6, field_types(map.value));
                a.be32(7, field_bytes(map.value));
                a.be32(10, id);
            });
    }

    pub(crate) fn add_rule(&mut self, chain: &Chain, expressions: &[Expression]) {
        let table = self.table;
        let purpose = format!("add a rule to firewall chain {}", chain.name);
        self.batch
            .message(NEW_RULE, flag::CREATE | flag::APPEND, &HEAD, purpose, |a| {
                a.text(1, table);
                a.text(2, chain.name);
                a.nest(4, |a| {
                    for expression in expressions {
                        a.nest(1, |a| expression.encode(a));
                    }
                });
            });
    }

    pub(crate) fn add_elements(&mut self, map: &Map, elements: &[Element]) {
        self.elements(NEW_ELEMENT, flag::CREATE, "add to", map, elements);
    }

    pub(crate) fn delete_elements(&mut self, map: &Map, elements: &[Element]) {
        self.elements(DELETE_ELEMENT, 0, "remove from", map, elements);
    }

    fn elements(&mut self, kind: u16, flags: u16, verb: &str, map: &Map, elements: &[Element]) {
        let table = self.table;
        for part in elements.chunks(ELEMENTS_PER_MESSAGE) {
            let purpose = format!("{verb} firewall map {}", map.name);
            self.batch.message(kind, flags, &HEAD, purpose, |a| {
                a.text(1, table);
                a.text(2, map.name);
                a.nest(3, |a| {
                    for (key, value) in part {
                        a.nest(1, |a| {
                            a.nest(1, |a| a.bytes(1, key));
                            a.nest(2, |a| a.bytes(1, value));
                        });
                    }
                });
            });
        }
    }

    /// All of it, or nothing.
    pub(crate) fn commit(mut self, socket: &mut Socket) -> Result<(), NetlinkError> {
        let purpose = "finish changing the firewall";
        self.batch
            .message(BATCH_END, 0, &batch_head(), purpose, |_| {});
        socket.run(&self.batch)
    }
}

/// What is in a map; `ENOENT` when there is no such map.
pub(crate) fn elements(
    socket: &mut Socket,
    table: &str,
    map: &Map,
) -> Result<Vec<Element>, NetlinkError> {
    let mut batch = Batch::new();
    let purpose = format!("read firewall map {}", map.name);
    batch.message(GET_ELEMENT, flag::DUMP, &HEAD, purpose, |a| {
        a.text(1, table);
        a.text(2, map.name);
    });
    let mut found = Vec::new();
    socket.ask(&batch, |_, body| {
        let list = attributes(body.get(4..).unwrap_or_default()).find(|(kind, _)| *kind == 3);
        for (_, element) in list.into_iter().flat_map(|(_, list)| attributes(list)) {
            let data = |kind| {
                let (_, nest) = attributes(element).find(|(found, _)| *found == kind)?;
                attributes(nest)
                    .find(|(kind, _)| *kind == 1)
                    .map(|(_, value)| value.to_vec())
            };
            found.extend(data(1).zip(data(2)));
        }
    })?;
    Ok(found)
}

/// `struct nfgenmsg`.
const HEAD: [u8; 4] = [NFPROTO_IPV4, 0, 0, 0];

/// The same, with the subsystem that the transaction is for.
fn batch_head() -> [u8; 4] {
    let subsystem = SUBSYSTEM.to_be_bytes();
    [0, 0, subsystem[0], subsystem[1]]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(expression: &Expression) -> Vec<u8> {
        let mut batch = Batch::new();
        batch.message(0, 0, &[], "", |a| expression.encode(a));
        batch.bytes()[16..].to_vec()
    }

    fn hex(bytes: &[u8]) -> String {
        let word = |word: &[u8]| {
            word.iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>()
        };
        bytes.chunks(4).map(word).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn expressions_are_encoded_as_the_nft_program_does() {
        // Seen by `strace -e write=all nft -f …`, for the same rules in nft's language. (Its lookup also has the map's
        // number in the transaction, 08000400 00000001; by name is enough.)
        let (a, b) = (Register(0), Register(1));
        let golden = [
            (
                Expression::Meta {
                    key: Meta::Transport,
                    to: b,
                },
                "09000100 6d657461 00000000 14000280 08000200 00000010 08000100 00000009",
            ),
            (
                Expression::Payload {
                    header: Header::Transport,
                    offset: 2,
                    bytes: 2,
                    to: b,
                },
                "0c000100 7061796c 6f616400 24000280 08000100 00000009 08000200 00000002 08000300 00000002 08000400 00000002",
            ),
            (
                Expression::Ct {
                    key: Ct::Status,
                    to: a,
                },
                "07000100 63740000 14000280 08000200 00000002 08000100 00000001",
            ),
            (
                Expression::DestinationType { to: a },
                "08000100 66696200 1c000280 08000300 00000002 08000200 00000003 08000100 00000001",
            ),
            (
                Expression::Mask {
                    register: a,
                    mask: vec![0x20, 0, 0, 0],
                },
                "0c000100 62697477 69736500 34000280 08000100 00000001 08000200 00000001 08000300 00000004 0c000480 08000100 20000000 0c000580 08000100 00000000",
            ),
            (
                Expression::Compare {
                    register: a,
                    how: Compare::Equal,
                    value: vec![127],
                },
                "08000100 636d7000 20000280 08000100 00000001 08000200 00000000 0c000380 05000100 7f000000",
            ),
            (
                Expression::Lookup {
                    map: "any",
                    key: a,
                    to: a,
                },
                "0b000100 6c6f6f6b 75700000 1c000280 08000200 00000001 08000300 00000001 08000100 616e7900",
            ),
            (
                Expression::Dnat {
                    address: a,
                    port: b,
                },
                "08000100 6e617400 24000280 08000100 00000001 08000200 00000002 08000300 00000001 08000500 00000009",
            ),
            (
                Expression::Masquerade,
                "09000100 6d617371 00000000 04000280",
            ),
            (
                Expression::Verdict(Verdict::Accept),
                "0e000100 696d6d65 64696174 65000000 1c000280 08000100 00000000 10000280 0c000280 08000100 00000001",
            ),
        ];
        for (expression, bytes) in golden {
            assert_eq!(hex(&encoded(&expression)), bytes, "{expression:?}");
        }
    }

    #[test]
    fn field_types_are_those_of_the_nft_program() {
        // `typeof ip daddr . meta l4proto . th dport`, as `nft --debug=netlink` shows it.
        let fields = [Field::Ipv4Address, Field::Protocol, Field::Port];
        assert_eq!(field_types(&fields), 7 << 12 | 12 << 6 | 13);
        assert_eq!(field_bytes(&fields), 12);
    }

    #[test]
    fn a_long_list_of_elements_is_split_so_that_its_length_fits() {
        const MAP: Map = Map {
            name: "any",
            key: &[Field::Port],
            value: &[Field::Port],
        };
        let mut transaction = Transaction::new("t");
        let elements = vec![(vec![0; 12], vec![0; 8]); ELEMENTS_PER_MESSAGE + 1];
        transaction.add_elements(&MAP, &elements);
        assert_eq!(transaction.batch.purpose(3), "add to firewall map any");
        assert!(transaction.batch.bytes().len() / 2 < usize::from(u16::MAX));
    }
}
