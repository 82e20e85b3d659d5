//! Everything before the first measured boot: image, floors, and a disk that has been booted once.

use super::initramfs::Initramfs;
use super::{floor, keelson};
use crate::Failure;
use host::build::Profile;
use host::fetch::Freshness;
use host::packages::Need;
use image::{Artefacts, ImageOptions};
use qemu::{BootFrom, Disk, Machine, MachineOptions, Release, Translation};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Of the machine, floors included.
const MEMORY: u64 = 2 << 30;
const CPUS: u32 = 2;
const DISK: u64 = 8 << 30;
/// The first boot of a disk: file system grown, images loaded.
const FIRST_BOOT: Duration = Duration::from_secs(300);
const POWER_OFF: Duration = Duration::from_secs(60);

/// What every measured boot is made of.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) artefacts: Artefacts,
    folder: PathBuf,
    disk: PathBuf,
    kernel_release: String,
}

impl Prepared {
    /// Build what is missing, and boot the disk for the first time.
    ///
    /// # Errors
    /// When it can't be built or does not boot.
    pub(crate) fn new() -> Result<Self, Failure> {
        host::packages::ensure(&[Need::Qemu, Need::Ext4])?;
        let archive = image::demo::archive();
        image::demo::redis(&archive, Freshness::Cached)?;
        let folder = host::paths::made().join("bench");
        let artefacts = image::build(&ImageOptions {
            out: folder.join("image"),
            preload: vec![archive],
            ..ImageOptions::default()
        })?;
        let release = Initramfs::read(&artefacts.initramfs)?;
        let program = host::build::program("floor-init", Profile::Os)?;
        floor::make(&folder, &program.path, &release)?;
        let manifest = std::fs::read_to_string(&artefacts.manifest)?;
        let manifest: serde_json::Value = serde_json::from_str(&manifest)?;
        let prepared = Self {
            disk: folder.join("disk.raw"),
            kernel_release: manifest["kernel"]["release"]
                .as_str()
                .unwrap_or("unknown")
                .to_owned(),
            artefacts,
            folder,
        };
        prepared.first_boot()?;
        Ok(prepared)
    }

    fn first_boot(&self) -> Result<(), Failure> {
        let source = self.artefacts.disk.as_ref().ok_or("no disk image")?;
        let step = host::progress::step("first boot of the disk, which loads the images");
        image::disk::create(source, &self.disk, DISK)?;
        let options = self.keelson().units(keelson::units(1)?);
        let machine = Machine::boot(options)?;
        machine.wait_ready(FIRST_BOOT)?;
        machine.power_off(POWER_OFF)?;
        step.done("");
        Ok(())
    }

    /// The release, on the machine of the benchmark.
    pub(crate) fn keelson(&self) -> MachineOptions {
        let initramfs = self.artefacts.initramfs.clone();
        self.machine(initramfs, self.artefacts.cmdline.clone())
    }

    /// The release with more in its initramfs.
    pub(crate) fn with_initramfs(&self, initramfs: PathBuf) -> MachineOptions {
        self.machine(initramfs, self.artefacts.cmdline.clone())
    }

    /// Where everything that is made for benchmarks lies.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A floor on the same machine.
    pub(crate) fn floor(&self, kind: &str) -> MachineOptions {
        let command_line = format!("{} floor={kind}", self.artefacts.cmdline);
        self.machine(floor::initramfs(&self.folder, kind), command_line)
    }

    fn machine(&self, initramfs: PathBuf, command_line: String) -> MachineOptions {
        let release = Release {
            kernel: self.artefacts.kernel.clone(),
            initramfs,
            command_line,
        };
        MachineOptions::new(self.folder.join("run"), BootFrom::Release(release))
            .memory(MEMORY)
            .cpus(CPUS)
            .translation(Translation::ThreadPerProcessor)
            .disk(Disk::at(&self.disk))
    }

    /// The guest, for the document.
    pub(crate) fn guest(&self) -> String {
        format!(
            "{CPUS} processors, {} MiB, virtio, Linux {}",
            MEMORY >> 20,
            self.kernel_release
        )
    }
}
