//! What the kernel saw of a command: who ran, what it called, where it faulted (Documentation/trace/ftrace.rst).

use super::failed;
use crate::redis::mount;
use nix::mount::MsFlags;
use std::fs;
use std::io;
use std::path::Path;

const PLACE: &str = "/sys/kernel/tracing";
const EVENTS: [&str; 6] = [
    "sched/sched_switch",
    "sched/sched_process_fork",
    "sched/sched_process_exec",
    "sched/sched_process_exit",
    "raw_syscalls/sys_enter",
    "exceptions/page_fault_user",
];
/// For each processor: a start is a thousand events of a hundred bytes.
const BUFFER_KIB: &str = "4096";

/// `trace: NAME LINE` on the console for each event while `work` is done.
pub(crate) fn trace<T>(name: &str, work: impl FnOnce() -> io::Result<T>) -> io::Result<()> {
    let set = |file: &str, value: &str| {
        fs::write(Path::new(PLACE).join(file), value)
            .map_err(|error| failed(format!("{PLACE}/{file}: {error}")))
    };
    if !Path::new(PLACE).join("trace").exists() {
        mount("tracefs", PLACE, "tracefs", MsFlags::empty())?;
    }
    set("tracing_on", "0")?;
    set("buffer_size_kb", BUFFER_KIB)?;
    for event in EVENTS {
        set(&format!("events/{event}/enable"), "1")?;
    }
    set("trace", "")?;
    set("tracing_on", "1")?;
    let worked = work();
    set("tracing_on", "0")?;
    let text = fs::read_to_string(Path::new(PLACE).join("trace"))?;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        println!("trace: {name} {line}");
    }
    worked.map(|_| ())
}
