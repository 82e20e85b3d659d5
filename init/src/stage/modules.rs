//! Drivers: the modules of every machine, then those whose hardware is there.

use super::{Boot, StageError};
use crate::console;
use crate::module_index::ModuleIndex;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Names of the modules that every boot loads, one per line.
const BOOT_LIST: &str = "/usr/lib/keelson/modules.boot";

pub(super) fn run(boot: &mut Boot) -> Result<(), StageError> {
    let list = fs::read_to_string(BOOT_LIST).map_err(|error| StageError::io(BOOT_LIST, error))?;
    for name in list
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        if let Err(error) = boot.modules.load(name) {
            console::warn(error);
        }
    }
    cold_plug(&mut boot.modules);
    for path in boot.modules.take_loaded() {
        boot.free(&path);
    }
    Ok(())
}

/// The index of the running kernel.
///
/// # Errors
/// When the release has no modules for this kernel.
pub(crate) fn index() -> Result<ModuleIndex, StageError> {
    let kernel = nix::sys::utsname::uname().map_err(|errno| StageError::io("uname", errno))?;
    let folder = Path::new(sys::paths::MODULES).join(kernel.release());
    let read = |name: &str| {
        let path = folder.join(name);
        fs::read_to_string(&path).map_err(|error| StageError::io(path.display().to_string(), error))
    };
    Ok(ModuleIndex::parse(
        &folder,
        &read("modules.dep")?,
        &read("modules.alias")?,
        &read("modules.softdep")?,
    ))
}

/// Load what drives the devices that are there. Loading a bus driver brings new devices: look again until none is new.
fn cold_plug(modules: &mut ModuleIndex) {
    let mut seen = BTreeSet::new();
    loop {
        let fresh: Vec<String> = aliases()
            .into_iter()
            .filter(|alias| seen.insert(alias.clone()))
            .collect();
        if fresh.is_empty() {
            return;
        }
        for module in fresh
            .iter()
            .flat_map(|alias| modules.resolve(alias))
            .collect::<BTreeSet<_>>()
        {
            if let Err(error) = modules.load(&module) {
                // ENODEV: the driver looked and this is not its device.
                if error.source.raw_os_error() != Some(nix::libc::ENODEV) {
                    console::warn(error);
                }
            }
        }
    }
}

/// `modalias` of every device on every bus (Documentation/ABI/testing/sysfs-bus-pci and its like).
fn aliases() -> BTreeSet<String> {
    let folders = |path: &Path| -> Vec<PathBuf> {
        fs::read_dir(path)
            .map(|found| found.flatten().map(|entry| entry.path()).collect())
            .unwrap_or_default()
    };
    folders(Path::new("/sys/bus"))
        .iter()
        .flat_map(|bus| folders(&bus.join("devices")))
        .filter_map(|device| fs::read_to_string(device.join("modalias")).ok())
        .map(|alias| alias.trim().to_owned())
        .filter(|alias| !alias.is_empty())
        .collect()
}
