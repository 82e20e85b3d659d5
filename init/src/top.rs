//! What the machine's own programs use: a few files of /proc and of the system's cgroups, read when somebody asks.
//!
//! A program that ends while we look is left out; a file that can't be read counts as nothing.

use crate::health::Health;
use crate::stage::Boot;
use crate::turns::Turns;
use control::reply::{Program, Top};
use std::fs;
use std::path::Path;
use sys::cgroup::Cgroup;
use sys::memory::kibibytes;

/// Programs in an answer: the helpers and a few jobs beside them.
const PROGRAMS_MAX: usize = 64;
/// Processor time in /proc is in these (`USER_HZ`, fixed in the kernel's ABI).
const MS_PER_TICK: u64 = 10;

pub(crate) fn top(boot: &Boot, turns: &Turns) -> Top {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory = |key| kibibytes(&meminfo, key).unwrap_or(0);
    let containers = Cgroup::at(sys::paths::CGROUP_CONTAINERS);
    let mut pids = system_processes();
    pids.sort_unstable();
    pids.truncate(PROGRAMS_MAX);
    let health = Health::of(boot);
    let space = health.space.unwrap_or_default();
    Top {
        uptime_ms: sys::clock::since_boot_ms(),
        memory: memory("MemTotal"),
        memory_available: memory("MemAvailable"),
        memory_free: memory("MemFree"),
        memory_at_hand: sys::memory::at_hand().unwrap_or(0),
        containers_memory: containers.number("memory.current").unwrap_or(0),
        containers_threads: containers.number("pids.current").unwrap_or(0),
        state_device: boot
            .state_device
            .as_ref()
            .map(|device| device.display().to_string()),
        state: space.bytes,
        state_available: space.available,
        warnings: health.warnings(),
        programs: pids.into_iter().filter_map(program).collect(),
        turns: turns.report(),
    }
}

/// Everything in the groups below `system`: one group per program, none below those.
fn system_processes() -> Vec<i32> {
    let Ok(groups) = fs::read_dir(sys::paths::CGROUP_SYSTEM) else {
        return Vec::new();
    };
    let lists = groups
        .flatten()
        .filter_map(|group| fs::read_to_string(group.path().join("cgroup.procs")).ok());
    lists
        .flat_map(|list| {
            list.lines()
                .filter_map(|line| line.parse().ok())
                .collect::<Vec<i32>>()
        })
        .collect()
}

fn program(pid: i32) -> Option<Program> {
    let folder = Path::new("/proc").join(pid.to_string());
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
    let name = fs::read_to_string(folder.join("comm")).ok()?;
    let listed = fs::read_dir(folder.join("fd")).map_or(0, Iterator::count);
    // Listing our own takes one.
    let own = usize::from(u32::try_from(pid) == Ok(std::process::id()));
    Some(Program {
        name: name.trim_end().to_owned(),
        pid,
        pss: kibibytes(&read("smaps_rollup"), "Pss").unwrap_or(0),
        descriptors: listed.saturating_sub(own).try_into().unwrap_or(u64::MAX),
        cpu_ms: cpu_ms(&read("stat")).unwrap_or(0),
    })
}

/// User and system time: the 14th and 15th field (proc_pid_stat(5)). The second, the name, may hold anything, but the
/// last parenthesis closes it.
fn cpu_ms(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    ticks()?.checked_add(ticks()?)?.checked_mul(MS_PER_TICK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 10 0 0 0 25 17 0 0 20 0 1 0 3\n";
        assert_eq!(cpu_ms(stat), Some(420));
        assert_eq!(cpu_ms(""), None);
    }

    #[test]
    fn this_process_has_memory_and_descriptors() {
        let own = program(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(own.pss > 100 << 10, "{own:?}");
        assert!(own.descriptors >= 3, "{own:?}");
    }
}
