//! A running machine, as a test or `cargo boot` holds it.

use crate::console::{Console, Line, Position};
use crate::process::Process;
use crate::program::{self, Finished, ProgramError};
use crate::standstill::{self, Standstill};
use crate::wait::{self, LastSeen, Wait, WaitError};
use crate::{
    DiskPace, Events, Finding, Forward, ForwardError, Forwards, Lifetime, MachineOptions, QmpError,
    RunFolder, StartError, StopError, Wanted, check_serial_log,
};
use control::machine::{CallError, Patience};
use control::reply::{BootChart, Reply, UnitStatus};
use control::request::Request;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use unit::Protocol;

/// Time for one run of `keelctl` that does not follow anything.
const KEELCTL_TIMEOUT: Duration = Duration::from_secs(120);
/// QEMU ends at once when it is killed.
const KILL_TIMEOUT: Duration = Duration::from_secs(20);
/// DHCP takes a second or two after the first unit; a machine without a lease is ready all the same.
pub const NETWORK_TIMEOUT: Duration = Duration::from_secs(15);
const NETWORK: &str = "keelson: stage network ";
/// Units have 10 s to stop by default, and may be chained.
const REBOOT_TIMEOUT: Duration = Duration::from_secs(180);
const READY: &str = "keelson: ready ";
const DEGRADED: &str = "keelson: degraded ";

/// That all default units are ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    pub units: usize,
    /// Of the guest's clock, since its kernel started.
    pub guest_ms: u64,
    /// Since QEMU was started.
    pub wall: Duration,
}

#[derive(Debug)]
pub struct Machine {
    options: MachineOptions,
    folder: RunFolder,
    process: Process,
    console: Console,
    started: Instant,
    forwards: Mutex<Forwards>,
    /// Where the current boot begins on the console.
    boot_start: Mutex<Position>,
    /// How often it was begun again because it stood still.
    begun_again: u32,
}

