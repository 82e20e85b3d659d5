//! What a reader has to know of the machine that measured; nothing that names it or its owner.

use crate::Failure;
use host::run;
use std::process::Command;

/// `2026-11-21, commit 0123abc`, of the working tree; `+` when it differs from the commit.
pub(crate) fn date_and_commit() -> Result<String, Failure> {
    let folder = host::paths::workspace();
    let date = run::output(Command::new("date").args(["-u", "+%Y-%m-%d"]))?;
    let mut git = run::command_in(&folder, "git");
    let commit = run::output(git.args(["describe", "--always", "--exclude=*", "--dirty=+"]))?;
    Ok(format!("{}, commit {}", date.trim(), commit.trim()))
}

/// Processor, memory, emulator, guest.
pub(crate) fn description(guest: &str) -> String {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let value = |line: &str| Some(line.split_once(':')?.1.trim().to_owned());
    let model = cpuinfo
        .lines()
        .find(|line| line.starts_with("model name"))
        .and_then(value)
        .unwrap_or_else(|| "unknown processor".to_owned());
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let accelerator = match qemu::Accelerator::choose() {
        qemu::Accelerator::Kvm => "KVM",
        qemu::Accelerator::Tcg => "emulated processor, TCG",
    };
    let version = host::qemu::version()
        .map_or_else(String::new, |(major, minor)| format!(" {major}.{minor}"));
    format!("host: {processors} × {model}; QEMU{version} ({accelerator}); guest: {guest}")
}
