//! Whether the build host did something else meanwhile. On two processors, a compiler beside the benchmark doubles
//! every time that an emulated guest takes.

use std::fmt;

/// Above this share of the host's processor time, numbers are not worth comparing.
const SHARE_MAX: u64 = 5;

/// Processor time so far, in the ticks of /proc (proc_stat(5), proc_pid_stat(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticks {
    /// All processors, idle or not.
    total: u64,
    busy: u64,
    /// This process, and its children that have ended.
    ours: u64,
}

/// What others used of the host while we measured, in percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Disturbance {
    percent: u64,
}

impl Ticks {
    /// Now; none where /proc does not say.
    pub(crate) fn now() -> Option<Self> {
        let machine = std::fs::read_to_string("/proc/stat").ok()?;
        let own = std::fs::read_to_string("/proc/self/stat").ok()?;
        Self::parse(&machine, &own)
    }

    fn parse(machine: &str, own: &str) -> Option<Self> {
        let line = machine.lines().next()?.strip_prefix("cpu ")?;
        let fields: Vec<u64> = line
            .split_whitespace()
            .map_while(|field| field.parse().ok())
            .collect();
        // user nice system idle iowait irq softirq steal; what follows is in them already
        let total = fields.iter().take(8).sum();
        let idle: u64 = fields.get(3..5)?.iter().sum();
        let (_, rest) = own.rsplit_once(')')?;
        let ours = rest
            .split_whitespace()
            .skip(11)
            .take(4)
            .map_while(|field| field.parse::<u64>().ok())
            .sum();
        Some(Self {
            total,
            busy: total - idle,
            ours,
        })
    }

    pub(crate) fn disturbance(self, later: Self) -> Disturbance {
        let busy = later.busy.saturating_sub(self.busy);
        let others = busy.saturating_sub(later.ours.saturating_sub(self.ours));
        let total = later.total.saturating_sub(self.total).max(1);
        Disturbance {
            percent: others * 100 / total,
        }
    }
}

impl fmt::Display for Disturbance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = self.percent;
        write!(
            f,
            "Other work took {percent} % of the host's processor time meanwhile"
        )?;
        if percent > SHARE_MAX {
            write!(f, ": too much for these times to be compared with others")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_neither_idle_nor_ours_is_others() {
        let own = |ticks| format!("7 (a b) S 1 7 7 0 -1 0 0 0 0 0 {ticks} 5 100 5 20 0");
        let before = Ticks::parse("cpu  10 0 10 80 0 0 0 0 0 0\ncpu0 …\n", &own(0)).unwrap();
        let after = Ticks::parse("cpu  50 0 20 110 20 0 0 0 9 9\n", &own(30)).unwrap();
        assert_eq!(before.disturbance(after), Disturbance { percent: 20 });
        assert_eq!(before.disturbance(before), Disturbance { percent: 0 });
    }

    #[test]
    fn this_host_has_a_clock_of_its_work() {
        assert!(Ticks::now().is_some());
    }
}
