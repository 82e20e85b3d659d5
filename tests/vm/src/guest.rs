//! A machine of a test.

use crate::checks::{progress, until};
use crate::prepared;
use crate::redis::Redis;
use crate::scenario;
use crate::turn::Turn;
use control::reply::UnitStatus;
use image::Artefacts;
use qemu::{
    BootFrom, Disk, DiskInterface, Finding, FindingKind, Finished, Firmware, Machine,
    MachineOptions, Ready, StartError, Wanted, Watchdog,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The longest boot seen, by firmware with other builds beside it, took 50 s.
const READY_TIMEOUT: Duration = Duration::from_secs(240);
/// PID 1's first line, in the last of three boots.
const INIT_TIMEOUT: Duration = Duration::from_secs(360);
const INIT_POLL: Duration = Duration::from_millis(20);
/// Units have 10 s to stop.
const OFF_TIMEOUT: Duration = Duration::from_secs(120);
/// A state that is coming comes in this time.
const STATE_TIMEOUT: Duration = Duration::from_secs(60);

/// What to boot.
#[derive(Debug)]
pub struct Setup {
    name: &'static str,
    options: MachineOptions,
    units: BTreeMap<String, String>,
}

impl Setup {
    /// A machine of 1 GiB without a disk, started by `-kernel`.
    #[must_use]
    pub fn named(name: &'static str) -> Self {
        let release = prepared::release_of(prepared::artefacts());
        let folder = prepared::folder().join(name);
        Self {
            name,
            options: MachineOptions::new(folder, release).memory(1 << 30),
            units: BTreeMap::new(),
        }
    }

    /// Another release than that of all tests.
    #[must_use]
    pub fn release(mut self, artefacts: &Artefacts) -> Self {
        self.options.boot = prepared::release_of(artefacts);
        self
    }

    #[must_use]
    pub fn watchdog(mut self, watchdog: Watchdog) -> Self {
        self.options = self.options.watchdog(watchdog);
        self
    }

    /// Anything else for QEMU, as it is.
    #[must_use]
    pub fn qemu_arguments(mut self, words: &[&str]) -> Self {
        let words = words.iter().map(|word| (*word).to_owned());
        self.options.qemu_arguments.extend(words);
        self
    }

    #[must_use]
    pub fn memory(mut self, bytes: u64) -> Self {
        self.options.memory = bytes;
        self
    }

    /// By UEFI firmware, from the first disk.
    ///
    /// # Panics
    /// When there is no firmware; [`prepared::artefacts`] has installed it.
    #[must_use]
    pub fn by_firmware(mut self) -> Self {
        self.options.boot = BootFrom::Firmware(Firmware::find().expect("OVMF is installed"));
        self
    }

    /// A disk made from the disk image, of this size.
    ///
    /// # Panics
    /// When it can't be made.
    #[must_use]
    pub fn own_disk(self, bytes: u64) -> Self {
        let path = self.new_disk("disk.raw", bytes);
        self.disk(path)
    }

    /// The same behind another controller, which shows it a while after its driver was loaded.
    ///
    /// # Panics
    /// When it can't be made.
    #[must_use]
    pub fn own_disk_behind(mut self, interface: DiskInterface, bytes: u64) -> Self {
        let disk = Disk {
            interface,
            ..Disk::at(self.new_disk("other.raw", bytes))
        };
        self.options = self.options.disk(disk);
        self
    }

    fn new_disk(&self, name: &str, bytes: u64) -> PathBuf {
        let path = self.file(name);
        let image = prepared::artefacts().disk.as_deref();
        image::disk::create(image.expect("a disk image"), &path, bytes).unwrap();
        path
    }

    #[must_use]
    pub fn disk(mut self, path: impl Into<PathBuf>) -> Self {
        self.options = self.options.disk(Disk::at(path));
        self
    }

    /// A file in the run folder.
    ///
    /// # Panics
    /// When the folder can't be made.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        std::fs::create_dir_all(&self.options.folder).unwrap();
        self.options.folder.join(name)
    }

    #[must_use]
    pub fn units(mut self, units: impl IntoIterator<Item = (String, String)>) -> Self {
        self.units.extend(units);
        self
    }

    /// Forward a port of the guest from any free one of this host.
    #[must_use]
    pub fn port(mut self, guest: u16) -> Self {
        self.options = self.options.forward(Wanted::tcp(guest));
        self
    }

    /// As [`Self::port`].
    #[must_use]
    pub fn udp_port(mut self, guest: u16) -> Self {
        self.options = self.options.forward(Wanted::udp(guest));
        self
    }

    /// A slot for a device that comes later: `slot0`.
    #[must_use]
    pub fn hot_plug_slot(mut self) -> Self {
        self.options = self.options.hot_plug_slots(1);
        self
    }

    #[must_use]
    pub fn kernel_argument(mut self, argument: &str) -> Self {
        self.options = self.options.kernel_argument(argument);
        self
    }

    /// Wait for our turn, and switch it on.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn boot(mut self) -> Guest {
        let turn = Turn::take();
        progress(self.name, "boot");
        let units = serde_json::to_string(&self.units).unwrap();
        self.options = self.options.units(units);
        scenario::has_machine(&self.options.folder);
        match Machine::boot(self.options) {
            Ok(machine) => Guest {
                name: self.name,
                machine: with_init(self.name, machine),
                _turn: turn,
            },
            Err(error) => panic!("{error}"),
        }
    }
}

