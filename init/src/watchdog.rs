//! The hardware watchdog: the event loop feeds it, so that a PID 1 or a kernel that is stuck is reset.
//!
//! ```text
//! found (its driver comes with the last wave) ─▶ armed ─▶ fed by every third of its time … ─▶ the end: more time for the
//!                                                                     last writes ─▶ disarmed, right before reboot(2)
//! ```
//! It stays armed while the machine goes down: a disk that does not take the last writes keeps nobody waiting for ever.

use crate::carried;
use crate::cmdline::Cmdline;
use crate::console;
use crate::limits;
use crate::machine::Machine;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::Path;
use sys::watchdog::Watchdog;

/// The first of the machine, as the kernel counts them.
const DEVICE: &str = "/dev/watchdog0";
/// On the kernel command line: seconds, or `off`.
const WORD: &str = "keelson.watchdog";

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct FedWatchdog {
    #[serde(with = "carried")]
    watchdog: Watchdog,
    /// When it must be fed again, milliseconds since boot.
    due_ms: u64,
}

impl FedWatchdog {
    pub(crate) fn due_ms(&self) -> u64 {
        self.due_ms
    }

    fn feed(&mut self, now: u64) {
        if let Err(error) = self.watchdog.feed() {
            log::error!("watchdog: {error}");
        }
        let timeout_ms = u64::try_from(self.watchdog.timeout_s)
            .unwrap_or(limits::WATCHDOG_S)
            .saturating_mul(1000);
        self.due_ms = now.saturating_add(timeout_ms / 3);
    }

    /// Nobody feeds it from here on: give the last writes the time that they may take.
    pub(crate) fn for_the_last_writes(mut self) -> Option<Self> {
        if self.watchdog.feed().is_ok() && self.watchdog.set_timeout(limits::WATCHDOG_END_S).is_ok()
        {
            return Some(self);
        }
        // One that can't wait so long would cut them off.
        self.disarm();
        None
    }

    pub(crate) fn disarm(self) {
        if let Err(error) = self.watchdog.disarm() {
            console::warn(format_args!("watchdog: {error}: it stays armed"));
        }
    }
}

/// Seconds of silence until the reset; none: it is left alone.
///
/// # Errors
/// A word that is neither.
fn wanted_s(cmdline: &Cmdline) -> Result<Option<u64>, String> {
    match cmdline.get(WORD) {
        Some("off") => Ok(None),
        Some(text) => match text.parse() {
            Ok(seconds) if limits::WATCHDOG_RANGE_S.contains(&seconds) => Ok(Some(seconds)),
            Ok(_) | Err(_) => Err(format!(
                "{WORD}={text}: neither `off` nor {} to {} seconds",
                limits::WATCHDOG_RANGE_S.start(),
                limits::WATCHDOG_RANGE_S.end()
            )),
        },
        // Whoever wants a dead kernel to stay for a look does not want it reset.
        None if cmdline.get("panic") == Some("0") => Ok(None),
        None => Ok(Some(limits::WATCHDOG_S)),
    }
}

impl Machine {
    pub(crate) fn find_watchdog(&mut self) {
        if self.hardware.watchdog.is_some() || !Path::new(DEVICE).exists() {
            return;
        }
        let wanted = wanted_s(&self.boot.cmdline).unwrap_or_else(|problem| {
            console::warn(problem);
            Some(limits::WATCHDOG_S)
        });
        let Some(seconds) = wanted else { return };
        let armed = Watchdog::arm(DEVICE.as_ref(), i32::try_from(seconds).unwrap_or(i32::MAX));
        match armed {
            Ok(watchdog) => {
                if watchdog.has_reset_the_machine() {
                    console::warn(
                        "the watchdog has ended the last boot: PID 1 or the kernel was stuck, or a disk did not answer",
                    );
                }
                console::say(format_args!(
                    "watchdog: resets the machine after {} s of silence",
                    watchdog.timeout_s
                ));
                let due_ms = 0;
                self.hardware.watchdog = Some(FedWatchdog { watchdog, due_ms });
            }
            // Unplugged in between.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => console::warn(format_args!("watchdog: {error}")),
        }
    }

    pub(crate) fn feed_watchdog(&mut self, now: u64) {
        if let Some(fed) = &mut self.hardware.watchdog
            && now >= fed.due_ms
        {
            fed.feed(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::wanted_s;
    use crate::cmdline::Cmdline;

    #[test]
    fn the_command_line_says_how_long_and_a_kernel_that_may_stay_dead_is_left_alone() {
        let wanted = |line: &str| wanted_s(&Cmdline::parse(line));
        assert_eq!(wanted("panic=10"), Ok(Some(60)));
        assert_eq!(wanted("keelson.watchdog=8"), Ok(Some(8)));
        assert_eq!(wanted("keelson.watchdog=off"), Ok(None));
        assert_eq!(wanted("panic=10 panic=0"), Ok(None));
        assert_eq!(wanted("panic=0 keelson.watchdog=30"), Ok(Some(30)));
        for bad in ["1", "on", "", "100000", "-5"] {
            let problem = wanted(&format!("keelson.watchdog={bad}")).unwrap_err();
            assert!(problem.contains("`off` nor 5 to 3600 seconds"), "{problem}");
        }
    }
}
