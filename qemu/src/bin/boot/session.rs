//! The time between QEMU's start and our return: the console shown live, units looked at, Ctrl-C heard.
//!
//! ```text
//! booting ── ready ──▶ running ── Ctrl-C, --until ──▶ stopping ── Ctrl-C ──▶ plug pulled
//!    └────────── the machine ends by itself, the kernel dies ──────────────▶ over
//! ```

use crate::answers;
use crate::display;
use crate::options::Until;
use control::machine::Patience;
use control::reply::{Reply, UnitStatus};
use control::request::Request;
use nix::sys::signal::Signal;
use nix::sys::signalfd::SignalFd;
use qemu::{
    Machine, MachineOptions, NETWORK_TIMEOUT, Position, Ready, RunFolder, WaitError,
    published_by_ps,
};
use std::error::Error;
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::time::{Duration, Instant};

/// A look at signals, units and the deadline comes at least this often.
const TICK: Duration = Duration::from_millis(50);
/// Between two `ps`: each costs an emulated machine some milliseconds.
const UNITS_LOOK: Duration = Duration::from_millis(400);
/// One `ps` may take so long; where nobody answers yet, the next one will be answered.
const UNITS_PATIENCE: Duration = Duration::from_secs(5);
/// A machine that is not ready by then will not be; the longest boot seen, emulated and with firmware, took 40 s.
const READY_TIMEOUT: Duration = Duration::from_secs(600);
/// Units have 10 s to stop by default, and may be chained.
pub(crate) const STOP_TIMEOUT: Duration = Duration::from_secs(180);
/// What the console still says after QEMU's end.
const LAST_LINES: Duration = Duration::from_millis(200);

/// What to do with the machine when we return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Leave it running.
    Headless,
    /// It stops with us.
    Attached,
}

/// Boot, watch, return.
pub(crate) fn run(
    options: MachineOptions,
    mode: Mode,
    until: Option<Until>,
) -> Result<(), Box<dyn Error>> {
    // Threads made from here on inherit that these signals are messages.
    let signals = sys::signal::descriptor(&[Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP])?;
    let machine = Machine::boot(options)?;
    println!(
        "machine: pid {}, {}, {} of memory, {} processors, serial console in {}",
        machine.pid(),
        qemu::Accelerator::choose().name(),
        unit::bytes::display(machine.options().memory),
        machine.options().cpus,
        machine.folder().console_log().display()
    );
    let taken = display::taken_ports(&machine.options().forwards, &machine.forwards());
    taken.iter().for_each(|line| println!("{line}"));
    let mut session = Session {
        machine,
        signals,
        mode,
        shown: Position::default(),
        units: display::Units::default(),
        latest: Vec::new(),
    };
    session.boot_and_watch(until)
}

struct Session {
    machine: Machine,
    signals: SignalFd,
    mode: Mode,
    /// Console lines up to here are shown.
    shown: Position,
    units: display::Units,
    latest: Vec<UnitStatus>,
}

/// Why the watching ends.
enum Outcome {
    Ready,
    Elapsed,
    Interrupted,
    Ended,
    Failed(Box<dyn Error>),
}

impl Session {
    fn boot_and_watch(&mut self, until: Option<Until>) -> Result<(), Box<dyn Error>> {
        let outcome = self.boot(until);
        match (outcome, self.mode, until) {
            (Outcome::Ready, Mode::Attached, None | Some(Until::Elapsed(_))) => {
                let outcome = self.watch(until);
                self.finish(outcome)
            }
            (Outcome::Ready, Mode::Headless, Some(Until::Elapsed(_))) => {
                let outcome = self.watch(until);
                self.finish(outcome)
            }
            (outcome, _, _) => self.finish(outcome),
        }
    }