/// The machine when PID 1 has said its first word; a boot that stands still before it is begun again, and it is told.
/// Whoever expects no PID 1 gets the machine as it is.
fn with_init(name: &'static str, mut machine: Machine) -> Machine {
    let deadline = Instant::now() + INIT_TIMEOUT;
    while !machine.has_init() && machine.ended().is_none() && Instant::now() < deadline {
        match machine.begin_again_if_it_stands_still() {
            Ok(None) => std::thread::sleep(INIT_POLL),
            Ok(Some(still)) => progress(name, &format!("switched on again: {still}")),
            Err(error @ StartError::StandsStill { .. }) => {
                progress(name, &error.to_string());
                break;
            }
            Err(error) => panic!("{error}"),
        }
    }
    machine
}

/// A machine that is on, or was.
#[derive(Debug)]
pub struct Guest {
    name: &'static str,
    pub machine: Machine,
    /// More machines than processors would stand in each other's way.
    _turn: Turn,
}

impl Guest {
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The first disk.
    ///
    /// # Panics
    /// When it has none.
    #[must_use]
    pub fn disk(&self) -> &Path {
        &self.machine.options().disks[0].path
    }

    // ---- boot and end ---------------------------------------------------------------------------------------------

    /// # Panics
    /// When it does not get ready; with what was last seen.
    pub fn ready(&self) -> Ready {
        match self.machine.wait_ready(READY_TIMEOUT) {
            Ok(ready) => {
                progress(
                    self.name,
                    &format!(
                        "ready: {} units, {} ms of the guest's time, {:.1} s since the start of QEMU",
                        ready.units,
                        ready.guest_ms,
                        ready.wall.as_secs_f32()
                    ),
                );
                ready
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// A machine with bad units: not all will be ready.
    ///
    /// # Panics
    /// When the boot does not come to its end.
    pub fn booted(&self) {
        let wait = qemu::Wait::for_text("keelson: ready ", READY_TIMEOUT)
            .or("keelson: degraded ")
            .since(self.machine.boot_start());
        if let Err(error) = self.machine.wait(&wait) {
            panic!("{error}");
        }
    }

    /// Wait for a line of the current boot.
    ///
    /// # Panics
    /// When it does not come.
    pub fn says(&self, text: &str) -> String {
        match self.machine.wait_for(text, READY_TIMEOUT) {
            Ok(line) => line.text,
            Err(error) => panic!("{error}"),
        }
    }

    /// The console of the current boot, as text.
    #[must_use]
    pub fn console(&self) -> String {
        let lines = self
            .machine
            .console()
            .lines_since(self.machine.boot_start());
        lines
            .iter()
            .map(|line| format!("{}\n", line.text))
            .collect()
    }

    /// The console of the current boot has each of these texts by now.
    ///
    /// # Panics
    /// With the one that is not there, and the console's end.
    pub fn has_said(&self, texts: &[&str]) {
        let console = self.console();
        for text in texts {
            assert!(console.contains(text), "{text:?}: not in {}", end(&console));
        }
    }

    /// The console of the current boot has none of these texts.
    ///
    /// # Panics
    /// With the line that has one.
    pub fn has_not_said(&self, texts: &[&str]) {
        let console = self.console();
        let line = console
            .lines()
            .find(|line| texts.iter().any(|text| line.contains(text)));
        assert_eq!(line, None);
    }

    /// The current boot has had one PID 1 and no other after it.
    ///
    /// # Panics
    /// When there were more.
    pub fn has_begun_once(&self) {
        let console = self.console();
        let begins = console.matches("keelson: init ").count();
        assert_eq!(begins, 1, "{}", end(&console));
    }

    /// The whole serial log since QEMU's start has nothing in it that should not be there, but for these kinds.
    ///
    /// # Panics
    /// With what is there.
    pub fn serial_log_is_clean(&self, but: &[FindingKind]) {
        let bad: Vec<Finding> = self
            .machine
            .serial_findings()
            .into_iter()
            .filter(|finding| !but.contains(&finding.kind))
            .collect();
        let text: String = bad.iter().map(|finding| format!("\n{finding}")).collect();
        assert!(
            bad.is_empty(),
            "{}{text}",
            self.machine.console().path().display()
        );
    }

    /// Power off by `keelctl`'s request.
    ///
    /// # Panics
    /// When it does not end.
    pub fn power_off(&self) -> Duration {
        match self.machine.power_off(OFF_TIMEOUT) {
            Ok(took) => took,
            Err(error) => panic!("{error}"),
        }
    }

    /// It ends by itself.
    ///
    /// # Panics
    /// When it does not, or QEMU failed.
    pub fn ends(&self) {
        let ended = self.machine.wait_ended(OFF_TIMEOUT);
        assert!(
            ended.is_some_and(|status| status.success()),
            "QEMU: {ended:?} {}",
            self.machine.qemu_words()
        );
    }

    /// Switch it on again, with the same disk.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn boot_again(self) -> Self {
        let Self {
            name,
            machine,
            _turn,
        } = self;
        match machine.boot_again() {
            Ok(machine) => Self {
                name,
                machine: with_init(name, machine),
                _turn,
            },
            Err(error) => panic!("{error}"),
        }
    }

    // ---- the operator ---------------------------------------------------------------------------------------------

    /// # Panics
    /// When it can't be run or does not end.
    pub fn keelctl(&self, words: &[&str]) -> Finished {
        match self.machine.keelctl(words) {
            Ok(finished) => finished,
            Err(error) => panic!("{error}"),
        }
    }

    /// What `keelctl` prints when it succeeds.
    ///
    /// # Panics
    /// When it does not.
    pub fn told(&self, words: &[&str]) -> String {
        let finished = self.keelctl(words);
        assert!(
            finished.success(),
            "keelctl {}: {}\n{}{}",
            words.join(" "),
            finished.status,
            finished.stdout,
            finished.stderr
        );
        finished.stdout
    }

    /// What a shell in the unit's container prints.
    ///
    /// # Panics
    /// When it fails.
    pub fn shell(&self, unit: &str, script: &str) -> String {
        self.told(&["exec", unit, "sh", "-c", script])
            .trim()
            .to_owned()
    }

    /// # Panics
    /// When the unit is not known.
    #[must_use]
    pub fn status(&self, unit: &str) -> UnitStatus {
        let units = self.machine.ps().unwrap_or_else(|error| panic!("{error}"));
        let found = units.into_iter().find(|status| status.name == unit);
        found.unwrap_or_else(|| panic!("no unit {unit}"))
    }

    /// Wait until the unit is in that state.
    ///
    /// # Panics
    /// When that does not happen.
    pub fn gets(&self, unit: &str, state: &str) -> UnitStatus {
        let (status, _) = until(&format!("{unit} gets {state}"), STATE_TIMEOUT, || {
            let status = self.status(unit);
            if status.state == state {
                Ok(status)
            } else {
                Err(format!("{}: {}", status.state, status.reason))
            }
        });
        status
    }

    /// The Redis that the guest publishes on this port.
    ///
    /// # Panics
    /// When the port was not forwarded.
    #[must_use]
    pub fn redis(&self, guest_port: u16) -> Redis {
        let port = self.machine.host_port(guest_port);
        Redis {
            port: port.unwrap_or_else(|| panic!("port {guest_port} is not forwarded")),
        }
    }

    /// Wait until it answers; how long that took.
    ///
    /// # Panics
    /// When it does not.
    pub fn answers(&self, guest_port: u16) -> Duration {
        let redis = self.redis(guest_port);
        let what = format!("port {guest_port} answers");
        let (_, took) = until(&what, STATE_TIMEOUT, || {
            let answer = redis.ask("PING")?;
            if answer == "+PONG" {
                Ok(())
            } else {
                Err(answer)
            }
        });
        took
    }
}

/// What is worth reading of a console: its last lines.
fn end(console: &str) -> String {
    const LINES: usize = 60;
    let lines: Vec<&str> = console.lines().collect();
    let first = lines.len().saturating_sub(LINES);
    lines[first..].join("\n")
}
