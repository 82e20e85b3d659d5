//! One run: spawned into its group, watched by its report, ended by signals, and given back.
//!
//! ```text
//! Prepare ─┬▶ netd: attach ─────────────▶ Prepared ─▶ Spawn ─▶ go ahead ─▶ the launcher becomes the workload
//!          └▶ stand_by: launcher, root, mounts … waits ───────────┘
//! ```

use crate::console;
use crate::launcher::{self, Beside, Launcher};
use crate::limits;
use crate::logs::Pipes;
use crate::machine::Machine;
use crate::notify::{self, NotifySocket};
use crate::place::{CleanPlaces, Places};
use crate::run::{Prepared, Report, Run, failure_text};
use crate::source::{ChildKind, Source};
use std::cell::OnceCell;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use supervisor::{Event, Exit, RunId, UnitId};
use sys::cgroup::Cgroup;
use sys::clock::since_boot_ms;
use sys::epoll::Interest;
use sys::pidfd::Ended;
use unit::{HealthPlan, KillMode, LaunchRoot, ReadinessMode};

impl Machine {
    /// The supervisor's word: the launcher goes on, in the network that the run has got.
    pub(crate) fn launch(&mut self, unit: UnitId, run: RunId) {
        if let Err(reason) = self.go_ahead(run) {
            self.event(Event::SpawnFailed { unit, run, reason });
        }
    }

    fn go_ahead(&mut self, run: RunId) -> Result<(), String> {
        match self.runs.get(&run.0) {
            // It ended in the moment in which the network came: the supervisor no longer listens to `PrepareFailed`.
            Some(entry) if entry.child.is_none() => return Err(early_end(&entry.report)),
            Some(_) => {}
            // Who could not be made to stand by has failed to be prepared.
            None => return Err("launcher: none stands by".into()),
        }
        let entry = self.runs.get_mut(&run.0);
        match entry.and_then(|entry| entry.standing_by.take()) {
            Some(launcher) => self.let_go(run, &launcher),
            None => Ok(()),
        }
    }

    /// Start the launcher of a run. It does what it can without a network, and waits.
    pub(crate) fn stand_by(&mut self, unit: UnitId, run: RunId) -> Result<(), String> {
        let step = |step: &'static str| move |error: io::Error| format!("{step}: {error}");
        self.filter_devices()?;
        let Some((found, container)) = self.container(unit) else {
            return Err("not a container".into());
        };
        let name = found.name.clone();
        let logging = container.logging.clone();
        let pattern = match &container.readiness.mode {
            ReadinessMode::Log { pattern } => Some(pattern.clone()),
            ReadinessMode::Started
            | ReadinessMode::Notify
            | ReadinessMode::Healthy
            | ReadinessMode::Port { .. }
            | ReadinessMode::Exit => None,
        };
        let mut spec = launcher::spec(found, container, run);
        if self.supervisor.successor_of(unit).is_some() {
            spec.root = LaunchRoot::Beside(run.0);
        }
        let mut notify = None;
        if notify::is_listened_to(container) {
            let socket = NotifySocket::of_run(run).map_err(step("notify socket"))?;
            spec.notify_socket = Some(socket.path());
            spec.environment = notify::environment(container);
            notify = Some(socket);
        }
        let (stdout, stdout_write) = pipe().map_err(step("pipe"))?;
        let (stderr, stderr_write) = pipe().map_err(step("pipe"))?;
        let (null, out, err) = (&self.null, &stdout_write, &stderr_write);
        let launcher = launcher::start(
            &spec,
            Beside::Commands,
            null.as_fd(),
            out.as_fd(),
            err.as_fd(),
        )?;
        let Launcher {
            group,
            main,
            child,
            go,
            report,
        } = launcher;
        if let Some(socket) = &mut notify {
            socket.watch(&mut self.registry, run);
        }
        self.children
            .insert(child.pid, ChildKind::Run { run: run.0 });
        let report_token = self
            .registry
            .watch(&report, Interest::Read, Source::Report { run: run.0 })
            .ok();
        let entry = Run {
            unit,
            run,
            cgroup: group,
            memory: OnceCell::new(),
            main,
            places: Places::new(),
            clean_places: CleanPlaces::new(),
            root: spec.root,
            child: Some(child),
            standing_by: Some(go),
            report: Report::new(report),
            report_token,
            started: false,
            notify,
            exit: None,
            retries: 0,
            retry_at: None,
        };
        self.runs.insert(run.0, entry);
        let pair = self.id();
        let pipes = Pipes {
            unit: name,
            run: run.0,
            logging,
            pattern,
            stdout,
            stderr,
        };
        self.keep_output(pair, pipes);
        Ok(())
    }

