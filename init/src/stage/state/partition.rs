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

/// A disk may show itself so long after its controller's driver was loaded.
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
/// its driver was loaded, and the disk may need another driver. When the usual ones bring none, all others have their turn:
/// USB, memory cards, virtio without PCI. `wished`: look at this disk only.
pub(super) fn wait(modules: &mut ModuleIndex, wished: Option<&Path>) -> Result<Found, StageError> {
    let mut drivers = Drivers::Usual;
    let mut start = since_boot_ms();
    loop {
        let (mut found, mut foreign) = (Vec::new(), Vec::new());
        let is_wished = |disk: &PathBuf| wished.is_none_or(|wished| wished == disk);
        for disk in disks().into_iter().filter(is_wished) {
            match look(&disk) {
                Ok(Some(one)) => found.push(one),
                Ok(None) => foreign.push(format!(
                    "{} has no partition {}",
                    disk.display(),
                    gpt::STATE_NAME
                )),
                Err(error) => foreign.push(format!("{}: {error}", disk.display())),
            }
        }
        if !found.is_empty() {
            return Ok(first_of(found));
        }
        let waited = since_boot_ms().saturating_sub(start);
        // Beside the disks that are there, another one may be on its way.
        if waited < CONTROLLER_WAIT_MS && may_bring_a_disk(drivers) {
            drivers::cold_plug(modules, &[Wave::Storage], |_| {});
        } else if drivers == Drivers::Usual {
            drivers::cold_plug(modules, &[Wave::Rest], |_| {});
            drivers = Drivers::All;
            start = since_boot_ms();
        } else if let Some(wished) = wished
            && foreign.is_empty()
        {
            return Err(StageError::text(format!(
                "{}, which keelson.state= on the kernel command line asks for, is not there",
                wished.display()
            )));
        } else if foreign.is_empty() {
            let why = match waited < CONTROLLER_WAIT_MS {
                true => "no disk",
                false => "no disk has come from the controllers that are there",
            };
            return Err(StageError::text(format!(
                "{why}: attach one that was written from the disk image"
            )));
        } else {
            return Err(StageError::text(format!(
                "{} (left untouched): write the disk image to a disk to keep state",
                foreign.join("; ")
            )));
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "the event loop has not begun: there is nothing else to do"
        )]
        std::thread::sleep(std::time::Duration::from_millis(LOOK_AGAIN_MS));
    }
}

/// Which drivers have been loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Drivers {
    Usual,
    All,
}

/// Disks are in the order of their names. Which of two that hold a state partition is the machine's, only its operator knows.
fn first_of(mut found: Vec<Found>) -> Found {
    let first = found.remove(0);
    for other in found {
        let [used, left] = [&first.disk, &other.disk].map(|disk| disk.display().to_string());
        console::warn(format_args!(
            "{used} and {left} both hold a state partition: using {used}; keelson.state={left} on the kernel command line takes the other"
        ));
    }
    first
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

/// PCI classes: 01 is mass storage, 0c03 a controller of USB, 0805 one of memory cards.
const USUAL_CLASSES: [&str; 1] = ["0x01"];
const ALL_CLASSES: [&str; 3] = ["0x01", "0x0c03", "0x0805"];

/// Is there a controller whose disks may not have shown themselves yet? Xen and Hyper-V have buses of their own, which may be
/// there without a device: a kernel that can run on Xen always has Xen's.
fn may_bring_a_disk(drivers: Drivers) -> bool {
    let classes: &[&str] = match drivers {
        Drivers::Usual => &USUAL_CLASSES,
        Drivers::All => &ALL_CLASSES,
    };
    let devices = |bus: &str| {
        let devices = fs::read_dir(Path::new("/sys/bus").join(bus).join("devices"));
        devices.into_iter().flatten().flatten()
    };
    let pci = devices("pci").any(|device| {
        fs::read_to_string(device.path().join("class"))
            .is_ok_and(|found| classes.iter().any(|class| found.starts_with(class)))
    });
    pci || ["vmbus", "xen"]
        .iter()
        .any(|bus| devices(bus).next().is_some())
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
