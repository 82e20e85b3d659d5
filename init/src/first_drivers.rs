//! The drivers of the boot: loaded by two copies of PID 1 (fork(2)), while PID 1 makes everything else ready.
//!
//! ```text
//! PID 1:  early ─┬─ cgroups ─ root ─ (are the disks' drivers there?) ─ state ─ … ─▶ event loop
//!                ├▶ copy: disks ─▶ says so ─▶ network ─▶ ends ─▶ netd makes the containers' network
//!                └▶ copy: the state's file system, the largest of all modules ─▶ power button ─▶ ends
//! ```
//!
//! A copy has the module index that PID 1 has read, so that nothing is read, looked for or started twice.

use crate::console;
use crate::drivers::{Wave, cold_plug};
use crate::module_index::ModuleIndex;
use crate::stage::FILE_SYSTEM;
use std::fs;
use std::io::{self, PipeReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;
use sys::clone::Child;
use sys::epoll::Interest;
use sys::program::{Fork, exit_at_once, fork};

/// How somebody at the machine turns it off, which is heard while the units start. Nobody waits for the copy that loads the
/// file system, so it loads these too.
const POWER_BUTTON: [&str; 2] = ["button", "evdev"];
/// Names of the modules that every container network needs, one per line.
const BOOT_LIST: &str = "/usr/lib/keelson/modules.boot";

/// What the copy that loads disks' drivers writes when it has done so.
const THERE: u8 = b'1';
/// A controller looks for its disks in milliseconds, or in seconds where it is large; then it is told what is waited for.
const TAKES_LONG: Duration = Duration::from_secs(5);
/// One that takes longer hangs, and the machine goes on without it.
const HANGS: Duration = Duration::from_secs(60);

/// Says when the drivers of disks are there.
#[derive(Debug)]
pub(crate) struct Storage {
    copy: PipeReader,
}

/// How the wait for them has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    There,
    /// The copy has ended before: nobody loads them.
    Ended,
    /// It goes on, with a driver that does not come to an end.
    Hangs,
}

impl Storage {
    pub(crate) fn wait(self) -> Waited {
        self.wait_for(TAKES_LONG, HANGS)
    }

    fn wait_for(mut self, takes_long: Duration, hangs: Duration) -> Waited {
        if !self.has_come(takes_long) {
            console::warn("drivers of disks: waiting for a controller that takes long");
            if !self.has_come(hangs.saturating_sub(takes_long)) {
                return Waited::Hangs;
            }
        }
        let mut word = [0];
        match self.copy.read_exact(&mut word) {
            Ok(()) if word == [THERE] => Waited::There,
            Ok(()) | Err(_) => Waited::Ended,
        }
    }

    fn has_come(&self, within: Duration) -> bool {
        let watched = [(self.copy.as_fd(), Interest::Read)];
        sys::poll::wait(&watched, Some(within)).map_or(true, |ready| !ready.is_empty())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_are_waited_for_until_their_drivers_are_there_or_nobody_loads_them_any_more() {
        let wait = |copy| Storage { copy }.wait_for(Duration::ZERO, Duration::from_millis(20));
        let (copy, mut storage) = io::pipe().unwrap();
        storage.write_all(&[THERE]).unwrap();
        assert_eq!(wait(copy), Waited::There);
        let (copy, storage) = io::pipe().unwrap();
        drop(storage);
        assert_eq!(wait(copy), Waited::Ended);
        let (copy, _storage) = io::pipe().unwrap();
        assert_eq!(wait(copy), Waited::Hangs);
    }
}
