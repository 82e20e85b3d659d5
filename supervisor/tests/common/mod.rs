//! A machine made of nothing: units in domain words, reports by name, time on demand.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::collections::BTreeMap;
use supervisor::{
    Action, Edges, Event, Exit, Goal, Graph, Outcome, Record, Rules, RunId, State, Supervisor,
    Ticket, Timestamp, UnitId,
};
use unit::{Restart, Service, ServiceKind, UnitName};

/// How a unit is declared.
#[derive(Clone, Debug)]
pub(crate) struct Declared {
    name: String,
    pub(crate) service: Option<Service>,
    after: Vec<String>,
    requires: Vec<String>,
    wants: Vec<String>,
}

/// Restarted always; delay 100 ms, doubled up to 1 s, reset after 10 s; start 1 s, stop 500 ms.
pub(crate) fn simple(name: &str) -> Declared {
    let service = Service {
        kind: ServiceKind::Simple,
        restart: Restart::Always,
        restart_delay_ms: 100,
        restart_delay_max_ms: 1_000,
        restart_backoff_milli: 2_000,
        restart_reset_after_ms: 10_000,
        start_timeout_ms: 1_000,
        stop_timeout_ms: 500,
        ..Service::default()
    };
    Declared {
        service: Some(service),
        ..target(name)
    }
}

pub(crate) fn oneshot(name: &str) -> Declared {
    simple(name).with(|service| {
        service.kind = ServiceKind::Oneshot;
        service.restart = Restart::No;
    })
}

pub(crate) fn target(name: &str) -> Declared {
    let (after, requires, wants) = (Vec::new(), Vec::new(), Vec::new());
    Declared {
        name: name.to_owned(),
        service: None,
        after,
        requires,
        wants,
    }
}

impl Declared {
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Service)) -> Self {
        if let Some(service) = &mut self.service {
            change(service);
        }
        self
    }

    pub(crate) fn restart(self, restart: Restart) -> Self {
        self.with(|service| service.restart = restart)
    }

    pub(crate) fn after(mut self, other: &str) -> Self {
        self.after.push(other.to_owned());
        self
    }

    pub(crate) fn requires(mut self, other: &str) -> Self {
        self.requires.push(other.to_owned());
        self
    }

    pub(crate) fn wants(mut self, other: &str) -> Self {
        self.wants.push(other.to_owned());
        self
    }

    /// `requires` and `after`, as most units say it.
    pub(crate) fn needs(self, other: &str) -> Self {
        self.requires(other).after(other)
    }
}

pub(crate) struct Machine {
    pub(crate) supervisor: Supervisor,
    pub(crate) now: Timestamp,
    names: Vec<String>,
    runs: BTreeMap<String, RunId>,
    tickets: u64,
    /// Not yet taken.
    done: Vec<String>,
}

impl Machine {
    /// The first target is the default one.
    pub(crate) fn new(units: &[Declared]) -> Self {
        let number = |name: &String| {
            let place = units.iter().position(|unit| unit.name == *name);
            u32::try_from(place.unwrap_or_else(|| panic!("no unit {name}"))).unwrap()
        };
        let pairs = |of: fn(&Declared) -> &Vec<String>| -> Vec<(u32, u32)> {
            let all = units
                .iter()
                .flat_map(|unit| of(unit).iter().map(move |to| (unit, to)));
            all.map(|(from, to)| (number(&from.name), number(to)))
                .collect()
        };
        let graph = Graph::new(&Edges {
            units: u32::try_from(units.len()).unwrap(),
            after: pairs(|unit| &unit.after),
            requires: pairs(|unit| &unit.requires),
            wants: pairs(|unit| &unit.wants),
        });
        let rules = |unit: &Declared| Rules {
            name: UnitName::new(&unit.name).unwrap(),
            service: unit.service.clone(),
        };
        let default = units.iter().find(|unit| unit.service.is_none());
        let default = default.map(|unit| UnitId(number(&unit.name)));
        Self {
            supervisor: Supervisor::with(graph, units.iter().map(rules).collect(), default),
            now: Timestamp(1_000),
            names: units.iter().map(|unit| unit.name.clone()).collect(),
            runs: BTreeMap::new(),
            tickets: 0,
            done: Vec::new(),
        }
    }

    pub(crate) fn id(&self, name: &str) -> UnitId {
        let place = self.names.iter().position(|known| known == name);
        UnitId(u32::try_from(place.unwrap_or_else(|| panic!("no unit {name}"))).unwrap())
    }

    pub(crate) fn handle(&mut self, event: Event) {
        let mut actions = Vec::new();
        self.supervisor.handle(self.now, event, &mut actions);
        self.note(&actions);
    }

