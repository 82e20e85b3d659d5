//! The bytes of a table: two copies, and the MBR for programs that know none of this.

use super::{ENTRY_SIZE, HEADER_SIZE, SIGNATURE, Table};

const REVISION: u32 = 0x0001_0000;

/// The bytes of a table, each with its place on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Protective MBR, at byte 0.
    pub mbr: [u8; 512],
    /// Entries and header at the end of the disk: written and synced first.
    pub backup: (u64, Vec<u8>),
    /// Header and entries at sector 1.
    pub primary: (u64, Vec<u8>),
}

impl Table {
    /// The bytes to write. Write and sync `backup` first, then `primary` and `mbr`.
    #[must_use]
    pub fn layout(&self) -> Layout {
        let size = u64::from(self.sector_size);
        let entries = self.entries();
        let end = self.sectors.saturating_sub(1);
        let entries_at = end.saturating_sub(self.entries_sectors());
        let mut primary = self.header(1, end, 2, &entries);
        primary.extend_from_slice(&entries);
        let mut backup = entries.clone();
        backup.extend_from_slice(&self.header(end, 1, entries_at, &entries));
        Layout {
            mbr: self.protective_mbr(),
            backup: (entries_at.saturating_mul(size), backup),
            primary: (size, primary),
        }
    }

    fn entries(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for number in 1..=self.slots {
            match self
                .partitions
                .iter()
                .find(|partition| partition.number == number)
            {
                Some(partition) => bytes.extend_from_slice(&partition.bytes()),
                None => bytes.resize(
                    bytes
                        .len()
                        .saturating_add(usize::try_from(ENTRY_SIZE).unwrap_or(0)),
                    0,
                ),
            }
        }
        bytes
    }

    /// One header, filled up to a sector.
    fn header(&self, at: u64, alternate: u64, entries_at: u64, entries: &[u8]) -> Vec<u8> {
        let build = |sum: u32| {
            let mut bytes = Vec::new();
            bytes.extend_from_slice(SIGNATURE);
            for number in [REVISION, HEADER_SIZE, sum, 0] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
            for number in [at, alternate, self.first_usable, self.last_usable()] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
            bytes.extend_from_slice(&self.disk.0);
            bytes.extend_from_slice(&entries_at.to_le_bytes());
            for number in [self.slots, ENTRY_SIZE, crc32fast::hash(entries)] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
            bytes
        };
        let mut bytes = build(crc32fast::hash(&build(0)));
        bytes.resize(usize::try_from(self.sector_size).unwrap_or(512), 0);
        bytes
    }

    /// Section 5.2.3: one partition of type 0xEE over the whole disk, for programs that do not know GPT.
    fn protective_mbr(&self) -> [u8; 512] {
        let size = u32::try_from(self.sectors.saturating_sub(1)).unwrap_or(u32::MAX);
        let [s0, s1, s2, s3] = size.to_le_bytes();
        let record = [
            0, 0x00, 0x02, 0x00, 0xee, 0xff, 0xff, 0xff, 1, 0, 0, 0, s0, s1, s2, s3,
        ];
        let mut mbr = [0; 512];
        let tail = record.into_iter().chain([0; 48]).chain([0x55, 0xaa]);
        for (place, byte) in mbr.iter_mut().skip(446).zip(tail) {
            *place = byte;
        }
        mbr
    }
}
