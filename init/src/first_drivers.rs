//! The drivers of the boot: loaded by two copies of PID 1 (fork(2)), while PID 1 makes everything else ready.
//!
//! ```text
//! PID 1:  early ─┬─ cgroups ─ root ─ (are the disks' drivers there?) ─ state ─ … ─▶ event loop
//!                ├▶ copy: disks ─▶ says so ─▶ network ─▶ ends ─▶ netd makes the containers' network
//!                └▶ copy: the state's file system, the largest of all modules ─▶ power button ─▶ ends
//! ```
//!
//! A copy has the module index that PID 1 has read, so that nothing is read, looked for or started twice.

use crate::drivers::{Wave, cold_plug};
use crate::module_index::ModuleIndex;
use crate::stage::FILE_SYSTEM;
use std::fs;
use std::io::{self, PipeReader, Read, Write};
use std::os::fd::OwnedFd;
use sys::clone::Child;
use sys::program::{Fork, exit_at_once, fork};

/// How somebody at the machine turns it off, which is heard while the units start. Nobody waits for the copy that loads the
/// file system, so it loads these too.
const POWER_BUTTON: [&str; 2] = ["button", "evdev"];
/// Names of the modules that every container network needs, one per line.
const BOOT_LIST: &str = "/usr/lib/keelson/modules.boot";

/// What the copy that loads disks' drivers writes when it has done so.
const THERE: u8 = b'1';

/// Says when the drivers of disks are there.
#[derive(Debug)]
pub(crate) struct Storage {
    copy: PipeReader,
}

impl Storage {
    /// Wait for it. False: the copy has ended before.
    pub(crate) fn wait(mut self) -> bool {
        let mut word = [0];
        self.copy.read_exact(&mut word).is_ok() && word == [THERE]
    }
}

/// Disks, then what the network and containers' networks are made of.
///
/// # Errors
/// As pipe(2) and fork(2): nothing has begun then.
pub(crate) fn of_devices(
    modules: &mut ModuleIndex,
    root: Option<&OwnedFd>,
) -> io::Result<(Child, Storage)> {
    let (copy, mut storage) = io::pipe()?;
    let child = by_copy(modules, root, |modules| {
        cold_plug(modules, &[Wave::Storage, Wave::Network], |wave| {
            if wave == Wave::Storage {
                // Where PID 1 has gone on without it, nobody reads this.
                let _ = storage.write_all(&[THERE]);
            }
        });
        let list = fs::read_to_string(BOOT_LIST).unwrap_or_default();
        load_all(modules, list.lines().map(str::trim));
    })?;
    Ok((child, Storage { copy }))
}

/// The file system of the state, and the power button.
///
/// # Errors
/// As fork(2): the stage `state` loads what it needs.
pub(crate) fn of_file_system(
    modules: &mut ModuleIndex,
    root: Option<&OwnedFd>,
) -> io::Result<Child> {
    by_copy(modules, root, |modules| {
        load_all(modules, FILE_SYSTEM.into_iter().chain(POWER_BUTTON));
    })
}

fn by_copy(
    modules: &mut ModuleIndex,
    root: Option<&OwnedFd>,
    work: impl FnOnce(&mut ModuleIndex),
) -> io::Result<Child> {
    match fork()? {
        Fork::Parent(child) => Ok(child),
        Fork::Child => {
            let _ = nix::sys::prctl::set_name(c"modload");
            work(modules);
            if let Some(root) = root {
                for path in modules.take_loaded() {
                    crate::stage::free(root, &path);
                }
            }
            exit_at_once(0)
        }
    }
}

fn load_all<'a>(modules: &mut ModuleIndex, names: impl Iterator<Item = &'a str>) {
    for name in names.filter(|name| !name.is_empty()) {
        if let Err(error) = modules.load(name) {
            log::warn!("{error}");
        }
    }
}