    fn note(&mut self, actions: &[Action]) {
        self.supervisor.check().unwrap();
        for action in actions {
            let name = |unit: &UnitId| self.names[unit.0 as usize].clone();
            let line = match action {
                Action::Prepare { unit, run } => {
                    self.runs.insert(name(unit), *run);
                    format!("prepare {}", name(unit))
                }
                Action::Spawn { unit, .. } => format!("spawn {}", name(unit)),
                Action::Terminate { unit, .. } => format!("terminate {}", name(unit)),
                Action::Kill { unit, .. } => format!("kill {}", name(unit)),
                Action::Release { unit, .. } => format!("release {}", name(unit)),
                Action::Changed { .. } => continue,
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
                | Action::DisarmTimer { .. } => panic!("{action:?}"),
                Action::Reply { ticket, outcome } => match outcome {
                    Outcome::Done => format!("reply {} done", ticket.0),
                    Outcome::Failed { message } => format!("reply {} {message}", ticket.0),
                    Outcome::ShuttingDown => format!("reply {} shutting down", ticket.0),
                },
                Action::Settled { ready, failed } => format!("settled {ready} {failed}"),
                Action::ShutdownComplete => "shutdown complete".to_owned(),
            };
            self.done.push(line);
        }
    }

    /// Actions since the last call, without `Changed`.
    pub(crate) fn done(&mut self) -> Vec<String> {
        std::mem::take(&mut self.done)
    }

    /// What is on disk when an operator has stopped these.
    pub(crate) fn record(&self, stopped: &[&str]) -> Record {
        let names = stopped.iter().filter_map(|name| UnitName::new(name));
        Record {
            stopped: names.collect(),
            ..Record::default()
        }
    }

    fn ticket(&mut self) -> Option<Ticket> {
        self.tickets += 1;
        Some(Ticket(self.tickets))
    }

    fn ids(&self, units: &[&str]) -> Vec<UnitId> {
        units.iter().map(|name| self.id(name)).collect()
    }

    pub(crate) fn start_default(&mut self) {
        self.handle(Event::StartDefault);
    }

    pub(crate) fn start(&mut self, units: &[&str]) {
        let (units, ticket) = (self.ids(units), self.ticket());
        self.handle(Event::Start { units, ticket });
    }

    pub(crate) fn stop(&mut self, units: &[&str]) {
        let (units, ticket) = (self.ids(units), self.ticket());
        self.handle(Event::Stop { units, ticket });
    }

    pub(crate) fn restart(&mut self, units: &[&str]) {
        let (units, ticket) = (self.ids(units), self.ticket());
        self.handle(Event::Restart { units, ticket });
    }

    pub(crate) fn shutdown(&mut self, within_ms: u64) {
        self.handle(Event::Shutdown { within_ms });
    }

    /// The latest run of the unit.
    pub(crate) fn run(&self, name: &str) -> RunId {
        self.runs.get(name).copied().unwrap_or(RunId(0))
    }

    pub(crate) fn prepared(&mut self, name: &str) {
        let (unit, run) = (self.id(name), self.run(name));
        self.handle(Event::Prepared { unit, run });
    }

    pub(crate) fn prepare_failed(&mut self, name: &str) {
        let (unit, run, reason) = (self.id(name), self.run(name), "no image".to_owned());
        self.handle(Event::PrepareFailed { unit, run, reason });
    }

    pub(crate) fn started(&mut self, name: &str) {
        let (unit, run) = (self.id(name), self.run(name));
        self.handle(Event::Started { unit, run });
    }

    pub(crate) fn spawn_failed(&mut self, name: &str) {
        let (unit, run, reason) = (self.id(name), self.run(name), "exec failed".to_owned());
        self.handle(Event::SpawnFailed { unit, run, reason });
    }

    pub(crate) fn exited(&mut self, name: &str, code: i32) {
        let (unit, run, exit) = (self.id(name), self.run(name), Exit::Code(code));
        self.handle(Event::Exited { unit, run, exit });
    }

    pub(crate) fn released(&mut self, name: &str) {
        let (unit, run) = (self.id(name), self.run(name));
        self.handle(Event::Released { unit, run });
    }

    /// From `Preparing` to `Running`.
    pub(crate) fn comes_up(&mut self, name: &str) {
        self.prepared(name);
        self.started(name);
    }

    /// The process ends and its run is given back.
    pub(crate) fn ends(&mut self, name: &str, code: i32) {
        self.exited(name, code);
        self.released(name);
    }

    /// Time goes by; each deadline is served at its time.
    pub(crate) fn wait_ms(&mut self, ms: u64) {
        let end = self.now.plus(ms);
        while let Some(at) = self.supervisor.next_deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.time_out();
        }
        self.now = end;
    }

    pub(crate) fn time_out(&mut self) {
        let mut actions = Vec::new();
        self.supervisor.handle_timeout(self.now, &mut actions);
        self.note(&actions);
    }

    pub(crate) fn state(&self, name: &str) -> &'static str {
        self.supervisor.state(self.id(name)).name()
    }

    pub(crate) fn state_of(&self, name: &str) -> &State {
        self.supervisor.state(self.id(name))
    }

    pub(crate) fn goal(&self, name: &str) -> Goal {
        self.supervisor.goal(self.id(name))
    }

    pub(crate) fn reason(&self, name: &str) -> String {
        self.supervisor.reason(self.id(name))
    }
}
