//! Kernel modules in three waves, so that nothing waits for what it does not need.
//!
//! ```text
//! PID 1:    state ─▶ units ──▶ event loop ─▶ units are ready ─▶ child: everything else ─▶ shelf
//! copies:   storage ─▶ network ─▶ netd
//!           file system ─▶ power button
//! ```
//!
//! The first two waves are loaded by copies of PID 1 (`first_drivers`); the last by a child, `modload` by name, which is this
//! program (see `main`). The kernel itself sorts out two that want the same module.
//! No unit waits for the last wave, so it does not take processors from starting units: it begins a moment after they are
//! ready, and when they are not, [`REST_AT_LATEST_MS`] after the others.

use crate::console;
use crate::machine::Machine;
use crate::module_index::ModuleIndex;
use crate::shelf::Shelf;
use crate::source::ChildKind;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashSet};
use std::ffi::CStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use sys::clock::since_boot_ms;
use sys::clone::{Child, Spawn, spawn};
use sys::pidfd::Ended;

/// `modload`'s other work.
/// When the boot is over, and nobody waits: the random seed, and the shelf.
const AFTERWARDS: &CStr = c"afterwards";
const REST: &CStr = c"rest";
const BUSES: &str = "/sys/bus";
/// Of ACPI's many devices those that are wanted early: what QEMU hands units over by, and the bus on which Hyper-V has its
/// disks and cards.
const EARLY_ACPI: [&str; 3] = ["QEMU0002:00", "VMBUS:00", "VMBus:00"];
/// The release's root, writable, on this descriptor of the child.
const RELEASE_ROOT: i32 = 3;

/// From the moment that the network's drivers are there.
const REST_AT_LATEST_MS: u64 = 2_000;

/// From the moment that the units are ready. Most are by having been executed, and have their own start still before them.
const REST_AFTER_READY_MS: u64 = 500;

/// How far the last wave is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Rest {
    /// The network's drivers come first.
    #[default]
    Later,
    /// At this time.
    Due {
        at_ms: u64,
    },
    Begun {
        at_ms: u64,
    },
    Done,
}

/// Of the boot's drivers, what one child loads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Part {
    /// Disks and the network.
    First,
    Rest,
}

/// Which devices get their drivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wave {
    /// Disks, and what hands units over to a virtual machine.
    Storage,
    /// Network cards, and what container networks are made of.
    Network,
    /// All that is left.
    Rest,
}

impl Wave {
    /// Where its devices are; None: everywhere. A machine has hundreds of devices that are neither a disk nor a network
    /// card, and to look at each of them costs more than to load a driver.
    fn buses(self) -> Option<&'static [&'static str]> {
        match self {
            Self::Storage => Some(&["pci", "virtio", "scsi", "xen", "vmbus"]),
            Self::Network => Some(&["pci", "virtio", "xen", "vmbus"]),
            Self::Rest => None,
        }
    }

    /// Is a device of this alias part of the wave? PCI classes: 01 storage, 02 network, 06 bridges.
    fn wants(self, alias: &str) -> bool {
        let class = |class: &str| alias.starts_with("pci:") && alias.contains(class);
        let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| alias.starts_with(prefix));
        // Devices of virtio's own bus are sorted below; the PCI side is one driver for all.
        let virtio_pci = alias.starts_with("pci:v00001AF4");
        match self {
            Self::Storage => {
                virtio_pci
                    || class("bc01")
                    || starts(&[
                        "virtio:d00000002",
                        "virtio:d00000008",
                        "scsi:",
                        "xen:vbd",
                        "acpi:QEMU0002:",
                        "acpi:VMBUS:",
                        "acpi:VMBus:",
                        "vmbus:",
                    ])
            }
            Self::Network => {
                virtio_pci || class("bc02") || starts(&["virtio:d00000001", "xen:vif", "vmbus:"])
            }
            Self::Rest => true,
        }
    }
}

