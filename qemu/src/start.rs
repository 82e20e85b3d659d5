//! From options to a running QEMU: everything is checked before the process is made.

use crate::arguments::arguments;
use crate::disk::Disk;
use crate::folder::names;
use crate::process::Process;
use crate::standstill::{BOOTS_AGAIN_MAX, Standstill};
use crate::wait::LastSeen;
use crate::{Accelerator, BootFrom, Console, ForwardError, MachineOptions, QmpError, RunFolder};
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

/// QEMU opens its monitor before the guest's first instruction, in some 0.2 s.
const MONITOR_TIMEOUT: Duration = Duration::from_secs(30);
const MONITOR_POLL: Duration = Duration::from_millis(3);
/// Held while a machine is being started in a folder.
const START_LOCK: &str = "start.lock";

/// A machine that does not start.
#[derive(Debug)]
pub enum StartError {
    Running {
        pid: i32,
        folder: PathBuf,
    },
    Missing {
        what: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    NoEmulator {
        hint: String,
    },
    MemoryTooSmall {
        bytes: u64,
        least: u64,
    },
    KernelArgumentsByFirmware,
    DiskInUse {
        path: String,
    },
    Ended {
        status: ExitStatus,
        words: String,
    },
    Silent {
        error: QmpError,
    },
    Forward(ForwardError),
    /// Each of its boots came to nothing before PID 1.
    StandsStill {
        still: Standstill,
        seen: LastSeen,
    },
    Io {
        path: PathBuf,
        source: io::Error,
    },
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running { pid, folder } => write!(
                f,
                "a machine is running already in {} (pid {pid}): `cargo boot -- --stop` shuts it down in order, \
                 `cargo boot -- --cut` pulls its plug",
                folder.display()
            ),
            Self::Missing { what, path, source } => write!(f, "{what} {}: {source}", path.display()),
            Self::NoEmulator { hint } => write!(f, "{} is not installed: {hint}", host::qemu::PROGRAM),
            Self::MemoryTooSmall { bytes, least } => write!(
                f,
                "{} of memory are too little: {} is the least a machine boots with (by kernel {}, by UEFI firmware {})",
                unit::bytes::display(*bytes),
                unit::bytes::display(*least),
                unit::bytes::display(sys::memory::LEAST),
                unit::bytes::display(sys::memory::LEAST_BY_FIRMWARE)
            ),
            Self::KernelArgumentsByFirmware => {
                f.write_str("kernel arguments are part of the release on the disk when firmware boots it: use --firmware none")
            }
            Self::DiskInUse { path } => {
                write!(f, "disk {path} is in use by another machine: stop that one, or take a copy or another file")
            }
            Self::Ended { status, words } if words.is_empty() => write!(f, "QEMU ended at once ({status})"),
            Self::Ended { status, words } => write!(f, "QEMU ended at once ({status}): {words}"),
            Self::Silent { error } => write!(f, "QEMU runs and does not answer: {error}"),
            Self::Forward(error) => error.fmt(f),
            Self::StandsStill { still, seen } => write!(
                f,
                "{still}, {} boots in a row, so this is a fault of kernel, memory size or emulator{seen}",
                BOOTS_AGAIN_MAX + 1
            ),
            Self::Io { path, source } => write!(f, "{}: {source}", path.display()),
        }
    }
}

impl std::error::Error for StartError {}

/// Start QEMU; its monitor answers when this returns.
pub(crate) fn start(
    options: &MachineOptions,
    folder: &RunFolder,
) -> Result<(Process, Console, Instant), StartError> {
    let accelerator = Accelerator::choose();
    check(options)?;
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| StartError::Io { path, source }
    };
    fs::create_dir_all(folder.path()).map_err(at(folder.path()))?;
    // Relative paths are the caller's, and QEMU runs in the folder.
    let absolute = |path: &Path| std::path::absolute(path).map_err(at(path));
    let options = &with_absolute_paths(options, &absolute)?;
    let _starting = lock(folder).map_err(at(folder.path()))?;
    if let Some(pid) = folder.running() {
        return Err(StartError::Running {
            pid,
            folder: folder.path().to_owned(),
        });
    }
    folder.prepare().map_err(at(folder.path()))?;
    if let BootFrom::Firmware(firmware) = &options.boot {
        let own = folder.file(names::VARIABLES);
        fs::copy(&firmware.variables, &own).map_err(at(&own))?;
    }
    if let Some(units) = &options.units {
        let file = folder.file(names::UNITS);
        fs::write(&file, units).map_err(at(&file))?;
    }
    let words = arguments(options, accelerator, host::qemu::masked_features());
    let program = host::run::find(host::qemu::PROGRAM).ok_or_else(|| StartError::NoEmulator {
        hint: host::packages::hint(host::packages::Need::Qemu),
    })?;
    let started = Instant::now();
    let process = Process::spawn(
        &program,
        &words,
        folder.path(),
        &folder.qemu_log(),
        options.lifetime,
    )
    .map_err(at(&program))?;
    let watched = process.clone();
    let console = Console::follow(&folder.console_log(), started, move || {
        watched.ended().is_some()
    })
    .map_err(at(&folder.console_log()))?;
    match await_monitor(&process, folder) {
        Ok(()) => Ok((process, console, started)),
        Err(error) => {
            // It is of no use without a monitor; that it can't be killed would change nothing about the error.
            let _ = process.kill();
            Err(error)
        }
    }
}

