//! The state partition: found, checked, grown to the disk's end, mounted on `/var`. Without one, memory, said aloud.
//!
//! ```text
//! find ─▶ e2fsck, if it was not left clean ─▶ grow the partition ─▶ mount ─▶ grow the file system
//!   └─ none, foreign or beyond repair ─▶ tmpfs
//! ```
//! Only a partition with the `/var` type of the Discoverable Partitions Specification and the name `keelson-state` is
//! ours: whatever else a disk holds is never written to.

use super::{Boot, StageError};
use crate::console;
use nix::mount::{MsFlags, mount};
use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use sys::clock::since_boot_ms;
use sys::clone::{Spawn, spawn};
use sys::gpt::{self, Health, Partition, Table};
use sys::pidfd::Ended;

/// A disk's driver may need a while after its controller was found.
const CONTROLLER_WAIT_MS: u64 = 5_000;
/// How often to look again.
const LOOK_AGAIN_MS: u64 = 20;
/// Layout of the state partition that this release writes. A newer one is not touched.
const SCHEMA: u32 = 1;
const SCHEMA_FILE: &str = "/var/schema";
/// What the state may take of the memory, when it is there.
const MEMORY_STATE_OPTIONS: &str = "mode=0755,size=50%";

/// The state partition on its disk.
#[derive(Debug)]
struct Found {
    disk: PathBuf,
    sector_size: u32,
    table: Table,
    health: Health,
    partition: Partition,
    device: PathBuf,
}

pub(super) fn run(boot: &mut Boot) -> Result<(), StageError> {
    let result = if boot.cmdline.get("keelson.state") == Some("memory") {
        Err(StageError::text(
            "keelson.state=memory on the kernel command line",
        ))
    } else {
        on_disk(boot)
    };
    if result.is_err() {
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        mount(
            Some("tmpfs"),
            sys::paths::STATE,
            Some("tmpfs"),
            flags,
            Some(MEMORY_STATE_OPTIONS),
        )
        .map_err(|errno| StageError::io("tmpfs on /var", errno))?;
        console::warn(
            "STATE IS IN MEMORY: images, volumes, logs and addresses are lost at the next boot",
        );
    }
    folders().and(result)
}

fn on_disk(boot: &mut Boot) -> Result<(), StageError> {
    // The images' file system keeps project quotas, whose format the kernel would ask for by a modprobe of its own.
    for module in ["ext4", "quota_v2"] {
        let loaded = boot.modules.load(module);
        loaded.map_err(|error| StageError::text(error.to_string()))?;
    }
    let found = wait_for_partition()?;
    check(&found.device)?;
    let found = grow_partition(found);
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOATIME;
    let device = found.device.clone();
    let name = device.display().to_string();
    mount(
        Some(&device),
        sys::paths::STATE,
        Some("ext4"),
        flags,
        Some("errors=remount-ro"),
    )
    .map_err(|errno| StageError::io(format!("mount {name} on /var"), errno))?;
    if let Err(error) = schema() {
        let _ = nix::mount::umount(sys::paths::STATE);
        return Err(error);
    }
    grow_file_system(&found)?;
    boot.state_device = Some(device);
    Ok(())
}

fn schema() -> Result<(), StageError> {
    match fs::read_to_string(SCHEMA_FILE) {
        Ok(text) => match text.trim().parse::<u32>() {
            Ok(found) if found <= SCHEMA => Ok(()),
            _ => Err(StageError::text(format!(
                "the state partition has schema {}, this release knows {SCHEMA}: boot the release that wrote it",
                text.trim()
            ))),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            fs::write(SCHEMA_FILE, format!("{SCHEMA}\n"))
                .map_err(|error| StageError::io(SCHEMA_FILE, error))
        }
        Err(error) => Err(StageError::io(SCHEMA_FILE, error)),
    }
}

fn folders() -> Result<(), StageError> {
    for folder in sys::paths::STATE_FOLDERS {
        match fs::create_dir(folder) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(StageError::io(folder, error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Look at every disk, again and again while a controller may still bring one.
fn wait_for_partition() -> Result<Found, StageError> {
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
        let hope = if foreign.is_empty() {
            has_storage_controller()
        } else {
            false
        };
        if !hope || waited >= CONTROLLER_WAIT_MS {
            return Err(if foreign.is_empty() {
                StageError::text("no disk: attach one that was written from the disk image")
            } else {
                let what = foreign.join("; ");
                StageError::text(format!(
                    "{what} (left untouched): write the disk image to a disk to keep state"
                ))
            });
        }
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
        sector_size,
        table,
        health,
        partition,
        device,
    }))
}

/// What the ext4 superblock says (fs/ext4/ext4.h, `struct ext4_super_block`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Superblock {
    clean: bool,
    block_size: u64,
    blocks: u64,
}

impl Superblock {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let u16_at = |at: usize| Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
        let u32_at = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        const MAGIC: u16 = 0xef53;
        const STATE_VALID: u16 = 1;
        const STATE_ERRORS: u16 = 2;
        const INCOMPAT_RECOVER: u32 = 4;
        const INCOMPAT_64BIT: u32 = 0x80;
        if u16_at(56)? != MAGIC {
            return None;
        }
        let state = u16_at(58)?;
        let incompat = u32_at(96)?;
        let high = if incompat & INCOMPAT_64BIT != 0 {
            u32_at(336)?
        } else {
            0
        };
        Some(Self {
            clean: state & STATE_VALID != 0
                && state & STATE_ERRORS == 0
                && incompat & INCOMPAT_RECOVER == 0,
            block_size: 1024u64.checked_shl(u32_at(24)?)?,
            blocks: u64::from(u32_at(4)?) | u64::from(high) << 32,
        })
    }

    fn read(device: &Path) -> Option<Self> {
        let mut bytes = [0; 1024];
        let mut file = File::open(device).ok()?;
        file.seek(SeekFrom::Start(1024)).ok()?;
        file.read_exact(&mut bytes).ok()?;
        Self::parse(&bytes)
    }
}

