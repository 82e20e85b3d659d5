//! What signals tell: children that have ended, and who wants the machine to end.

use crate::exec::Exec;
use crate::machine::Machine;
use crate::place::Place;
use crate::source::ChildKind;
use crate::step::Step;
use nix::sys::signal::Signal;
use nix::sys::signalfd::SignalFd;
use std::io;
use supervisor::RunId;
use sys::clock::since_boot_ms;
use sys::pidfd::Ended;
use sys::power::PowerAction;

/// Those that the loop hears of.
///
/// # Errors
/// As sigprocmask(2) and signalfd(2).
pub(crate) fn descriptor() -> io::Result<SignalFd> {
    // Whoever is root in a container can stop the launcher of a command there.
    sys::signal::only_ends_of_children()?;
    sys::signal::descriptor(&[
        Signal::SIGCHLD,
        Signal::SIGINT,
        Signal::SIGTERM,
        Signal::SIGPWR,
        Signal::SIGHUP,
        Signal::SIGPIPE,
    ])
}

/// Of those whom the kernel kills when their PID namespace ends.
const KILLED: Ended = Ended::Signal(nix::libc::SIGKILL);

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
                    Some(kind) if self.ends_with_its_container(kind, ended) => {
                        self.keep_end(kind);
                    }
                    Some(ChildKind::Run { run }) => {
                        self.run_ended(run, ended);
                        self.tell_ended_with(RunId(run));
                    }
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

    /// Of a container that ends, the launchers of commands end first: the kernel waits for them. That the container has ended
    /// is what has happened, and to be told first.
    fn ends_with_its_container(&self, kind: ChildKind, ended: Ended) -> bool {
        let run = ended.eq(&KILLED).then(|| self.run_it_is_in(kind)).flatten();
        let first = run.and_then(|run| self.runs.get(&run.0)?.child.as_ref());
        first.is_some_and(|first| sys::process::is_ending(first.pid))
    }

    fn keep_end(&mut self, kind: ChildKind) {
        let place = match kind {
            ChildKind::Exec { connection } => self.execs.get_mut(&connection).map(Exec::place_mut),
            ChildKind::Step { id } => self.steps.get_mut(&id).and_then(Step::place_mut),
            _ => None,
        };
        if let Some(pid) = place.and_then(Place::launcher_ended) {
            self.give_up_at.remove(&pid);
        }
        self.ended_with_containers.push(kind);
    }

    fn run_it_is_in(&self, kind: ChildKind) -> Option<RunId> {
        match kind {
            ChildKind::Exec { connection } => self.execs.get(&connection).map(Exec::run),
            ChildKind::Step { id } => self.steps.get(&id).map(Step::run),
            _ => None,
        }
    }

    /// Those that were kept until their container has ended, too.
    fn tell_ended_with(&mut self, run: RunId) {
        let (now, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.ended_with_containers)
            .into_iter()
            .partition(|kind| self.run_it_is_in(*kind).is_none_or(|of| of == run));
        self.ended_with_containers = later;
        for kind in now {
            match kind {
                ChildKind::Exec { connection } => self.exec_ended(connection, KILLED),
                ChildKind::Step { id } => self.step_ended(id, KILLED),
                _ => {}
            }
        }
    }
}
