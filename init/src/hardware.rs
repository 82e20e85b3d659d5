//! Hardware that the loop listens to or feeds: devices that come, power buttons, the watchdog, ports for the relay.

use crate::carried;
use crate::console;
use crate::drivers::Rest;
use crate::helper::Helper;
use crate::hotplug::has_control_port;
use crate::limits;
use crate::machine::Machine;
use crate::power_button::PowerButton;
use crate::source::{HelperKind, Source};
use crate::watchdog::FedWatchdog;
use serde::{Deserialize, Serialize};
use sys::clock::since_boot_ms;
use sys::epoll::Interest;
use sys::power::PowerAction;
use sys::uevent::UeventSocket;

/// What of it was found so far.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Hardware {
    #[serde(with = "carried")]
    uevents: Option<UeventSocket>,
    power_buttons: Vec<PowerButton>,
    pub(crate) watchdog: Option<FedWatchdog>,
}

impl Hardware {
    /// When the watchdog must be fed.
    pub(crate) fn deadline_ms(&self) -> Option<u64> {
        self.watchdog.as_ref().map(FedWatchdog::due_ms)
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
        if !has_control_port() || !self.helpers.iter().any(idle) {
            return;
        }
        if self.rest == Rest::Done {
            return self.start_helper(kind);
        }
        // Nobody talks to a machine in its first second, and its units have a use for the processors.
        let at = since_boot_ms().saturating_add(limits::RELAY_DELAY_MS);
        if let Some(relay) = self.helpers.iter_mut().find(|helper| helper.kind == kind) {
            relay.start_at = Some(at);
        }
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
