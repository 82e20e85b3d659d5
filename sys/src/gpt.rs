//! The GUID partition table (UEFI specification 2.10, section 5.3): read, checked, made, grown.
//!
//! ```text
//! LBA 0      1        2 … 33           34 …                          last-32 …      last
//! ┌────────┬────────┬────────────────┬─────────────────────────────┬──────────────┬────────┐
//! │ MBR    │ header │ entries        │ partitions                  │ entries      │ header │
//! └────────┴────────┴────────────────┴─────────────────────────────┴──────────────┴────────┘
//!           └──── primary ──────────┘                               └────── backup ───────┘
//! ```
//!
//! Invariants: a table that [`read`] returns has passed every checksum and range of one copy, its partitions do not
//! overlap. [`Table::grown`] never moves the start of a partition and never shortens one. Whoever writes a table writes
//! and syncs the backup before the primary: at every moment one copy is whole.

use std::fmt;
use std::io::{self, Read, Seek, SeekFrom};

const SIGNATURE: &[u8; 8] = b"EFI PART";
const REVISION: u32 = 0x0001_0000;
/// Bytes of a header that are used and summed.
const HEADER_SIZE: u32 = 92;
const ENTRY_SIZE: u32 = 128;
/// Entries in the tables that we make: the least that the specification allows.
const SLOTS: u32 = 128;
/// A table with more or larger entries than this is refused: nobody makes one, and a forged one must not fill memory.
const SLOTS_MAX: u32 = 1024;
const ENTRY_SIZE_MAX: u32 = 4096;
/// Partitions that we make or grow begin and end on this border, which suits every disk's own blocks.
const ALIGNMENT_BYTES: u64 = 1 << 20;

/// A GUID in the byte order of the disk (first three groups little-endian).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Guid(pub [u8; 16]);

/// EFI system partition.
pub const EFI_SYSTEM: Guid = Guid::from_fields(0xc12a_7328, 0xf81f, 0x11d2, 0xba4b_00a0_c93e_c93b);
/// BIOS boot partition (GRUB and its like).
pub const BIOS_BOOT: Guid = Guid::from_fields(0x2168_6148, 0x6449, 0x6e6f, 0x744e_6565_6445_4649);
/// `/var` of the Discoverable Partitions Specification: our state partition.
pub const STATE: Guid = Guid::from_fields(0x4d21_b016, 0xb534, 0x45c2, 0xa9fb_5c16_e091_fd2d);
/// Name of the state partition, by which it is told from another system's `/var`.
pub const STATE_NAME: &str = "keelson-state";

impl Guid {
    /// From the four groups as they are written, the last two joined.
    #[must_use]
    pub const fn from_fields(a: u32, b: u16, c: u16, d: u64) -> Self {
        let [a0, a1, a2, a3] = a.to_le_bytes();
        let [b0, b1] = b.to_le_bytes();
        let [c0, c1] = c.to_le_bytes();
        let [d0, d1, d2, d3, d4, d5, d6, d7] = d.to_be_bytes();
        Self([
            a0, a1, a2, a3, b0, b1, c0, c1, d0, d1, d2, d3, d4, d5, d6, d7,
        ])
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a0, a1, a2, a3, b0, b1, c0, c1, rest @ ..] = self.0;
        let (a, b, c) = (
            u32::from_le_bytes([a0, a1, a2, a3]),
            u16::from_le_bytes([b0, b1]),
            u16::from_le_bytes([c0, c1]),
        );
        let d = u64::from_be_bytes(rest);
        write!(
            f,
            "{a:08x}-{b:04x}-{c:04x}-{:04x}-{:012x}",
            d >> 48,
            d & 0xffff_ffff_ffff
        )
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

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
    slots: u32,
    first_usable: u64,
}

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