/// Load what drives the devices that are there, wave after wave, and say of each when it is over. Loading a bus driver
/// brings new devices: look again until none is new.
pub(crate) fn cold_plug(modules: &mut ModuleIndex, waves: &[Wave], mut over: impl FnMut(Wave)) {
    let mut seen = HashSet::new();
    let mut there = aliases(waves);
    for wave in waves {
        loop {
            let fresh = there
                .iter()
                .filter(|alias| wave.wants(alias) && seen.insert(String::clone(alias)));
            let wanted: BTreeSet<String> = fresh.map(|alias| modules.resolve(alias)).fold(
                BTreeSet::new(),
                |mut all, found| {
                    all.extend(found);
                    all
                },
            );
            if wanted.is_empty() {
                break;
            }
            for module in wanted {
                if let Err(error) = modules.load(&module) {
                    // ENODEV: the driver looked and this is not its device.
                    if error.source.raw_os_error() != Some(nix::libc::ENODEV) {
                        log::warn!("{error}");
                    }
                }
            }
            there = aliases(waves);
        }
        over(*wave);
    }
}

/// `modalias` of every device on the waves' buses (Documentation/ABI/testing/sysfs-bus-pci and its like).
fn aliases(waves: &[Wave]) -> Vec<String> {
    let folders = |path: &Path| -> Vec<PathBuf> {
        fs::read_dir(path)
            .map(|found| found.flatten().map(|entry| entry.path()).collect())
            .unwrap_or_default()
    };
    let some: Option<BTreeSet<&str>> = waves.iter().try_fold(BTreeSet::new(), |mut all, wave| {
        all.extend(wave.buses()?);
        Some(all)
    });
    let buses = match some {
        Some(buses) => buses.iter().map(|bus| Path::new(BUSES).join(bus)).collect(),
        None => folders(Path::new(BUSES)),
    };
    let acpi = Path::new(BUSES).join("acpi/devices");
    let early = EARLY_ACPI.iter().map(|name| acpi.join(name));
    let early = early.filter(|_| waves.contains(&Wave::Storage));
    buses
        .iter()
        .flat_map(|bus| folders(&bus.join("devices")))
        .chain(early)
        .filter_map(|device| fs::read_to_string(device.join("modalias")).ok())
        .map(|alias| alias.trim().to_owned())
        .filter(|alias| !alias.is_empty())
        .collect()
}

/// Start this program as `modload WHAT`.
fn spawn_modload(what: &CStr, root: Option<&OwnedFd>) -> io::Result<Child> {
    let null = File::open("/dev/null")?;
    let log = OpenOptions::new().write(true).open("/dev/kmsg")?;
    let root = match root {
        Some(root) => root.try_clone()?,
        None => null.try_clone()?.into(),
    };
    spawn(&Spawn {
        namespaces: 0,
        cgroup: None,
        program: c"/usr/lib/keelson/bin/init",
        arguments: &[c"modload", what],
        environment: &[],
        descriptors: &[
            (null.as_fd(), 0),
            (log.as_fd(), 1),
            (log.as_fd(), 2),
            (root.as_fd(), RELEASE_ROOT),
        ],
    })
}

/// `modload rest` and `modload afterwards`: the child's side.
pub(crate) fn main(mut arguments: impl Iterator<Item = String>) -> ExitCode {
    sys::kmsg::install("modload");
    let root = sys::descriptor::inherited(RELEASE_ROOT).ok();
    let what = arguments.next().unwrap_or_default();
    if AFTERWARDS.to_str() == Ok(&what) {
        let _ = sys::process::yield_to_others();
        renew_seed();
        return fill_shelf(root.as_ref());
    }
    if REST.to_str() != Ok(&what) {
        return ExitCode::FAILURE;
    }
    let mut modules = match crate::stage::module_index() {
        Ok(modules) => modules,
        Err(error) => {
            log::error!("{error}");
            return ExitCode::FAILURE;
        }
    };
    cold_plug(&mut modules, &[Wave::Rest], |_| {});
    if let Some(root) = root {
        for path in modules.take_loaded() {
            crate::stage::free(&root, &path);
        }
    }
    ExitCode::SUCCESS
}

fn renew_seed() {
    match crate::seed::renew() {
        Ok(seeding) => log::info!("random seed: {seeding:?}"),
        Err(error) => log::warn!("random seed: {error}"),
    }
}

fn fill_shelf(root: Option<&OwnedFd>) -> ExitCode {
    let filled = crate::stage::module_folder()
        .map_err(io::Error::other)
        .and_then(|folder| Shelf::of(&folder))
        .and_then(|shelf| {
            shelf.fill(|path| {
                if let Some(root) = root {
                    crate::stage::free(root, path);
                }
            })
        });
    match filled {
        Ok(filled) => {
            log::info!(
                "{} modules that no device has asked for are on the state partition: {} KiB of memory given back",
                filled.modules,
                filled.bytes / 1024
            );
            ExitCode::SUCCESS
        }
        Err(error) => {
            log::warn!("modules that no device has asked for stay in memory: {error}");
            ExitCode::FAILURE
        }
    }
}

