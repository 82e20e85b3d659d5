//! What one boot has shown.

use super::clock::Moment;
use crate::statistics::median;
use std::fmt;

/// Times of one boot, and what it used once it had settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Measured {
    /// PID 1's first line.
    pub(crate) init: Moment,
    /// The machine has its address.
    pub(crate) network: Option<Moment>,
    pub(crate) first_unit: Option<Moment>,
    /// The first answer from outside.
    pub(crate) first_pong: Option<Moment>,
    /// Every unit has answered.
    pub(crate) all_pongs: Option<Moment>,
    pub(crate) usage: Usage,
    pub(crate) listing: Option<Listing>,
    pub(crate) power_off: Option<PowerOff>,
}

/// What one `ps` of all units costs, whoever asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Listing {
    /// Of the answer, and of the one with all about each unit (`ps --json`).
    pub(crate) bytes: u64,
    pub(crate) full_bytes: u64,
    /// Microseconds of processor time that PID 1 took.
    pub(crate) us: u64,
}

/// Memory in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Usage {
    /// Total less available, less what the processors keep at hand of free pages.
    pub(crate) used: u64,
    pub(crate) available: u64,
    pub(crate) free: u64,
    /// Of the system's own programs together.
    pub(crate) pss: u64,
    pub(crate) processes: u64,
    pub(crate) descriptors: u64,
}

/// Milliseconds from the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PowerOff {
    /// Until every unit had stopped.
    pub(crate) units: u64,
    /// Until the kernel switched the machine off.
    pub(crate) machine: u64,
}

impl Measured {
    /// Of each number by itself. What some boots lack is lacking.
    pub(crate) fn median(boots: &[Self]) -> Self {
        let number = |of: &dyn Fn(&Self) -> u64| median(boots.iter().map(of)).unwrap_or(0);
        let moment = |of: &dyn Fn(&Self) -> Option<Moment>| {
            let moments: Option<Vec<Moment>> = boots.iter().map(of).collect();
            let moments = moments?;
            Some(Moment {
                guest_ms: median(moments.iter().map(|moment| moment.guest_ms))?,
                wall_ms: median(moments.iter().map(|moment| moment.wall_ms))?,
            })
        };
        let listings: Option<Vec<Listing>> = boots.iter().map(|boot| boot.listing).collect();
        let ends: Option<Vec<PowerOff>> = boots.iter().map(|boot| boot.power_off).collect();
        Self {
            init: moment(&|boot| Some(boot.init)).unwrap_or_default(),
            network: moment(&|boot| boot.network),
            first_unit: moment(&|boot| boot.first_unit),
            first_pong: moment(&|boot| boot.first_pong),
            all_pongs: moment(&|boot| boot.all_pongs),
            usage: Usage {
                used: number(&|boot| boot.usage.used),
                available: number(&|boot| boot.usage.available),
                free: number(&|boot| boot.usage.free),
                pss: number(&|boot| boot.usage.pss),
                processes: number(&|boot| boot.usage.processes),
                descriptors: number(&|boot| boot.usage.descriptors),
            },
            listing: listings.and_then(|all| {
                Some(Listing {
                    bytes: median(all.iter().map(|one| one.bytes))?,
                    full_bytes: median(all.iter().map(|one| one.full_bytes))?,
                    us: median(all.iter().map(|one| one.us))?,
                })
            }),
            power_off: ends.and_then(|ends| {
                Some(PowerOff {
                    units: median(ends.iter().map(|end| end.units))?,
                    machine: median(ends.iter().map(|end| end.machine))?,
                })
            }),
        }
    }
}

/// One line, for whoever watches.
impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "init {} ms", self.init.guest_ms)?;
        let later = [
            ("network", self.network),
            ("unit", self.first_unit),
            ("pong", self.first_pong),
            ("all", self.all_pongs),
        ];
        for (name, moment) in later {
            if let Some(moment) = moment {
                write!(f, ", {name} {}", moment.guest_ms)?;
            }
        }
        write!(f, "; {} KiB used", self.usage.used >> 10)?;
        if let Some(end) = self.power_off {
            write!(f, "; off in {} ms", end.machine)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_has_its_own_median() {
        let boot = |guest_ms, used, network| Measured {
            init: Moment {
                guest_ms,
                wall_ms: 2 * guest_ms,
            },
            network,
            first_unit: None,
            first_pong: None,
            all_pongs: None,
            usage: Usage {
                used,
                ..Usage::default()
            },
            listing: None,
            power_off: None,
        };
        let moment = Some(Moment::default());
        let median =
            Measured::median(&[boot(1, 30, moment), boot(2, 20, moment), boot(3, 10, None)]);
        assert_eq!(
            (median.init.wall_ms, median.usage.used, median.network),
            (4, 20, None)
        );
    }
}
