//! What signals tell: children that have ended, and who wants the machine to end.

use crate::machine::Machine;
use crate::source::ChildKind;
use nix::sys::signal::Signal;
use sys::power::PowerAction;

impl Machine {
    pub(crate) fn signals(&mut self) {
        while let Ok(Some(signal)) = self.signals.read_signal() {
            match i32::try_from(signal.ssi_signo)
                .ok()
                .and_then(|number| Signal::try_from(number).ok())
            {
                Some(Signal::SIGCHLD) => self.reap(),
                // Ctrl-Alt-Del, and what virtual machine managers send to a PID 1.
                Some(Signal::SIGINT) => self.begin_shutdown(PowerAction::Reboot, "ctrl-alt-del"),
                Some(Signal::SIGTERM | Signal::SIGPWR) => {
                    self.begin_shutdown(PowerAction::PowerOff, "signal")
                }
                _ => {}
            }
        }
    }

    /// Every child that has ended; PID 1 inherits orphans too.
    pub(crate) fn reap(&mut self) {
        loop {
            match sys::pidfd::reap_any() {
                Ok(Some((pid, ended))) => match self.children.remove(&pid) {
                    Some(ChildKind::Run { run }) => self.run_ended(run, ended),
                    Some(ChildKind::Exec { connection }) => self.exec_ended(connection, ended),
                    Some(ChildKind::Helper { kind }) => self.helper_ended(kind, ended),
                    Some(ChildKind::Job { job }) => self.job_ended(job, ended),
                    Some(ChildKind::Drivers { wave }) => self.drivers_ended(wave, ended),
                    Some(ChildKind::Modprobe | ChildKind::Shelf) | None => {}
                },
                Ok(None) => return,
                Err(error) => {
                    log::error!("wait for children: {error}");
                    return;
                }
            }
        }
    }
}
