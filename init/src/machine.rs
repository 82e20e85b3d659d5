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
use crate::hardware::Hardware;
use crate::helper::Helper;
use crate::job::Job;
use crate::logs::Logs;
use crate::network::Network;
use crate::registry::Registry;
use crate::run::Run;
use crate::shutdown::Ending;
use crate::source::{ChildKind, HelperKind, Source};
use crate::stage::Boot;
use nix::sys::signal::Signal;
use nix::sys::signalfd::SignalFd;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::net::UnixListener;
use supervisor::{Action, Event, Record, Supervisor, Timestamp};
use sys::clock::since_boot_ms;
use sys::epoll::{Interest, Ready};
use sys::power::PowerAction;
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
    pub(crate) rest: crate::drivers::Rest,
    /// What the next boot shall know, as stored.
    recorded: (u64, Record),
    pub(crate) null: File,
    pub(crate) log: File,
    pub(crate) registry: Registry,
    pub(crate) signals: SignalFd,
    pub(crate) listener: UnixListener,
    pub(crate) hardware: Hardware,
    next_id: u64,
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
        let mut netd = boot.netd.take();
        let helper = |kind| {
            let started = netd.take_if(|netd| netd.kind == kind);
            started.unwrap_or_else(|| Helper::new(kind))
        };
        let helpers = HelperKind::ALL.map(helper).into();
        let mut machine = Self {
            supervisor: Supervisor::new(&loaded.set),
            set: loaded.set,
            bad: loaded.bad,
            boot,
            events: VecDeque::new(),
            runs: BTreeMap::new(),
            children: HashMap::new(),
            helpers,
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
            rest: crate::drivers::Rest::default(),
            recorded: (0, Record::default()),
            null: OpenOptions::new()
                .read(true)
                .write(true)
                .open("/dev/null")?,
            log: OpenOptions::new()
                .write(true)
                .open("/dev/kmsg")
                .or_else(|_| File::open("/dev/null"))?,
            registry: Registry::new()?,
            signals,
            listener,
            hardware: Hardware::default(),
            next_id: 0,
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
        self.adopt_helpers();
        self.await_network_drivers();
        self.start_preload();
        let record = crate::record::read();
        self.recorded.1 = record.clone();
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
        while let Some(event) = self.events.pop_front() {
            let mut actions = Vec::new();
            self.supervisor
                .handle(Timestamp(since_boot_ms()), event, &mut actions);
            self.carry_out(actions);
        }
    }

    /// What an action makes visible, such as an answer to an operator, is on the disk before.
    pub(crate) fn carry_out(&mut self, actions: Vec<Action>) {
        self.keep_record();
        for action in actions {
            self.perform(action);
        }
    }

    fn keep_record(&mut self) {
        let version = self.supervisor.record_version();
        if version == self.recorded.0 {
            return;
        }
        let record = self.supervisor.record();
        if record == self.recorded.1 {
            self.recorded.0 = version;
            return;
        }
        if let Err(error) = crate::record::write(&record) {
            console::warn(format_args!(
                "the next boot will not know what was stopped by hand: {error}"
            ));
        }
        self.recorded = (version, record);
    }

    pub(crate) fn perform(&mut self, action: Action) {
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

    /// A number that no connection, job or exec of this boot had before.
    pub(crate) fn id(&mut self) -> u64 {
        self.next_id = self.next_id.saturating_add(1);
        self.next_id
    }

    pub(crate) fn container(
        &self,
        unit: supervisor::UnitId,
    ) -> Option<(&unit::Unit, &ContainerUnit)> {
        let found = self.set.get(unit.0)?;
        Some((found, found.container()?))
    }
}
