//! Where the state partition is, and how far it reaches.

use crate::console;
use crate::drivers::{self, Wave};
use crate::module_index::ModuleIndex;
use crate::stage::StageError;
use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use sys::clock::since_boot_ms;
use sys::gpt::{self, Health, Partition, Table};

/// A disk's driver may need a while after its controller was found.
const CONTROLLER_WAIT_MS: u64 = 5_000;
/// How often to look again.
const LOOK_AGAIN_MS: u64 = 20;
/// The state partition on its disk.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) disk: PathBuf,
    pub(super) disk_bytes: u64,
    pub(super) sector_size: u32,
    pub(super) table: Table,
    pub(super) health: Health,
    pub(super) partition: Partition,
    pub(super) device: PathBuf,
}

/// Look at every disk, again and again while a controller may still bring one: with SCSI, SATA and NVMe that is a while after
/// its driver was loaded, and the disk may need another driver.
pub(super) fn wait(modules: &mut ModuleIndex) -> Result<Found, StageError> {
    let start = since_boot_ms();
    loop {
        let mut foreign = Vec::new();
        for disk in disks() {
            match look(&disk) {
                Ok(Some(found)) => return Ok(found),
                Ok(None) => foreign.push(format!(
                    "{} has no partition {}",
                    disk.display(),
                    gpt::STATE_NAME
                )),
                Err(error) => foreign.push(format!("{}: {error}", disk.display())),
            }
        }
        let waited = since_boot_ms().saturating_sub(start);
        // Beside the disks that are there, another one may be on its way.
        if waited >= CONTROLLER_WAIT_MS || !has_storage_controller() {
            return Err(if foreign.is_empty() {
                StageError::text("no disk: attach one that was written from the disk image")
            } else {
                let what = foreign.join("; ");
                StageError::text(format!(
                    "{what} (left untouched): write the disk image to a disk to keep state"
                ))
            });
        }
        drivers::cold_plug(modules, &[Wave::Storage], |_| {});
        #[expect(
            clippy::disallowed_methods,
            reason = "the event loop has not begun: there is nothing else to do"
        )]
        std::thread::sleep(std::time::Duration::from_millis(LOOK_AGAIN_MS));
    }
}

/// Whole disks, without those that only exist in memory.
fn disks() -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir("/sys/block") else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    let memory = |name: &str| {
        ["loop", "ram", "zram", "fd", "sr"]
            .iter()
            .any(|kind| name.starts_with(kind))
    };
    names
        .into_iter()
        .filter(|name| !memory(name))
        .map(|name| Path::new("/dev").join(name))
        .collect()
}

/// PCI class 01 is mass storage; Xen and Hyper-V have buses of their own.
fn has_storage_controller() -> bool {
    let pci = fs::read_dir("/sys/bus/pci/devices").is_ok_and(|devices| {
        devices.flatten().any(|device| {
            fs::read_to_string(device.path().join("class"))
                .is_ok_and(|class| class.starts_with("0x01"))
        })
    });
    pci || Path::new("/sys/bus/vmbus").exists() || Path::new("/sys/bus/xen").exists()
}

fn look(disk: &Path) -> Result<Option<Found>, StageError> {
    let name = disk.display().to_string();
    let mut file = File::open(disk).map_err(|error| StageError::io(name.clone(), error))?;
    let bytes = sys::block::size(&file).map_err(|error| StageError::io(name.clone(), error))?;
    let block = disk.file_name().unwrap_or_default();
    let sector_size = fs::read_to_string(
        Path::new("/sys/block")
            .join(block)
            .join("queue/logical_block_size"),
    )
    .ok()
    .and_then(|text| text.trim().parse().ok())
    .unwrap_or(512);
    let (table, health) = gpt::read(&mut file, bytes, sector_size)
        .map_err(|error| StageError::text(error.to_string()))?;
    let Some(partition) = table.state().cloned() else {
        return Ok(None);
    };
    // nvme0n1 → nvme0n1p3, vda → vda3: the kernel puts a p behind a name that ends in a digit.
    let separator = if name.ends_with(|c: char| c.is_ascii_digit()) {
        "p"
    } else {
        ""
    };
    let device = PathBuf::from(format!("{name}{separator}{}", partition.number));
    if !device.exists() {
        return Err(StageError::text(format!(
            "{} is not there yet",
            device.display()
        )));
    }
    Ok(Some(Found {
        disk: disk.to_owned(),
        disk_bytes: bytes,
        sector_size,
        table,
        health,
        partition,
        device,
    }))
}

/// Let the partition reach to the end of the disk, and mend a table whose other copy is damaged. A disk that can't be
/// written is used as it is.
pub(super) fn grow(mut found: Found) -> Found {
    match try_grow(&found) {
        Ok(Some((table, partition))) => {
            found.table = table;
            found.partition = partition;
        }
        Ok(None) => {}
        Err(error) => console::warn(format_args!(
            "{} stays at its size: {error}",
            found.device.display()
        )),
    }
    found
}

fn try_grow(found: &Found) -> Result<Option<(Table, Partition)>, StageError> {
    let grown = found.table.grown(found.disk_bytes);
    if grown.is_none() && found.health == Health::Sound {
        return Ok(None);
    }
    let name = found.disk.display().to_string();
    let failed = |error: std::io::Error| StageError::io(name.clone(), error);
    let mut disk = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&found.disk)
        .map_err(failed)?;
    if found.health != Health::Sound {
        console::warn(format_args!(
            "{name}: one copy of the partition table was bad ({:?}): written anew",
            found.health
        ));
    }
    let table = grown.unwrap_or_else(|| found.table.clone());
    let layout = table.layout();
    // The backup first: until the primary is written the old one holds, and then both do.
    for (at, bytes) in [&layout.backup, &layout.primary] {
        disk.seek(SeekFrom::Start(*at)).map_err(failed)?;
        disk.write_all(bytes).map_err(failed)?;
        disk.sync_all().map_err(failed)?;
    }
    disk.rewind().map_err(failed)?;
    disk.write_all(&layout.mbr).map_err(failed)?;
    disk.sync_all().map_err(failed)?;
    let Some(partition) = table.state().cloned() else {
        return Ok(None);
    };
    let sector = u64::from(found.sector_size);
    let number = i32::try_from(partition.number).unwrap_or(0);
    let (start, length) = (
        partition.first.saturating_mul(sector),
        partition.sectors().saturating_mul(sector),
    );
    sys::block::resize_partition(&disk, number, start, length).map_err(failed)?;
    console::say(format_args!(
        "{}: partition is now {} MiB",
        found.device.display(),
        length >> 20
    ));
    Ok(Some((table, partition)))
}
