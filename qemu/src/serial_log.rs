//! Reading a whole serial log for what no test may pass over: the kernel's complaints, a program of ours that panicked,
//! a unit that is dead.
//!
//! Two kinds of kernel report look like a defect and are none. They are left out with the stack dump that belongs to
//! them: a container that reached its memory limit, and processors that were stalled, which a busy build host does to an
//! emulated machine.

use std::fmt;

/// Lines of a report within which its stack dump comes (registers, modules, CPU).
const REPORT_LINES: usize = 80;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FindingKind {
    KernelPanic,
    Oops,
    KernelWarning,
    /// A stack dump without a known reason.
    StackDump,
    /// A process of the machine ran into a fault that killed it.
    Crash,
    /// A program of ours panicked, or PID 1 gave up.
    ProgramPanic,
    /// A disk or a file system failed.
    Disk,
    /// The machine, not a container, ran out of memory.
    OutOfMemory,
    /// A task of the kernel's has hung.
    HungTask,
    BootStage,
    Unit,
}

/// One line that should not be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub kind: FindingKind,
    /// From 1.
    pub line: usize,
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {:?}: {}", self.line, self.kind, self.text)
    }
}

/// Begins of reports that are not a defect.
const BENIGN_REPORTS: [&str; 5] = [
    "invoked oom-killer",
    "BUG: soft lockup",
    "BUG: workqueue lockup",
    "detected stalls on CPUs",
    "self-detected stall",
];

/// Advice about the host's processor, which the kernel calls a warning: nothing a machine can do about.
const BENIGN_LINES: [&str; 2] = ["Spectre V2 : WARNING:", "RETBleed: WARNING:"];

/// The first that matches tells the kind.
const PATTERNS: [(&str, FindingKind); 29] = [
    ("Kernel panic", FindingKind::KernelPanic),
    ("Oops:", FindingKind::Oops),
    ("general protection fault", FindingKind::Oops),
    ("PANIC: double fault", FindingKind::Oops),
    ("kernel BUG at", FindingKind::Oops),
    ("BUG:", FindingKind::Oops),
    ("UBSAN:", FindingKind::KernelWarning),
    ("WARNING:", FindingKind::KernelWarning),
    ("Call Trace", FindingKind::StackDump),
    ("segfault at", FindingKind::Crash),
    ("trap invalid opcode", FindingKind::Crash),
    ("trap divide error", FindingKind::Crash),
    ("traps: ", FindingKind::Crash),
    ("panicked at", FindingKind::ProgramPanic),
    ("keelson: PID 1 can't go on", FindingKind::ProgramPanic),
    ("I/O error", FindingKind::Disk),
    ("critical medium error", FindingKind::Disk),
    ("critical target error", FindingKind::Disk),
    ("EXT4-fs error", FindingKind::Disk),
    ("EXT4-fs warning", FindingKind::Disk),
    ("Remounting filesystem read-only", FindingKind::Disk),
    ("JBD2: Error", FindingKind::Disk),
    ("Detected aborted journal", FindingKind::Disk),
    ("FAT-fs error", FindingKind::Disk),
    ("SQUASHFS error", FindingKind::Disk),
    ("Out of memory: Killed process", FindingKind::OutOfMemory),
    ("blocked for more than", FindingKind::HungTask),
    ("keelson: degraded", FindingKind::Unit),
    ("modprobe: FATAL", FindingKind::KernelWarning),
];

/// Signals by which a faulty program ends: the kernel's own line about it is below the console's level (dmesg(1), `info`).
const FAULT_SIGNALS: [&str; 6] = [
    "killed by SIGSEGV",
    "killed by SIGBUS",
    "killed by SIGILL",
    "killed by SIGFPE",
    "killed by SIGABRT",
    "killed by SIGSYS",
];

/// What PID 1 says of a helper that has ended; only SIGKILL is somebody's wish.
const HELPER_ENDED: &str = ": starting it again; no container is touched";

/// Everything in a serial log that should not be there, in its order.
#[must_use]
pub fn check_serial_log(log: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut benign_until = 0;
    for (number, text) in (1..).zip(log.lines()) {
        if BENIGN_REPORTS.iter().any(|begin| text.contains(begin)) {
            benign_until = number + REPORT_LINES;
            continue;
        }
        match kind(text) {
            // One report has one stack dump per stack, but another report ends it.
            Some(FindingKind::StackDump) if number <= benign_until => {}
            Some(kind) => findings.push(Finding {
                kind,
                line: number,
                text: text.trim().to_owned(),
            }),
            None => {}
        }
    }
    findings
}

