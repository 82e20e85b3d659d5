//! `keelctl status`: a unit in detail, or the machine in short.

use crate::failure::Failure;
use crate::graph::{self, Direction, tree};
use crate::options::Invocation;
use crate::output::{self, Colour, paint};
use crate::{human, logs, ps, top};
use control::machine::{Machine, Patience};
use control::reply::{Reply, UnitHealth, UnitStatus};
use control::request::{LogsRequest, Request};
use control::row::UnitRow;

/// Log lines shown below a unit.
const LOG_LINES: u64 = 10;

pub(crate) fn status(
    invocation: &Invocation,
    machine: &Machine,
    names: &[String],
) -> Result<(), Failure> {
    if names.is_empty() {
        return overview(invocation, machine);
    }
    let patience = invocation.patience(Patience::USUAL);
    let mut units = Vec::new();
    for name in names {
        match machine.ask(&Request::Status { unit: name.clone() }, patience, |_| {})? {
            Reply::Unit(unit) => units.push(*unit),
            other => return Err(Failure::from_reply(other)),
        }
    }
    if invocation.json {
        return match &units[..] {
            [unit] => output::json(unit),
            several => output::json(several),
        };
    }
    let coloured = output::coloured();
    for (number, unit) in units.iter().enumerate() {
        let gap = if number > 0 { "\n" } else { "" };
        output::print(&format!("{gap}{}", render(unit, coloured)))?;
        let graph = graph::kin(machine, &unit.name, patience)?;
        for (title, direction) in [
            ("Needs", Direction::Needs),
            ("Needed by", Direction::NeededBy),
        ] {
            let grown = tree(&graph, &unit.name, direction, coloured);
            if !grown.is_empty() {
                output::print(&format!("\n{title}\n{grown}"))?;
            }
        }
        if unit.kind == "container" {
            output::print(&last_lines(machine, &unit.name, patience))?;
        }
    }
    Ok(())
}

fn last_lines(machine: &Machine, unit: &str, patience: Patience) -> String {
    let request = LogsRequest {
        units: vec![unit.to_owned()],
        tail: Some(LOG_LINES),
        prefix: true,
        ..LogsRequest::default()
    };
    match logs::collect(machine, request, patience) {
        Ok(text) if text.is_empty() => String::new(),
        Ok(text) => {
            let lines: String = text
                .lines()
                .map(|line| human::printable(line) + "\n")
                .collect();
            format!("\n{lines}")
        }
        Err(failure) => format!("\n(no log lines: {failure})\n"),
    }
}

fn overview(invocation: &Invocation, machine: &Machine) -> Result<(), Failure> {
    if invocation.json {
        return output::json(&ps::ask_all(invocation, machine)?);
    }
    let rows = ps::ask(invocation, machine, false)?;
    let units: Result<Vec<_>, _> = rows.iter().collect();
    let units = units.map_err(ps::not_a_row)?;
    let warnings = top::ask(invocation, machine)?.warnings;
    output::print(&render_overview(&units, &warnings, output::coloured()))
}

/// Whether an operator has to look at it.
fn needs_attention(unit: &UnitRow<'_>) -> bool {
    matches!(&*unit.state, "failed" | "backoff") || unit.bad || is_unhealthy(unit)
}

fn is_unhealthy(unit: &UnitRow<'_>) -> bool {
    unit.health == "unhealthy"
}

