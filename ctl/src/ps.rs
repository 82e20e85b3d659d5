//! `keelctl ps`: all units in a table.

use crate::failure::Failure;
use crate::options::Invocation;
use crate::output::Colour;
use crate::table::Table;
use crate::{human, output};
use control::frame::FrameError;
use control::machine::{CallError, Machine, Patience};
use control::reply::{Reply, UnitStatus};
use control::request::Request;
use control::row::{ROW_COMMAND_CHARACTERS, Rows, UnitRow, push_number};

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
        let mut names = String::new();
        for unit in &units {
            human::push_shown(&mut names, &unit.map_err(not_a_row)?.name);
            names.push('\n');
        }
        return output::print(&names);
    }
    output::print(&render(&units, output::coloured())?)
}

/// A row of each, with its memory or without.
pub(crate) fn ask(
    invocation: &Invocation,
    machine: &Machine,
    memory: bool,
) -> Result<Rows, Failure> {
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

pub(crate) fn not_a_row(error: FrameError) -> Failure {
    CallError::Frame(error).into()
}

/// Rows for which there is room from the beginning.
const ROWS: usize = 64;

fn render(units: &Rows, coloured: bool) -> Result<String, Failure> {
    let head = ["NAME", "IMAGE", "COMMAND", "STATE", "AGE", "MEM", "PORTS"];
    let mut table = Table::new(head, ROWS);
    for unit in units {
        put(&mut table, &unit.map_err(not_a_row)?);
    }
    Ok(table.render(coloured))
}

fn put(table: &mut Table<7>, unit: &UnitRow<'_>) {
    human::push_shown(table.text(), &unit.name);
    table.end(None);
    human::push_shown(table.text(), human::image(&unit.image));
    table.end_or_dash();
    let command = human::shown(&unit.command);
    human::push_cut(table.text(), &command, COMMAND_CHARACTERS);
    table.end_or_dash();
    push_state(table.text(), unit);
    table.end(Some(colour(unit)));
    human::push_age(table.text(), unit.age_ms);
    table.end(None);
    if let Some(memory) = unit.memory {
        human::push_size(table.text(), memory);
    }
    table.end_or_dash();
    push_ports(table.text(), unit);
    table.end_or_dash();
}

fn push_ports(text: &mut String, unit: &UnitRow<'_>) {
    human::push_shown(text, &unit.ports);
    if unit.more_ports > 0 {
        text.push_str(" and ");
        push_number(text, unit.more_ports);
        text.push_str(" more");
    }
}

/// With the one thing about it that an operator has to know: `running (healthy)`.
fn push_state(text: &mut String, unit: &UnitRow<'_>) {
    human::push_shown(text, &unit.state);
    let begin = text.len();
    text.push_str(" (");
    match (&*unit.state, unit.next_start_ms, &*unit.health) {
        ("backoff", Some(next), _) => {
            human::push_age(text, next);
            text.push_str(" to go");
        }
        _ if unit.paused => text.push_str("paused"),
        ("started", _, _) if !unit.reason.is_empty() => {
            let reason = human::shown(&unit.reason);
            human::push_cut(text, &reason, REASON_CHARACTERS);
        }
        ("running", _, "") => return text.truncate(begin),
        ("running", _, "starting") => text.push_str("health starting"),
        ("running", _, health) => human::push_shown(text, health),
        (_, _, _) => return text.truncate(begin),
    }
    text.push(')');
}

fn colour(unit: &UnitRow<'_>) -> Colour {
    match &*unit.health {
        "unhealthy" if unit.state == "running" => Colour::Red,
        "starting" if unit.state == "running" => Colour::Yellow,
        _ if unit.paused => Colour::Yellow,
        _ => output::state_colour(&unit.state),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown<const N: usize>(units: [UnitRow<'_>; N]) -> String {
        render(&units.into_iter().collect(), false).unwrap()
    }

    fn state(unit: &UnitRow<'_>) -> String {
        let mut text = String::new();
        push_state(&mut text, unit);
        text
    }

    #[test]
    fn a_unit_is_one_row() {
        let redis = UnitRow {
            name: "redis@1".into(),
            image: "docker.io/library/redis:7".into(),
            command: "redis-server --maxmemory 900mb".into(),
            state: "running".into(),
            age_ms: 133_000,
            memory: Some(3 << 20),
            ports: "0.0.0.0:7001->6379/tcp".into(),
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
        assert_eq!(shown([redis, target]), text);
    }

    #[test]
    fn what_a_row_does_not_have_is_told() {
        let long = UnitRow {
            command: "x".repeat(ROW_COMMAND_CHARACTERS).into(),
            ports: "0.0.0.0:1->1/tcp, 0.0.0.0:2->2/tcp".into(),
            more_ports: 4094,
            ..UnitRow::default()
        };
        let text = shown([long]);
        let cut = "x".repeat(COMMAND_CHARACTERS - 1) + "…  ";
        assert!(text.contains(&cut), "{text}");
        let ports = "  0.0.0.0:1->1/tcp, 0.0.0.0:2->2/tcp and 4094 more\n";
        assert!(text.ends_with(ports), "{text}");
    }

    #[test]
    fn the_state_says_what_is_worth_knowing_about_it() {
        let unit = |name: &'static str, reason: &'static str, health: &'static str| UnitRow {
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
