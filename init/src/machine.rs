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

use crate::aside::Aside;
use crate::carried;
use crate::change::Change;
use crate::chart::Chart;
use crate::connection::Connection;
use crate::dump::Recorder;
use crate::exec::Exec;
use crate::hardware::Hardware;
use crate::helper::Helper;
use crate::job::Job;
use crate::limits;
use crate::logs::Logs;
use crate::network::Network;
use crate::past_runs::PastRuns;
use crate::pause::Freezing;
use crate::probes::Probes;
use crate::record::Recorded;
use crate::reexec::Reexec;
use crate::registry::Registry;
use crate::run::Run;
use crate::shutdown::{End, Ending};
use crate::source::{ChildKind, HelperKind, Source};
use crate::stage::Boot;
use crate::step::{Purpose, Step};
use crate::timers::Timers;
use crate::turns::Turns;
use crate::units::Units;
use nix::sys::signalfd::SignalFd;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::net::UnixListener;
use supervisor::{Action, Event, RunId, Supervisor, Timestamp, UnitId};
use sys::clock::since_boot_ms;
use sys::epoll::{Interest, Ready};
use unit::ContainerUnit;

/// Everything PID 1 knows, and hands over to the next program when it re-executes itself (`reexec`).
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) boot: Boot,
    pub(crate) units: Units,
    pub(crate) change: Change,
    pub(crate) timers: Timers,
    pub(crate) past_runs: PastRuns,
    pub(crate) recorder: Recorder,
    pub(crate) supervisor: Supervisor,
    pub(crate) events: VecDeque<Event>,
    /// Decided, and not performed yet.
    #[serde(default)]
    actions: VecDeque<Action>,
    /// To be prepared when nothing else is to be done: of many that start at once, each costs milliseconds.
    #[serde(default)]
    pub(crate) starts: VecDeque<(UnitId, RunId)>,
    /// Children that have ended may not have been waited for.
    #[serde(default)]
    pub(crate) unreaped: bool,
    #[serde(default)]
    pub(crate) asides: BTreeMap<u64, Aside>,
    pub(crate) runs: BTreeMap<u64, Run>,
    pub(crate) children: HashMap<i32, ChildKind>,
    pub(crate) helpers: Vec<Helper>,
    /// For what they say; empty until one has said something.
    #[serde(skip)]
    pub(crate) helpers_words: Vec<u8>,
    pub(crate) network: Network,
    pub(crate) logs: Logs,
    pub(crate) connections: BTreeMap<u64, Connection>,
    pub(crate) execs: BTreeMap<u64, Exec>,
    pub(crate) probes: Probes,
    /// By run.
    pub(crate) freezing: BTreeMap<u64, Freezing>,
    pub(crate) jobs: BTreeMap<u64, Job>,
    pub(crate) steps: BTreeMap<u64, Step>,
    /// Launchers of commands that were asked to end, and when they are killed.
    #[serde(default)]
    pub(crate) give_up_at: BTreeMap<i32, u64>,
    /// Launchers that were killed with their container, whose end is to be told first.
    #[serde(default)]
    pub(crate) ended_with_containers: Vec<ChildKind>,
    /// By unit: what its last run could not have.
    #[serde(default)]
    pub(crate) shortages: BTreeMap<String, String>,
    /// The group of all containers keeps the machine's devices from them.
    #[serde(default)]
    pub(crate) devices_filtered: bool,
    pub(crate) chart: Chart,
    /// Images of the release are being loaded: containers are prepared when that has ended.
    pub(crate) preload: Option<u64>,
    pub(crate) waiting_for_images: Vec<(UnitId, RunId)>,
    /// Ready and failed default units, once every one of them is one of both.
    pub(crate) settled: Option<(u32, u32)>,
    /// That has been said.
    pub(crate) announced: bool,
    pub(crate) ending: Option<Ending>,
    pub(crate) rest: crate::drivers::Rest,
    pub(crate) recorded: Recorded,
    #[serde(with = "carried")]
    pub(crate) null: File,
    #[serde(with = "carried")]
    pub(crate) log: File,
    pub(crate) registry: Registry,
    #[serde(with = "carried")]
    pub(crate) signals: SignalFd,
    #[serde(with = "carried")]
    pub(crate) listener: UnixListener,
    pub(crate) hardware: Hardware,
    pub(crate) reexec: Reexec,
    pub(crate) turns: Turns,
    next_id: u64,
}