    pub(crate) fn report_ready(&mut self, run: u64) {
        let Some(entry) = self.runs.get_mut(&run) else {
            return;
        };
        let (pipe, token) = (
            entry.report.pipe().map(|pipe| pipe.as_fd()),
            entry.report_token,
        );
        if let (Some(pipe), Some(token)) = (pipe, token) {
            // Level-triggered: unwatched first, watched again when there is more to come.
            self.registry.unwatch(pipe, token);
            entry.report_token = None;
        }
        if !entry.report.read() {
            let again = entry.report.pipe().map(|pipe| {
                self.registry
                    .watch(pipe, Interest::Read, Source::Report { run })
            });
            entry.report_token = again.and_then(Result::ok);
            return;
        }
        if entry.report.succeeded() && !entry.started {
            entry.started = true;
            let (unit, run) = (entry.unit, entry.run);
            let prepared = entry.report.prepared.as_ref();
            let image = prepared.and_then(|prepared| prepared.health.clone());
            let container = self.container(unit);
            let plan = container.and_then(|(_, it)| HealthPlan::of(&it.health, image.as_ref()));
            if let Some(plan) = plan {
                self.event(Event::HealthPlan { unit, run, plan });
            }
            self.event(Event::Started { unit, run });
        }
    }

    /// The main process has been reaped; the kernel has ended everything else in its PID namespace.
    pub(crate) fn run_ended(&mut self, run: u64, ended: Ended) {
        self.report_ready(run);
        // What it said last comes before its end.
        self.notify_ready(run);
        let Some(entry) = self.runs.get_mut(&run) else {
            return;
        };
        entry.child = None;
        let (unit, run) = (entry.unit, entry.run);
        self.forget_probes(run);
        self.forget_freezing(run);
        let Some(entry) = self.runs.get_mut(&run.0) else {
            return;
        };
        let event = if entry.started {
            // Not of commands beside it.
            let out_of_memory = entry
                .main_group()
                .keyed("memory.events", "oom_kill")
                .is_some_and(|count| count > 0);
            let exit = match ended {
                Ended::Code(code) => Exit::Code(code),
                Ended::Signal(signal) => Exit::Signal {
                    signal,
                    out_of_memory,
                },
            };
            entry.exit = Some(exit);
            self.note_shortage(run, exit);
            Event::Exited { unit, run, exit }
        } else {
            // The reason of a start that did not come so far is its own.
            if let Some(found) = self.units.get(unit) {
                self.shortages.remove(found.name.as_str());
            }
            let reason = match (&entry.report.failure, ended) {
                (Some(failure), _) => failure_text(failure),
                (None, Ended::Signal(signal)) => {
                    format!("launcher: killed by {}", unit::signal::display(signal))
                }
                (None, Ended::Code(code)) => {
                    format!("launcher: exited with status {code} before the workload ran")
                }
            };
            if entry.standing_by.take().is_some() {
                Event::PrepareFailed {
                    unit,
                    run,
                    reason,
                    lasting: false,
                }
            } else {
                Event::SpawnFailed { unit, run, reason }
            }
        };
        self.event(event);
    }

    /// Ask the container to end: its first process gets the stop signal, whatever it makes of it, and the supervisor gives it
    /// `stop_timeout`. Nothing that can be seen of a process from here says whether it will hear the signal (one that waits
    /// in sigwait(3) looks as if it would not), nor whether something in the container must not be cut off.
    pub(crate) fn terminate(&mut self, _: UnitId, run: RunId) {
        let Some(entry) = self.runs.get(&run.0) else {
            return;
        };
        let Some(child) = &entry.child else { return };
        let signal = match &entry.report.prepared {
            Some(prepared) if entry.started => prepared.stop_signal,
            // A launcher, which has nothing to lose.
            Some(_) | None => nix::libc::SIGKILL,
        };
        if let Err(error) = sys::pidfd::signal(child.pidfd.as_fd(), signal) {
            log::error!("run {}: signal: {error}", run.0);
        }
    }

