//! The state partition: found, checked, grown to the disk's end, mounted on `/var`. Without one, memory, said aloud.
//!
//! ```text
//! find ─▶ e2fsck, if it was not left clean ─▶ grow the partition ─▶ mount ─▶ grow the file system
//!   └─ none, foreign or beyond repair ─▶ tmpfs
//! ```
//! Only a partition with the `/var` type of the Discoverable Partitions Specification and the name `keelson-state` is
//! ours: whatever else a disk holds is never written to.

mod file_system;
mod partition;

use super::{Boot, StageError};
use crate::console;
use crate::health::{self, Health};
use nix::mount::{MsFlags, mount};
use std::fs;
use std::path::PathBuf;

/// Modules of the state partition's file system: of its files, and of the limits on what units may write.
pub(crate) const FILE_SYSTEM: [&str; 2] = ["ext4", "quota_v2"];

/// Layout of the state partition that this release writes. A newer one is not touched.
const SCHEMA: u32 = 1;
const SCHEMA_FILE: &str = "/var/schema";
/// What the state may take of the memory, when it is there.
const MEMORY_STATE_OPTIONS: &str = "mode=0755,size=50%";

pub(super) fn run(boot: &mut Boot) -> Result<(), StageError> {
    let result = if is_wished_in_memory(boot) {
        console::say("state: in memory, by keelson.state=memory on the kernel command line");
        Ok(())
    } else {
        on_disk(boot)
    };
    if boot.state_device.is_none() {
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        mount(
            Some("tmpfs"),
            sys::paths::STATE,
            Some("tmpfs"),
            flags,
            Some(MEMORY_STATE_OPTIONS),
        )
        .map_err(|errno| StageError::io("tmpfs on /var", errno))?;
    }
    let said = health::too_little_for_anything();
    let warnings = Health::of(boot).warnings().into_iter();
    warnings
        .filter(|warning| Some(warning) != said.as_ref())
        .for_each(console::warn);
    folders().and(result)
}

pub(super) fn is_wished_in_memory(boot: &Boot) -> bool {
    boot.cmdline.get("keelson.state") == Some("memory")
}

/// `keelson.state=/dev/DISK`
fn wished_disk(boot: &Boot) -> Option<PathBuf> {
    let word = boot.cmdline.get("keelson.state")?;
    if word.starts_with("/dev/") {
        return Some(word.into());
    }
    console::warn(format_args!(
        "keelson.state={word} on the kernel command line is neither `memory` nor a disk such as /dev/sda: ignoring it"
    ));
    None
}

fn on_disk(boot: &mut Boot) -> Result<(), StageError> {
    // The images' file system keeps project quotas, whose format the kernel would ask for by a modprobe of its own.
    // A child has begun with them, most likely ended.
    for module in FILE_SYSTEM {
        let loaded = boot.modules.load(module);
        loaded.map_err(|error| StageError::text(error.to_string()))?;
    }
    let wished = wished_disk(boot);
    let found = partition::wait(&mut boot.modules, wished.as_deref())?;
    file_system::check(&found.device)?;
    let found = partition::grow(found);
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
    boot.state_device = Some(device);
    if let Err(error) = file_system::grow(&found) {
        console::warn(format_args!(
            "{error}: the state partition stays at its size"
        ));
    }
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