/// Is it enough to come as far as PID 1?
///
/// # Errors
/// `MemoryTooSmall`, with what is enough.
pub fn check_memory(bytes: u64, least: u64) -> Result<(), StartError> {
    if bytes < least {
        return Err(StartError::MemoryTooSmall { bytes, least });
    }
    Ok(())
}

fn check(options: &MachineOptions) -> Result<(), StartError> {
    check_memory(options.memory, options.boot.least_memory())?;
    let there = |what: &'static str, path: &Path| match fs::metadata(path) {
        Ok(_) => Ok(()),
        Err(source) => Err(StartError::Missing {
            what,
            path: path.to_owned(),
            source,
        }),
    };
    match &options.boot {
        BootFrom::Release(release) => {
            there("kernel", &release.kernel)?;
            there("initramfs", &release.initramfs)?;
        }
        BootFrom::Firmware(firmware) => {
            if !options.kernel_arguments.is_empty() {
                return Err(StartError::KernelArgumentsByFirmware);
            }
            there("firmware", &firmware.code)?;
            there("firmware", &firmware.variables)?;
        }
    }
    options
        .disks
        .iter()
        .try_for_each(|disk| there("disk", &disk.path))
}

fn with_absolute_paths(
    options: &MachineOptions,
    absolute: &dyn Fn(&Path) -> Result<PathBuf, StartError>,
) -> Result<MachineOptions, StartError> {
    let mut options = options.clone();
    if let BootFrom::Release(release) = &mut options.boot {
        release.kernel = absolute(&release.kernel)?;
        release.initramfs = absolute(&release.initramfs)?;
    }
    for Disk { path, .. } in &mut options.disks {
        *path = absolute(path)?;
    }
    Ok(options)
}

fn lock(folder: &RunFolder) -> io::Result<fs::File> {
    let file = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(folder.file(START_LOCK))?;
    file.lock()?;
    Ok(file)
}

fn await_monitor(process: &Process, folder: &RunFolder) -> Result<(), StartError> {
    let deadline = Instant::now() + MONITOR_TIMEOUT;
    loop {
        let error = match folder.qmp() {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        if let Some(status) = process.ended() {
            return Err(ended(status, process.words()));
        }
        if Instant::now() > deadline {
            return Err(StartError::Silent { error });
        }
        std::thread::sleep(MONITOR_POLL);
    }
}

/// Why QEMU gave up, from its own words.
fn ended(status: ExitStatus, words: String) -> StartError {
    if words.contains("Failed to get") && words.contains("lock") {
        let path = words
            .split_once('[')
            .and_then(|(_, rest)| Some(rest.split_once(']')?.0.to_owned()));
        return StartError::DiskInUse {
            path: path.unwrap_or_default(),
        };
    }
    StartError::Ended { status, words }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Release;

    fn options() -> MachineOptions {
        let release = Release {
            kernel: "/dev/null".into(),
            initramfs: "/dev/null".into(),
            command_line: String::new(),
        };
        MachineOptions::new("/nonexistent/keelson", BootFrom::Release(release))
    }

    #[test]
    fn too_little_memory_is_refused_with_the_minimum() {
        let error = check(&options().memory(64 << 20)).unwrap_err().to_string();
        assert!(
            error.starts_with("64.0 MiB of memory are too little: 128.0 MiB"),
            "{error}"
        );
    }

    #[test]
    fn a_missing_disk_is_named() {
        let error = check(&options().disk(Disk::at("/nonexistent/disk.raw")))
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("disk /nonexistent/disk.raw: No such file"),
            "{error}"
        );
    }

    #[test]
    fn a_disk_that_another_machine_holds_is_named() {
        let words = "qemu: -device virtio-blk-pci,drive=disk0: Failed to get \"write\" lock\n\
            Is another process using the image [/srv/disk.raw]?";
        let error = ended(ExitStatus::default(), words.to_owned()).to_string();
        assert!(error.starts_with("disk /srv/disk.raw is in use"), "{error}");
    }
}
