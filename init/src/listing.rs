//! What `ps` lists: a row for each unit, from what is known here. Only for its memory the kernel is asked, with one read of
//! one file, and only of a unit that runs.

use crate::machine::Machine;
use crate::status::{health_name, port_text};
use control::row::{
    ROW_COMMAND_CHARACTERS, ROW_PORTS_MAX, ROW_REASON_CHARACTERS, UnitRow, command_line, cut,
};
use supervisor::{HealthStatus, State, UnitId};
use sys::clock::since_boot_ms;
use unit::{ContainerUnit, UnitKind};

impl Machine {
    pub(crate) fn rows(&self, memory: bool) -> Vec<UnitRow> {
        let now = since_boot_ms();
        let good = self
            .units
            .all()
            .filter_map(|unit| self.row(unit, now, memory));
        let bad = self.units.bad().iter().map(|bad| UnitRow {
            name: bad.name.to_string(),
            state: "failed".into(),
            reason: "the unit file has mistakes".into(),
            bad: true,
            ..UnitRow::default()
        });
        good.chain(bad).collect()
    }

    fn row(&self, id: UnitId, now: u64, memory: bool) -> Option<UnitRow> {
        let unit = self.units.get(id)?;
        let state = self.supervisor.state(id);
        let next_start = self.supervisor.next_start(id);
        let mut row = UnitRow {
            name: unit.name.to_string(),
            state: state.name().into(),
            age_ms: now.saturating_sub(self.supervisor.since(id).0),
            next_start_ms: next_start.map(|at| at.0.saturating_sub(now)),
            ..UnitRow::default()
        };
        if says_why(state) {
            row.reason = cut(self.reason(id), ROW_REASON_CHARACTERS);
        }
        let UnitKind::Container(container) = &unit.kind else {
            return Some(row);
        };
        row.image.clone_from(&container.container.image);
        let executed = self
            .prepared_of(id)
            .map(|prepared| prepared.argv.as_slice());
        let command = executed.or_else(|| configured(container));
        row.command = command_line(command.unwrap_or_default(), ROW_COMMAND_CHARACTERS);
        let run = self.live_run(id);
        let attached = run.and_then(|run| self.network.attached(run.run));
        match attached {
            Some(attached) => row.set_ports(&attached.ports),
            None => {
                let declared = &container.ports;
                let first = declared.iter().take(ROW_PORTS_MAX);
                row.ports = first.map(port_text).collect();
                row.more_ports = declared.len().saturating_sub(ROW_PORTS_MAX);
            }
        }
        let Some(run) = run else { return Some(row) };
        if memory {
            row.memory = run.cgroup.number("memory.current");
        }
        row.paused = self.supervisor.is_paused(id);
        if let Some(health) = self.supervisor.health_view(id) {
            row.health = health_name(health.status).into();
            if health.status == HealthStatus::Unhealthy {
                row.failures = health.failures;
                row.reason = cut(health.reason.into(), ROW_REASON_CHARACTERS);
            }
        }
        Some(row)
    }

    /// Units that shall run and do not, with the reason of each.
    pub(crate) fn failing_units(&self) -> Vec<String> {
        let good = self.units.all().filter(|unit| {
            let wanted = self.supervisor.goal(*unit) == supervisor::Goal::Up;
            match self.supervisor.state(*unit) {
                State::Failed { .. } | State::Backoff { .. } => true,
                State::Waiting => wanted,
                State::Inactive
                | State::Scheduled
                | State::Preparing { .. }
                | State::PreStart { .. }
                | State::Starting { .. }
                | State::Started { .. }
                | State::Running { .. }
                | State::PreStop { .. }
                | State::Stopping { .. }
                | State::PostStop { .. }
                | State::Releasing { .. }
                | State::Finished { .. }
                | State::Skipped { .. } => false,
            }
        });
        let good = good.filter_map(|id| {
            let unit = self.units.get(id)?;
            Some(format!("{} ({})", unit.name, self.reason(id)))
        });
        let bad = self.units.bad().iter();
        let bad = bad.map(|bad| format!("{} (the unit file has mistakes)", bad.name));
        good.chain(bad).collect()
    }
}

/// As the unit file says; what the image adds is known when it runs.
pub(crate) fn configured(container: &ContainerUnit) -> Option<&[String]> {
    let words = container.container.command.as_ref();
    let words = words.or(container.container.entrypoint.as_ref());
    words.map(Vec::as_slice)
}

/// What such a state is for has to be known.
fn says_why(state: &State) -> bool {
    match state {
        State::Started { .. } | State::Backoff { .. } | State::Failed { .. } => true,
        State::Inactive
        | State::Scheduled
        | State::Waiting
        | State::Preparing { .. }
        | State::PreStart { .. }
        | State::Starting { .. }
        | State::Running { .. }
        | State::PreStop { .. }
        | State::Stopping { .. }
        | State::PostStop { .. }
        | State::Releasing { .. }
        | State::Finished { .. }
        | State::Skipped { .. } => false,
    }
}
