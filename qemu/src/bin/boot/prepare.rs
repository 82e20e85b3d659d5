//! Everything before QEMU: what this host needs, the units checked, the image built, the disk made.

use crate::disk;
use crate::options::{FirmwareKind, Options};
use host::fetch::Freshness;
use host::packages::Need;
use image::{Artefacts, ImageOptions};
use qemu::{
    BootFrom, Firmware, Lifetime, MachineOptions, Release, RunFolder, Wanted, published_by_units,
    units_document,
};
use std::error::Error;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use unit::{Colour, Loaded, Severity};

/// The repository of the demo's image, which is always at hand.
const DEMO_IMAGE: &str = "docker.io/library/redis:";

/// From command line to machine.
pub(crate) fn prepare(
    options: &Options,
    folder: &RunFolder,
) -> Result<MachineOptions, Box<dyn Error>> {
    let demo = image::demo::units();
    let units = options.units.as_deref().unwrap_or(&demo);
    // First what is quick to find and most often wrong.
    qemu::check_memory(options.memory, options.firmware.least_memory())?;
    let request = disk::Request {
        named: options.disk.as_deref(),
        bytes: options.disk_size,
        run_folder: folder.path(),
    };
    disk::check(&request)?;
    let document = units_document(units)?;
    let loaded = check_units(units)?;
    if let Some(warning) = unit::over_commitment(&loaded.set, options.memory) {
        eprintln!("warning: {warning}");
    }
    host::packages::ensure(&needs(options))?;
    let preload = preload(options, &loaded)?;
    let artefacts = image::build(&ImageOptions {
        preload,
        ..ImageOptions::default()
    })?;
    let disk = disk::ready(&request, &artefacts)?;

    let published = published_by_units(&loaded.set);
    let asked = options
        .forward
        .iter()
        .map(|&(host, guest)| Wanted::tcp(guest).on(host));
    let lifetime = if options.headless {
        Lifetime::Detached
    } else {
        Lifetime::WithUs
    };
    let machine = MachineOptions::new(folder.path(), boot_from(options.firmware, &artefacts)?)
        .memory(options.memory)
        .cpus(options.cpus)
        .disk(disk)
        .units(document)
        .forwards(asked)
        .forwards(published)
        .lifetime(lifetime);
    Ok(machine)
}

/// Say everything about the units, as rustc does. Errors end the try: on a machine, the other units would start.
fn check_units(folder: &Path) -> Result<Loaded, Box<dyn Error>> {
    let loaded = unit::check(&[folder.to_path_buf()]);
    let colour = if std::io::stderr().is_terminal() {
        Colour::Always
    } else {
        Colour::Never
    };
    for diagnostic in &loaded.diagnostics {
        eprintln!("{}\n", unit::render(diagnostic, colour));
    }
    let errors = loaded
        .diagnostics
        .iter()
        .filter(|diagnostic| diagnostic.severity == Severity::Error)
        .count();
    match errors {
        0 => Ok(loaded),
        1 => Err(format!(
            "{}: 1 error in the unit files, nothing is booted",
            folder.display()
        )
        .into()),
        more => Err(format!(
            "{}: {more} errors in the unit files, nothing is booted",
            folder.display()
        )
        .into()),
    }
}

fn needs(options: &Options) -> Vec<Need> {
    let mut needs = vec![Need::Qemu, Need::Ext4];
    if options.firmware == FirmwareKind::Uefi {
        needs.push(Need::Firmware);
    }
    if options.units.is_none() {
        needs.push(Need::RedisClient);
    }
    needs
}

/// The archives that were named, or the demo's where units ask for its image.
fn preload(options: &Options, loaded: &Loaded) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut archives = Vec::new();
    for archive in &options.preload {
        archives.push(std::path::absolute(archive)?);
    }
    let mut containers = loaded.set.units().iter().filter_map(unit::Unit::container);
    let wants_demo = containers.any(|unit| unit.container.image.starts_with(DEMO_IMAGE));
    if archives.is_empty() && wants_demo {
        let archive = image::demo::archive();
        image::demo::redis(&archive, Freshness::Cached)?;
        archives.push(archive);
    }
    Ok(archives)
}

fn boot_from(kind: FirmwareKind, artefacts: &Artefacts) -> Result<BootFrom, Box<dyn Error>> {
    match kind {
        FirmwareKind::None => Ok(BootFrom::Release(Release {
            kernel: artefacts.kernel.clone(),
            initramfs: artefacts.initramfs.clone(),
            command_line: artefacts.cmdline.clone(),
        })),
        FirmwareKind::Uefi => {
            let hint = || {
                format!(
                    "UEFI firmware is not installed: {}",
                    host::packages::hint(Need::Firmware)
                )
            };
            Ok(BootFrom::Firmware(Firmware::find().ok_or_else(hint)?))
        }
    }
}
