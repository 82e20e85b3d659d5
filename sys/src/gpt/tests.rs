//! Tables as bytes: written, read again, damaged, cut off, forged.

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
