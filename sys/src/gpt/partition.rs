//! One partition: an entry of the table.

use super::bytes::{guid_at, u64_at};
use super::{ENTRY_SIZE, Guid};

/// One partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Number as the kernel counts (the first is 1): `/dev/vda3` is number 3.
    pub number: u32,
    /// What it is for.
    pub kind: Guid,
    /// Which one it is.
    pub id: Guid,
    /// At most 36 UTF-16 units.
    pub name: String,
    /// First and last sector.
    pub first: u64,
    pub last: u64,
    pub attributes: u64,
}

impl Partition {
    /// `None` for an unused slot.
    pub(super) fn parse(number: u32, entry: &[u8]) -> Option<Self> {
        let kind = guid_at(entry, 0)?;
        if kind == Guid::default() {
            return None;
        }
        let units = entry
            .get(56..128)?
            .as_chunks::<2>()
            .0
            .iter()
            .map(|pair| u16::from_le_bytes(*pair));
        let name = char::decode_utf16(units.take_while(|unit| *unit != 0))
            .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER));
        Some(Self {
            number,
            kind,
            id: guid_at(entry, 16)?,
            first: u64_at(entry, 32)?,
            last: u64_at(entry, 40)?,
            attributes: u64_at(entry, 48)?,
            name: name.collect(),
        })
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&self.kind.0);
        bytes.extend_from_slice(&self.id.0);
        for number in [self.first, self.last, self.attributes] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        for unit in self.name.encode_utf16().take(36) {
            bytes.extend_from_slice(&unit.to_le_bytes());
        }
        bytes.resize(usize::try_from(ENTRY_SIZE).unwrap_or(0), 0);
        bytes
    }

    /// Size in sectors.
    #[must_use]
    pub fn sectors(&self) -> u64 {
        self.last.saturating_sub(self.first).saturating_add(1)
    }
}
