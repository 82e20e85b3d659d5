//! What `ps` lists: a row for each unit, from what is known here. Only for its memory the kernel is asked, with one read of
//! one file that stays open from the first listing on ([`crate::run::Run::memory`]), and only of a unit that runs.

use crate::machine::Machine;
use crate::status::{health_name, push_port};
use control::row::{
    ROW_COMMAND_CHARACTERS, ROW_PORTS_MAX, ROW_REASON_CHARACTERS, Rows, UnitRow, cut,
    push_command_line,
};
use supervisor::{HealthStatus, State, UnitId};
use sys::clock::since_boot_ms;
use unit::{ContainerUnit, Port, UnitKind};

/// What of a row is put together: its texts are written in the same place for each.
#[derive(Default)]
struct Made {
    command: String,
    ports: String,
}

impl Machine {
    pub(crate) fn rows(&self, memory: bool) -> Rows {
        let now = since_boot_ms();
        let mut made = Made::default();
        let bad = self.units.bad();
        let mut rows = Rows::with_room(self.units.set().len().saturating_add(bad.len()));
        for unit in self.units.all() {
            if let Some(row) = self.row(unit, now, memory, &mut made) {
                rows.push(&row);
            }
        }
        for bad in bad {
            rows.push(&UnitRow {
                name: bad.name.as_str().into(),
                state: "failed".into(),
                reason: "the unit file has mistakes".into(),
                bad: true,
                ..UnitRow::default()
            });
        }
        rows
    }

    fn row<'a>(
        &'a self,
        id: UnitId,
        now: u64,
        memory: bool,
        made: &'a mut Made,
    ) -> Option<UnitRow<'a>> {
        let unit = self.units.get(id)?;
        let state = self.supervisor.state(id);
        let next_start = self.supervisor.next_start(id);
        let mut row = UnitRow {
            name: unit.name.as_str().into(),
            state: state.name().into(),
            age_ms: now.saturating_sub(self.supervisor.since(id).0),
            next_start_ms: next_start.map(|at| at.0.saturating_sub(now)),
            ..UnitRow::default()
        };
        if says_why(state) {
            let reason = self.reason(id);
            row.reason = cut(&reason, ROW_REASON_CHARACTERS).to_owned().into();
        }
        let UnitKind::Container(container) = &unit.kind else {
            return Some(row);
        };
        row.image = container.container.image.as_str().into();
        let executed = self
            .prepared_of(id)
            .map(|prepared| prepared.argv.as_slice());
        let command = executed.or_else(|| configured(container));
        made.command.clear();
        push_command_line(
            &mut made.command,
            command.unwrap_or_default(),
            ROW_COMMAND_CHARACTERS,
        );
        row.command = made.command.as_str().into();
        let run = self.live_run(id);
        let attached = run.and_then(|run| self.network.attached(run.run));
        match attached {
            Some(attached) => row.set_ports(&attached.ports),
            None => {
                made.ports.clear();
                push_ports(&mut made.ports, &container.ports);
                row.ports = made.ports.as_str().into();
                row.more_ports = container.ports.len().saturating_sub(ROW_PORTS_MAX) as u64;
            }
        }
        let Some(run) = run else { return Some(row) };
        if memory {
            row.memory = run.memory();
        }
        row.paused = self.supervisor.is_paused(id);
        if let Some(health) = self.supervisor.health_view(id) {
            row.health = health_name(health.status).into();
            if health.status == HealthStatus::Unhealthy {
                row.failures = health.failures;
                row.reason = cut(health.reason, ROW_REASON_CHARACTERS).into();
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

/// The first of those that a unit file has.
fn push_ports(text: &mut String, ports: &[Port]) {
    for (place, port) in ports.iter().take(ROW_PORTS_MAX).enumerate() {
        if place > 0 {
            text.push_str(", ");
        }
        push_port(text, port);
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

#[cfg(test)]
mod tests {
    use super::*;
    use unit::Protocol;

    #[test]
    fn ports_are_told_as_docker_tells_them() {
        let tcp = Port {
            host_ip: None,
            host_port: Some(8080),
            container_port: 80,
            count: 1,
            protocol: Protocol::Tcp,
        };
        let span = Port {
            host_ip: Some("127.0.0.1".parse().unwrap()),
            host_port: Some(7000),
            container_port: 65_530,
            count: 6,
            protocol: Protocol::Udp,
        };
        let any = Port {
            host_port: None,
            ..tcp.clone()
        };
        let mut text = String::new();
        push_ports(&mut text, &[tcp.clone(), span, any]);
        let all = "0.0.0.0:8080->80/tcp, 127.0.0.1:7000-7005->65530-65535/udp, 0.0.0.0:*->80/tcp";
        assert_eq!(text, all);
        text.clear();
        push_ports(&mut text, &vec![tcp; ROW_PORTS_MAX + 3]);
        assert_eq!(text.matches("->").count(), ROW_PORTS_MAX);
    }
}
