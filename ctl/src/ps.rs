//! `keelctl ps`: all units in a table.

use crate::failure::Failure;
use crate::options::Invocation;
use crate::output::Colour;
use crate::table::{Cell, table};
use crate::{human, output};
use control::machine::{Machine, Patience};
use control::reply::{Reply, UnitStatus};
use control::request::Request;

/// Characters of a command in the table; `status` and `--json` have all of it.
const COMMAND_CHARACTERS: usize = 30;
/// Of what it waits for.
const REASON_CHARACTERS: usize = 30;

pub(crate) fn ps(invocation: &Invocation, machine: &Machine, quiet: bool) -> Result<(), Failure> {
    let units = ask(invocation, machine)?;
    if invocation.json {
        return output::json(&units);
    }
    if quiet {
        let names: String = units
            .iter()
            .map(|unit| human::printable(&unit.name) + "\n")
            .collect();
        return output::print(&names);
    }
    output::print(&render(&units, output::coloured()))
}

pub(crate) fn ask(invocation: &Invocation, machine: &Machine) -> Result<Vec<UnitStatus>, Failure> {
    match machine.ask(&Request::Ps, invocation.patience(Patience::USUAL), |_| {})? {
        Reply::Units(units) => Ok(units),
        other => Err(Failure::from_reply(other)),
    }
}

fn render(units: &[UnitStatus], coloured: bool) -> String {
    let rows = units.iter().map(row).collect();
    table(
        ["NAME", "IMAGE", "COMMAND", "STATE", "AGE", "MEM", "PORTS"],
        rows,
        coloured,
    )
}

fn row(unit: &UnitStatus) -> [Cell; 7] {
    let or_dash = |text: String| {
        if text.is_empty() {
            "-".to_owned()
        } else {
            text
        }
    };
    [
        human::printable(&unit.name).into(),
        or_dash(human::printable(human::image(&unit.image))).into(),
        or_dash(human::cut(
            &human::command(&unit.command),
            COMMAND_CHARACTERS,
        ))
        .into(),
        Cell::coloured(state(unit), colour(unit)),
        human::age(unit.age_ms).into(),
        unit.memory
            .map_or_else(|| "-".to_owned(), human::size)
            .into(),
        or_dash(human::printable(&unit.ports.join(", "))).into(),
    ]
}

/// With the one thing about it that an operator has to know: `running (healthy)`.
fn state(unit: &UnitStatus) -> String {
    let health = unit.health.as_ref().map(|health| health.status.as_str());
    let more = match (unit.state.as_str(), unit.next_start_ms, health) {
        ("backoff", Some(next), _) => format!("{} to go", human::age(next)),
        _ if unit.paused => "paused".to_owned(),
        ("started", _, _) if !unit.reason.is_empty() => {
            human::cut(&human::printable(&unit.reason), REASON_CHARACTERS)
        }
        ("running", _, Some("starting")) => "health starting".to_owned(),
        ("running", _, Some(health)) => human::printable(health),
        (_, _, _) => return human::printable(&unit.state),
    };
    format!("{} ({more})", human::printable(&unit.state))
}

fn colour(unit: &UnitStatus) -> Colour {
    match &unit.health {
        Some(health) if unit.state == "running" && health.status == "unhealthy" => Colour::Red,
        Some(health) if unit.state == "running" && health.status == "starting" => Colour::Yellow,
        _ if unit.paused => Colour::Yellow,
        Some(_) | None => output::state_colour(&unit.state),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use control::reply::UnitHealth;

    #[test]
    fn a_unit_is_one_row() {
        let redis = UnitStatus {
            name: "redis@1".into(),
            image: "docker.io/library/redis:7".into(),
            command: vec!["redis-server".into(), "--maxmemory".into(), "900mb".into()],
            state: "running".into(),
            age_ms: 133_000,
            memory: Some(3 << 20),
            ports: vec!["0.0.0.0:7001->6379/tcp".into()],
            ..UnitStatus::default()
        };
        let target = UnitStatus {
            name: "default.target".into(),
            state: "backoff".into(),
            next_start_ms: Some(3000),
            ..UnitStatus::default()
        };
        let text = "\
NAME            IMAGE    COMMAND                         STATE               AGE     MEM   PORTS
redis@1         redis:7  redis-server --maxmemory 900mb  running             2m 13s  3.0M  0.0.0.0:7001->6379/tcp
default.target  -        -                               backoff (3s to go)  0s      -     -
";
        assert_eq!(render(&[redis, target], false), text);
    }

    #[test]
    fn the_state_says_what_is_worth_knowing_about_it() {
        let unit = |name: &str, reason: &str, health: &str| UnitStatus {
            state: name.into(),
            reason: reason.into(),
            health: (!health.is_empty()).then(|| UnitHealth {
                status: health.into(),
                ..UnitHealth::default()
            }),
            ..UnitStatus::default()
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
        let paused = UnitStatus {
            paused: true,
            ..unit("running", "", "healthy")
        };
        assert_eq!(state(&paused), "running (paused)");
    }
}
