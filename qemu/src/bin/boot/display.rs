//! What a boot looks like to the one who watches: stages with their times as they come, units as they get ready, and in
//! the end how to reach them and how to stop.

use control::reply::UnitStatus;
use qemu::{Forward, Line, Machine, Wanted};
use std::collections::BTreeMap;
use std::time::Duration;
use unit::Protocol;

/// One console line, as it is shown; none: it is only in the log.
pub(crate) fn console_line(line: &Line) -> Option<String> {
    let at = line.at.as_secs_f32();
    let Some((_, ours)) = line.text.split_once("keelson: ") else {
        let serious = !qemu::check_serial_log(&line.text).is_empty();
        return serious.then(|| format!("[{at:>6.1}s] {}", line.text.trim()));
    };
    Some(match stage(ours) {
        Some((name, "ok", time)) => format!("[{at:>6.1}s] stage {name:<10} ok     {time}"),
        Some((name, outcome, time)) => format!("[{at:>6.1}s] stage {name:<10} {outcome} {time}"),
        None => format!("[{at:>6.1}s] {ours}"),
    })
}

/// `stage NAME ok|failed REST`
fn stage(text: &str) -> Option<(&str, &str, &str)> {
    let (name, rest) = text.strip_prefix("stage ")?.split_once(' ')?;
    let (outcome, rest) = rest.split_once(' ')?;
    Some((name, outcome, rest))
}

/// What changed among the units since the last look.
#[derive(Debug, Default)]
pub(crate) struct Units {
    states: BTreeMap<String, String>,
}

impl Units {
    /// A line for each unit that has come to an end or to rest.
    pub(crate) fn changes(
        &mut self,
        at: Duration,
        units: &[UnitStatus],
        forwards: &[Forward],
    ) -> Vec<String> {
        let mut lines = Vec::new();
        for unit in units.iter().filter(|unit| unit.kind == "container") {
            let before = self.states.insert(unit.name.clone(), unit.state.clone());
            let is_news = matches!(
                unit.state.as_str(),
                "running" | "finished" | "failed" | "backoff"
            );
            if !is_news || before.as_ref() == Some(&unit.state) {
                continue;
            }
            let what = if unit.state == "running" {
                addresses(&unit.name, forwards)
            } else {
                unit.reason.clone()
            };
            let line = format!(
                "[{:>6.1}s] unit  {:<10} {} {what}",
                at.as_secs_f32(),
                unit.name,
                unit.state
            );
            lines.push(line.trim_end().to_owned());
        }
        lines
    }
}

fn addresses(unit: &str, forwards: &[Forward]) -> String {
    let own = forwards
        .iter()
        .filter(|forward| forward.unit.as_deref() == Some(unit));
    own.map(|forward| format!("{}:{}", forward.host_address, forward.host_port))
        .collect::<Vec<_>>()
        .join(" ")
}

/// Ports that are reachable at another number than they were asked for.
pub(crate) fn taken_ports(wanted: &[Wanted], forwards: &[Forward]) -> Vec<String> {
    let moved = wanted.iter().filter_map(|wanted| {
        let host = wanted.host?;
        let same = |forward: &&Forward| {
            forward.protocol == wanted.protocol && forward.guest_port == wanted.guest
        };
        let forward = forwards
            .iter()
            .find(same)
            .filter(|forward| forward.host_port != host)?;
        Some(format!(
            "port {host} of this host is taken: {}:{} leads to port {} of the machine instead",
            forward.host_address, forward.host_port, forward.guest_port
        ))
    });
    moved.collect()
}

/// How to go on, once it runs.
pub(crate) fn summary(machine: &Machine, units: &[UnitStatus], stop: &str) -> String {
    let forwards = machine.forwards();
    let mut text = String::new();
    if !forwards.is_empty() {
        text.push_str("\nReachable from this host:\n");
        forwards
            .iter()
            .for_each(|forward| text.push_str(&format!("  {}\n", reach(forward, units))));
    }
    let folder = machine.folder();
    text.push_str(
        "\nLook around:      cargo keelctl ps      (status, logs -f, exec, boot-chart, …)\n",
    );
    text.push_str(&format!(
        "Serial console:   {}\n",
        folder.console_log().display()
    ));
    text.push_str(&format!(
        "Ports, as JSON:   {}\n",
        folder.ports_file().display()
    ));
    text.push_str(&format!("Stop:             {stop}\n"));
    text
}

fn reach(forward: &Forward, units: &[UnitStatus]) -> String {
    let unit = units
        .iter()
        .find(|unit| Some(&unit.name) == forward.unit.as_ref());
    let is_redis = unit.is_some_and(|unit| unit.image.contains("/redis:"));
    let name = forward.unit.as_deref().unwrap_or("");
    if is_redis && forward.protocol == Protocol::Tcp {
        return format!("redis-cli -p {:<5}    {name}", forward.host_port);
    }
    forward.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn shown(text: &str) -> Option<String> {
        console_line(&Line {
            at: Duration::from_millis(2340),
            text: text.to_owned(),
        })
    }

    fn forward(host_port: u16) -> Forward {
        Forward {
            protocol: Protocol::Tcp,
            guest_port: 7001,
            host_address: Ipv4Addr::LOCALHOST,
            host_port,
            unit: Some("redis@1".to_owned()),
        }
    }

    #[test]
    fn stages_are_shown_with_their_times_and_kernel_chatter_is_not() {
        assert_eq!(
            shown("keelson: stage state ok 12 ms").unwrap(),
            "[   2.3s] stage state      ok     12 ms"
        );
        assert_eq!(
            shown("keelson: stage state failed 12 ms: no disk").unwrap(),
            "[   2.3s] stage state      failed 12 ms: no disk"
        );
        assert_eq!(
            shown("keelson: warning: clock").unwrap(),
            "[   2.3s] warning: clock"
        );
        assert_eq!(shown("[    0.7] pci 0000:00:01.0: [1b36:000c]"), None);
        assert!(shown("[    0.7] Kernel panic - not syncing: no init").is_some());
    }

    #[test]
    fn a_unit_is_told_once_per_state_with_where_to_reach_it() {
        let mut units = Units::default();
        let status = |state: &str| UnitStatus {
            name: "redis@1".into(),
            kind: "container".into(),
            state: state.into(),
            reason: "exited 1".into(),
            ..UnitStatus::default()
        };
        let at = Duration::from_secs(3);
        assert_eq!(
            units.changes(at, &[status("preparing")], &[]),
            Vec::<String>::new()
        );
        assert_eq!(
            units.changes(at, &[status("running")], &[forward(7001)]),
            ["[   3.0s] unit  redis@1    running 127.0.0.1:7001"]
        );
        assert_eq!(
            units.changes(at, &[status("running")], &[forward(7001)]),
            Vec::<String>::new()
        );
        assert_eq!(
            units.changes(at, &[status("failed")], &[]),
            ["[   3.0s] unit  redis@1    failed exited 1"]
        );
    }

    #[test]
    fn a_port_that_is_taken_on_this_host_is_said() {
        let wanted = [Wanted::tcp(7001).on(7001)];
        assert_eq!(taken_ports(&wanted, &[forward(7001)]), Vec::<String>::new());
        let lines = taken_ports(&wanted, &[forward(40001)]);
        assert_eq!(
            lines,
            [
                "port 7001 of this host is taken: 127.0.0.1:40001 leads to port 7001 of the machine instead"
            ]
        );
    }
}
