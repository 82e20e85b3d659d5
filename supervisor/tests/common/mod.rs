//! A machine made of nothing: units in domain words, reports by name, time on demand.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::collections::BTreeMap;
use supervisor::{
    Action, Condition, Edges, Event, Exit, Failure, Goal, Hook, HookKind, Notice, Outcome, Plan,
    Record, Rules, RunId, State, Supervisor, Ticket, Timestamp, UnitId,
};
use unit::{
    DependsOnCondition, HealthPlan, HookFailure, OnUnhealthy, Probe, ReadinessMode, Restart,
    Service, ServiceKind, Timer, UnitName, UpdateOrder,
};

/// How a unit is declared.
#[derive(Clone, Debug)]
pub(crate) struct Declared {
    pub(crate) rules: Rules,
    /// Kind of dependency and other unit.
    edges: Vec<(Kind, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    After,
    Requires,
    Wants,
    Requisite,
    BindsTo,
    PartOf,
    Conflicts,
    OnFailure,
    OnSuccess,
    Triggers,
    DependsOn(DependsOnCondition, bool),
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
    declared(name, Some(service))
}

fn declared(name: &str, service: Option<Service>) -> Declared {
    Declared {
        rules: Rules::new(UnitName::new(name).unwrap(), service),
        edges: Vec::new(),
    }
}

pub(crate) fn oneshot(name: &str) -> Declared {
    kind(name, ServiceKind::Oneshot)
}

pub(crate) fn job(name: &str) -> Declared {
    kind(name, ServiceKind::Job)
}

fn kind(name: &str, kind: ServiceKind) -> Declared {
    let base = simple(name).with(|service| {
        service.kind = kind;
        service.restart = Restart::No;
    });
    declared(name, base.rules.service)
}

pub(crate) fn target(name: &str) -> Declared {
    declared(name, None)
}

pub(crate) fn timer(name: &str, timer: Timer, unit: &str) -> Declared {
    let mut declared = declared(name, None);
    declared.rules.timer = Some(timer);
    declared.edge(Kind::Triggers, unit)
}

/// A step that may take 200 ms.
pub(crate) fn hook(on_failure: HookFailure) -> unit::Hook {
    unit::Hook {
        command: vec!["step".to_owned()],
        image: None,
        timeout_ms: 200,
        on_failure,
    }
}

/// Every second, for 500 ms; three failures, one success.
pub(crate) fn health(on_unhealthy: OnUnhealthy) -> HealthPlan {
    HealthPlan {
        probe: Probe::Tcp { port: 80 },
        interval_ms: 1_000,
        timeout_ms: 500,
        retries: 3,
        start_period_ms: 0,
        start_interval_ms: 100,
        success_threshold: 1,
        on_unhealthy,
        pause_aware: true,
    }
}

impl Declared {
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Service)) -> Self {
        if let Some(service) = &mut self.rules.service {
            change(service);
        }
        self
    }

    pub(crate) fn rules(mut self, change: impl FnOnce(&mut Rules)) -> Self {
        change(&mut self.rules);
        self
    }

    pub(crate) fn restart(self, restart: Restart) -> Self {
        self.with(|service| service.restart = restart)
    }

    pub(crate) fn readiness(self, mode: ReadinessMode) -> Self {
        self.rules(|rules| rules.readiness.mode = mode)
    }

    pub(crate) fn timer(self, timer: Timer) -> Self {
        self.rules(|rules| rules.timer = Some(timer))
    }

    /// Another definition under the same name.
    pub(crate) fn version(self, version: u64) -> Self {
        self.rules(|rules| (rules.fingerprint, rules.program) = (version, version))
    }

    pub(crate) fn start_first(self) -> Self {
        self.rules(|rules| rules.update.order = UpdateOrder::StartFirst)
    }

    fn edge(mut self, kind: Kind, other: &str) -> Self {
        self.edges.push((kind, other.to_owned()));
        self
    }

    pub(crate) fn after(self, other: &str) -> Self {
        self.edge(Kind::After, other)
    }

    pub(crate) fn requires(self, other: &str) -> Self {
        self.edge(Kind::Requires, other)
    }

    pub(crate) fn wants(self, other: &str) -> Self {
        self.edge(Kind::Wants, other)
    }

    pub(crate) fn requisite(self, other: &str) -> Self {
        self.edge(Kind::Requisite, other)
    }

    pub(crate) fn binds_to(self, other: &str) -> Self {
        self.edge(Kind::BindsTo, other)
    }

    pub(crate) fn part_of(self, other: &str) -> Self {
        self.edge(Kind::PartOf, other)
    }

    pub(crate) fn conflicts(self, other: &str) -> Self {
        self.edge(Kind::Conflicts, other)
    }

    pub(crate) fn on_failure(self, other: &str) -> Self {
        self.edge(Kind::OnFailure, other)
    }

    pub(crate) fn on_success(self, other: &str) -> Self {
        self.edge(Kind::OnSuccess, other)
    }

    /// As compose's `depends_on`: with what it is expanded into.
    pub(crate) fn depends_on(
        self,
        other: &str,
        condition: DependsOnCondition,
        restart: bool,
    ) -> Self {
        self.edge(Kind::DependsOn(condition, restart), other)
            .needs(other)
    }

    /// `requires` and `after`, as most units say it.
    pub(crate) fn needs(self, other: &str) -> Self {
        self.requires(other).after(other)
    }
}

