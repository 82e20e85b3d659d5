//! The floors: `floor-init` (tests/bench/floor) on the release's kernel.

use super::clock::Clock;
use super::initramfs::Initramfs;
use super::measured::{Measured, Usage};
use super::pong::{self, Pongs};
use super::prepare::Prepared;
use crate::Failure;
use qemu::{Line, Machine, Wanted};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What Redis as PID 1 needs on the benchmark's machine: its disk, its card, its file system.
const MODULES: [&str; 5] = [
    "crc32c_generic",
    "virtio_pci",
    "virtio_blk",
    "virtio_net",
    "ext4",
];
const REDIS_PORT: u16 = 6379;
/// The last word of the line with what it uses: the line may come in pieces.
const FACTS: &str = " processes=";
const TIMEOUT: Duration = Duration::from_secs(120);

/// Where the initramfs of a floor is.
pub(crate) fn initramfs(folder: &Path, kind: &str) -> PathBuf {
    folder.join(format!("floor-{kind}.img"))
}

/// Make both: init alone, and with modules.
pub(crate) fn make(folder: &Path, program: &Path, release: &Initramfs) -> Result<(), Failure> {
    let init = ("init".to_owned(), 0o755, std::fs::read(program)?);
    let modules = release.modules(&MODULES)?;
    let list: String = modules
        .iter()
        .map(|(path, _)| format!("/{path}\n"))
        .collect();
    let mut files = vec![
        init.clone(),
        ("modules".to_owned(), 0o644, list.into_bytes()),
    ];
    files.extend(
        modules
            .into_iter()
            .map(|(path, content)| (path, 0o644, content)),
    );
    for (kind, files) in [("bare", vec![init]), ("redis", files)] {
        let archive = image::initramfs(files)?;
        std::fs::write(initramfs(folder, kind), archive)?;
    }
    Ok(())
}

pub(crate) fn bare(prepared: &Prepared) -> Result<Measured, Failure> {
    let machine = start(prepared.floor("bare"))?;
    let facts = machine.wait_for(FACTS, TIMEOUT)?;
    Floor::read(&machine)?.measured(&facts, None)
}

pub(crate) fn redis(prepared: &Prepared, instances: u16) -> Result<Measured, Failure> {
    let ports: Vec<u16> = (REDIS_PORT..).take(instances.into()).collect();
    let options = prepared
        .floor("redis")
        .kernel_argument(format!("floor_instances={instances}"))
        .forwards(ports.iter().map(|port| Wanted::tcp(*port)));
    let machine = start(options)?;
    machine.wait_for("floor: redis at ", TIMEOUT)?;
    let pongs = pong::of(&machine, &ports, TIMEOUT, |_| no_answer(&machine))?;
    let facts = machine.wait_for(FACTS, TIMEOUT)?;
    let measured = Floor::read(&machine)?.measured(&facts, pongs);
    // Its disk is mounted read-only: nothing is lost.
    machine.cut_power()?;
    measured
}

fn start(options: qemu::MachineOptions) -> Result<Machine, Failure> {
    Machine::boot(options).map_err(Failure::from)
}

fn no_answer(machine: &Machine) -> Failure {
    format!(
        "Redis does not answer; the console:\n{}",
        machine.console().text()
    )
    .into()
}

/// What the console of a floor says of its times.
struct Floor {
    clock: Clock,
    init_ms: u64,
}

impl Floor {
    fn read(machine: &Machine) -> Result<Self, Failure> {
        let lines = machine.console().lines_since(machine.boot_start());
        let silent = || {
            format!(
                "the floor has said nothing; the console:\n{}",
                machine.console().text()
            )
        };
        let init = lines.iter().find_map(|line| {
            let (_, rest) = line.text.split_once("floor: init at ")?;
            rest.strip_suffix(" ms")?.parse().ok()
        });
        Ok(Self {
            clock: Clock::of(&lines).ok_or_else(silent)?,
            init_ms: init.ok_or_else(silent)?,
        })
    }

    fn measured(&self, facts: &Line, pongs: Option<Pongs>) -> Result<Measured, Failure> {
        Ok(Measured {
            init: self.clock.at_guest(self.init_ms),
            network: None,
            first_unit: None,
            first_pong: pongs.map(|pongs| self.clock.at_wall(pongs.first)),
            all_pongs: pongs.map(|pongs| self.clock.at_wall(pongs.all)),
            usage: usage(&facts.text).ok_or_else(|| format!("not understood: {}", facts.text))?,
            listing: None,
            power_off: None,
        })
    }
}

/// `floor: memory total=N available=N …`
fn usage(line: &str) -> Option<Usage> {
    let value = |key: &str| -> Option<u64> {
        line.split_whitespace()
            .find_map(|word| word.strip_prefix(key)?.strip_prefix('=')?.parse().ok())
    };
    Some(Usage {
        used: value("total")?
            .checked_sub(value("available")?)?
            .checked_sub(value("at-hand")?)?,
        available: value("available")?,
        free: value("free")?,
        pss: value("pss")?,
        processes: value("processes")?,
        descriptors: value("descriptors")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_of_a_floor_are_read_by_name() {
        let line = "floor: memory total=1000 available=880 free=800 at-hand=20 pss=30 descriptors=3 processes=1";
        let usage = usage(line).unwrap();
        assert_eq!((usage.used, usage.pss, usage.descriptors), (100, 30, 3));
        assert_eq!(super::usage("floor: memory total=1"), None);
    }
}
