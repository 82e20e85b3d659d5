//! `keelctl ps`: all units in a table.

use crate::failure::Failure;
use crate::options::Invocation;
use crate::table::{Cell, table};
use crate::{human, output};
use control::machine::{Machine, Patience};
use control::reply::{Reply, UnitStatus};
use control::request::Request;

/// Characters of a command in the table; `status` and `--json` have all of it.
const COMMAND_CHARACTERS: usize = 30;

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
    let state = match unit.next_start_ms {
        Some(next) if unit.state == "backoff" => format!("backoff ({} to go)", human::age(next)),
        _ => unit.state.clone(),
    };
    [
        human::printable(&unit.name).into(),
        or_dash(human::printable(human::image(&unit.image))).into(),
        or_dash(human::cut(
            &human::command(&unit.command),
            COMMAND_CHARACTERS,
        ))
        .into(),
        Cell::coloured(state, output::state_colour(&unit.state)),
        human::age(unit.age_ms).into(),
        unit.memory
            .map_or_else(|| "-".to_owned(), human::size)
            .into(),
        or_dash(human::printable(&unit.ports.join(", "))).into(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
