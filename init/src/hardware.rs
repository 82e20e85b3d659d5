//! Hardware that the loop listens to or feeds: devices that come, power buttons, the watchdog, ports for the relay.

use crate::console;
use crate::helper::Helper;
use crate::hotplug::has_control_port;
use crate::limits;
use crate::machine::Machine;
use crate::power_button::PowerButton;
use crate::source::{HelperKind, Source};
use std::io;
use sys::epoll::Interest;
use sys::power::PowerAction;
use sys::uevent::UeventSocket;
use sys::watchdog::Watchdog;

/// What of it was found so far.
#[derive(Debug, Default)]
pub(crate) struct Hardware {
    uevents: Option<UeventSocket>,
    power_buttons: Vec<PowerButton>,
    watchdog: Option<FedWatchdog>,
}

#[derive(Debug)]
struct FedWatchdog {
    watchdog: Watchdog,
    /// When it must be fed again.
    due_ms: u64,
}

impl Hardware {
    /// When the watchdog must be fed.
    pub(crate) fn deadline_ms(&self) -> Option<u64> {
        self.watchdog.as_ref().map(|fed| fed.due_ms)
    }
}

impl Machine {
    pub(crate) fn watch_hardware(&mut self) {
        match UeventSocket::open() {
            Ok(socket) => match self
                .registry
                .watch(&socket, Interest::Read, Source::Uevents)
            {
                Ok(_) => self.hardware.uevents = Some(socket),
                Err(error) => console::warn(format_args!("hot-plug: {error}")),
            },
            Err(error) => console::warn(format_args!("hot-plug: {error}")),
        }
        self.find_power_buttons();
        self.find_watchdog();
        self.find_control_ports();
    }

    /// The relay runs where there is a port for it.
    pub(crate) fn find_control_ports(&mut self) {
        let kind = HelperKind::Relay;
        let idle = |helper: &Helper| {
            helper.kind == kind && helper.pid.is_none() && helper.start_at.is_none()
        };
        if has_control_port() && self.helpers.iter().any(idle) {
            self.start_helper(kind);
        }
    }

    pub(crate) fn find_watchdog(&mut self) {
        if self.hardware.watchdog.is_some() {
            return;
        }
        match Watchdog::arm("/dev/watchdog0".as_ref(), limits::WATCHDOG_S) {
            Ok(watchdog) => {
                console::say(format_args!(
                    "watchdog: resets the machine after {} s of silence",
                    watchdog.timeout_s
                ));
                let due_ms = 0;
                self.hardware.watchdog = Some(FedWatchdog { watchdog, due_ms });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => console::warn(format_args!("watchdog: {error}")),
        }
    }

    pub(crate) fn feed_watchdog(&mut self, now: u64) {
        let Some(fed) = &mut self.hardware.watchdog else {
            return;
        };
        if now < fed.due_ms {
            return;
        }
        if let Err(error) = fed.watchdog.feed() {
            log::error!("watchdog: {error}");
        }
        let third = u64::try_from(fed.watchdog.timeout_s)
            .unwrap_or(30)
            .saturating_mul(1000)
            / 3;
        fed.due_ms = now.saturating_add(third.max(1000));
    }

    pub(crate) fn uevents(&mut self) {
        loop {
            let Some(socket) = &self.hardware.uevents else {
                return;
            };
            match socket.next() {
                Ok(Some(event)) => self.uevent(&event),
                Ok(None) => return,
                Err(error) => {
                    log::warn!("hot-plug: {error}");
                    return;
                }
            }
        }
    }

    pub(crate) fn find_power_buttons(&mut self) {
        for button in PowerButton::find() {
            if self
                .hardware
                .power_buttons
                .iter()
                .any(|known| known.path() == button.path())
            {
                continue;
            }
            let index = self.hardware.power_buttons.len();
            if self
                .registry
                .watch(&button, Interest::Read, Source::PowerButton { index })
                .is_ok()
            {
                self.hardware.power_buttons.push(button);
            }
        }
    }

    pub(crate) fn power_button(&mut self, index: usize) {
        let pressed = self
            .hardware
            .power_buttons
            .get_mut(index)
            .is_some_and(PowerButton::pressed);
        if pressed {
            self.begin_shutdown(PowerAction::PowerOff, "power button");
        }
    }
}
