//! Drivers of disks, which the next stage needs; everything else is loaded beside the boot (`drivers`).

use super::{Boot, StageError};
use crate::console;
use crate::drivers::{self, Wave};
use crate::module_index::ModuleIndex;
use std::fs;
use std::path::Path;

pub(super) fn run(boot: &mut Boot) -> Result<(), StageError> {
    // The network's drivers are on their way while the state partition is looked for.
    match drivers::spawn_wave(Wave::Network, boot.release_root.as_ref()) {
        Ok(child) => boot.network_drivers = Some((child, sys::clock::since_boot_ms())),
        Err(error) => console::warn(format_args!("drivers of the network: {error}")),
    }
    drivers::cold_plug(&mut boot.modules, Wave::Storage);
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
