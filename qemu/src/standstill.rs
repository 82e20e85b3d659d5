//! A boot that comes to nothing before PID 1 has said its first line. That is never a fault of ours, and on a busy build
//! host it happens: the emulator loses a processor's timer, or a race when the kernel patches its own code. Such a machine
//! is switched off and on again, and it is said.

use crate::console::Line;
use crate::wait::{DEATHS, LastSeen, contains_any};
use std::fmt;
use std::time::Duration;

/// PID 1's first line.
pub(crate) const INIT: &str = "keelson: init ";
/// By firmware on a busy host it took 40 s.
pub(crate) const INIT_TIMEOUT: Duration = Duration::from_secs(120);
/// One of them alone is the emulator's misfortune; three in a row are a fault of release, kernel or host.
pub(crate) const BOOTS_AGAIN_MAX: u32 = 2;

/// The kernel has found that a processor does not get on (Documentation/RCU/stallwarn.rst, lockup-watchdogs.rst). It goes
/// on saying so for ever.
const STALLS: [&str; 4] = [
    "detected stalls on CPUs",
    "self-detected stall on CPU",
    "kthread starved for",
    "BUG: soft lockup",
];

/// Why a boot comes to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standstill {
    /// A processor of the guest stands still: the kernel's line.
    Stalled { line: String },
    /// The kernel died: its line.
    Died { line: String },
    /// Nothing was heard of PID 1 for so long.
    Silent { after: Duration },
}

impl fmt::Display for Standstill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stalled { line } => {
                write!(f, "the emulated machine stands still before init ({line})")
            }
            Self::Died { line } => write!(f, "the kernel died before init ({line})"),
            Self::Silent { after } => write!(f, "no word of init in {} s", after.as_secs()),
        }
    }
}

/// What the console of one boot says of it, so long after QEMU's start. `None`: it has come to PID 1, or still may; also
/// where the memory is too small, since it would be no larger the next time.
pub(crate) fn of(lines: &[Line], elapsed: Duration) -> Option<Standstill> {
    if lines.iter().any(|line| line.text.contains(INIT)) || LastSeen::of(lines).lacks_memory {
        return None;
    }
    let first = |texts: &[&str]| {
        let line = lines.iter().find(|line| contains_any(line, texts))?;
        Some(line.text.trim().to_owned())
    };
    if let Some(line) = first(&DEATHS) {
        return Some(Standstill::Died { line });
    }
    if let Some(line) = first(&STALLS) {
        return Some(Standstill::Stalled { line });
    }
    (elapsed >= INIT_TIMEOUT).then_some(Standstill::Silent { after: elapsed })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(texts: &[&str], seconds: u64) -> Option<Standstill> {
        let lines: Vec<Line> = texts
            .iter()
            .map(|text| Line {
                at: Duration::ZERO,
                text: (*text).to_owned(),
            })
            .collect();
        of(&lines, Duration::from_secs(seconds))
    }

    const STALL: &str = "[   21.5] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:";

    #[test]
    fn a_stall_before_init_is_told_at_once() {
        let told = seen(&["[ 0.0] Linux version 6.12", STALL], 22).unwrap();
        assert!(told.to_string().contains("rcu_preempt"), "{told}");
    }

    #[test]
    fn a_stall_after_init_is_a_busy_host_and_nothing_else() {
        assert_eq!(seen(&["keelson: init 0.1.0 at 900 ms", STALL], 300), None);
    }

    #[test]
    fn silence_is_waited_for_and_then_told() {
        let silent = |seconds| seen(&["[ 0.0] Linux version 6.12"], seconds);
        assert_eq!(silent(119), None);
        assert!(matches!(silent(120), Some(Standstill::Silent { .. })));
        assert!(matches!(seen(&[], 121), Some(Standstill::Silent { .. })));
    }

    #[test]
    fn a_dead_kernel_is_told_unless_it_lacks_memory() {
        let dead = "[ 0.3] Kernel panic - not syncing: Fatal exception in interrupt";
        assert!(matches!(seen(&[dead], 1), Some(Standstill::Died { .. })));
        let small = "[ 0.2] Out of memory and no killable processes...";
        assert_eq!(seen(&[small, dead], 1), None);
    }
}
