//! The machine after its boot: one thread, one owner of all state, one loop.
//!
//! ```text
//!            signals  uevents  control socket  helpers  reports  jobs
//!                └───────┴──────────┬─────────────┴────────┴───────┘
//!                              epoll_wait ── until the smallest deadline
//!                                   │
//!                     facts and requests become Events
//!                                   ▼
//!                  supervisor.handle(now, event) → Actions
//!                                   │
//!           prepare (network) · spawn · terminate · kill · release · reply
//!                                   └── results come back as Events
//! ```
//!
//! Nothing here blocks: what may is a child. An action never returns an error into a decision: it ends as an event.
//! `impl Machine` is spread over the files named after what they do; the fields are all here.

use crate::chart::Chart;
use crate::connection::Connection;
use crate::console;
use crate::exec::Exec;
use crate::helper::Helper;
use crate::job::Job;
use crate::logs::Logs;
use crate::network::Network;
use crate::power_button::PowerButton;
use crate::registry::Registry;
use crate::run::Run;
use crate::shutdown::Ending;
use crate::source::{ChildKind, HelperKind, Source};
use crate::stage::Boot;
use crate::{limits, stage};
use nix::sys::signal::Signal;
use nix::sys::signalfd::SignalFd;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use supervisor::{Action, Event, Record, Supervisor, Timestamp};
use sys::clock::since_boot_ms;
use sys::epoll::{Interest, Ready};
use sys::power::PowerAction;
use sys::uevent::UeventSocket;
use sys::watchdog::Watchdog;
use unit::{BadUnit, ContainerUnit, UnitSet};

/// Everything PID 1 knows.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) boot: Boot,
    pub(crate) set: UnitSet,
    pub(crate) bad: Vec<BadUnit>,
    pub(crate) supervisor: Supervisor,
    pub(crate) events: VecDeque<Event>,
    pub(crate) runs: BTreeMap<u64, Run>,
    pub(crate) children: HashMap<i32, ChildKind>,
    pub(crate) helpers: Vec<Helper>,
    pub(crate) network: Network,
    pub(crate) logs: Logs,
    pub(crate) connections: BTreeMap<u64, Connection>,
    pub(crate) execs: BTreeMap<u64, Exec>,
    pub(crate) jobs: BTreeMap<u64, Job>,
    pub(crate) chart: Chart,
    /// Images of the release are being loaded: containers are prepared when that has ended.
    pub(crate) preload: Option<u64>,
    pub(crate) waiting_for_images: Vec<(supervisor::UnitId, supervisor::RunId)>,
    /// Ready and failed default units, once every one of them is one of both.
    pub(crate) settled: Option<(u32, u32)>,
    /// That has been said.
    pub(crate) announced: bool,
    pub(crate) ending: Option<Ending>,
    pub(crate) drivers_started_ms: Option<u64>,
    /// What the next boot shall know, as stored.
    recorded: Record,
    pub(crate) null: File,
    pub(crate) log: File,
    pub(crate) registry: Registry,
    next_id: u64,
    signals: SignalFd,
    uevents: Option<UeventSocket>,
    listener: UnixListener,
    power_buttons: Vec<PowerButton>,
    watchdog: Option<(Watchdog, u64)>,
}

impl Machine {
    /// Take over from the boot stages.
    ///
    /// # Errors
    /// When one of the descriptors without which PID 1 is deaf can't be made.
    pub(crate) fn new(mut boot: Boot) -> io::Result<Self> {
        let loaded = boot.units.take().unwrap_or_default();
        let signals = sys::signal::descriptor(&[
            Signal::SIGCHLD,
            Signal::SIGINT,
            Signal::SIGTERM,
            Signal::SIGPWR,
            Signal::SIGHUP,
            Signal::SIGPIPE,
        ])?;
        // A socket of an earlier PID 1 can't be there: /run is new at every boot.
        let listener = UnixListener::bind(sys::paths::CONTROL_SOCKET)?;
        listener.set_nonblocking(true)?;
        let mut machine = Self {
            supervisor: Supervisor::new(&loaded.set),
            set: loaded.set,
            bad: loaded.bad,
            boot,
            events: VecDeque::new(),
            runs: BTreeMap::new(),
            children: HashMap::new(),
            helpers: HelperKind::ALL.into_iter().map(Helper::new).collect(),
            network: Network::default(),
            logs: Logs::default(),
            connections: BTreeMap::new(),
            execs: BTreeMap::new(),
            jobs: BTreeMap::new(),
            chart: Chart::default(),
            preload: None,
            waiting_for_images: Vec::new(),
            settled: None,
            announced: false,
            ending: None,
            drivers_started_ms: None,
            recorded: Record::default(),
            null: OpenOptions::new()
                .read(true)
                .write(true)
                .open("/dev/null")?,
            log: OpenOptions::new()
                .write(true)
                .open("/dev/kmsg")
                .or_else(|_| File::open("/dev/null"))?,
            registry: Registry::new()?,
            next_id: 0,
            signals,
            uevents: None,
            listener,
            power_buttons: Vec::new(),
            watchdog: None,
        };
        machine
            .registry
            .watch(&machine.signals, Interest::Read, Source::Signals)?;
        machine
            .registry
            .watch(&machine.listener, Interest::Read, Source::Listener)?;
        machine.watch_hardware();
        Ok(machine)
    }

