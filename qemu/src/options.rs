//! What a machine is made of. Defaults are a small cloud VM.

use crate::{Disk, Translation, Wanted};
use std::path::{Path, PathBuf};

/// A release as files that QEMU loads by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    pub kernel: PathBuf,
    pub initramfs: PathBuf,
    pub command_line: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BootFrom {
    /// QEMU loads kernel and initramfs (`-kernel`): the quickest way to PID 1.
    Release(Release),
    /// UEFI firmware starts the release that is on the first disk.
    Firmware(crate::Firmware),
}

impl BootFrom {
    /// Bytes of memory below which the machine is not started. (The guest says the same where it can, but with so little
    /// firmware or kernel give up before its first line.)
    #[must_use]
    pub fn least_memory(&self) -> u64 {
        match self {
            Self::Release(_) => sys::memory::LEAST,
            Self::Firmware(_) => sys::memory::LEAST_BY_FIRMWARE,
        }
    }
}

/// What happens to the machine when we end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// It is killed with us, even when we are killed.
    WithUs,
    /// It goes on.
    Detached,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watchdog {
    /// A PCI card.
    I6300esb,
    /// The chip set's own (ICH9 TCO).
    Itco,
}

#[derive(Clone, Debug)]
pub struct MachineOptions {
    /// The run folder: sockets, logs, pid file. Made when it is missing.
    pub folder: PathBuf,
    pub boot: BootFrom,
    /// Bytes.
    pub memory: u64,
    pub cpus: u32,
    pub translation: Translation,
    /// In the order in which the guest finds them.
    pub disks: Vec<Disk>,
    /// Forwarded from loopback as soon as QEMU runs.
    pub forwards: Vec<Wanted>,
    /// Unit files for this boot: the JSON of [`crate::units_document`].
    pub units: Option<String>,
    /// Added to the command line of the release. Only with [`BootFrom::Release`].
    pub kernel_arguments: Vec<String>,
    pub watchdog: Option<Watchdog>,
    /// `false`: no network card at all.
    pub network: bool,
    /// Slots (PCI Express root ports) into which devices can be plugged while the machine runs, named `slot0`, `slot1` ….
    pub hot_plug_slots: u32,
    pub lifetime: Lifetime,
    /// Anything else for QEMU, as it is.
    pub qemu_arguments: Vec<String>,
}

impl MachineOptions {
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>, boot: BootFrom) -> Self {
        Self {
            folder: folder.into(),
            boot,
            memory: 2 << 30,
            cpus: 2,
            translation: Translation::default(),
            disks: Vec::new(),
            forwards: Vec::new(),
            units: None,
            kernel_arguments: Vec::new(),
            watchdog: None,
            network: true,
            hot_plug_slots: 0,
            lifetime: Lifetime::WithUs,
            qemu_arguments: Vec::new(),
        }
    }

    #[must_use]
    pub fn memory(mut self, bytes: u64) -> Self {
        self.memory = bytes;
        self
    }

    #[must_use]
    pub fn cpus(mut self, cpus: u32) -> Self {
        self.cpus = cpus;
        self
    }

    #[must_use]
    pub fn translation(mut self, translation: Translation) -> Self {
        self.translation = translation;
        self
    }

    #[must_use]
    pub fn disk(mut self, disk: Disk) -> Self {
        self.disks.push(disk);
        self
    }

    #[must_use]
    pub fn units(mut self, document: String) -> Self {
        self.units = Some(document);
        self
    }

    #[must_use]
    pub fn forward(mut self, wanted: Wanted) -> Self {
        self.forwards.push(wanted);
        self
    }

    #[must_use]
    pub fn forwards(mut self, wanted: impl IntoIterator<Item = Wanted>) -> Self {
        self.forwards.extend(wanted);
        self
    }

    #[must_use]
    pub fn kernel_argument(mut self, argument: impl Into<String>) -> Self {
        self.kernel_arguments.push(argument.into());
        self
    }

    #[must_use]
    pub fn watchdog(mut self, watchdog: Watchdog) -> Self {
        self.watchdog = Some(watchdog);
        self
    }

    #[must_use]
    pub fn without_network(mut self) -> Self {
        self.network = false;
        self
    }

    #[must_use]
    pub fn hot_plug_slots(mut self, slots: u32) -> Self {
        self.hot_plug_slots = slots;
        self
    }

    #[must_use]
    pub fn lifetime(mut self, lifetime: Lifetime) -> Self {
        self.lifetime = lifetime;
        self
    }

    #[must_use]
    pub fn qemu_argument(mut self, argument: impl Into<String>) -> Self {
        self.qemu_arguments.push(argument.into());
        self
    }
}

impl Release {
    /// The artefacts that the `image` program leaves in its folder.
    ///
    /// # Errors
    /// When the command line can't be read.
    pub fn in_folder(folder: &Path) -> std::io::Result<Self> {
        let command_line = std::fs::read_to_string(folder.join("cmdline"))?
            .trim()
            .to_owned();
        Ok(Self {
            kernel: folder.join("vmlinuz"),
            initramfs: folder.join("initramfs.img"),
            command_line,
        })
    }
}
