//! What `status` shows: the supervisor's read model, with what the kernel and netd know of the run.

use crate::explain::kind_name;
use crate::listing::configured;
use crate::machine::Machine;
use control::reply::{Denial, UnitHealth, UnitStatus};
use control::row::push_number;
use supervisor::{Goal, HealthStatus, HealthView, RunId, State, UnitId};
use sys::clock::since_boot_ms;
use unit::{BadUnit, Port, Probe, UnitKind, UnitSet};

impl Machine {
    pub(crate) fn all_statuses(&self) -> Vec<UnitStatus> {
        let good = self.units.all().filter_map(|unit| self.status(unit));
        let bad = self.units.bad().iter().map(bad_status);
        good.chain(bad).collect()
    }

    pub(crate) fn status_by_name(&self, name: &str) -> Result<UnitStatus, Denial> {
        match self.unit_id(name) {
            Ok(unit) => {
                let unknown = || Denial::UnknownUnit {
                    unit: name.to_owned(),
                    nearest: None,
                };
                self.status(unit).ok_or_else(unknown)
            }
            Err(Denial::BadUnit { unit, message }) => {
                let found = self.units.bad().iter().find(|bad| bad.name == unit);
                found
                    .map(bad_status)
                    .ok_or(Denial::BadUnit { unit, message })
            }
            Err(reason) => Err(reason),
        }
    }

    fn status(&self, id: UnitId) -> Option<UnitStatus> {
        let unit = self.units.get(id)?;
        let set = self.units.set();
        let edges = |of: fn(&UnitSet, u32) -> &[u32]| {
            let index = self.units.index(id);
            index.map(|index| self.names(of(set, index)))
        };
        let now = since_boot_ms();
        let state = self.supervisor.state(id);
        let since_ms = self.supervisor.since(id).0;
        let last_exit = self.supervisor.last_exit(id).map(|exit| exit.to_string());
        let next_start_ms = self
            .supervisor
            .next_start(id)
            .map(|at| at.0.saturating_sub(now));
        let mut status = UnitStatus {
            name: unit.name.to_string(),
            kind: kind_name(&unit.kind).into(),
            description: unit.description.clone(),
            state: state.name().into(),
            reason: self.reason(id),
            goal: match self.supervisor.goal(id) {
                Goal::Up => "up".into(),
                Goal::Down => "down".into(),
            },
            since_ms,
            age_ms: now.saturating_sub(since_ms),
            restarts: u64::from(self.supervisor.restarts(id)),
            last_exit,
            next_start_ms,
            source: unit.source.clone(),
            requires: edges(UnitSet::requires).unwrap_or_default(),
            wants: edges(UnitSet::wants).unwrap_or_default(),
            after: edges(UnitSet::after).unwrap_or_default(),
            required_by: edges(UnitSet::required_by).unwrap_or_default(),
            wanted_by: edges(UnitSet::wanted_by).unwrap_or_default(),
            ..UnitStatus::default()
        };
        self.explain(id, &mut status);
        if let UnitKind::Container(container) = &unit.kind {
            status.image = container.container.image.clone();
            let notes = self.prepared_of(id).map(|prepared| prepared.notes.clone());
            status.notes = notes.unwrap_or_default();
            let executed = self
                .prepared_of(id)
                .map(|prepared| prepared.argv.as_slice());
            let command = executed.or_else(|| configured(container));
            status.command = command.unwrap_or_default().to_vec();
            status.memory_max = container.resources.memory;
            status.pids_max = Some(container.resources.pids);
            status.ports = container.ports.iter().map(port_text).collect();
            if let Some(run) = self.live_run(id) {
                status.pid = run.child.as_ref().map(|child| child.pid);
                status.run = run.run.0;
                status.memory = run.cgroup.number("memory.current");
                status.pids = run.cgroup.number("pids.current");
                status.health = self.supervisor.health_view(id).as_ref().map(unit_health);
                status.paused = self.supervisor.is_paused(id);
                if let Some(attached) = self.network.attached(run.run) {
                    status.address = attached.address.map(|address| address.to_string());
                    status.ports = attached.ports.clone();
                }
            }
        }
        Some(status)
    }

    fn names(&self, units: &[u32]) -> Vec<String> {
        units
            .iter()
            .filter_map(|unit| self.units.set().get(*unit))
            .map(|unit| unit.name.to_string())
            .collect()
    }