/// By position; the first target is the default one.
pub(crate) fn plan(units: &[Declared]) -> Plan {
    let number = |name: &str| {
        let place = units
            .iter()
            .position(|unit| unit.rules.name.as_str() == name);
        u32::try_from(place.unwrap_or_else(|| panic!("no unit {name}"))).unwrap()
    };
    let mut edges = Edges {
        units: u32::try_from(units.len()).unwrap(),
        ..Edges::default()
    };
    for unit in units {
        let from = number(unit.rules.name.as_str());
        for (kind, other) in &unit.edges {
            let to = number(other);
            let list = match kind {
                Kind::After => &mut edges.after,
                Kind::Requires => &mut edges.requires,
                Kind::Wants => &mut edges.wants,
                Kind::Requisite => &mut edges.requisite,
                Kind::BindsTo => &mut edges.binds_to,
                Kind::PartOf => &mut edges.part_of,
                Kind::Conflicts => &mut edges.conflicts,
                Kind::OnFailure => &mut edges.on_failure,
                Kind::OnSuccess => &mut edges.on_success,
                Kind::Triggers => &mut edges.triggers,
                Kind::DependsOn(condition, restart) => {
                    edges.depends_on.push(Condition {
                        from,
                        to,
                        condition: *condition,
                        restart: *restart,
                    });
                    continue;
                }
            };
            list.push((from, to));
        }
    }
    let target = |unit: &&Declared| unit.rules.service.is_none() && unit.rules.timer.is_none();
    let default = units.iter().find(target);
    Plan {
        rules: units.iter().map(|unit| unit.rules.clone()).collect(),
        edges,
        default: default.map(|unit| number(unit.rules.name.as_str())),
    }
}

pub(crate) struct Machine {
    pub(crate) supervisor: Supervisor,
    pub(crate) now: Timestamp,
    names: Vec<String>,
    runs: BTreeMap<String, RunId>,
    probes: BTreeMap<String, u64>,
    tickets: u64,
    /// Not yet taken.
    done: Vec<String>,
}

impl Machine {
    /// The first target is the default one.
    pub(crate) fn new(units: &[Declared]) -> Self {
        Self {
            supervisor: Supervisor::with(plan(units)),
            now: Timestamp(1_000),
            names: units
                .iter()
                .map(|unit| unit.rules.name.to_string())
                .collect(),
            runs: BTreeMap::new(),
            probes: BTreeMap::new(),
            tickets: 0,
            done: Vec::new(),
        }
    }

    /// Another set; a successor is called `web'`.
    pub(crate) fn apply(&mut self, units: &[Declared]) {
        let (plan, ticket) = (plan(units), self.ticket());
        let mut actions = Vec::new();
        let applied = self
            .supervisor
            .apply(self.now, &plan, ticket, &mut actions)
            .expect("applied");
        for (unit, place) in units.iter().zip(applied.places) {
            let successor = self.supervisor.successor_of(place).is_some();
            let place = place.0 as usize;
            if self.names.len() <= place {
                self.names.resize(place + 1, String::new());
            }
            let name = unit.rules.name.to_string();
            self.names[place] = if successor { format!("{name}'") } else { name };
        }
        self.note(&actions);
    }

