//! Messages and attributes as bytes (`struct nlmsghdr`, `struct nlattr`; linux/netlink.h): all aligned to four bytes,
//! lengths and types in the machine's byte order.

use std::net::Ipv4Addr;

pub(crate) const HEADER_BYTES: usize = 16;
const ATTRIBUTE_HEADER_BYTES: usize = 4;
/// `NLA_F_NESTED`: the value is a list of attributes.
const NESTED: u16 = 0x8000;
/// Without `NLA_F_NESTED` and `NLA_F_NET_BYTEORDER`.
const KIND_MASK: u16 = 0x3fff;

/// `NLM_F_*` of linux/netlink.h.
pub(crate) mod flag {
    pub(crate) const REQUEST: u16 = 0x1;
    pub(crate) const DUMP: u16 = 0x300;
    pub(crate) const REPLACE: u16 = 0x100;
    pub(crate) const EXCLUSIVE: u16 = 0x200;
    pub(crate) const CREATE: u16 = 0x400;
    pub(crate) const APPEND: u16 = 0x800;
}

/// Messages in one buffer, each with a text that says what it does: an error names it.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    purposes: Vec<String>,
}

impl Batch {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Add a message: `head` is the fixed part (`struct ifinfomsg` …), `body` writes the attributes.
    /// Its sequence number is its place in the batch, from 1.
    pub(crate) fn message(
        &mut self,
        kind: u16,
        flags: u16,
        head: &[u8],
        purpose: impl Into<String>,
        body: impl FnOnce(&mut Attributes<'_>),
    ) {
        self.purposes.push(purpose.into());
        let sequence = u32::try_from(self.purposes.len()).unwrap_or(0);
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes
            .extend_from_slice(&(flags | flag::REQUEST).to_ne_bytes());
        self.bytes.extend_from_slice(&sequence.to_ne_bytes());
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(head);
        pad(&mut self.bytes);
        body(&mut Attributes(&mut self.bytes));
        let length = u32::try_from(self.bytes.len() - start).unwrap_or(u32::MAX);
        self.bytes[start..start + 4].copy_from_slice(&length.to_ne_bytes());
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.purposes.is_empty()
    }

    /// What the last message does.
    pub(crate) fn last_purpose(&self) -> &str {
        self.purposes.last().map_or("", String::as_str)
    }

    /// What the message with this sequence number does.
    pub(crate) fn purpose(&self, sequence: u32) -> &str {
        let place = usize::try_from(sequence).unwrap_or(0).wrapping_sub(1);
        self.purposes
            .get(place)
            .map_or("talk to the kernel's network stack", String::as_str)
    }
}

/// Writes attributes at the end of a message.
#[derive(Debug)]
pub(crate) struct Attributes<'a>(&'a mut Vec<u8>);

impl Attributes<'_> {
    pub(crate) fn bytes(&mut self, kind: u16, value: &[u8]) {
        let length = u16::try_from(ATTRIBUTE_HEADER_BYTES + value.len()).unwrap_or(u16::MAX);
        self.0.extend_from_slice(&length.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        pad(self.0);
    }

    pub(crate) fn u8(&mut self, kind: u16, value: u8) {
        self.bytes(kind, &[value]);
    }

    pub(crate) fn u32(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_ne_bytes());
    }

    /// In network byte order, as all of nftables wants it.
    pub(crate) fn be32(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_be_bytes());
    }

    pub(crate) fn ipv4(&mut self, kind: u16, value: Ipv4Addr) {
        self.bytes(kind, &value.octets());
    }

    /// With a zero byte at its end.
    pub(crate) fn text(&mut self, kind: u16, value: &str) {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.bytes(kind, &bytes);
    }

    pub(crate) fn nest(&mut self, kind: u16, body: impl FnOnce(&mut Attributes<'_>)) {
        self.nest_after(kind, &[], body);
    }

    /// A nest that begins with a fixed part (`VETH_INFO_PEER` holds a `struct ifinfomsg`).
    pub(crate) fn nest_after(
        &mut self,
        kind: u16,
        head: &[u8],
        body: impl FnOnce(&mut Attributes<'_>),
    ) {
        let start = self.0.len();
        self.0.extend_from_slice(&[0; 2]);
        self.0.extend_from_slice(&(kind | NESTED).to_ne_bytes());
        self.0.extend_from_slice(head);
        pad(self.0);
        body(&mut Attributes(self.0));
        let length = u16::try_from(self.0.len() - start).unwrap_or(u16::MAX);
        self.0[start..start + 2].copy_from_slice(&length.to_ne_bytes());
    }
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

/// The attributes in `bytes` as (type, value); ends at the first that is cut short.
pub(crate) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let head = bytes.first_chunk::<ATTRIBUTE_HEADER_BYTES>()?;
        let length = usize::from(u16::from_ne_bytes([head[0], head[1]]));
        let kind = u16::from_ne_bytes([head[2], head[3]]) & KIND_MASK;
        let value = bytes.get(ATTRIBUTE_HEADER_BYTES..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_cover_head_and_padding_and_values_are_aligned() {
        let mut batch = Batch::new();
        batch.message(16, flag::CREATE, &[1, 2, 3, 4], "try", |a| {
            a.text(3, "lo");
            a.nest(18, |a| a.u8(1, 7));
        });
        #[rustfmt::skip]
        let expected = [
            40, 0, 0, 0,  16, 0, 1, 4,  1, 0, 0, 0,  0, 0, 0, 0,
            1, 2, 3, 4,
            7, 0, 3, 0,  b'l', b'o', 0, 0,
            12, 0, 18, 0x80,  5, 0, 1, 0,  7, 0, 0, 0,
        ];
        assert_eq!(batch.bytes(), expected);
    }

    #[test]
    fn attributes_are_read_back_and_a_cut_one_ends_the_list() {
        let bytes = [5, 0, 1, 0x80, 7, 0, 0, 0, 4, 0, 2, 0, 9, 0, 3, 0, 1];
        let read: Vec<_> = attributes(&bytes).collect();
        assert_eq!(read, [(1, &[7][..]), (2, &[][..])]);
        assert_eq!(attributes(&[2, 0, 1, 0]).count(), 0);
    }

    #[test]
    fn an_error_names_the_message_by_its_place() {
        let mut batch = Batch::new();
        batch.message(16, 0, &[], "first", |_| {});
        batch.message(16, 0, &[], "second", |_| {});
        assert_eq!(batch.purpose(2), "second");
        assert_eq!(batch.purpose(0), "talk to the kernel's network stack");
    }
}
