//! A running container takes up its new configuration: by a signal, or by a command in it.

use crate::inside::Command;
use crate::machine::Machine;
use crate::step::{Asked, Output, Purpose};
use std::os::fd::AsFd;
use supervisor::{Event, RunId, UnitId};
use unit::Reload;

impl Machine {
    pub(crate) fn reload(&mut self, unit: UnitId, run: RunId) {
        let service = self.container(unit).map(|(_, it)| &it.service);
        // The supervisor waits so long and no longer.
        let timeout_ms = service.map(|service| service.start_timeout_ms);
        let purpose = Purpose::Reload;
        let asked = Asked {
            unit,
            run,
            purpose,
            timeout_ms,
        };
        match service.and_then(|service| service.reload.clone()) {
            Some(Reload::Command(argv)) => {
                let output = Output::Log;
                self.run_inside(asked, Command { argv, output });
            }
            Some(Reload::Signal(signal)) => {
                let failure = self.reload_by_signal(run, signal).err();
                self.event(Event::Reloaded { unit, run, failure });
            }
            None => self.event(asked.ended(Some("it has no `service.reload`".into()))),
        }
    }

    /// To the container's first process. Whether that takes it for what it is meant to be, nobody can see from here.
    fn reload_by_signal(&self, run: RunId, signal: i32) -> Result<(), String> {
        let entry = self.runs.get(&run.0).filter(|entry| entry.started);
        let child = entry.and_then(|entry| entry.child.as_ref());
        let child = child.ok_or("the container is not running")?;
        sys::pidfd::signal(child.pidfd.as_fd(), signal).map_err(|error| format!("signal: {error}"))
    }
}
