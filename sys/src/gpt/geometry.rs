//! A disk as a table sees it: sectors.

use super::{ENTRY_SIZE, GptError, SLOTS};

/// What a table is on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Geometry {
    pub(super) sector_size: u32,
    pub(super) sectors: u64,
}

impl Geometry {
    pub(super) fn new(bytes: u64, sector_size: u32) -> Result<Self, GptError> {
        let geometry = Self {
            sector_size,
            sectors: bytes.checked_div(u64::from(sector_size)).unwrap_or(0),
        };
        // MBR, two headers, two entry arrays, and something to divide.
        let least = geometry.own_entries().saturating_mul(2).saturating_add(4);
        if !matches!(sector_size, 512 | 4096) || geometry.sectors < least {
            return Err(GptError::Geometry);
        }
        Ok(geometry)
    }

    /// Sectors of the entries of a table that we make.
    pub(super) fn own_entries(self) -> u64 {
        let bytes = usize::try_from(SLOTS.saturating_mul(ENTRY_SIZE)).unwrap_or(usize::MAX);
        sectors_for(bytes, self.sector_size)
    }
}

pub(super) fn sectors_for(bytes: usize, sector_size: u32) -> u64 {
    u64::try_from(bytes)
        .unwrap_or(u64::MAX)
        .div_ceil(u64::from(sector_size).max(1))
}