/// Why there is no table.
#[derive(Debug)]
pub enum GptError {
    /// The disk can't be read.
    Read(io::Error),
    /// Neither copy has the signature: no GPT disk.
    Absent,
    /// There is a table, but no copy of it is whole; the reason is the primary's.
    Damaged(&'static str),
    /// The device's sector or total size is not one a table can be on.
    Geometry,
}

impl fmt::Display for GptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(error) => write!(f, "can't read the partition table: {error}"),
            Self::Absent => write!(f, "no GUID partition table"),
            Self::Damaged(why) => {
                write!(f, "both copies of the partition table are damaged ({why})")
            }
            Self::Geometry => write!(f, "too small or odd a disk for a partition table"),
        }
    }
}

impl std::error::Error for GptError {}

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

#[derive(Debug, Clone, Copy)]
struct Geometry {
    sector_size: u32,
    sectors: u64,
}

impl Geometry {
    fn new(bytes: u64, sector_size: u32) -> Result<Self, GptError> {
        let sectors = bytes.checked_div(u64::from(sector_size)).unwrap_or(0);
        let entries = u64::from(SLOTS * ENTRY_SIZE)
            .checked_div(u64::from(sector_size))
            .unwrap_or(0);
        // MBR, two headers, two entry arrays, and something to divide.
        if !matches!(sector_size, 512 | 4096) || sectors < 4 + 2 * entries {
            return Err(GptError::Geometry);
        }
        Ok(Self {
            sector_size,
            sectors,
        })
    }
}