impl Machine {
    /// The copy that loads the network's drivers was started by a stage; containers' networks come after it.
    pub(crate) fn await_first_drivers(&mut self) {
        match &self.boot.first_drivers {
            Some((child, _)) => {
                self.children
                    .insert(child.pid, ChildKind::Drivers { part: Part::First });
            }
            None => self.first_drivers_are_there(),
        }
    }

    fn first_drivers_are_there(&mut self) {
        self.begin_network();
        self.rest = Rest::Due {
            at_ms: since_boot_ms().saturating_add(REST_AT_LATEST_MS),
        };
        if self.announced {
            self.hasten_rest();
        }
    }

    pub(crate) fn drivers_ended(&mut self, part: Part, ended: Ended) {
        let done = match ended {
            Ended::Code(0) => Ok(()),
            Ended::Code(code) => Err(format!("modload exited with status {code}")),
            Ended::Signal(signal) => Err(format!(
                "modload was killed by {}",
                unit::signal::display(signal)
            )),
        };
        match part {
            Part::First => {
                let started = self.boot.first_drivers.take().map(|(_, at)| at);
                let start_ms = started.unwrap_or_else(since_boot_ms);
                self.boot.stage_ended("drivers", start_ms, done);
                self.first_drivers_are_there();
            }
            Part::Rest => {
                if let Rest::Begun { at_ms } = self.rest {
                    self.boot.stage_ended("more-drivers", at_ms, done);
                }
                self.all_drivers_are_there();
            }
        }
    }

    fn all_drivers_are_there(&mut self) {
        self.rest = Rest::Done;
        self.find_power_buttons();
        self.find_watchdog();
        self.find_control_ports();
        self.boot_is_over();
    }

    /// When the last wave begins at the latest.
    pub(crate) fn rest_deadline_ms(&self) -> Option<u64> {
        match self.rest {
            Rest::Due { at_ms } => Some(at_ms),
            Rest::Later | Rest::Begun { .. } | Rest::Done => None,
        }
    }

    /// The units are ready.
    pub(crate) fn hasten_rest(&mut self) {
        if let Rest::Due { at_ms } = &mut self.rest {
            *at_ms = (*at_ms).min(since_boot_ms().saturating_add(REST_AFTER_READY_MS));
        }
    }

    /// Begin the last wave, if it is its turn and it has not begun.
    pub(crate) fn load_rest(&mut self) {
        if self.rest_deadline_ms().is_none() {
            return;
        }
        let at_ms = since_boot_ms();
        self.rest = Rest::Begun { at_ms };
        match spawn_modload(REST, self.boot.release_root.as_ref()) {
            Ok(child) => {
                let part = Part::Rest;
                self.children.insert(child.pid, ChildKind::Drivers { part });
            }
            Err(error) => {
                console::warn(format_args!("drivers: {error}"));
                self.all_drivers_are_there();
            }
        }
    }

    /// Nothing more is loaded because of the boot.
    fn boot_is_over(&mut self) {
        if self.ending.is_some() {
            return;
        }
        crate::stage::hurry(false);
        // It is read again for a device that comes.
        self.boot.modules = ModuleIndex::default();
        // Without a disk the copy would be in memory again.
        if self.boot.state_device.is_none() {
            return;
        }
        match spawn_modload(AFTERWARDS, self.boot.release_root.as_ref()) {
            Ok(child) => {
                self.children.insert(child.pid, ChildKind::Afterwards);
            }
            Err(error) => log::warn!("modload: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Wave;

    #[test]
    fn each_device_has_its_wave() {
        let disk = "pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01";
        let card = "pci:v00008086d000010D3sv00008086sd00000000bc02sc00i00";
        assert!(Wave::Storage.wants("acpi:VMBUS:") && !Wave::Storage.wants("acpi:PNP0C0C:"));
        let virtio = "pci:v00001AF4d00001041sv00001AF4sd00001100bc02sc00i00";
        assert!(Wave::Storage.wants(disk) && !Wave::Network.wants(disk));
        assert!(Wave::Network.wants(card) && !Wave::Storage.wants(card));
        assert!(Wave::Network.wants(virtio) && Wave::Storage.wants(virtio));
        assert!(Wave::Rest.wants("cpu:type:x86"));
    }
}
