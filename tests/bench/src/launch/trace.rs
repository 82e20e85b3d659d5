//! Where the time of one command goes: what the kernel saw of it (tests/bench/floor/src/launch/trace.rs), summed by process.
//!
//! ```text
//! trace: alone  keelctl-402 [001] d.... 22.165179: page_fault_user: address=…     NAME, then a line of tracefs(5)
//! ```
//!
//! The time between two lines belongs to who ran up to the second. On a machine whose clock counts instructions, of which one
//! processor runs at a time, that is what each has executed, and the kernel for it; elsewhere it is not to be added up.

use crate::table::table;
use std::collections::BTreeMap;

/// Who is not part of a command, but of the machine.
const IDLE: u32 = 0;
/// Shown by name; the others are one row.
const ROWS_MAX: usize = 8;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Process {
    /// What it was and became, one after the other.
    names: Vec<String>,
    microseconds: u64,
    calls: u64,
    faults: u64,
}

/// Of one line.
struct Seen<'a> {
    name: &'a str,
    pid: u32,
    microseconds: u64,
    event: &'a str,
    detail: &'a str,
}

/// One table, of the lines that are traced under this name; None: there are none.
pub(crate) fn where_it_goes<'a>(
    name: &str,
    lines: impl Iterator<Item = &'a str>,
) -> Option<String> {
    let mut processes: BTreeMap<u32, Process> = BTreeMap::new();
    let mut before = None;
    for seen in lines.filter_map(|line| see(line, name)) {
        let process = processes.entry(seen.pid).or_default();
        if let Some(before) = before.replace(seen.microseconds) {
            process.microseconds += seen.microseconds.saturating_sub(before);
        }
        match seen.event {
            "sys_enter" => process.calls += 1,
            "page_fault_user" => process.faults += 1,
            "sched_process_exec" => {
                let path = word(seen.detail, "filename=").unwrap_or(seen.name);
                let file = path.rsplit('/').next().unwrap_or(path);
                process.names.push(file.to_owned());
            }
            "sched_process_fork" => {
                let child = word(seen.detail, "child_pid=").and_then(|pid| pid.parse().ok());
                if let (Some(child), Some(name)) = (child, word(seen.detail, "child_comm=")) {
                    let child: &mut Process = processes.entry(child).or_default();
                    child.names = vec![name.to_owned()];
                }
            }
            _ => {}
        }
        // Whoever was there before the command has the name that the line has.
        if let Some(process) = processes.get_mut(&seen.pid)
            && process.names.is_empty()
        {
            process.names.push(seen.name.to_owned());
        }
    }
    if let Some(idle) = processes.get_mut(&IDLE) {
        idle.names = vec!["nobody (waiting for a disk or a timer)".to_owned()];
    }
    let mut all: Vec<Process> = processes.into_values().collect();
    all.sort_by_key(|process| std::cmp::Reverse(process.microseconds));
    let rest = all.split_off(all.len().min(ROWS_MAX));
    let mut rows: Vec<Vec<String>> = all.iter().map(Process::row).collect();
    for (name, these) in [
        ("the others, kernel threads most of all", rest.as_slice()),
        ("together", &[all.as_slice(), rest.as_slice()].concat()),
    ] {
        rows.extend(Process::sum(name, these).map(|sum| sum.row()));
    }
    (rows.len() > 1).then(|| {
        table(
            &["process", "time, ms", "system calls", "page faults"],
            &rows,
        )
    })
}

impl Process {
    fn row(&self) -> Vec<String> {
        vec![
            self.names.join(" → "),
            format!(
                "{}.{:02}",
                self.microseconds / 1000,
                self.microseconds % 1000 / 10
            ),
            self.calls.to_string(),
            self.faults.to_string(),
        ]
    }

    fn sum(name: &str, these: &[Self]) -> Option<Self> {
        (!these.is_empty()).then(|| Self {
            names: vec![name.to_owned()],
            microseconds: these.iter().map(|process| process.microseconds).sum(),
            calls: these.iter().map(|process| process.calls).sum(),
            faults: these.iter().map(|process| process.faults).sum(),
        })
    }
}

/// `trace: NAME COMM-PID [CPU] FLAGS SECONDS: EVENT: DETAIL`
fn see<'a>(line: &'a str, name: &str) -> Option<Seen<'a>> {
    let line = line.strip_prefix("trace: ")?.strip_prefix(name)?;
    let (who, rest) = line.strip_prefix(' ')?.split_once('[')?;
    let (comm, pid) = who.trim().rsplit_once('-')?;
    let mut words = rest.splitn(4, ": ");
    let at = words.next()?.split_whitespace().next_back()?;
    let event = words.next()?;
    let detail = words.next().unwrap_or_default();
    // The one that goes is who has run.
    let pid = match word(detail, "prev_pid=") {
        Some(pid) if event == "sched_switch" => pid,
        Some(_) | None => pid,
    };
    let (seconds, fraction) = at.split_once('.')?;
    Some(Seen {
        name: comm,
        pid: pid.parse().ok()?,
        microseconds: seconds.parse::<u64>().ok()? * 1_000_000 + fraction.parse::<u64>().ok()?,
        event,
        detail,
    })
}

fn word<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let mut words = text.split_whitespace();
    words.find_map(|word| word.strip_prefix(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "\
trace: least agent-9 [000] ..... 1.000000: sys_enter: NR 1 (0)
trace: alone agent-126 [000] ..... 22.000000: sys_enter: NR 2 (206d99, 88000)
trace: alone agent-126 [000] ..... 22.000100: sched_process_fork: comm=agent pid=126 child_comm=agent child_pid=402
trace: alone agent-126 [000] d..2. 22.000150: sched_switch: prev_comm=agent prev_pid=126 prev_prio=120 prev_state=D ==> next_comm=swapper/0 next_pid=0 next_prio=120
trace: alone <idle>-0 [001] d..2. 22.000250: sched_switch: prev_comm=swapper/1 prev_pid=0 prev_prio=120 prev_state=R ==> next_comm=agent next_pid=402 next_prio=120
trace: alone true-402 [001] ..... 22.001250: sched_process_exec: filename=/usr/lib/keelson/bin/launcher pid=402 old_pid=402
trace: alone true-402 [001] d.... 22.001300: page_fault_user: address=0x1 ip=0x1 error_code=0x14
trace: alone true-402 [001] ..... 22.002250: sched_process_exec: filename=/bin/true pid=402 old_pid=402
";

    #[test]
    fn time_belongs_to_who_ran_and_a_process_has_the_names_of_all_that_it_was() {
        let text = where_it_goes("alone", TRACE.lines()).unwrap();
        let line = |part: &str| {
            let line = text.lines().find(|line| line.contains(part)).unwrap();
            line.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            line("agent → launcher"),
            "| agent → launcher → true | 2.00 | 0 | 1 |"
        );
        assert_eq!(line("| agent  "), "| agent | 0.15 | 1 | 0 |");
        assert_eq!(
            line("nobody"),
            "| nobody (waiting for a disk or a timer) | 0.10 | 0 | 0 |"
        );
        assert_eq!(line("together"), "| together | 2.25 | 1 | 1 |");
        assert_eq!(where_it_goes("exec", TRACE.lines()), None);
    }
}