    /// Run until the machine ends; then say how.
    ///
    /// # Errors
    /// When the kernel refuses to wait: there is nothing left to do.
    pub(crate) fn run(mut self) -> io::Result<PowerAction> {
        self.start_helper(HelperKind::Logd);
        self.await_network_drivers();
        self.start_preload();
        let record = crate::record::read();
        self.recorded = record.clone();
        self.event(Event::Recall { record });
        self.event(Event::StartDefault);
        // A child that ended before its end could be signalled.
        self.reap();
        loop {
            self.settle_events();
            if let Some(action) = self.ended() {
                return Ok(action);
            }
            let timeout = self
                .next_deadline()
                .map(|at| at.saturating_sub(since_boot_ms()));
            for ready in self.registry.wait(timeout)? {
                self.ready(ready);
            }
            self.timeouts();
        }
    }

    /// Put an event in the queue; it is handled before the loop sleeps.
    pub(crate) fn event(&mut self, event: Event) {
        self.events.push_back(event);
    }

    fn settle_events(&mut self) {
        let mut actions = Vec::new();
        let mut any = false;
        while let Some(event) = self.events.pop_front() {
            any = true;
            self.supervisor
                .handle(Timestamp(since_boot_ms()), event, &mut actions);
            for action in actions.drain(..) {
                self.perform(action);
            }
        }
        if any {
            self.keep_record();
        }
    }