impl Machine {
    /// Switch it on. Nothing of the guest is waited for.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn boot(options: MachineOptions) -> Result<Self, StartError> {
        let folder = RunFolder::at(std::path::absolute(&options.folder).map_err(|source| {
            StartError::Io {
                path: options.folder.clone(),
                source,
            }
        })?);
        let (process, console, started) = crate::start::start(&options, &folder)?;
        let machine = Self {
            options,
            folder,
            process,
            console,
            started,
            forwards: Mutex::default(),
            boot_start: Mutex::default(),
            begun_again: 0,
        };
        // From here on an error ends the machine, by its drop.
        machine
            .forward(&machine.options.forwards)
            .map_err(StartError::Forward)?;
        Ok(machine)
    }

    #[must_use]
    pub fn options(&self) -> &MachineOptions {
        &self.options
    }

    #[must_use]
    pub fn folder(&self) -> &RunFolder {
        &self.folder
    }

    /// QEMU's process id.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.process.pid()
    }

    #[must_use]
    pub fn console(&self) -> &Console {
        &self.console
    }

    /// When QEMU was started; the times of console lines count from here.
    #[must_use]
    pub fn started(&self) -> Instant {
        self.started
    }

    /// How QEMU ended, if it has.
    #[must_use]
    pub fn ended(&self) -> Option<ExitStatus> {
        self.process.ended()
    }

    /// Wait until QEMU has ended; `None`: it runs still.
    #[must_use]
    pub fn wait_ended(&self, timeout: Duration) -> Option<ExitStatus> {
        self.process.wait(timeout)
    }

    /// What QEMU itself said, its last lines.
    #[must_use]
    pub fn qemu_words(&self) -> String {
        self.process.words()
    }

    // ---- the console -------------------------------------------------------------------------------------------

    /// Wait for a line of the current boot that contains `text`.
    ///
    /// # Errors
    /// When it does not come in time, the kernel dies or QEMU ends; with what was last seen.
    pub fn wait_for(&self, text: &str, timeout: Duration) -> Result<Line, WaitError> {
        self.wait(&Wait::for_text(text, timeout).since(self.boot_start()))
    }

    /// Wait for what `wait` says.
    ///
    /// # Errors
    /// As [`Self::wait_for`].
    pub fn wait(&self, wait: &Wait) -> Result<Line, WaitError> {
        wait::wait(&self.console, &self.process, wait)
    }

    /// Wait until all default units of the current boot are ready and can be reached: the network is up, or known to be
    /// down.
    ///
    /// # Errors
    /// As [`Self::wait_for`], and when a unit has failed for good.
    pub fn wait_ready(&self, timeout: Duration) -> Result<Ready, WaitError> {
        let ready = self.wait_units(timeout)?;
        if !self.is_network_known() {
            // What was asked for is there; one without a lease is ready as well.
            let _ = self.wait_for(NETWORK, NETWORK_TIMEOUT);
        }
        Ok(ready)
    }

    /// Whether all default units are ready by now.
    ///
    /// # Errors
    /// As [`Self::wait_ready`].
    pub fn look_ready(&self) -> Result<Option<Ready>, WaitError> {
        match self.wait_units(Duration::ZERO) {
            Ok(ready) => Ok(Some(ready)),
            Err(WaitError::TimedOut { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether the machine has said that its network is up, or why not.
    #[must_use]
    pub fn is_network_known(&self) -> bool {
        let lines = self.console.lines_since(self.boot_start());
        !self.options.network || lines.iter().any(|line| line.text.contains(NETWORK))
    }

    fn wait_units(&self, timeout: Duration) -> Result<Ready, WaitError> {
        let since = self.boot_start();
        let line = self.wait(&Wait::for_text(READY, timeout).or(DEGRADED).since(since))?;
        if let Some((_, rest)) = line.text.split_once(READY) {
            let numbers: Vec<u64> = rest
                .split_whitespace()
                .filter_map(|word| word.parse().ok())
                .collect();
            let at = |index: usize| numbers.get(index).copied().unwrap_or_default();
            return Ok(Ready {
                units: usize::try_from(at(0)).unwrap_or_default(),
                guest_ms: at(1),
                wall: line.at,
            });
        }
        let lines = self.console.lines_since(since);
        let failed = |line: &Line| {
            let (_, unit) = line.text.split_once("keelson: unit ")?;
            unit.contains(" failed: ").then(|| unit.to_owned())
        };
        Err(WaitError::Degraded {
            units: lines.iter().filter_map(failed).collect(),
            seen: LastSeen::of(&lines),
        })
    }

    /// Where the current boot begins on the console.
    #[must_use]
    pub fn boot_start(&self) -> Position {
        *self
            .boot_start
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// From here on it is another boot: said before whatever makes the guest reboot.
    pub fn begin_boot(&self) {
        *self
            .boot_start
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = self.console.position();
    }

    /// Type at the serial console.
    ///
    /// # Errors
    /// When QEMU does not take it.
    pub fn type_text(&self, text: &str) -> io::Result<()> {
        self.folder
            .connect(crate::folder::names::CONSOLE_SOCKET)?
            .write_all(text.as_bytes())
    }

    /// Everything in the serial log so far that should not be there.
    #[must_use]
    pub fn serial_findings(&self) -> Vec<Finding> {
        check_serial_log(&self.console.text())
    }

    // ---- the control protocol -----------------------------------------------------------------------------------

    /// Ask PID 1.
    ///
    /// # Errors
    /// When it can't be reached or does not answer.
    pub fn ask(&self, request: &Request) -> Result<Reply, CallError> {
        self.folder.control().ask(request, Patience::USUAL, |_| {})
    }

    /// All units and their states.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub fn ps(&self) -> Result<Vec<UnitStatus>, CallError> {
        match self.ask(&Request::Ps)? {
            Reply::Units(units) => Ok(units),
            other => Err(CallError::Lost {
                why: format!("unexpected answer {other:?}"),
            }),
        }
    }

    /// Times of stages and units, of the guest's clock.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub fn boot_chart(&self) -> Result<BootChart, CallError> {
        match self.ask(&Request::BootChart)? {
            Reply::BootChart(chart) => Ok(chart),
            other => Err(CallError::Lost {
                why: format!("unexpected answer {other:?}"),
            }),
        }
    }

    /// Milliseconds since the guest's kernel started at which a stage had ended (`network`) or a unit first entered a
    /// state (`redis@1 running`); `None`: it has not.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub fn guest_time_of(&self, what: &str) -> Result<Option<u64>, CallError> {
        Ok(time_of(&self.boot_chart()?, what))
    }

    /// Run the operator's command line against this machine: the program that is in the image, on this host.
    ///
    /// # Errors
    /// When it can't be started or does not end. What it says and its exit status are in the answer.
    pub fn keelctl(&self, arguments: &[&str]) -> Result<Finished, ProgramError> {
        self.keelctl_with(arguments, b"", KEELCTL_TIMEOUT)
    }

    /// As [`Self::keelctl`], with something on its standard input, and a time limit.
    ///
    /// # Errors
    /// As [`Self::keelctl`].
    pub fn keelctl_with(
        &self,
        arguments: &[&str],
        input: &[u8],
        timeout: Duration,
    ) -> Result<Finished, ProgramError> {
        program::run(self.keelctl_command().args(arguments), input, timeout)
    }

    /// `keelctl` for this machine, to be run in another way.
    #[must_use]
    pub fn keelctl_command(&self) -> Command {
        let folder = host::paths::made()
            .join("build")
            .join(host::target::TRIPLE)
            .join("os");
        let mut command = Command::new(folder.join(host::build::ALL_BUT_INIT));
        command.arg0("keelctl");
        command.env("KEELSON_MACHINE", self.folder.path());
        command
    }

    // ---- ports --------------------------------------------------------------------------------------------------

    /// Forward ports that are not forwarded yet; answers the new ones.
    ///
    /// # Errors
    /// When QEMU refuses.
    pub fn forward(&self, wanted: &[Wanted]) -> Result<Vec<Forward>, ForwardError> {
        self.forwards_mut().add(&self.folder, wanted)
    }

    /// The loopback port of this host that leads to a TCP port of the guest, if it is forwarded.
    #[must_use]
    pub fn host_port(&self, guest: u16) -> Option<u16> {
        self.forwards_mut()
            .to_guest(Protocol::Tcp, guest)
            .map(|forward| forward.host_port)
    }

    /// All forwarded ports.
    #[must_use]
    pub fn forwards(&self) -> Vec<Forward> {
        self.forwards_mut().all().to_vec()
    }

    fn forwards_mut(&self) -> MutexGuard<'_, Forwards> {
        self.forwards.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // ---- power --------------------------------------------------------------------------------------------------

    /// Press the ACPI power button.
    ///
    /// # Errors
    /// When the monitor does not answer.
    pub fn power_button(&self) -> Result<(), QmpError> {
        self.folder.power_button()
    }

    /// Ctrl-Alt-Del at the keyboard.
    ///
    /// # Errors
    /// When the monitor does not answer.
    pub fn ctrl_alt_del(&self) -> Result<(), QmpError> {
        self.begin_boot();
        self.folder
            .qmp()?
            .human("sendkey ctrl-alt-delete")
            .map(drop)
    }

    /// A command of QEMU's human monitor, such as `device_add virtio-blk-pci,drive=extra,bus=slot0`; what it prints.
    ///
    /// # Errors
    /// When the monitor does not answer.
    pub fn monitor(&self, command: &str) -> Result<String, QmpError> {
        self.folder.qmp()?.human(command)
    }

    /// QEMU's events from now on. [`Self::monitor`] and its like wait until they are dropped.
    ///
    /// # Errors
    /// When the monitor does not answer.
    pub fn events(&self) -> Result<Events, QmpError> {
        self.folder.qmp().map(Events::of)
    }

    /// A disk that hardly answers any more, or does again.
    ///
    /// # Errors
    /// When the monitor refuses.
    pub fn set_disk(&self, index: usize, pace: DiskPace) -> Result<(), QmpError> {
        let bytes_per_second = match pace {
            // Whatever is written takes hours.
            DiskPace::Hanging => 1,
            DiskPace::Usual => 0,
        };
        let command = format!("block_set_io_throttle disk{index} {bytes_per_second} 0 0 0 0 0");
        match self.monitor(&command)? {
            said if said.is_empty() => Ok(()),
            reason => Err(QmpError::Refused { command, reason }),
        }
    }

    /// Have it shut down in order; answers how long it took.
    ///
    /// # Errors
    /// [`StopError`].
    pub fn power_off(&self, timeout: Duration) -> Result<Duration, StopError> {
        let took = self.folder.stop(timeout)?;
        self.process.wait(KILL_TIMEOUT);
        Ok(took)
    }

    /// Pull the plug: QEMU is killed, and what the guest has not written to its disks is lost.
    ///
    /// # Errors
    /// When the process can't be killed.
    pub fn cut_power(&self) -> io::Result<()> {
        self.process.kill()?;
        match self.process.wait(KILL_TIMEOUT) {
            Some(_) => Ok(()),
            None => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// Reboot in order, over the control channel; wait for the next boot with [`Self::wait_ready`].
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub fn reboot(&self) -> Result<(), CallError> {
        self.begin_boot();
        self.folder.ask_to_leave(&Request::Reboot, REBOOT_TIMEOUT)
    }

    /// Whether PID 1 of the current boot has said its first line.
    #[must_use]
    pub fn has_init(&self) -> bool {
        let lines = self.console.lines_since(self.boot_start());
        lines
            .iter()
            .any(|line| line.text.contains(standstill::INIT))
    }

    /// Look whether the boot stands still before PID 1's first line. Then its plug is pulled and it is switched on again,
    /// twice at most; answers what was seen of the one that came to nothing. For the first boot after a start of QEMU.
    ///
    /// # Errors
    /// [`StartError`] of the next start; `StandsStill` when it was the last.
    pub fn begin_again_if_it_stands_still(&mut self) -> Result<Option<Standstill>, StartError> {
        let lines = self.console.lines_since(self.boot_start());
        let Some(still) = standstill::of(&lines, self.started.elapsed()) else {
            return Ok(None);
        };
        if self.begun_again >= standstill::BOOTS_AGAIN_MAX {
            let seen = LastSeen::of(&lines);
            return Err(StartError::StandsStill { still, seen });
        }
        let begun_again = self.begun_again + 1;
        let path = self.folder.path();
        self.cut_power().map_err(|source| StartError::Io {
            path: path.to_owned(),
            source,
        })?;
        *self = Self::boot(self.options.clone())?;
        self.begun_again = begun_again;
        Ok(Some(still))
    }

    /// How often [`Self::begin_again_if_it_stands_still`] has switched it on again.
    #[must_use]
    pub fn begun_again(&self) -> u32 {
        self.begun_again
    }

    /// Switch a machine that is off on again, with the same options and disks.
    ///
    /// # Errors
    /// [`StartError`]; a machine that is still on is one.
    pub fn boot_again(self) -> Result<Self, StartError> {
        let options = self.options.clone();
        if self.ended().is_none() {
            return Err(StartError::Running {
                pid: self.pid(),
                folder: self.folder.path().to_owned(),
            });
        }
        drop(self);
        Self::boot(options)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        match self.options.lifetime {
            Lifetime::Detached => {}
            Lifetime::WithUs => {
                // Nobody is left to be told; the kernel kills it when we end, if not here.
                let _ = self.cut_power();
            }
        }
    }
}

fn time_of(chart: &BootChart, what: &str) -> Option<u64> {
    if let Some((unit, state)) = what.split_once(' ') {
        let unit = chart.units.iter().find(|known| known.name == unit)?;
        return unit
            .states
            .iter()
            .find(|(known, _)| known == state)
            .map(|(_, at)| *at);
    }
    chart
        .stages
        .iter()
        .find(|stage| stage.name == what)
        .map(|stage| stage.end_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use control::reply::{ChartSpan, ChartUnit};

    #[test]
    fn times_of_stages_and_units_come_from_the_boot_chart() {
        let chart = BootChart {
            stages: vec![ChartSpan {
                name: "network".into(),
                start_ms: 10,
                end_ms: 25,
                ok: true,
            }],
            units: vec![ChartUnit {
                name: "redis@1".into(),
                states: vec![("starting".into(), 30), ("running".into(), 41)],
            }],
            ..BootChart::default()
        };
        assert_eq!(time_of(&chart, "network"), Some(25));
        assert_eq!(time_of(&chart, "redis@1 running"), Some(41));
        assert_eq!(time_of(&chart, "redis@2 running"), None);
        assert_eq!(time_of(&chart, "state"), None);
    }
}
