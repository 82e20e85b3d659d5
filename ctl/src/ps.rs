//! `keelctl ps`: all units in a table.

use crate::failure::Failure;
use crate::options::Invocation;
use crate::output::Colour;
use crate::table::{Cell, table};
use crate::{human, output};
use control::machine::{Machine, Patience};
use control::reply::{Reply, UnitStatus};
use control::request::Request;
use control::row::{ROW_COMMAND_CHARACTERS, UnitRow};
use std::borrow::Cow;

/// Characters of a command in the table; `status` and `--json` have all of it. A row has one more, by which it is seen that
/// something was cut off.
const COMMAND_CHARACTERS: usize = ROW_COMMAND_CHARACTERS - 1;
/// Of what it waits for.
const REASON_CHARACTERS: usize = 30;

pub(crate) fn ps(invocation: &Invocation, machine: &Machine, quiet: bool) -> Result<(), Failure> {
    if invocation.json {
        return output::json(&ask_all(invocation, machine)?);
    }
    let units = ask(invocation, machine, !quiet)?;
    if quiet {
        let names: String = units
            .iter()
            .map(|unit| human::printable(&unit.name) + "\n")
            .collect();
        return output::print(&names);
    }
    output::print(&render(&units, output::coloured()))
}

/// A row of each, with its memory or without.
pub(crate) fn ask(
    invocation: &Invocation,
    machine: &Machine,
    memory: bool,
) -> Result<Vec<UnitRow>, Failure> {
    let request = Request::List { memory };
    match machine.ask(&request, invocation.patience(Patience::USUAL), |_| {})? {
        Reply::Rows(units) => Ok(units),
        other => Err(Failure::from_reply(other)),
    }
}

/// All about each.
pub(crate) fn ask_all(
    invocation: &Invocation,
    machine: &Machine,
) -> Result<Vec<UnitStatus>, Failure> {
    match machine.ask(&Request::Ps, invocation.patience(Patience::USUAL), |_| {})? {
        Reply::Units(units) => Ok(units),
        other => Err(Failure::from_reply(other)),
    }
}

fn render(units: &[UnitRow], coloured: bool) -> String {
    let rows: Vec<_> = units.iter().map(row).collect();
    table(
        ["NAME", "IMAGE", "COMMAND", "STATE", "AGE", "MEM", "PORTS"],
        &rows,
        coloured,
    )
}

fn row(unit: &UnitRow) -> [Cell<'_>; 7] {
    [
        human::shown(&unit.name).into(),
        or_dash(human::shown(human::image(&unit.image))),
        or_dash(match human::shown(&unit.command) {
            Cow::Borrowed(command) => human::cut(command, COMMAND_CHARACTERS),
            Cow::Owned(command) => human::cut(&command, COMMAND_CHARACTERS).into_owned().into(),
        }),
        Cell::coloured(state(unit), colour(unit)),
        human::age(unit.age_ms).into(),
        unit.memory
            .map_or_else(|| "-".into(), |memory| human::size(memory).into()),
        or_dash(ports(unit)),
    ]
}

fn or_dash(text: Cow<'_, str>) -> Cell<'_> {
    if text.is_empty() {
        "-".into()
    } else {
        text.into()
    }
}

fn ports(unit: &UnitRow) -> Cow<'_, str> {
    if let ([port], 0) = (&unit.ports[..], unit.more_ports) {
        return human::shown(port);
    }
    let mut text = human::printable(&unit.ports.join(", "));
    if unit.more_ports > 0 {
        text.push_str(&format!(" and {} more", unit.more_ports));
    }
    text.into()
}

/// With the one thing about it that an operator has to know: `running (healthy)`.
fn state(unit: &UnitRow) -> Cow<'_, str> {
    let state = human::shown(&unit.state);
    let more: Cow<'_, str> = match (
        unit.state.as_str(),
        unit.next_start_ms,
        unit.health.as_str(),
    ) {
        ("backoff", Some(next), _) => format!("{} to go", human::age(next)).into(),
        _ if unit.paused => "paused".into(),
        ("started", _, _) if !unit.reason.is_empty() => {
            let reason = human::printable(&unit.reason);
            human::cut(&reason, REASON_CHARACTERS).into_owned().into()
        }
        ("running", _, "") => return state,
        ("running", _, "starting") => "health starting".into(),
        ("running", _, health) => human::shown(health),
        (_, _, _) => return state,
    };
    format!("{state} ({more})").into()
}

fn colour(unit: &UnitRow) -> Colour {
    match unit.health.as_str() {
        "unhealthy" if unit.state == "running" => Colour::Red,
        "starting" if unit.state == "running" => Colour::Yellow,
        _ if unit.paused => Colour::Yellow,
        _ => output::state_colour(&unit.state),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_one_row() {
        let redis = UnitRow {
            name: "redis@1".into(),
            image: "docker.io/library/redis:7".into(),
            command: "redis-server --maxmemory 900mb".into(),
            state: "running".into(),
            age_ms: 133_000,
            memory: Some(3 << 20),
            ports: vec!["0.0.0.0:7001->6379/tcp".into()],
            ..UnitRow::default()
        };
        let target = UnitRow {
            name: "default.target".into(),
            state: "backoff".into(),
            next_start_ms: Some(3000),
            ..UnitRow::default()
        };
        let text = "\
NAME            IMAGE    COMMAND                         STATE               AGE     MEM   PORTS
redis@1         redis:7  redis-server --maxmemory 900mb  running             2m 13s  3.0M  0.0.0.0:7001->6379/tcp
default.target  -        -                               backoff (3s to go)  0s      -     -
";
        assert_eq!(render(&[redis, target], false), text);
    }

    #[test]
    fn what_a_row_does_not_have_is_told() {
        let long = UnitRow {
            command: "x".repeat(ROW_COMMAND_CHARACTERS),
            ports: vec!["0.0.0.0:1->1/tcp".into(), "0.0.0.0:2->2/tcp".into()],
            more_ports: 4094,
            ..UnitRow::default()
        };
        let text = render(&[long], false);
        let cut = "x".repeat(COMMAND_CHARACTERS - 1) + "…  ";
        assert!(text.contains(&cut), "{text}");
        let ports = "  0.0.0.0:1->1/tcp, 0.0.0.0:2->2/tcp and 4094 more\n";
        assert!(text.ends_with(ports), "{text}");
    }

    #[test]
    fn the_state_says_what_is_worth_knowing_about_it() {
        let unit = |name: &str, reason: &str, health: &str| UnitRow {
            state: name.into(),
            reason: reason.into(),
            health: health.into(),
            ..UnitRow::default()
        };
        for (unit, text) in [
            (unit("running", "", ""), "running"),
            (unit("running", "", "healthy"), "running (healthy)"),
            (unit("running", "", "starting"), "running (health starting)"),
            (unit("running", "", "unhealthy"), "running (unhealthy)"),
            (unit("stopping", "", "unhealthy"), "stopping"),
            (
                unit("started", "waits for port 6379", ""),
                "started (waits for port 6379)",
            ),
        ] {
            assert_eq!(state(&unit), text);
        }
        let paused = UnitRow {
            paused: true,
            ..unit("running", "", "healthy")
        };
        assert_eq!(state(&paused), "running (paused)");
    }
}