    fn keep_record(&mut self) {
        let record = self.supervisor.record();
        if record == self.recorded {
            return;
        }
        if let Err(error) = crate::record::write(&record) {
            console::warn(format_args!(
                "the next boot will not know what was stopped by hand: {error}"
            ));
        }
        self.recorded = record;
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Prepare { unit, run } => self.prepare(unit, run),
            Action::Spawn { unit, run } => self.launch(unit, run),
            Action::Terminate { unit, run } => self.terminate(unit, run),
            Action::Kill { unit, run } => self.kill(unit, run),
            Action::Release { unit, run } => self.release(unit, run),
            Action::Changed { unit } => self.changed(unit),
            Action::Reply { ticket, outcome } => self.outcome(ticket, outcome),
            Action::Settled { ready, failed } => self.settled(ready, failed),
            Action::ShutdownComplete => self.containers_are_down(),
            Action::RunHook { .. }
            | Action::KillHook { .. }
            | Action::WatchReadiness { .. }
            | Action::Probe { .. }
            | Action::Reload { .. }
            | Action::Pause { .. }
            | Action::Unpause { .. }
            | Action::FlipPorts { .. }
            | Action::Swapped { .. }
            | Action::RemoveUnit { .. }
            | Action::ArmTimer { .. }
            | Action::DisarmTimer { .. } => {
                log::error!("{action:?}: no unit can ask for it yet");
            }
        }
    }

    fn ready(&mut self, ready: Ready) {
        let Some(source) = self.registry.source(ready.token) else {
            return;
        };
        match source {
            Source::Signals => self.signals(),
            Source::Uevents => self.uevents(),
            Source::PowerButton { index } => self.power_button(index),
            Source::Listener => self.accept(),
            Source::Connection { id } => self.connection_ready(id, ready),
            Source::Helper { kind } => self.helper_ready(kind, ready),
            Source::Report { run } => self.report_ready(run),
            Source::ExecReport { id } => self.exec_report_ready(id),
            Source::JobOutput { job } => self.job_output(job),
            Source::JobErrors { job } => self.job_errors(job),
        }
    }

    fn next_deadline(&self) -> Option<u64> {
        let helpers = self.helpers.iter().filter_map(|helper| helper.start_at);
        let releases = self.runs.values().filter_map(|run| run.retry_at);
        let requests = self
            .connections
            .values()
            .filter_map(|connection| connection.deadline_ms);
        let watchdog = self.watchdog.as_ref().map(|(_, at)| *at);
        let supervisor = self.supervisor.next_deadline().map(|at| at.0);
        let ending = self.ending.as_ref().and_then(|ending| ending.deadline_ms);
        helpers
            .chain(releases)
            .chain(requests)
            .chain(watchdog)
            .chain(supervisor)
            .chain(ending)
            .min()
    }

    fn timeouts(&mut self) {
        let now = since_boot_ms();
        let mut actions = Vec::new();
        self.supervisor.handle_timeout(Timestamp(now), &mut actions);
        for action in actions {
            self.perform(action);
        }
        let due: Vec<HelperKind> = self
            .helpers
            .iter()
            .filter(|helper| helper.start_at.is_some_and(|at| at <= now))
            .map(|helper| helper.kind)
            .collect();
        for kind in due {
            self.start_helper(kind);
        }
        let due: Vec<u64> = self
            .runs
            .iter()
            .filter(|(_, run)| run.retry_at.is_some_and(|at| at <= now))
            .map(|(id, _)| *id)
            .collect();
        for run in due {
            self.retry_release(run);
        }
        let silent: Vec<u64> = self
            .connections
            .iter()
            .filter(|(_, connection)| connection.deadline_ms.is_some_and(|at| at <= now))
            .map(|(id, _)| *id)
            .collect();
        for id in silent {
            self.close(id);
        }
        self.feed_watchdog(now);
        self.ending_timeout(now);
    }

    fn signals(&mut self) {
        while let Ok(Some(signal)) = self.signals.read_signal() {
            match i32::try_from(signal.ssi_signo)
                .ok()
                .and_then(|number| Signal::try_from(number).ok())
            {
                Some(Signal::SIGCHLD) => self.reap(),
                // Ctrl-Alt-Del, and what virtual machine managers send to a PID 1.
                Some(Signal::SIGINT) => self.begin_shutdown(PowerAction::Reboot, "ctrl-alt-del"),
                Some(Signal::SIGTERM | Signal::SIGPWR) => {
                    self.begin_shutdown(PowerAction::PowerOff, "signal")
                }
                _ => {}
            }
        }
    }

    /// Every child that has ended; PID 1 inherits orphans too.
    fn reap(&mut self) {
        loop {
            match sys::pidfd::reap_any() {
                Ok(Some((pid, ended))) => match self.children.remove(&pid) {
                    Some(ChildKind::Run { run }) => self.run_ended(run, ended),
                    Some(ChildKind::Exec { connection }) => self.exec_ended(connection, ended),
                    Some(ChildKind::Helper { kind }) => self.helper_ended(kind, ended),
                    Some(ChildKind::Job { job }) => self.job_ended(job, ended),
                    Some(ChildKind::Drivers { wave }) => self.drivers_ended(wave, ended),
                    Some(ChildKind::Modprobe) | None => {}
                },
                Ok(None) => return,
                Err(error) => {
                    log::error!("wait for children: {error}");
                    return;
                }
            }
        }
    }

    fn accept(&mut self) {
        // One at a time and level-triggered: the next wait tells of the next client.
        let Ok((stream, _)) = self.listener.accept() else {
            return;
        };
        let socket = std::os::fd::OwnedFd::from(stream);
        if sys::descriptor::set_nonblocking(socket.as_fd(), true).is_err() {
            return;
        }
        let id = self.id();
        let Ok(token) = self
            .registry
            .watch(&socket, Interest::Read, Source::Connection { id })
        else {
            return;
        };
        self.connections
            .insert(id, Connection::new(socket, token, since_boot_ms()));
        if self.connections.len() > limits::CONNECTIONS_MAX {
            let reason = control::reply::Denial::TooManyConnections {
                limit: limits::CONNECTIONS_MAX,
            };
            self.reply_last(id, &control::reply::Reply::Denied { reason });
        }
    }

    // --- ids -------------------------------------------------------------------------------------

    /// A number that no connection, job or exec of this boot had before.
    pub(crate) fn id(&mut self) -> u64 {
        self.next_id = self.next_id.saturating_add(1);
        self.next_id
    }

    // --- units ---------------------------------------------------------------------------------------------------

    pub(crate) fn container(
        &self,
        unit: supervisor::UnitId,
    ) -> Option<(&unit::Unit, &ContainerUnit)> {
        let found = self.set.get(unit.0)?;
        Some((found, found.container()?))
    }

    // --- hardware ------------------------------------------------------------------------------------------------

    fn watch_hardware(&mut self) {
        match UeventSocket::open() {
            Ok(socket) => match self
                .registry
                .watch(&socket, Interest::Read, Source::Uevents)
            {
                Ok(_) => self.uevents = Some(socket),
                Err(error) => console::warn(format_args!("hot-plug: {error}")),
            },
            Err(error) => console::warn(format_args!("hot-plug: {error}")),
        }
        self.find_power_buttons();
        self.find_watchdog();
        self.find_control_ports();
    }

    /// The relay runs where there is a port for it.
    pub(crate) fn find_control_ports(&mut self) {
        let kind = HelperKind::Relay;
        let idle = |helper: &Helper| {
            helper.kind == kind && helper.pid.is_none() && helper.start_at.is_none()
        };
        if crate::hotplug::has_control_port() && self.helpers.iter().any(idle) {
            self.start_helper(kind);
        }
    }

    pub(crate) fn find_watchdog(&mut self) {
        if self.watchdog.is_some() {
            return;
        }
        match Watchdog::arm("/dev/watchdog0".as_ref(), limits::WATCHDOG_S) {
            Ok(watchdog) => {
                console::say(format_args!(
                    "watchdog: resets the machine after {} s of silence",
                    watchdog.timeout_s
                ));
                self.watchdog = Some((watchdog, 0));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => console::warn(format_args!("watchdog: {error}")),
        }
    }

    fn feed_watchdog(&mut self, now: u64) {
        let Some((watchdog, due)) = &mut self.watchdog else {
            return;
        };
        if now < *due {
            return;
        }
        if let Err(error) = watchdog.feed() {
            log::error!("watchdog: {error}");
        }
        let third = u64::try_from(watchdog.timeout_s)
            .unwrap_or(30)
            .saturating_mul(1000)
            / 3;
        *due = now.saturating_add(third.max(1000));
    }

    fn uevents(&mut self) {
        loop {
            let Some(socket) = &self.uevents else { return };
            match socket.next() {
                Ok(Some(event)) => self.uevent(&event),
                Ok(None) => return,
                Err(error) => {
                    log::warn!("hot-plug: {error}");
                    return;
                }
            }
        }
    }

    pub(crate) fn find_power_buttons(&mut self) {
        for button in PowerButton::find() {
            if self
                .power_buttons
                .iter()
                .any(|known| known.path() == button.path())
            {
                continue;
            }
            let index = self.power_buttons.len();
            if self
                .registry
                .watch(&button, Interest::Read, Source::PowerButton { index })
                .is_ok()
            {
                self.power_buttons.push(button);
            }
        }
    }

    fn power_button(&mut self, index: usize) {
        let pressed = self
            .power_buttons
            .get_mut(index)
            .is_some_and(PowerButton::pressed);
        if pressed {
            self.begin_shutdown(PowerAction::PowerOff, "power button");
        }
    }

    // --- the boot's end ------------------------------------------------------------------------------------------

    fn settled(&mut self, ready: u32, failed: u32) {
        self.settled = Some((ready, failed));
        self.announce_ready();
    }

    /// Ready is said when the units are, and not before it is known whether the machine can be reached: a published
    /// port without the machine's address would refuse whoever believed us.
    pub(crate) fn announce_ready(&mut self) {
        let Some((ready, failed)) = self.settled else {
            return;
        };
        if self.announced || !self.network.is_known() {
            return;
        }
        self.announced = true;
        let now = since_boot_ms();
        if failed == 0 {
            console::say(format_args!("ready {ready} units {now} ms"));
        } else {
            console::say(format_args!(
                "degraded {ready} units ready, {failed} failed, {now} ms"
            ));
        }
        self.boot_settled_replies();
        stage::save_seed();
        // The boot is over: what only it needed is not kept in memory.
        {
            let program = "e2fsck";
            self.boot
                .free(format!("{}/{program}", sys::paths::PROGRAMS).as_ref());
        }
    }
}
