//! Reading a disk's table: the primary, or the backup when that is damaged.

use super::geometry::Geometry;
use super::header::{Flaw, Header};
use super::{GptError, Table};
use std::io::{self, Read, Seek, SeekFrom};

/// Which copies of the table are good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Both, and they agree.
    Sound,
    /// The primary is damaged; the table is the backup's.
    PrimaryDamaged,
    /// The backup is damaged or missing; the table is the primary's.
    BackupDamaged,
    /// Both are whole but differ (a write was cut off between them); the table is the primary's.
    Disagree,
}

/// Read and check the table of a disk of `bytes` bytes with sectors of `sector_size`.
///
/// # Errors
/// [`GptError`]; a disk with one good copy is not an error but a [`Health`].
pub fn read(
    disk: &mut (impl Read + Seek),
    bytes: u64,
    sector_size: u32,
) -> Result<(Table, Health), GptError> {
    let geometry = Geometry::new(bytes, sector_size)?;
    let primary = read_copy(disk, geometry, 1).map_err(GptError::Read)?;
    // On a disk that was enlarged the backup is where the primary says, no longer at the end.
    let backup_at = primary
        .as_ref()
        .map_or(geometry.sectors.saturating_sub(1), |copy| copy.alternate);
    let backup = read_copy(disk, geometry, backup_at).map_err(GptError::Read)?;
    match (primary, backup) {
        (Ok(primary), Ok(backup)) => {
            let health = if primary.table == backup.table {
                Health::Sound
            } else {
                Health::Disagree
            };
            Ok((primary.table, health))
        }
        (Ok(primary), Err(_)) => Ok((primary.table, Health::BackupDamaged)),
        (Err(_), Ok(backup)) => Ok((backup.table, Health::PrimaryDamaged)),
        (Err(Flaw::NoSignature), Err(Flaw::NoSignature)) => Err(GptError::Absent),
        (Err(Flaw::NoSignature), Err(Flaw::Broken(why))) | (Err(Flaw::Broken(why)), Err(_)) => {
            Err(GptError::Damaged(why))
        }
    }
}

#[derive(Debug)]
struct CopyOfTable {
    table: Table,
    alternate: u64,
}

/// The copy whose header is at sector `at`. The outer error is the disk's, the inner one the copy's.
fn read_copy(
    disk: &mut (impl Read + Seek),
    geometry: Geometry,
    at: u64,
) -> io::Result<Result<CopyOfTable, Flaw>> {
    if at == 0 || at >= geometry.sectors {
        return Ok(Err(Flaw::Broken("a header is said to be beyond the disk")));
    }
    let size = u64::from(geometry.sector_size);
    let sector = read_at(
        disk,
        at.saturating_mul(size),
        u64::from(geometry.sector_size),
    )?;
    let header = match Header::parse(&sector, geometry, at) {
        Ok(header) => header,
        Err(flaw) => return Ok(Err(flaw)),
    };
    let entries_at = header.entries_at.saturating_mul(size);
    let entries = read_at(disk, entries_at, header.entries_length())?;
    Ok(header.table(geometry, &entries).map(|table| CopyOfTable {
        table,
        alternate: header.alternate,
    }))
}

fn read_at(disk: &mut (impl Read + Seek), offset: u64, length: u64) -> io::Result<Vec<u8>> {
    disk.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    disk.by_ref().take(length).read_to_end(&mut bytes)?;
    Ok(bytes)
}