fn kind(text: &str) -> Option<FindingKind> {
    if let Some((_, ours)) = text.split_once("keelson: ") {
        let mut words = ours.split_whitespace();
        match (words.next(), words.next(), words.next()) {
            (Some("stage"), Some(_), Some(outcome)) if outcome.starts_with("failed") => {
                return Some(FindingKind::BootStage);
            }
            (Some("unit"), Some(_), Some("failed:")) => return Some(FindingKind::Unit),
            _ => {}
        }
    }
    if BENIGN_LINES.iter().any(|line| text.contains(line)) {
        return None;
    }
    let helper_ended = text.contains(HELPER_ENDED) && !text.contains("was killed by SIGKILL");
    if helper_ended || FAULT_SIGNALS.iter().any(|end| text.contains(end)) {
        return Some(FindingKind::Crash);
    }
    PATTERNS
        .iter()
        .find(|(pattern, _)| text.contains(pattern))
        .map(|(_, kind)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use FindingKind as Kind;

    fn kinds(log: &str) -> Vec<FindingKind> {
        check_serial_log(log)
            .into_iter()
            .map(|finding| finding.kind)
            .collect()
    }

    #[test]
    fn a_clean_boot_has_no_findings() {
        let log = "[    0.000000] Linux version 6.12.107\nkeelson: init 0.1.0 at 1620 ms\nkeelson: stage early ok 3 ms\n\
            keelson: unit redis@1: killed by SIGKILL; next start in 100 ms\nkeelson: ready 5 units 3120 ms\n";
        assert_eq!(kinds(log), []);
    }

    #[test]
    fn each_kind_of_trouble_is_found_with_its_line() {
        let log = "ok\n[ 2.0] WARNING: CPU: 0 PID: 1 at kernel/foo.c\n[ 2.1] Call Trace:\n\
            [ 3.0] redis-server[77]: segfault at 0 ip 0\n[ 4.0] EXT4-fs error (device vda3)\n\
            [ 5.0] I/O error, dev vda, sector 8\nthread 'main' panicked at init/src/main.rs\n";
        let expected = [
            Kind::KernelWarning,
            Kind::StackDump,
            Kind::Crash,
            Kind::Disk,
            Kind::Disk,
            Kind::ProgramPanic,
        ];
        assert_eq!(kinds(log), expected);
        assert_eq!(check_serial_log(log)[0].line, 2);
    }

    #[test]
    fn a_helper_that_ends_by_itself_is_found_and_one_that_was_killed_is_not() {
        let ended = |how| {
            format!("keelson: warning: netd {how}: starting it again; no container is touched\n")
        };
        assert_eq!(kinds(&ended("was killed by SIGKILL")), []);
        for how in ["was killed by SIGSEGV", "exited with status 1"] {
            assert_eq!(kinds(&ended(how)), [Kind::Crash], "{how}");
        }
        let unit = "keelson: unit web: killed by SIGABRT; next start in 100 ms\n";
        assert_eq!(kinds(unit), [Kind::Crash]);
    }

    #[test]
    fn a_container_at_its_memory_limit_is_not_a_finding_but_the_machine_is() {
        let report = "[ 9.0] redis-server invoked oom-killer: gfp_mask=0xcc0\n[ 9.0] Call Trace:\n[ 9.0]  <TASK>\n";
        assert_eq!(
            kinds(&format!(
                "{report}[ 9.1] Memory cgroup out of memory: Killed process 77\n"
            )),
            []
        );
        assert_eq!(
            kinds(&format!(
                "{report}[ 9.1] Out of memory: Killed process 77\n"
            )),
            [Kind::OutOfMemory]
        );
    }

    #[test]
    fn advice_about_the_processor_and_stalls_of_a_busy_host_are_not_a_finding() {
        assert_eq!(
            kinds("[ 0.1] Spectre V2 : WARNING: Unprivileged eBPF is enabled\n"),
            []
        );
        let log = "[ 9.0] watchdog: BUG: soft lockup - CPU#0 stuck for 22s!\n[ 9.0] Call Trace:\n";
        assert_eq!(kinds(log), []);
    }

    #[test]
    fn failed_stages_and_units_are_found() {
        let log = "keelson: stage state failed 12 ms: no disk\nkeelson: unit web failed: exited 1\n\
            keelson: stage unmount failed: /var: EBUSY\nkeelson: degraded 0 units ready, 1 failed, 99 ms\n";
        assert_eq!(
            kinds(log),
            [Kind::BootStage, Kind::Unit, Kind::BootStage, Kind::Unit]
        );
    }
}