    /// Why it is in that state: one line.
    pub(crate) fn reason(&self, id: UnitId) -> String {
        match self.supervisor.state(id) {
            State::Preparing { .. } if self.preload.is_some() => {
                "images of the release are being loaded".into()
            }
            State::Preparing { .. } => "its network is being made".into(),
            State::Inactive
            | State::Scheduled
            | State::Waiting
            | State::PreStart { .. }
            | State::Starting { .. }
            | State::Started { .. }
            | State::Running { .. }
            | State::PreStop { .. }
            | State::Stopping { .. }
            | State::PostStop { .. }
            | State::Releasing { .. }
            | State::Finished { .. }
            | State::Skipped { .. } => self.supervisor.reason(id),
            State::Backoff { .. } | State::Failed { .. } => {
                let reason = self.supervisor.reason(id);
                let name = self.units.get(id).map(|unit| unit.name.as_str());
                match name.and_then(|name| self.shortages.get(name)) {
                    Some(shortage) => format!("{reason}: {shortage}"),
                    None => reason,
                }
            }
        }
    }

    /// Told as [`State::Backoff`] is, which came and went unseen.
    pub(crate) fn restarts_at_once(&mut self, id: UnitId, run: RunId) {
        let Some(name) = self.units.get(id).map(|unit| unit.name.clone()) else {
            return;
        };
        let message = self.supervisor.restart_reason(id);
        crate::console::say(format_args!("unit {name}: {message}"));
        self.note(&name, run.0, message);
    }

    /// A unit has entered another state: for the chart, its log, and, when it is trouble, the console.
    pub(crate) fn changed(&mut self, id: UnitId) {
        self.note_past_run(id);
        let state = self.supervisor.state(id).clone();
        let Some(name) = self.units.get(id).map(|unit| unit.name.clone()) else {
            return;
        };
        self.chart_entered(id);
        let run = self.supervisor.run(id).map_or(0, |run| run.0);
        let reason = self.reason(id);
        let message = match &state {
            State::Running { .. } => "started".into(),
            State::Skipped { .. } => reason,
            State::Backoff { .. } => reason,
            State::Failed { .. } => format!("failed: {reason}"),
            State::Finished { exit } => exit.to_string(),
            State::Stopping { killed: true, .. } => reason,
            State::Stopping { .. } => "stopping".into(),
            State::Inactive if run != 0 => "stopped".into(),
            State::Inactive
            | State::Scheduled
            | State::Waiting
            | State::Preparing { .. }
            | State::PreStart { .. }
            | State::Starting { .. }
            | State::Started { .. }
            | State::PreStop { .. }
            | State::PostStop { .. }
            | State::Releasing { .. } => return,
        };
        if matches!(state, State::Backoff { .. } | State::Failed { .. }) {
            crate::console::say(format_args!("unit {name}: {message}"));
        }
        self.note(&name, run, message);
    }
}

/// Of a unit whose file has mistakes.
fn bad_status(bad: &BadUnit) -> UnitStatus {
    UnitStatus {
        name: bad.name.to_string(),
        kind: "container".into(),
        state: "failed".into(),
        reason: "the unit file has mistakes".into(),
        goal: "down".into(),
        source: bad.source.clone(),
        diagnostics: bad.diagnostics.iter().map(ToString::to_string).collect(),
        ..UnitStatus::default()
    }
}

pub(crate) fn health_name(status: HealthStatus) -> &'static str {
    match status {
        HealthStatus::Starting => "starting",
        HealthStatus::Healthy => "healthy",
        HealthStatus::Unhealthy => "unhealthy",
    }
}

fn unit_health(view: &HealthView<'_>) -> UnitHealth {
    let probe = match &view.plan.probe {
        Probe::Exec(argv) => format!("exec {}", argv.join(" ")),
        Probe::Http(http) => format!("http port {} path {}", http.port, http.path),
        Probe::Tcp { port } => format!("tcp port {port}"),
    };
    UnitHealth {
        status: health_name(view.status).into(),
        probe,
        failures: view.failures,
        retries: view.plan.retries,
        successes: view.successes,
        reason: view.reason.into(),
    }
}

/// As declared, while there is no run: `0.0.0.0:7001->6379/tcp`.
fn port_text(port: &Port) -> String {
    let mut text = String::new();
    push_port(&mut text, port);
    text
}

/// `0.0.0.0:7001->6379/tcp`, at the end of a text.
pub(crate) fn push_port(text: &mut String, port: &Port) {
    match port.host_ip {
        Some(address) => text.push_str(&address.to_string()),
        None => text.push_str("0.0.0.0"),
    }
    text.push(':');
    match port.host_port {
        Some(host) => push_span(text, host, port.count),
        None => text.push('*'),
    }
    text.push_str("->");
    push_span(text, port.container_port, port.count);
    text.push_str(match port.protocol {
        unit::Protocol::Tcp => "/tcp",
        unit::Protocol::Udp => "/udp",
    });
}

fn push_span(text: &mut String, first: u16, count: u16) {
    push_number(text, first.into());
    if count > 1 {
        text.push('-');
        push_number(text, first.saturating_add(count.saturating_sub(1)).into());
    }
}
