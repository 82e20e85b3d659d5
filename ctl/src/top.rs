//! `keelctl top`: memory, and what the machine's own programs use.

use crate::failure::Failure;
use crate::options::Invocation;
use crate::table::{Cell, table};
use crate::{human, output};
use control::machine::{Machine, Patience};
use control::reply::{Program, Reply, Top, Turns};
use control::request::Request;

pub(crate) fn top(invocation: &Invocation, machine: &Machine) -> Result<(), Failure> {
    let top = ask(invocation, machine)?;
    if invocation.json {
        return output::json(&top);
    }
    output::print(&render(&top))
}

pub(crate) fn ask(invocation: &Invocation, machine: &Machine) -> Result<Top, Failure> {
    let patience = invocation.patience(Patience::USUAL);
    match machine.ask(&Request::Top, patience, |_| {})? {
        Reply::Top(top) => Ok(*top),
        other => Err(Failure::from_reply(other)),
    }
}

fn render(top: &Top) -> String {
    let system: u64 = top.programs.iter().map(|program| program.pss).sum();
    let head = format!(
        "up {}, memory {}, available {}\nstate: {}, available {}, {}\ncontainers: {} in {}\nsystem: {} in {}\n{}{}\n",
        human::age(top.uptime_ms),
        human::size(top.memory),
        human::size(top.memory_available),
        human::size(top.state),
        human::size(top.state_available),
        match &top.state_device {
            Some(device) => format!("on {}", human::printable(device)),
            None => "in memory".to_owned(),
        },
        human::size(top.containers_memory),
        counted(top.containers_threads, "thread", "threads"),
        human::size(system),
        counted(top.programs.len() as u64, "process", "processes"),
        turns(&top.turns),
        warnings(top),
    );
    let rows: Vec<_> = top.programs.iter().map(row).collect();
    head + &table(["PROGRAM", "PID", "PSS", "CPU", "FDS"], &rows, false)
}

/// An older machine does not tell.
fn turns(turns: &Turns) -> String {
    match turns.count() {
        0 => String::new(),
        count => format!(
            "PID 1: {} of its loop, the longest took {}.{} ms\n",
            counted(count, "turn", "turns"),
            turns.longest_us / 1000,
            turns.longest_us % 1000 / 100
        ),
    }
}

fn warnings(top: &Top) -> String {
    let lines = top.warnings.iter().map(|line| human::printable(line));
    lines.map(|line| format!("warning: {line}\n")).collect()
}

fn counted(count: u64, one: &str, several: &str) -> String {
    let what = if count == 1 { one } else { several };
    format!("{count} {what}")
}

fn row(program: &Program) -> [Cell<'_>; 5] {
    [
        human::printable(&program.name).into(),
        program.pid.to_string().into(),
        human::size(program.pss).into(),
        format!(
            "{}.{:02}s",
            program.cpu_ms / 1000,
            program.cpu_ms % 1000 / 10
        )
        .into(),
        program.descriptors.to_string().into(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_of_the_system_are_listed_below_their_sum() {
        let program = |name: &str, pid, pss| Program {
            name: name.into(),
            pid,
            pss,
            descriptors: 12,
            cpu_ms: 1250,
        };
        let top = Top {
            uptime_ms: 133_000,
            memory: 2 << 30,
            memory_available: 1900 << 20,
            memory_free: 1800 << 20,
            memory_at_hand: 4 << 20,
            containers_memory: 10 << 20,
            containers_threads: 1,
            state_device: Some("/dev/vda3".into()),
            state: 8 << 30,
            state_available: 200 << 20,
            warnings: vec!["THE STATE PARTITION IS NEARLY FULL".into()],
            programs: vec![program("init", 1, 2 << 20), program("netd", 64, 1 << 20)],
            turns: Turns {
                by_length: vec![1000, 20, 3],
                longest_us: 3_250,
                longest_at_ms: 1_000,
            },
        };
        let text = "\
up 2m 13s, memory 2.0G, available 1.9G
state: 8.0G, available 200M, on /dev/vda3
containers: 10M in 1 thread
system: 3.0M in 2 processes
PID 1: 1023 turns of its loop, the longest took 3.2 ms
warning: THE STATE PARTITION IS NEARLY FULL

PROGRAM  PID  PSS   CPU    FDS
init     1    2.0M  1.25s  12
netd     64   1.0M  1.25s  12
";
        assert_eq!(render(&top), text);
    }
}