    /// The whole group, or, with `kill_mode = "process"`, the container's first process: the kernel ends the others of its
    /// PID namespace with it, and commands that were started in the container from outside see that and end by themselves.
    pub(crate) fn kill(&mut self, unit: UnitId, run: RunId) {
        let container = self.container(unit);
        let mode = container.map_or(KillMode::ControlGroup, |(_, it)| it.service.kill_mode);
        let Some(entry) = self.runs.get(&run.0) else {
            return;
        };
        let killed = match mode {
            KillMode::ControlGroup => entry.cgroup.kill(),
            KillMode::Process => Ok(()),
        };
        if let Err(error) = &killed {
            log::error!("{error}");
        }
        if let Some(child) = &entry.child
            && (killed.is_err() || mode == KillMode::Process)
        {
            let _ = sys::pidfd::signal(child.pidfd.as_fd(), nix::libc::SIGKILL);
        }
    }

    /// Give everything of a run back: network, then its group.
    pub(crate) fn release(&mut self, unit: UnitId, run: RunId) {
        self.starts.retain(|(_, waiting)| *waiting != run);
        self.waiting_for_images
            .retain(|(_, waiting)| *waiting != run);
        self.detach(run);
        match self.runs.get_mut(&run.0) {
            None => self.event(Event::Released { unit, run }),
            Some(_) => self.retry_release(run.0),
        }
    }

    pub(crate) fn retry_release(&mut self, run: u64) {
        let Some(entry) = self.runs.get_mut(&run) else {
            return;
        };
        entry.retry_at = None;
        let (unit, id) = (entry.unit, entry.run);
        // Most runs leave nothing but these two: no need to look what there is.
        let main = entry.main.as_ref().map_or(Ok(()), Cgroup::remove);
        let removed = match main.and_then(|()| entry.cgroup.remove()) {
            Err(_) => entry.cgroup.remove_with_children(),
            removed => removed,
        };
        match removed {
            Err(error) if entry.retries < limits::CGROUP_RETRIES_MAX => {
                // Someone in it lives: an exec, or a process on its way out.
                if let Err(error) = entry.cgroup.kill() {
                    log::error!("{error}");
                }
                log::debug!("{error}: trying again");
                entry.retries = entry.retries.saturating_add(1);
                entry.retry_at = Some(since_boot_ms().saturating_add(limits::CGROUP_RETRY_MS));
            }
            result => {
                if let Err(error) = result {
                    console::warn(format_args!("{error}: left behind"));
                }
                self.close_notify(run);
                if let Some(entry) = self.runs.remove(&run) {
                    if let (Some(pipe), Some(token)) = (entry.report.pipe(), entry.report_token) {
                        self.registry.unwatch(pipe, token);
                    }
                    if let Some(name) = self.units.get(unit).map(|unit| unit.name.clone()) {
                        self.discard_layer(&name, entry.root);
                    }
                }
                self.event(Event::Released { unit, run: id });
            }
        }
    }

    pub(crate) fn live_run(&self, unit: UnitId) -> Option<&Run> {
        self.run_of(unit)
            .filter(|run| run.child.is_some() && run.started)
    }

    /// The latest run, as long as something of it is there.
    fn run_of(&self, unit: UnitId) -> Option<&Run> {
        let run = self.supervisor.run(unit)?;
        self.runs.get(&run.0).filter(|run| run.unit == unit)
    }

    pub(crate) fn prepared_of(&self, unit: UnitId) -> Option<&Prepared> {
        self.run_of(unit)?.report.prepared.as_ref()
    }
}

/// Of a launcher that has ended while it stood by.
fn early_end(report: &Report) -> String {
    match &report.failure {
        Some(failure) => failure_text(failure),
        None => "launcher: ended before the workload ran".into(),
    }
}

fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = io::pipe()?;
    Ok((reader.into(), writer.into()))
}