/// Exit status of e2fsck(8), a sum of bits.
const FSCK_CORRECTED: i32 = 1 | 2;
const FSCK_UNCORRECTED: i32 = 4;

/// Run e2fsck where the file system was not left clean: first what is safe to do unasked, then everything.
fn check(device: &Path) -> Result<(), StageError> {
    if Superblock::read(device).is_some_and(|found| found.clean) {
        return Ok(());
    }
    let name = device.display();
    match e2fsck(device, c"-p")? {
        0 => Ok(()),
        code if code & !FSCK_CORRECTED == 0 => {
            console::say(format_args!(
                "{name}: was not left clean, and has been put right"
            ));
            Ok(())
        }
        code if code & FSCK_UNCORRECTED != 0 => {
            console::warn(format_args!(
                "{name}: damaged beyond the usual: repairing all of it, look into /var/lost+found"
            ));
            match e2fsck(device, c"-fy")? {
                code if code & !FSCK_CORRECTED == 0 => Ok(()),
                code => Err(StageError::text(format!(
                    "{name}: beyond repair (e2fsck: status {code}); left as it is: restore it, or write the disk image anew"
                ))),
            }
        }
        code => Err(StageError::text(format!(
            "{name}: e2fsck: status {code}; left as it is"
        ))),
    }
}

fn e2fsck(device: &Path, mode: &std::ffi::CStr) -> Result<i32, StageError> {
    let failed = |error: std::io::Error| StageError::io("e2fsck", error);
    let program = CString::new(format!("{}/e2fsck", sys::paths::PROGRAMS)).unwrap_or_default();
    let device = CString::new(device.as_os_str().as_encoded_bytes()).unwrap_or_default();
    let null = File::open("/dev/null").map_err(failed)?;
    let log = OpenOptions::new()
        .write(true)
        .open("/dev/kmsg")
        .map_err(failed)?;
    let child = spawn(&Spawn {
        namespaces: 0,
        cgroup: None,
        program: &program,
        arguments: &[c"e2fsck", mode, &device],
        environment: &[],
        descriptors: &[(null.as_fd(), 0), (log.as_fd(), 1), (log.as_fd(), 2)],
    })
    .map_err(failed)?;
    match sys::pidfd::wait(child.pidfd.as_fd()).map_err(failed)? {
        Ended::Code(127) => Err(StageError::text("e2fsck is not part of this release")),
        Ended::Code(code) => Ok(code),
        Ended::Signal(signal) => Err(StageError::text(format!(
            "e2fsck was killed by {}",
            sys::signal::name(signal)
        ))),
    }
}

/// Let the partition reach to the end of the disk, and mend a table whose other copy is damaged. A disk that can't be
/// written is used as it is.
fn grow_partition(mut found: Found) -> Found {
    match try_grow_partition(&found) {
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

fn try_grow_partition(found: &Found) -> Result<Option<(Table, Partition)>, StageError> {
    let name = found.disk.display().to_string();
    let failed = |error: std::io::Error| StageError::io(name.clone(), error);
    let mut disk = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&found.disk)
        .map_err(failed)?;
    let bytes = sys::block::size(&disk).map_err(failed)?;
    let grown = found.table.grown(bytes);
    if grown.is_none() && found.health == Health::Sound {
        return Ok(None);
    }
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

fn grow_file_system(found: &Found) -> Result<(), StageError> {
    let Some(superblock) = Superblock::read(&found.device) else {
        return Ok(());
    };
    let bytes = found
        .partition
        .sectors()
        .saturating_mul(u64::from(found.sector_size));
    let blocks = bytes.checked_div(superblock.block_size).unwrap_or(0);
    if blocks <= superblock.blocks {
        return Ok(());
    }
    let start = since_boot_ms();
    let root =
        File::open(sys::paths::STATE).map_err(|error| StageError::io(sys::paths::STATE, error))?;
    sys::block::grow_ext4(&root, blocks).map_err(|error| {
        StageError::io(
            format!(
                "{}: the file system can't grow to {} MiB",
                found.device.display(),
                bytes >> 20
            ),
            error,
        )
    })?;
    let took = since_boot_ms().saturating_sub(start);
    console::say(format_args!(
        "{}: file system is now {} MiB ({took} ms)",
        found.device.display(),
        bytes >> 20
    ));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Superblock;

    #[test]
    fn a_superblock_that_needs_recovery_is_not_clean() {
        let mut bytes = vec![0; 1024];
        bytes[56..58].copy_from_slice(&0xef53u16.to_le_bytes());
        bytes[58] = 1;
        bytes[24] = 2;
        bytes[4] = 100;
        assert_eq!(
            Superblock::parse(&bytes),
            Some(Superblock {
                clean: true,
                block_size: 4096,
                blocks: 100
            })
        );
        bytes[96] = 4;
        assert!(!Superblock::parse(&bytes).unwrap().clean);
        bytes[56] = 0;
        assert_eq!(Superblock::parse(&bytes), None);
        assert_eq!(Superblock::parse(&bytes[..100]), None);
    }
}