fn render_overview(units: &[UnitRow<'_>], warnings: &[String], coloured: bool) -> String {
    let mut states: Vec<(&str, usize)> = Vec::new();
    for unit in units {
        match states.iter_mut().find(|(state, _)| *state == unit.state) {
            Some((_, count)) => *count += 1,
            None => states.push((&unit.state, 1)),
        }
    }
    states.sort_by_key(|(state, count)| (std::cmp::Reverse(*count), *state));
    let counts: Vec<String> = states
        .iter()
        .map(|(state, count)| format!("{count} {}", human::printable(state)))
        .collect();
    let attention: Vec<&UnitRow<'_>> = units.iter().filter(|unit| needs_attention(unit)).collect();
    let (word, colour) = if attention.is_empty() && warnings.is_empty() {
        ("well", Colour::Green)
    } else {
        ("degraded", Colour::Red)
    };
    let mut text = format!(
        "{} {word}: {} units ({})\n",
        paint("●", colour, coloured),
        units.len(),
        counts.join(", ")
    );
    for warning in warnings {
        let machine = paint("the machine", Colour::Red, coloured);
        text.push_str(&format!("  {machine}: {}\n", human::printable(warning)));
    }
    for unit in attention {
        let state = paint(&unit.state, output::state_colour(&unit.state), coloured);
        let reason = if is_unhealthy(unit) {
            health_text(&UnitHealth {
                status: unit.health.clone().into_owned(),
                failures: unit.failures,
                reason: unit.reason.clone().into_owned(),
                ..UnitHealth::default()
            })
        } else {
            unit.reason.clone().into_owned()
        };
        text.push_str(&format!(
            "  {} {state}: {}\n",
            human::printable(&unit.name),
            human::printable(&reason)
        ));
    }
    text
}

fn render(unit: &UnitStatus, coloured: bool) -> String {
    let colour = output::state_colour(&unit.state);
    let mut text = format!(
        "{} {}",
        paint("●", colour, coloured),
        human::printable(&unit.name)
    );
    if !unit.description.is_empty() {
        text.push_str(&format!(" - {}", human::printable(&unit.description)));
    }
    text.push('\n');
    for (name, value) in fields(unit) {
        let value = human::printable(&value);
        let value = if name == "State" {
            paint(&value, colour, coloured)
        } else {
            value
        };
        text.push_str(&format!("{name:>12}: {value}\n"));
    }
    for diagnostic in &unit.diagnostics {
        text.push_str(&format!(
            "\n{}\n",
            paint(&human::printable(diagnostic), Colour::Red, coloured)
        ));
    }
    text
}

/// What is worth a line, in the order in which an operator asks for it.
fn fields(unit: &UnitStatus) -> Vec<(&'static str, String)> {
    let mut fields = Vec::new();
    let mut add = |name, value: String| {
        if !value.is_empty() {
            fields.push((name, value));
        }
    };
    let wish = match (unit.goal.as_str(), unit.state.as_str()) {
        ("down", state) if state != "inactive" => ", to be stopped",
        ("up", "inactive") => ", to be started",
        _ => "",
    };
    add(
        "State",
        format!("{} for {}{wish}", unit.state, human::age(unit.age_ms)),
    );
    add("Reason", unit.reason.clone());
    add("Says", unit.status.clone());
    add("Note", unit.notes.join("; "));
    add("Waits for", unit.waits_for.join(", "));
    if unit.replacing {
        add("Replaced", "a new version is on its way".into());
    }
    add(
        "Not replaced",
        unit.replace_problem.clone().unwrap_or_default(),
    );
    add(
        "Paused",
        if unit.paused {
            "yes".to_owned()
        } else {
            String::new()
        },
    );
    let health = unit.health.as_ref();
    add("Health", health.map(health_text).unwrap_or_default());
    add(
        "Probe",
        health
            .map(|health| health.probe.clone())
            .unwrap_or_default(),
    );
    add(
        "Next start",
        unit.next_start_ms
            .map_or_else(String::new, |next| format!("in {}", human::age(next))),
    );
    add("Last exit", unit.last_exit.clone().unwrap_or_default());
    let failure = unit.last_failure.clone();
    add(
        "Last failure",
        failure
            .filter(|failure| !unit.reason.contains(failure.as_str()))
            .filter(|failure| unit.last_exit.as_ref() != Some(failure))
            .unwrap_or_default(),
    );
    add("Limit hit", unit.limit.clone().unwrap_or_default());
    add(
        "Restarts",
        if unit.restarts > 0 {
            unit.restarts.to_string()
        } else {
            String::new()
        },
    );
    add("Image", unit.image.clone());
    add("Command", human::command(&unit.command));
    add(
        "Main PID",
        unit.pid.map_or_else(String::new, |pid| pid.to_string()),
    );
    add("Memory", memory(unit));
    add("Processes", processes(unit));
    add("Address", unit.address.clone().unwrap_or_default());
    add("Ports", unit.ports.join(", "));
    add("After", unit.after.join(", "));
    add("At boot", unit.enablement.clone());
    add("Source", unit.source.clone());
    fields
}

/// `healthy`, `unhealthy, 3 failures in a row: HTTP 404 from /`
fn health_text(health: &UnitHealth) -> String {
    let reason = match health.reason.as_str() {
        "" => String::new(),
        reason => format!(": {reason}"),
    };
    match (health.status.as_str(), health.failures) {
        ("healthy", 0) => health.status.clone(),
        (_, 0) => format!("{}{reason}", health.status),
        ("unhealthy", failures) => {
            format!("unhealthy, {failures} failures in a row{reason}")
        }
        (status, failures) => {
            format!(
                "{status}, {failures} of {} failures{reason}",
                health.retries
            )
        }
    }
}

fn memory(unit: &UnitStatus) -> String {
    match (unit.memory, unit.memory_max) {
        (Some(now), Some(max)) => format!("{} of {}", human::size(now), human::size(max)),
        (Some(now), None) => format!("{}, no limit", human::size(now)),
        (None, Some(max)) => format!("limit {}", human::size(max)),
        (None, None) => String::new(),
    }
}

/// Those of a unit that does not run are not worth a line.
fn processes(unit: &UnitStatus) -> String {
    match (unit.pids, unit.pids_max) {
        (Some(now), Some(max)) if now >= max => {
            format!("{now} of {max}: as many as resources.pids allows")
        }
        (Some(now), Some(max)) => format!("{now} of {max}"),
        (Some(now), None) => now.to_string(),
        (None, _) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redis() -> UnitStatus {
        UnitStatus {
            name: "redis@3".into(),
            kind: "container".into(),
            description: "Redis, the third".into(),
            state: "backoff".into(),
            reason: "killed by SIGKILL (out of memory)".into(),
            goal: "up".into(),
            image: "docker.io/library/redis:7".into(),
            command: vec!["redis-server".into()],
            address: Some("10.88.0.4".into()),
            ports: vec!["0.0.0.0:7003->6379/tcp".into()],
            age_ms: 300,
            restarts: 4,
            memory_max: Some(1 << 30),
            last_exit: Some("killed by SIGKILL (out of memory)".into()),
            next_start_ms: Some(3200),
            source: "/usr/lib/keelson/units/redis@.container.toml".into(),
            after: vec!["network.target".into()],
            ..UnitStatus::default()
        }
    }

    #[test]
    fn processes_in_use_are_shown_with_their_limit() {
        let with = |now| UnitStatus {
            pids: Some(now),
            pids_max: Some(12),
            ..redis()
        };
        assert!(render(&with(3), false).contains("Processes: 3 of 12\n"));
        let full = render(&with(12), false);
        assert!(
            full.contains("12 of 12: as many as resources.pids allows"),
            "{full}"
        );
        assert!(!render(&redis(), false).contains("Processes"));
    }

    #[test]
    fn a_unit_says_why_it_is_as_it_is() {
        let text = "\
● redis@3 - Redis, the third
       State: backoff for 0s
      Reason: killed by SIGKILL (out of memory)
  Next start: in 3s
   Last exit: killed by SIGKILL (out of memory)
    Restarts: 4
       Image: docker.io/library/redis:7
     Command: redis-server
      Memory: limit 1.0G
     Address: 10.88.0.4
       Ports: 0.0.0.0:7003->6379/tcp
       After: network.target
      Source: /usr/lib/keelson/units/redis@.container.toml
";
        assert_eq!(render(&redis(), false), text);
    }

    #[test]
    fn a_new_version_is_told_of_on_its_way_and_when_it_does_not_come() {
        let mut web = UnitStatus {
            name: "web".into(),
            state: "running".into(),
            age_ms: 61_000,
            replacing: true,
            image: "web:1".into(),
            ..UnitStatus::default()
        };
        let text = "\
● web
       State: running for 1m 1s
    Replaced: a new version is on its way
       Image: web:1
";
        assert_eq!(render(&web, false), text);
        web.replacing = false;
        web.replace_problem = Some("it did not get ready within update.health_wait".into());
        let text = "\
● web
       State: running for 1m 1s
Not replaced: it did not get ready within update.health_wait
       Image: web:1
";
        assert_eq!(render(&web, false), text);
    }

    #[test]
    fn the_machine_is_degraded_when_a_unit_or_itself_needs_attention() {
        let well = UnitRow {
            name: "web".into(),
            state: "running".into(),
            ..UnitRow::default()
        };
        assert_eq!(
            render_overview(std::slice::from_ref(&well), &[], false),
            "● well: 1 units (1 running)\n"
        );
        let full = "THE STATE PARTITION IS NEARLY FULL: 40.0 MiB of 1.0 GiB are free";
        assert_eq!(
            render_overview(std::slice::from_ref(&well), &[full.into()], false),
            format!("● degraded: 1 units (1 running)\n  the machine: {full}\n")
        );
        let text = "\
● degraded: 2 units (1 backoff, 1 running)
  redis@3 backoff: killed by SIGKILL (out of memory)
";
        let redis = UnitRow {
            name: "redis@3".into(),
            state: "backoff".into(),
            reason: "killed by SIGKILL (out of memory)".into(),
            ..UnitRow::default()
        };
        assert_eq!(render_overview(&[well, redis], &[], false), text);
    }

    #[test]
    fn health_is_told_with_its_counters_and_the_last_failure() {
        let health = |status: &str, failures, reason: &str| UnitHealth {
            status: status.into(),
            failures,
            retries: 3,
            reason: reason.into(),
            ..UnitHealth::default()
        };
        let refused = "connection refused on 127.0.0.1:80";
        for (health, text) in [
            (health("healthy", 0, refused), "healthy".to_owned()),
            (health("starting", 0, ""), "starting".to_owned()),
            (
                health("starting", 0, refused),
                format!("starting: {refused}"),
            ),
            (
                health("healthy", 2, refused),
                format!("healthy, 2 of 3 failures: {refused}"),
            ),
            (
                health("unhealthy", 4, refused),
                format!("unhealthy, 4 failures in a row: {refused}"),
            ),
        ] {
            assert_eq!(health_text(&health), text);
        }
        let ill = UnitRow {
            name: "web".into(),
            state: "running".into(),
            health: "unhealthy".into(),
            failures: 3,
            reason: refused.into(),
            ..UnitRow::default()
        };
        assert_eq!(
            render_overview(&[ill], &[], false),
            format!(
                "● degraded: 1 units (1 running)\n  web running: unhealthy, 3 failures in a row: {refused}\n"
            )
        );
    }
}
