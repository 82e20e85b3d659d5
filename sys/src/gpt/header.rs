//! One copy's header: what it says of its entries, and the table that they make. Every number is checked against the
//! disk before it is used.

use super::bytes::{guid_at, u32_at, u64_at};
use super::geometry::{Geometry, sectors_for};
use super::{ENTRY_SIZE, Guid, HEADER_SIZE, Partition, SIGNATURE, SLOTS, Table};

/// A table with more or larger entries than this is refused: nobody makes one, and a forged one must not fill memory.
const SLOTS_MAX: u32 = 1024;
const ENTRY_SIZE_MAX: u32 = 4096;

/// What is wrong with one copy.
#[derive(Debug, Clone, Copy)]
pub(super) enum Flaw {
    NoSignature,
    Broken(&'static str),
}

/// Places and sizes in sectors, but for the size of an entry.
pub(super) struct Header {
    /// Where the other copy's header is.
    pub(super) alternate: u64,
    first_usable: u64,
    last_usable: u64,
    disk: Guid,
    pub(super) entries_at: u64,
    slots: u32,
    entry_size: u32,
    entries_sum: u32,
}

impl Header {
    pub(super) fn parse(sector: &[u8], geometry: Geometry, at: u64) -> Result<Self, Flaw> {
        let short = Flaw::Broken("short header");
        if sector.get(..8) != Some(SIGNATURE) {
            return Err(Flaw::NoSignature);
        }
        let number = |offset| u32_at(sector, offset).ok_or(short);
        let long = |offset| u64_at(sector, offset).ok_or(short);
        let size = number(12)?;
        let mut summed = usize::try_from(size)
            .ok()
            .and_then(|size| sector.get(..size))
            .ok_or(short)?
            .to_vec();
        if size < HEADER_SIZE {
            return Err(short);
        }
        summed.get_mut(16..20).ok_or(short)?.fill(0);
        if crc32fast::hash(&summed) != number(16)? {
            return Err(Flaw::Broken("wrong checksum of the header"));
        }
        if long(24)? != at {
            return Err(Flaw::Broken("the header belongs to another place"));
        }
        let header = Self {
            alternate: long(32)?,
            first_usable: long(40)?,
            last_usable: long(48)?,
            disk: guid_at(sector, 56).ok_or(short)?,
            entries_at: long(72)?,
            slots: number(80)?,
            entry_size: number(84)?,
            entries_sum: number(88)?,
        };
        let sizes =
            header.slots <= SLOTS_MAX && (ENTRY_SIZE..=ENTRY_SIZE_MAX).contains(&header.entry_size);
        let usable =
            header.first_usable <= header.last_usable && header.last_usable < geometry.sectors;
        if !sizes
            || !usable
            || header.entries_at >= geometry.sectors
            || !header.entry_size.is_multiple_of(8)
        {
            return Err(Flaw::Broken("the header's numbers do not fit the disk"));
        }
        Ok(header)
    }

    /// Bytes.
    pub(super) fn entries_length(&self) -> u64 {
        u64::from(self.slots).saturating_mul(u64::from(self.entry_size))
    }

    /// The table that these entries make.
    pub(super) fn table(&self, geometry: Geometry, entries: &[u8]) -> Result<Table, Flaw> {
        if crc32fast::hash(entries) != self.entries_sum {
            return Err(Flaw::Broken("wrong checksum of the entries"));
        }
        let entry_size = usize::try_from(self.entry_size).unwrap_or(usize::MAX);
        let slots = usize::try_from(self.slots).unwrap_or(0);
        let mut partitions = Vec::new();
        for (number, entry) in (1..).zip(entries.chunks_exact(entry_size).take(slots)) {
            let Some(partition) = Partition::parse(number, entry) else {
                continue;
            };
            let inside = partition.first >= self.first_usable && partition.last <= self.last_usable;
            if !inside || partition.first > partition.last {
                return Err(Flaw::Broken(
                    "a partition reaches out of the usable sectors",
                ));
            }
            partitions.push(partition);
        }
        let mut by_place: Vec<(u64, u64)> = partitions
            .iter()
            .map(|partition| (partition.first, partition.last))
            .collect();
        by_place.sort_unstable();
        if by_place
            .iter()
            .zip(by_place.iter().skip(1))
            .any(|(left, right)| left.1 >= right.0)
        {
            return Err(Flaw::Broken("partitions overlap"));
        }
        // The header is silent on the size of the disk it was made for; the later of the two headers ends it.
        let last = self.alternate.max(self.last_usable.saturating_add(1));
        let entries_sectors = sectors_for(slots.saturating_mul(entry_size), geometry.sector_size);
        let sectors = last
            .max(
                self.last_usable
                    .saturating_add(entries_sectors)
                    .saturating_add(1),
            )
            .saturating_add(1);
        Ok(Table {
            disk: self.disk,
            sector_size: geometry.sector_size,
            sectors: sectors.min(geometry.sectors),
            partitions,
            slots: self.slots.max(SLOTS),
            first_usable: self.first_usable,
        })
    }
}
