//! Drivers of disks, which the next stage needs: a copy of PID 1 has begun with them (`first_drivers`).

use super::{Boot, StageError};
use crate::cmdline::Cmdline;
use crate::drivers::{self, Wave};
use crate::first_drivers::{Storage, Waited};
use crate::module_index::ModuleIndex;
use crate::module_words::ModuleWords;
use std::fs;
use std::path::{Path, PathBuf};

pub(super) fn run(boot: &mut Boot) -> Result<(), StageError> {
    let storage = boot.storage_drivers.take();
    let result = match storage.map_or(Waited::Ended, Storage::wait) {
        Waited::There => Ok(()),
        Waited::Ended => {
            drivers::cold_plug(&mut boot.modules, &[Wave::Storage], |_| {});
            Ok(())
        }
        Waited::Hangs => Err(StageError::text(
            "a disk controller's driver hangs: going on without it",
        )),
    };
    for path in boot.modules.take_loaded() {
        boot.free(&path);
    }
    result
}

/// Where the modules of the running kernel are.
///
/// # Errors
/// As uname(2).
pub(crate) fn folder() -> Result<PathBuf, StageError> {
    let kernel = nix::sys::utsname::uname().map_err(|errno| StageError::io("uname", errno))?;
    Ok(Path::new(sys::paths::MODULES).join(kernel.release()))
}

/// The index of the running kernel.
///
/// # Errors
/// When the release has no modules for this kernel.
pub(crate) fn index() -> Result<ModuleIndex, StageError> {
    let folder = folder()?;
    let read = |name: &str| {
        let path = folder.join(name);
        fs::read_to_string(&path).map_err(|error| StageError::io(path.display().to_string(), error))
    };
    let index = ModuleIndex::parse(
        &folder,
        read("modules.dep")?,
        read("modules.alias")?,
        read("modules.softdep")?,
    );
    Ok(index.with_words(ModuleWords::of(&Cmdline::read())))
}