    fn finish(&mut self, outcome: Outcome) -> Result<(), Box<dyn Error>> {
        match (outcome, self.mode) {
            (Outcome::Ready | Outcome::Elapsed, Mode::Headless) => {
                println!(
                    "the machine runs on in the background (pid {})",
                    self.machine.pid()
                );
                Ok(())
            }
            (Outcome::Ready | Outcome::Elapsed | Outcome::Interrupted, _) => self.stop(),
            (Outcome::Ended, _) => self.ended(),
            (Outcome::Failed(error), Mode::Headless) if self.machine.ended().is_none() => {
                Err(format!(
                    "{error}\nthe machine runs on in the background: cargo boot -- --stop, or --cut"
                )
                .into())
            }
            (Outcome::Failed(error), Mode::Attached) if self.machine.ended().is_none() => {
                println!("\n{error}");
                self.stop()?;
                Err(error)
            }
            (Outcome::Failed(error), _) => Err(error),
        }
    }

    /// Until all units are ready and can be reached.
    fn boot(&mut self, until: Option<Until>) -> Outcome {
        let limit = match until {
            Some(Until::Elapsed(limit)) => Some(limit),
            Some(Until::Ready) | None => None,
        };
        let looks = look_at_units(self.machine.folder().clone());
        loop {
            self.show_console();
            self.show_units(&looks);
            match self.machine.begin_again_if_it_stands_still() {
                Ok(None) => {}
                Ok(Some(still)) => {
                    println!("{still}: its plug is pulled, and it is switched on again");
                    self.shown = Position::default();
                }
                Err(error) => return Outcome::Failed(error.into()),
            }
            match self.machine.look_ready() {
                Ok(Some(ready)) if self.is_reachable(&ready) => return self.ready(&ready),
                Ok(_) => {}
                Err(WaitError::Ended { .. })
                    if self.machine.ended().is_some_and(|status| status.success()) =>
                {
                    return Outcome::Ended;
                }
                Err(error @ WaitError::Degraded { .. })
                    if self.mode == Mode::Attached && until != Some(Until::Ready) =>
                {
                    return self.degraded(&error, until);
                }
                Err(error) => {
                    self.show_console();
                    return Outcome::Failed(error.into());
                }
            }
            if self.interrupted() {
                return Outcome::Interrupted;
            }
            let elapsed = self.machine.started().elapsed();
            if limit.is_some_and(|limit| elapsed > limit) {
                return Outcome::Elapsed;
            }
            if elapsed > READY_TIMEOUT {
                return match self.machine.wait_ready(Duration::ZERO) {
                    Err(error) => Outcome::Failed(error.into()),
                    Ok(ready) => self.ready(&ready),
                };
            }
        }
    }

    /// A port of a unit answers once the network is up; one that never comes up is not waited for.
    fn is_reachable(&self, ready: &Ready) -> bool {
        self.machine.is_network_known()
            || self.machine.started().elapsed() > ready.wall + NETWORK_TIMEOUT
    }

    fn ready(&mut self, ready: &Ready) -> Outcome {
        self.last_look();
        answers::wait(&self.machine);
        println!(
            "\nready: {}, {:.2} s after the kernel's start, {:.1} s after QEMU's",
            counted(ready.units, "unit"),
            Duration::from_millis(ready.guest_ms).as_secs_f32(),
            ready.wall.as_secs_f32()
        );
        self.say_how_to_go_on();
        Outcome::Ready
    }

    /// Some units have failed for good; the others run, and the operator wants to look.
    fn degraded(&mut self, error: &WaitError, until: Option<Until>) -> Outcome {
        self.last_look();
        println!("\n{error}");
        self.say_how_to_go_on();
        self.watch(until)
    }

    /// After it is ready: the console goes on.
    fn watch(&mut self, until: Option<Until>) -> Outcome {
        loop {
            self.show_console();
            if self.machine.ended().is_some() {
                return Outcome::Ended;
            }
            if self.interrupted() {
                return Outcome::Interrupted;
            }
            if let Some(Until::Elapsed(limit)) = until
                && self.machine.started().elapsed() > limit
            {
                return Outcome::Elapsed;
            }
        }
    }

