//! A disk's partitions: made, appended to, grown.

use super::geometry::{Geometry, sectors_for};
use super::{ENTRY_SIZE, GptError, Guid, Partition, SLOTS, STATE, STATE_NAME};

/// Partitions that we make or grow begin and end on this border, which suits every disk's own blocks.
const ALIGNMENT_BYTES: u64 = 1 << 20;

/// A disk's partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Which disk it is.
    pub disk: Guid,
    /// Bytes of a sector: 512 or 4096.
    pub sector_size: u32,
    /// Sectors of the disk that the table is for.
    pub sectors: u64,
    /// In the order of their numbers.
    pub partitions: Vec<Partition>,
    pub(super) slots: u32,
    pub(super) first_usable: u64,
}

impl Table {
    /// An empty table for a disk of `bytes` bytes.
    ///
    /// # Errors
    /// [`GptError::Geometry`] when the disk is too small.
    pub fn new(disk: Guid, bytes: u64, sector_size: u32) -> Result<Self, GptError> {
        let geometry = Geometry::new(bytes, sector_size)?;
        Ok(Self {
            disk,
            sector_size,
            sectors: geometry.sectors,
            partitions: Vec::new(),
            slots: SLOTS,
            first_usable: geometry.own_entries().saturating_add(2),
        })
    }

    /// Append a partition of `bytes` bytes behind the last one, or of all that is left; `false` when it doesn't fit.
    #[must_use]
    pub fn append(&mut self, kind: Guid, id: Guid, name: &str, bytes: Option<u64>) -> bool {
        let align = self.alignment();
        let free = self
            .partitions
            .iter()
            .map(|partition| partition.last.saturating_add(1))
            .max()
            .unwrap_or(self.first_usable);
        let first = free.max(self.first_usable).next_multiple_of(align);
        let size = u64::from(self.sector_size);
        let last = match bytes {
            Some(bytes) => first.saturating_add(bytes.div_ceil(size)).saturating_sub(1),
            None => self.last_aligned(),
        };
        let number = self
            .partitions
            .iter()
            .map(|partition| partition.number)
            .max()
            .unwrap_or(0)
            .saturating_add(1);
        if last < first || last > self.last_usable() || number > self.slots {
            return false;
        }
        self.partitions.push(Partition {
            number,
            kind,
            id,
            name: name.to_owned(),
            first,
            last,
            attributes: 0,
        });
        true
    }

    /// The same table for a disk of `bytes` bytes that has become larger, its last partition reaching to the new end;
    /// `None` when there is nothing to gain.
    #[must_use]
    pub fn grown(&self, bytes: u64) -> Option<Self> {
        let geometry = Geometry::new(bytes, self.sector_size).ok()?;
        let room = self.first_usable >= self.entries_sectors().saturating_add(2);
        if geometry.sectors <= self.sectors || !room {
            return None;
        }
        let mut table = Self {
            sectors: geometry.sectors,
            ..self.clone()
        };
        let end = table.last_aligned();
        let last = table
            .partitions
            .iter_mut()
            .max_by_key(|partition| partition.last)?;
        if end <= last.last {
            return None;
        }
        last.last = end;
        Some(table)
    }

    /// The state partition: the one of its kind that has our name.
    #[must_use]
    pub fn state(&self) -> Option<&Partition> {
        self.partitions
            .iter()
            .find(|partition| partition.kind == STATE && partition.name == STATE_NAME)
    }

    fn alignment(&self) -> u64 {
        ALIGNMENT_BYTES
            .checked_div(u64::from(self.sector_size))
            .unwrap_or(1)
    }

    pub(super) fn entries_sectors(&self) -> u64 {
        let bytes = usize::try_from(self.slots.saturating_mul(ENTRY_SIZE)).unwrap_or(usize::MAX);
        sectors_for(bytes, self.sector_size)
    }

    pub(super) fn last_usable(&self) -> u64 {
        self.sectors
            .saturating_sub(self.entries_sectors())
            .saturating_sub(2)
    }

    fn last_aligned(&self) -> u64 {
        let border = self.alignment();
        let end = self.last_usable().saturating_add(1);
        end.checked_div(border)
            .unwrap_or(0)
            .saturating_mul(border)
            .saturating_sub(1)
    }
}