    /// Handed over to another process and back.
    pub(crate) fn reexecute(&mut self) {
        let text = serde_json::to_string(&self.supervisor).unwrap();
        self.supervisor = serde_json::from_str(&text).unwrap();
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

    pub(crate) fn note(&mut self, actions: &[Action]) {
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
                Action::RestartsAtOnce { unit, .. } => format!("restarts at once {}", name(unit)),
                Action::RunHook { unit, hook, .. } => format!("run {hook} {}", name(unit)),
                Action::KillHook { unit, hook, .. } => format!("kill {hook} {}", name(unit)),
                Action::WatchReadiness { unit, .. } => format!("watch {}", name(unit)),
                Action::Probe { unit, probe, .. } => {
                    self.probes.insert(name(unit), *probe);
                    format!("probe {}", name(unit))
                }
                Action::Reload { unit, .. } => format!("reload {}", name(unit)),
                Action::Pause { unit, .. } => format!("pause {}", name(unit)),
                Action::Unpause { unit, .. } => format!("unpause {}", name(unit)),
                Action::FlipPorts { unit, from, to } => {
                    format!("flip {} to {}", from.0, to.0) + " " + &name(unit)
                }
                Action::Swapped { unit, successor } => {
                    let (one, other) = (name(unit), name(successor));
                    let runs = [&one, &other].map(|name| self.runs.remove(name));
                    for (name, run) in [&other, &one].into_iter().zip(runs) {
                        if let Some(run) = run {
                            self.runs.insert(name.clone(), run);
                        }
                    }
                    format!("swap {other} {one}")
                }
                Action::RemoveUnit { unit } => format!("remove {}", name(unit)),
                Action::ArmTimer { unit } => format!("arm {}", name(unit)),
                Action::DisarmTimer { unit } => format!("disarm {}", name(unit)),
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
        self.handle(Event::PrepareFailed {
            unit,
            run,
            reason,
            lasting: false,
        });
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

    fn report(&mut self, name: &str, report: impl FnOnce(UnitId, RunId) -> Event) {
        let event = report(self.id(name), self.run(name));
        self.handle(event);
    }

    pub(crate) fn ready(&mut self, name: &str) {
        self.report(name, |unit, run| Event::Ready { unit, run });
    }

    pub(crate) fn notified(&mut self, name: &str, notice: Notice) {
        self.report(name, |unit, run| Event::Notified { unit, run, notice });
    }

    pub(crate) fn skipped(&mut self, name: &str) {
        let reason = "condition: no such path".to_owned();
        self.report(name, |unit, run| Event::Skipped { unit, run, reason });
    }

    pub(crate) fn health_plan(&mut self, name: &str, plan: HealthPlan) {
        self.report(name, |unit, run| Event::HealthPlan { unit, run, plan });
    }

    /// The answer to the latest probe.
    pub(crate) fn probed(&mut self, name: &str, healthy: bool) {
        let probe = self.probes.get(name).copied().unwrap_or_default();
        let failure = (!healthy).then(|| "status 500".to_owned());
        self.report(name, |unit, run| Event::Probed {
            unit,
            run,
            probe,
            failure,
        });
    }

    pub(crate) fn hook_ended(&mut self, name: &str, kind: HookKind, index: u32, success: bool) {
        let failure = (!success).then(|| "exited with code 1".to_owned());
        self.report(name, |unit, run| Event::HookEnded {
            unit,
            run,
            hook: Hook { kind, index },
            failure,
        });
    }

    pub(crate) fn reloaded(&mut self, name: &str, failure: Option<&str>) {
        let failure = failure.map(str::to_owned);
        self.report(name, |unit, run| Event::Reloaded { unit, run, failure });
    }

    pub(crate) fn paused(&mut self, name: &str) {
        let failure = None;
        self.report(name, |unit, run| Event::Paused { unit, run, failure });
    }

    /// `name` is the unit's; `to` whose run the ports lead to.
    pub(crate) fn flipped(&mut self, name: &str, to: &str, failure: Option<&str>) {
        let (unit, run) = (self.id(name), self.run(to));
        let failure = failure.map(str::to_owned);
        self.handle(Event::Flipped { unit, run, failure });
    }

    pub(crate) fn killed(&mut self, name: &str) {
        let exit = Exit::Signal {
            signal: 9,
            out_of_memory: false,
        };
        self.report(name, |unit, run| Event::Exited { unit, run, exit });
    }

    pub(crate) fn elapsed(&mut self, name: &str, scheduled_wall_ms: i64) {
        let unit = self.id(name);
        self.handle(Event::TimerElapsed {
            unit,
            scheduled_wall_ms,
        });
    }

    pub(crate) fn ask(
        &mut self,
        units: &[&str],
        request: fn(Vec<UnitId>, Option<Ticket>) -> Event,
    ) {
        let (units, ticket) = (self.ids(units), self.ticket());
        self.handle(request(units, ticket));
    }

    pub(crate) fn failure(&self, name: &str) -> Option<&Failure> {
        self.supervisor.last_failure(self.id(name))
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