    fn show_console(&mut self) {
        let (lines, position) = self.machine.console().next_lines(self.shown, TICK);
        self.shown = position;
        lines
            .iter()
            .filter_map(display::console_line)
            .for_each(|line| println!("{line}"));
    }

    fn show_units(&mut self, looks: &Receiver<Vec<UnitStatus>>) {
        loop {
            match looks.try_recv() {
                Ok(units) => self.take_units(units),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return,
            }
        }
    }

    fn take_units(&mut self, units: Vec<UnitStatus>) {
        let wanted = published_by_ps(&units);
        match self.machine.forward(&wanted) {
            Ok(_) => {}
            Err(error) => println!("{error}"),
        }
        let forwards = self.machine.forwards();
        let changes = self
            .units
            .changes(self.machine.started().elapsed(), &units, &forwards);
        changes.iter().for_each(|line| println!("{line}"));
        self.latest = units;
    }

    fn last_look(&mut self) {
        if let Some(units) = ps(self.machine.folder()) {
            self.take_units(units);
        }
    }

    fn say_how_to_go_on(&self) {
        let stop = match self.mode {
            Mode::Attached => "Ctrl-C (twice: pull the plug)",
            Mode::Headless => "cargo boot -- --stop (--cut pulls the plug)",
        };
        println!("{}", display::summary(&self.machine, &self.latest, stop));
    }

    /// In order; a second Ctrl-C pulls the plug.
    fn stop(&mut self) -> Result<(), Box<dyn Error>> {
        println!("\nshutting down; Ctrl-C again pulls the plug");
        let folder = self.machine.folder().clone();
        let (stopped, result) = mpsc::channel();
        std::thread::spawn(move || stopped.send(folder.stop(STOP_TIMEOUT)));
        loop {
            self.show_console();
            if self.machine.ended().is_some() {
                return self.ended();
            }
            match result.try_recv() {
                Ok(Err(error)) => {
                    self.machine.cut_power()?;
                    return Err(error.into());
                }
                Ok(Ok(_)) | Err(TryRecvError::Empty | TryRecvError::Disconnected) => {}
            }
            if self.interrupted() {
                self.machine.cut_power()?;
                println!("the plug is pulled");
                return Ok(());
            }
        }
    }

    fn ended(&mut self) -> Result<(), Box<dyn Error>> {
        std::thread::sleep(LAST_LINES);
        self.show_console();
        let findings = self.machine.serial_findings();
        if !findings.is_empty() {
            println!("\nthe serial log holds lines that deserve a look:");
            findings.iter().for_each(|finding| println!("  {finding}"));
        }
        match self.machine.ended() {
            Some(status) if !status.success() => {
                Err(format!("QEMU ended ({status}): {}", self.machine.qemu_words()).into())
            }
            Some(_) | None => {
                println!("the machine is off");
                Ok(())
            }
        }
    }

    /// Whether a signal has come.
    fn interrupted(&mut self) -> bool {
        matches!(self.signals.read_signal(), Ok(Some(_)))
    }
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 {
        format!("1 {what}")
    } else {
        format!("{count} {what}s")
    }
}

/// Ask for the units again and again, until the receiver is dropped.
fn look_at_units(folder: RunFolder) -> Receiver<Vec<UnitStatus>> {
    let (looks, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        loop {
            let start = Instant::now();
            if let Some(units) = ps(&folder)
                && looks.send(units).is_err()
            {
                return;
            }
            std::thread::sleep(UNITS_LOOK.saturating_sub(start.elapsed()));
        }
    });
    receiver
}

fn ps(folder: &RunFolder) -> Option<Vec<UnitStatus>> {
    match folder.control().ask(
        &Request::Ps,
        Patience::USUAL.at_most(UNITS_PATIENCE),
        |_| {},
    ) {
        Ok(Reply::Units(units)) => Some(units),
        Ok(_) | Err(_) => None,
    }
}