/// What is wrong with one copy.
#[derive(Debug, Clone, Copy)]
enum Flaw {
    NoSignature,
    Broken(&'static str),
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
    let length = u64::from(header.slots).saturating_mul(u64::from(header.entry_size));
    let entries = read_at(disk, header.entries_at.saturating_mul(size), length)?;
    if crc32fast::hash(&entries) != header.entries_sum {
        return Ok(Err(Flaw::Broken("wrong checksum of the entries")));
    }
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

struct Header {
    alternate: u64,
    first_usable: u64,
    last_usable: u64,
    disk: Guid,
    entries_at: u64,
    slots: u32,
    entry_size: u32,
    entries_sum: u32,
}

impl Header {
    fn parse(sector: &[u8], geometry: Geometry, at: u64) -> Result<Self, Flaw> {
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

    fn table(&self, geometry: Geometry, entries: &[u8]) -> Result<Table, Flaw> {
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

impl Partition {
    /// `None` for an unused slot.
    fn parse(number: u32, entry: &[u8]) -> Option<Self> {
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

    fn bytes(&self) -> Vec<u8> {
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

impl Table {
    /// An empty table for a disk of `bytes` bytes.
    ///
    /// # Errors
    /// [`GptError::Geometry`] when the disk is too small.
    pub fn new(disk: Guid, bytes: u64, sector_size: u32) -> Result<Self, GptError> {
        let Geometry {
            sector_size,
            sectors,
        } = Geometry::new(bytes, sector_size)?;
        let entries = u64::from(SLOTS * ENTRY_SIZE)
            .checked_div(u64::from(sector_size))
            .unwrap_or(0);
        Ok(Self {
            disk,
            sector_size,
            sectors,
            partitions: Vec::new(),
            slots: SLOTS,
            first_usable: 2 + entries,
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

    fn entries_sectors(&self) -> u64 {
        let bytes = usize::try_from(self.slots.saturating_mul(ENTRY_SIZE)).unwrap_or(usize::MAX);
        sectors_for(bytes, self.sector_size)
    }

    fn last_usable(&self) -> u64 {
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

fn sectors_for(bytes: usize, sector_size: u32) -> u64 {
    u64::try_from(bytes)
        .unwrap_or(u64::MAX)
        .div_ceil(u64::from(sector_size).max(1))
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    let field = bytes.get(offset..offset.checked_add(4)?)?;
    Some(u32::from_le_bytes(field.try_into().ok()?))
}

fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    let field = bytes.get(offset..offset.checked_add(8)?)?;
    Some(u64::from_le_bytes(field.try_into().ok()?))
}

fn guid_at(bytes: &[u8], offset: usize) -> Option<Guid> {
    let field = bytes.get(offset..offset.checked_add(16)?)?;
    Some(Guid(field.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Cursor;

    const MIB: u64 = 1 << 20;

    fn table(bytes: u64, sector_size: u32) -> Table {
        let mut table = Table::new(Guid([7; 16]), bytes, sector_size).unwrap();
        assert!(table.append(BIOS_BOOT, Guid([1; 16]), "bios", Some(MIB)));
        assert!(table.append(EFI_SYSTEM, Guid([2; 16]), "esp", Some(4 * MIB)));
        assert!(table.append(STATE, Guid([3; 16]), STATE_NAME, None));
        table
    }

    fn disk(table: &Table, bytes: u64) -> Vec<u8> {
        let mut disk = vec![0; usize::try_from(bytes).unwrap()];
        let layout = table.layout();
        disk[..512].copy_from_slice(&layout.mbr);
        for (offset, part) in [layout.backup, layout.primary] {
            let offset = usize::try_from(offset).unwrap();
            disk[offset..offset + part.len()].copy_from_slice(&part);
        }
        disk
    }

    fn read_bytes(disk: &[u8], sector_size: u32) -> Result<(Table, Health), GptError> {
        read(&mut Cursor::new(disk), disk.len() as u64, sector_size)
    }

    #[test]
    fn guid_is_written_as_specified() {
        assert_eq!(STATE.to_string(), "4d21b016-b534-45c2-a9fb-5c16e091fd2d");
        assert_eq!(
            EFI_SYSTEM.to_string(),
            "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
        );
        assert_eq!(
            BIOS_BOOT.to_string(),
            "21686148-6449-6e6f-744e-656564454649"
        );
        assert_eq!(&BIOS_BOOT.0, b"Hah!IdontNeedEFI");
    }

    #[test]
    fn what_is_written_is_read_again_with_both_sector_sizes() {
        for sector_size in [512, 4096] {
            let made = table(16 * MIB, sector_size);
            let (found, health) = read_bytes(&disk(&made, 16 * MIB), sector_size).unwrap();
            assert_eq!((&found, health), (&made, Health::Sound));
            let state = found.state().unwrap();
            assert_eq!(state.first * u64::from(sector_size), 6 * MIB);
            assert_eq!(state.sectors() * u64::from(sector_size), 9 * MIB);
        }
    }

    #[test]
    fn one_damaged_copy_is_survived() {
        let made = table(16 * MIB, 512);
        let mut bytes = disk(&made, 16 * MIB);
        bytes[512 + 60] ^= 1;
        assert_eq!(
            read_bytes(&bytes, 512).unwrap(),
            (made.clone(), Health::PrimaryDamaged)
        );
        let mut bytes = disk(&made, 16 * MIB);
        bytes[1024] ^= 1;
        assert_eq!(
            read_bytes(&bytes, 512).unwrap(),
            (made.clone(), Health::PrimaryDamaged)
        );
        let mut bytes = disk(&made, 16 * MIB);
        let last = bytes.len() - 500;
        bytes[last] ^= 1;
        assert_eq!(
            read_bytes(&bytes, 512).unwrap(),
            (made, Health::BackupDamaged)
        );
    }

    #[test]
    fn both_damaged_is_told_from_absent() {
        let made = table(16 * MIB, 512);
        let mut bytes = disk(&made, 16 * MIB);
        bytes[512 + 60] ^= 1;
        let last = bytes.len() - 500;
        bytes[last] ^= 1;
        assert!(matches!(read_bytes(&bytes, 512), Err(GptError::Damaged(_))));
        assert!(matches!(
            read_bytes(&vec![0; 1 << 20], 512),
            Err(GptError::Absent)
        ));
    }

    #[test]
    fn larger_disk_gives_the_last_partition_all_new_space() {
        let made = table(16 * MIB, 512);
        let mut bytes = disk(&made, 16 * MIB);
        bytes.resize(usize::try_from(64 * MIB).unwrap(), 0);
        let (found, health) = read_bytes(&bytes, 512).unwrap();
        assert_eq!(
            health,
            Health::Sound,
            "the backup is found where the primary says"
        );
        let grown = found.grown(64 * MIB).unwrap();
        assert_eq!(grown.state().unwrap().sectors() * 512, 57 * MIB);
        assert_eq!(grown.state().unwrap().first, made.state().unwrap().first);
        let bytes = disk(&grown, 64 * MIB);
        assert_eq!(
            read_bytes(&bytes, 512).unwrap(),
            (grown.clone(), Health::Sound)
        );
        assert_eq!(grown.grown(64 * MIB), None, "growing is done once");
    }

    #[test]
    fn cut_between_backup_and_primary_leaves_a_table() {
        let made = table(16 * MIB, 512);
        let mut bytes = disk(&made, 16 * MIB);
        bytes.resize(usize::try_from(64 * MIB).unwrap(), 0);
        let grown = made.grown(64 * MIB).unwrap();
        let (offset, part) = grown.layout().backup;
        let offset = usize::try_from(offset).unwrap();
        bytes[offset..offset + part.len()].copy_from_slice(&part);
        assert_eq!(
            read_bytes(&bytes, 512).unwrap().0,
            made,
            "backup written, primary still the old one"
        );
        bytes[512 + 60] ^= 1;
        assert_eq!(
            read_bytes(&bytes, 512).unwrap(),
            (grown, Health::PrimaryDamaged),
            "primary half written"
        );
    }

    #[test]
    fn overlapping_partitions_are_refused() {
        let mut made = table(16 * MIB, 512);
        made.partitions[1].last = made.partitions[2].first;
        assert!(matches!(
            read_bytes(&disk(&made, 16 * MIB), 512),
            Err(GptError::Damaged("partitions overlap"))
        ));
    }

    #[test]
    fn partition_that_does_not_fit_is_not_appended() {
        let mut made = Table::new(Guid([7; 16]), 4 * MIB, 512).unwrap();
        assert!(!made.append(STATE, Guid([3; 16]), STATE_NAME, Some(8 * MIB)));
        assert!(matches!(
            Table::new(Guid([7; 16]), 4096, 512),
            Err(GptError::Geometry)
        ));
        assert!(matches!(
            Table::new(Guid([7; 16]), 4 * MIB, 0),
            Err(GptError::Geometry)
        ));
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40_000), sector_size in prop_oneof![Just(512u32), Just(4096), any::<u32>()]) {
            let _ = read_bytes(&bytes, sector_size);
        }

        #[test]
        fn forged_header_with_right_checksum_never_panics(fields in proptest::collection::vec(any::<u8>(), 92), keep in any::<[bool; 5]>(), size in 0u32..600) {
            let made = table(16 * MIB, 512);
            let mut bytes = disk(&made, 16 * MIB);
            let spans = [24..32, 32..56, 56..80, 80..88, 88..92];
            for (span, keep) in spans.into_iter().zip(keep) {
                if !keep {
                    bytes[512 + span.start..512 + span.end].copy_from_slice(&fields[span]);
                }
            }
            bytes[512 + 12..512 + 16].copy_from_slice(&size.to_le_bytes());
            bytes[512 + 16..512 + 20].fill(0);
            let length = (size as usize).min(512);
            let sum = crc32fast::hash(&bytes[512..512 + length]);
            bytes[512 + 16..512 + 20].copy_from_slice(&sum.to_le_bytes());
            if let Ok((table, _)) = read_bytes(&bytes, 512) {
                let _ = (table.grown(64 * MIB), table.layout());
            }
        }
    }
}
