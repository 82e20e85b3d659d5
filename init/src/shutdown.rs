//! The orderly end: units down in order, logs written, helpers gone, file systems unmounted, disks synced.
//!
//! ```text
//! containers ─▶ logd flushes ─▶ helpers end ─▶ kill the rest ─▶ unmount /var ─▶ sync ─▶ reboot(2)
//!  (budget)       (1 s)           (1 s)
//! ```

use crate::carried;
use crate::console;
use crate::limits;
use crate::machine::Machine;
use crate::stage;
use crate::watchdog::FedWatchdog;
use control::log::LogRequest;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::time::Duration;
use supervisor::Event;
use sys::clock::since_boot_ms;
use sys::power::PowerAction;

/// How far the end has come.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ending {
    #[serde(with = "carried")]
    action: PowerAction,
    phase: Phase,
    started_ms: u64,
    pub deadline_ms: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Phase {
    Containers,
    Flushing,
    Helpers,
    Over,
}

impl Ending {
    /// From here on a helper that ends is not started again.
    pub(crate) fn helpers_may_go(&self) -> bool {
        matches!(self.phase, Phase::Helpers | Phase::Over)
    }
}

impl Machine {
    /// Begin the end. A second request changes nothing but, before the containers are down, how it ends.
    pub(crate) fn begin_shutdown(&mut self, action: PowerAction, who: &str) {
        if let Some(ending) = &mut self.ending {
            ending.action = action;
            return;
        }
        let what = match action {
            PowerAction::PowerOff => "power-off",
            PowerAction::Reboot => "reboot",
        };
        console::say(format_args!("{what} asked for by {who}"));
        stage::hurry(true);
        self.ending = Some(Ending {
            action,
            phase: Phase::Containers,
            started_ms: since_boot_ms(),
            deadline_ms: None,
        });
        self.event(Event::Shutdown {
            within_ms: budget_ms(self.supervisor.longest_stop_ms()),
        });
    }

    /// No container runs any more.
    pub(crate) fn containers_are_down(&mut self) {
        let now = since_boot_ms();
        let Some(ending) = &mut self.ending else {
            return;
        };
        let done: Result<(), &str> = Ok(());
        console::stage("stop", now.saturating_sub(ending.started_ms), done);
        ending.phase = Phase::Flushing;
        ending.deadline_ms = Some(now.saturating_add(limits::HELPER_STOP_MS));
        self.tell_logd(&LogRequest::Flush, &[]);
    }

    /// Move on when the phase is done; true at the very end.
    pub(crate) fn ended(&mut self) -> Option<PowerAction> {
        let flushed = self.logs.flushed;
        let alive = self.helpers.iter().any(|helper| helper.pid.is_some());
        let ending = self.ending.as_mut()?;
        match ending.phase {
            Phase::Flushing if flushed => self.stop_helpers(),
            Phase::Helpers if !alive => ending.phase = Phase::Over,
            Phase::Containers | Phase::Flushing | Phase::Helpers | Phase::Over => {}
        }
        let ending = self.ending.as_ref()?;
        (ending.phase == Phase::Over).then_some(ending.action)
    }

    pub(crate) fn ending_timeout(&mut self, now: u64) {
        let Some(ending) = &mut self.ending else {
            return;
        };
        if ending.deadline_ms.is_none_or(|at| at > now) {
            return;
        }
        match ending.phase {
            Phase::Containers => {}
            Phase::Flushing => self.stop_helpers(),
            Phase::Helpers | Phase::Over => {
                ending.phase = Phase::Over;
                ending.deadline_ms = None;
            }
        }
    }

    /// Helpers end when their socket does; no address is given up, no rule removed: the kernel is about to go.
    fn stop_helpers(&mut self) {
        for helper in &mut self.helpers {
            if let Some(socket) = helper.socket.take() {
                self.registry.unwatch(&socket, helper.token);
            }
            helper.start_at = None;
            if let Some(pid) = helper.pid {
                let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
            }
        }
        if let Some(ending) = &mut self.ending {
            ending.phase = Phase::Helpers;
            ending.deadline_ms = Some(since_boot_ms().saturating_add(limits::HELPER_STOP_MS));
        }
    }
}

/// Who says in its unit file that it takes longer to end gets that.
fn budget_ms(longest_stop_ms: u64) -> u64 {
    longest_stop_ms.clamp(limits::SHUTDOWN_BUDGET_MS, limits::SHUTDOWN_BUDGET_MS_MAX)
}

/// Attempts to unmount the state while its last user goes.
const UNMOUNT_ATTEMPTS: u32 = 50;
const UNMOUNT_WAIT: Duration = Duration::from_millis(10);

/// What the event loop leaves.
#[derive(Debug)]
pub(crate) struct End {
    pub action: PowerAction,
    /// Nobody feeds it any more.
    pub watchdog: Option<FedWatchdog>,
}

impl End {
    /// The last steps, after the event loop: nothing can be kept waiting any more.
    pub(crate) fn come(self) -> ! {
        let start = since_boot_ms();
        let watchdog = self.watchdog.and_then(FedWatchdog::for_the_last_writes);
        // -1: every process but this one (kill(2)).
        let _ = kill(Pid::from_raw(-1), Signal::SIGKILL);
        while let Ok(Some(_)) = sys::pidfd::reap_any() {}
        if let Err(error) = crate::seed::save() {
            console::warn(format_args!("random seed: {error}"));
        }
        // Its time is when the machine was last seen running.
        let _ = File::create(crate::stage::CLOCK_LAST_SEEN);
        let unmounted = unmount_state().map_err(|errno| format!("{}: {errno}", sys::paths::STATE));
        console::stage("unmount", since_boot_ms().saturating_sub(start), unmounted);
        let what = match self.action {
            PowerAction::PowerOff => "power off",
            PowerAction::Reboot => "reboot",
        };
        console::say(format_args!("{what} at {} ms", since_boot_ms()));
        if let Some(watchdog) = watchdog {
            watchdog.disarm();
        }
        let error = sys::power::end(self.action);
        crate::gasp::last(&format!("{what}: {error}"))
    }
}

fn unmount_state() -> Result<(), nix::errno::Errno> {
    let mut last = Ok(());
    for _ in 0..UNMOUNT_ATTEMPTS {
        last = umount2(sys::paths::STATE, MntFlags::UMOUNT_NOFOLLOW);
        match last {
            Ok(()) | Err(nix::errno::Errno::EINVAL) => return Ok(()),
            Err(_) => {}
        }
        while let Ok(Some(_)) = sys::pidfd::reap_any() {}
        #[expect(clippy::disallowed_methods, reason = "the event loop is over")]
        std::thread::sleep(UNMOUNT_WAIT);
    }
    // Someone still holds it: read-only is as good for the disk.
    let none = None::<&str>;
    mount(
        none,
        sys::paths::STATE,
        none,
        MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY,
        none,
    )
    .or(last)
}

#[cfg(test)]
mod tests {
    use super::budget_ms;

    #[test]
    fn a_long_stop_timeout_gets_its_time_within_reason() {
        assert_eq!(budget_ms(0), 60_000);
        assert_eq!(budget_ms(10_000), 60_000);
        assert_eq!(budget_ms(300_000), 300_000);
        assert_eq!(budget_ms(u64::MAX), 1_800_000);
    }
}
