//! Hardware that the loop listens to or feeds: devices that come, power buttons, the watchdog.

use crate::carried;
use crate::console;
use crate::control_port::ControlPort;
use crate::machine::Machine;
use crate::power_button::PowerButton;
use crate::source::Source;
use crate::watchdog::FedWatchdog;
use serde::{Deserialize, Serialize};
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
    #[serde(default)]
    pub(crate) control_ports: Vec<ControlPort>,
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