impl Machine {
    /// Take over from the boot stages.
    ///
    /// # Errors
    /// When one of the descriptors without which PID 1 is deaf can't be made.
    pub(crate) fn new(mut boot: Boot) -> io::Result<Self> {
        let loaded = boot.units.take().unwrap_or_default();
        let choices = std::mem::take(&mut boot.choices);
        let signals = crate::signals::descriptor()?;
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
            units: Units::at_boot(loaded, choices),
            change: Change::default(),
            timers: Timers::default(),
            past_runs: PastRuns::default(),
            recorder: Recorder::default(),
            boot,
            events: VecDeque::new(),
            actions: VecDeque::new(),
            starts: VecDeque::new(),
            unreaped: false,
            asides: BTreeMap::new(),
            runs: BTreeMap::new(),
            children: HashMap::new(),
            helpers,
            helpers_words: Vec::new(),
            network: Network::default(),
            logs: Logs::default(),
            connections: BTreeMap::new(),
            execs: BTreeMap::new(),
            probes: Probes::default(),
            freezing: BTreeMap::new(),
            jobs: BTreeMap::new(),
            steps: BTreeMap::new(),
            give_up_at: BTreeMap::new(),
            ended_with_containers: Vec::new(),
            shortages: BTreeMap::new(),
            devices_filtered: false,
            chart: Chart::default(),
            preload: None,
            waiting_for_images: Vec::new(),
            settled: None,
            announced: false,
            ending: None,
            rest: crate::drivers::Rest::default(),
            recorded: Recorded::default(),
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
            reexec: Reexec::default(),
            turns: Turns::default(),
            next_id: 0,
        };
        machine
            .registry
            .watch(&machine.signals, Interest::Read, Source::Signals)?;
        machine
            .registry
            .watch(&machine.listener, Interest::Read, Source::Listener)?;
        machine.begin_timers()?;
        machine.watch_hardware();
        Ok(machine)
    }

    /// Run until the machine ends; then say how.
    ///
    /// # Errors
    /// When the kernel refuses to wait: there is nothing left to do.
    pub(crate) fn run(mut self) -> io::Result<End> {
        self.adopt_helpers();
        self.await_first_drivers();
        self.start_preload();
        self.discard_left_layers();
        let record = crate::record::read();
        self.recorded.begin_with(&record, &self.units);
        self.event(Event::Recall { record });
        self.event(Event::StartDefault);
        self.serve()
    }

    /// The loop.
    ///
    /// # Errors
    /// When the kernel refuses to wait: there is nothing left to do.
    pub(crate) fn serve(mut self) -> io::Result<End> {
        // A child that ended before its end could be signalled.
        self.unreaped = true;
        loop {
            let left = self.work();
            self.keep_files();
            if let Some(action) = self.ended() {
                self.write_past_runs();
                let watchdog = self.hardware.watchdog.take();
                return Ok(End { action, watchdog });
            }
            if !self.is_behind() {
                self.keep_base();
                // Here nothing is half done.
                self.reexecute_if_due();
            }
            let timeout = match left {
                Left::Something => Some(0),
                Left::Nothing => self
                    .next_deadline()
                    .map(|at| at.saturating_sub(since_boot_ms())),
            };
            self.turns.end();
            let mut ready = self.registry.wait(timeout)?;
            self.turns.begin();
            // That a workload runs is known before anybody's wish to stop it is heard: only a launcher may be killed at once.
            ready.sort_by_key(|ready| {
                let source = self.registry.source(ready.token);
                !matches!(source, Some(Source::Report { .. }))
            });
            for ready in ready {
                self.ready(ready);
            }
            self.timeouts();
        }
    }

    /// What is to outlive the boot is on the disk, or tried again later.
    fn keep_files(&mut self) {
        self.keep_record();
        self.keep_timers();
        self.keep_past_runs();
    }

    /// Put an event in the queue; it is handled before the loop sleeps.
    pub(crate) fn event(&mut self, event: Event) {
        self.events.push_back(event);
    }

    /// Do what is to be done, for about [`limits::TURN_MS`]: then others have to be heard, even in the middle of it. What
    /// was decided is done in its order, before anything else is decided; only starts come last.
    fn work(&mut self) -> Left {
        let until = since_boot_ms().saturating_add(limits::TURN_MS);
        if self.unreaped {
            self.reap(until);
        }
        while self.do_next() || self.start_next() {
            if since_boot_ms() >= until {
                break;
            }
        }
        if self.is_behind() || self.unreaped || !self.starts.is_empty() {
            Left::Something
        } else {
            Left::Nothing
        }
    }

    /// Something has come, or was decided, and nothing was done about it yet.
    pub(crate) fn is_behind(&self) -> bool {
        !(self.actions.is_empty() && self.events.is_empty())
    }

    /// Do all that was decided, and decide about all that has come.
    pub(crate) fn catch_up(&mut self) {
        while self.do_next() {}
    }

    fn do_next(&mut self) -> bool {
        if let Some(action) = self.actions.pop_front() {
            self.perform(action);
        } else if let Some(event) = self.events.pop_front() {
            let mut actions = Vec::new();
            self.supervisor
                .handle(Timestamp(since_boot_ms()), event, &mut actions);
            self.carry_out(actions);
        } else {
            return false;
        }
        true
    }

    /// What an operator is answered is on the disk before. Nobody else hears of it before the end of the turn, when it is
    /// written anyway: of many jobs that end at once, once.
    pub(crate) fn carry_out(&mut self, actions: Vec<Action>) {
        let is_answer = |action: &Action| matches!(action, Action::Reply { .. });
        if actions.iter().any(is_answer) {
            self.keep_record();
        }
        self.actions.extend(actions);
    }

    pub(crate) fn perform(&mut self, action: Action) {
        match action {
            Action::Prepare { unit, run } => self.starts.push_back((unit, run)),
            Action::Spawn { unit, run } => self.launch(unit, run),
            Action::WatchReadiness { unit, run } => self.watch_readiness(unit, run),
            Action::Probe { unit, run, probe } => self.probe(unit, run, probe),
            Action::Pause { unit, run } => self.pause(unit, run),
            Action::Unpause { unit, run } => self.unpause(unit, run),
            Action::Terminate { unit, run } => self.terminate(unit, run),
            Action::Kill { unit, run } => self.kill(unit, run),
            Action::Release { unit, run } => self.release(unit, run),
            Action::Changed { unit } => self.changed(unit),
            Action::RestartsAtOnce { unit, run } => self.restarts_at_once(unit, run),
            Action::Reply { ticket, outcome } => self.outcome(ticket, outcome),
            Action::Settled { ready, failed } => self.settled(ready, failed),
            Action::ShutdownComplete => self.containers_are_down(),
            Action::FlipPorts { unit, to, .. } => self.flip_ports(unit, to),
            Action::Swapped { unit, successor } => self.swapped(unit, successor),
            Action::RemoveUnit { unit } => self.remove_unit(unit),
            Action::RunHook { unit, run, hook } => self.run_hook(unit, run, hook),
            Action::KillHook { run, hook, .. } => self.kill_step(run, Purpose::Hook(hook)),
            Action::Reload { unit, run } => self.reload(unit, run),
            Action::ArmTimer { unit } => self.arm_timer(unit),
            Action::DisarmTimer { unit } => self.disarm_timer(unit),
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
            Source::ControlPort => self.control_port_ready(ready),
            Source::Listener => self.accept(),
            Source::Connection { id } => self.connection_ready(id, ready),
            Source::Helper { kind } => self.helper_ready(kind, ready),
            Source::Report { run } => self.report_ready(run),
            Source::Notify { run } => self.notify_ready(run),
            Source::ExecReport { id } => self.exec_report_ready(id),
            Source::StepReport { id } => self.step_report_ready(id),
            Source::StepOutput { id } => self.step_output_ready(id),
            Source::Freezing { run } => self.freezing_ready(run),
            Source::JobOutput { job } => self.job_output(job),
            Source::JobErrors { job } => self.job_errors(job),
            Source::Upload { connection } => self.upload_ready(connection),
            Source::Clock => self.clock_ready(),
            Source::Dump { connection } => self.dump_ready(connection),
        }
    }

    /// A number that no connection, job, exec, step or aside of this boot had before.
    pub(crate) fn id(&mut self) -> u64 {
        self.next_id = self.next_id.saturating_add(1);
        self.next_id
    }

    fn remove_unit(&mut self, unit: UnitId) {
        let name = self.units.get(unit).map(|unit| unit.name.clone());
        self.units.remove(unit);
        // A unit of the same name may have come back at another place.
        if let Some(name) = name.filter(|name| self.units.find(name).is_none()) {
            self.forget_past_runs(&name);
        }
    }

    /// The successor has taken the unit's place: definitions and runs are known by each other's number.
    fn swapped(&mut self, unit: UnitId, successor: UnitId) {
        self.units.swap(unit, successor);
        let other = |at: UnitId| match at {
            at if at == unit => successor,
            at if at == successor => unit,
            at => at,
        };
        for run in self.runs.values_mut() {
            run.unit = other(run.unit);
        }
        self.renumber_steps(other);
        let starts = self.starts.iter_mut();
        for (waiting, _) in starts.chain(&mut self.waiting_for_images) {
            *waiting = other(*waiting);
        }
        self.network.renumber(other);
        self.swap_layers(unit, successor);
        self.chart_entered(unit);
    }

    pub(crate) fn container(&self, unit: UnitId) -> Option<(&unit::Unit, &ContainerUnit)> {
        let found = self.units.get(unit)?;
        Some((found, found.container()?))
    }
}

/// Whether there is more to do at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    Something,
    Nothing,
}
