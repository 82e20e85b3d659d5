//! What signals tell: children that have ended, and who wants the machine to end.

use crate::machine::Machine;
use crate::source::ChildKind;
use nix::sys::signal::Signal;
use nix::sys::signalfd::SignalFd;
use std::io;
use sys::clock::since_boot_ms;
use sys::power::PowerAction;

/// Those that the loop hears of.
///
/// # Errors
/// As sigprocmask(2) and signalfd(2).
pub(crate) fn descriptor() -> io::Result<SignalFd> {
    sys::signal::descriptor(&[
        Signal::SIGCHLD,
        Signal::SIGINT,
        Signal::SIGTERM,
        Signal::SIGPWR,
        Signal::SIGHUP,
        Signal::SIGPIPE,
    ])
}

impl Machine {
    pub(crate) fn signals(&mut self) {
        while let Ok(Some(signal)) = self.signals.read_signal() {
            match i32::try_from(signal.ssi_signo)
                .ok()
                .and_then(|number| Signal::try_from(number).ok())
            {
                Some(Signal::SIGCHLD) => self.unreaped = true,
                // Ctrl-Alt-Del, and what virtual machine managers send to a PID 1.
                Some(Signal::SIGINT) => self.begin_shutdown(PowerAction::Reboot, "ctrl-alt-del"),
                Some(Signal::SIGTERM | Signal::SIGPWR) => {
                    self.begin_shutdown(PowerAction::PowerOff, "signal")
                }
                _ => {}
            }
        }
    }

    /// Children that have ended, until this time; PID 1 inherits orphans too.
    pub(crate) fn reap(&mut self, until_ms: u64) {
        loop {
            if since_boot_ms() >= until_ms {
                return;
            }
            match sys::pidfd::reap_any() {
                Ok(Some((pid, ended))) => match self.children.remove(&pid) {
                    Some(ChildKind::Run { run }) => self.run_ended(run, ended),
                    Some(ChildKind::Exec { connection }) => self.exec_ended(connection, ended),
                    Some(ChildKind::Helper { kind }) => self.helper_ended(kind, ended),
                    Some(ChildKind::Job { job }) => self.job_ended(job, ended),
                    Some(ChildKind::Step { id }) => self.step_ended(id, ended),
                    Some(ChildKind::Closer { run }) => self.closer_ended(run),
                    Some(ChildKind::Drivers { part }) => self.drivers_ended(part, ended),
                    Some(ChildKind::UnitFiles) => self.unit_files_written(ended),
                    Some(ChildKind::Check) => self.handover_checked(ended),
                    Some(ChildKind::Aside { id }) => self.aside_ended(id, ended),
                    Some(ChildKind::Modprobe | ChildKind::Afterwards | ChildKind::Discard)
                    | None => {}
                },
                Ok(None) => {
                    self.unreaped = false;
                    return;
                }
                Err(error) => {
                    self.unreaped = false;
                    log::error!("wait for children: {error}");
                    return;
                }
            }
        }
    }
}
