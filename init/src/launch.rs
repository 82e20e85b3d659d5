//! One run: spawned into its group, watched by its report, ended by signals, and given back.
//!
//! ```text
//! Prepare ─┬▶ netd: attach ─────────────▶ Prepared ─▶ Spawn ─▶ go ahead ─▶ the launcher becomes the workload
//!          └▶ stand_by: launcher, root, mounts … waits ───────────┘
//! ```

use crate::console;
use crate::limits;
use crate::machine::Machine;
use crate::run::{Prepared, Report, Run, failure_text};
use crate::source::{ChildKind, Source};
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use supervisor::{Event, Exit, RunId, UnitId};
use sys::cgroup::{Cgroup, CgroupError};
use sys::clock::since_boot_ms;
use sys::clone::{CONTAINER_NAMESPACES, Spawn, spawn};
use sys::epoll::Interest;
use sys::pidfd::Ended;
use sys::signal::Disposition;
use unit::{LaunchGo, LaunchNetwork, LaunchSpec, NetworkMode, Resources, UnitName};

/// Standard descriptors and those that unit/src/launch.rs names.
const SPEC: RawFd = 3;
const REPORT: RawFd = 4;
const GO: RawFd = 5;

/// The period of `cpu.max`, microseconds: the kernel's default.
const CPU_PERIOD_US: u64 = 100_000;

impl Machine {
    /// The supervisor's word: the launcher goes on, in the network that the run has got.
    pub(crate) fn launch(&mut self, unit: UnitId, run: RunId) {
        if let Err(reason) = self.go_ahead(unit, run) {
            self.event(Event::SpawnFailed { unit, run, reason });
        }
    }

    fn go_ahead(&mut self, unit: UnitId, run: RunId) -> Result<(), String> {
        match self.runs.get(&run.0) {
            // It ended in the moment in which the network came: the supervisor no longer listens to `PrepareFailed`.
            Some(entry) if entry.child.is_none() => return Err(early_end(&entry.report)),
            Some(_) => {}
            None => self.stand_by(unit, run)?,
        }
        let attached = self.network.attached(run);
        let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let namespace = attached.and_then(|attached| attached.namespace.as_ref());
        let go = match attached {
            Some(attached) if namespace.is_some() => LaunchGo {
                hosts: attached.hosts.clone(),
                resolv_conf: attached.resolv_conf.clone(),
            },
            // The machine's network, whose files netd has brought up to date.
            Some(_) | None => LaunchGo {
                hosts: text("/etc/hosts"),
                resolv_conf: text("/etc/resolv.conf"),
            },
        };
        let go = serde_json::to_vec(&go).map_err(|error| format!("launch: {error}"))?;
        let namespace: Vec<BorrowedFd<'_>> = namespace
            .iter()
            .map(|namespace| namespace.as_fd())
            .collect();
        let entry = self.runs.get_mut(&run.0);
        if let Some(launcher) = entry.and_then(|entry| entry.standing_by.take()) {
            match sys::socket::send(launcher.as_fd(), &go, &namespace) {
                // It has ended, and its end says why.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
                other => drop(other.map_err(|error| format!("launch: {error}"))?),
            }
        }
        Ok(())
    }

    /// Start the launcher of a run. It does what it can without a network, and waits.
    pub(crate) fn stand_by(&mut self, unit: UnitId, run: RunId) -> Result<(), String> {
        let step = |step: &'static str| move |error: io::Error| format!("{step}: {error}");
        let Some((found, container)) = self.container(unit) else {
            return Err("not a container".into());
        };
        let name = found.name.clone();
        let logging = container.logging.clone();
        let spec = LaunchSpec {
            unit: name.clone(),
            run: run.0,
            container: container.container.clone(),
            resources: container.resources.clone(),
            mounts: container.mounts.clone(),
            network: match container.network.mode {
                NetworkMode::Host => LaunchNetwork::Host,
                NetworkMode::Bridge | NetworkMode::None => LaunchNetwork::Namespace,
            },
        };
        let resources = container.resources.clone();
        let text =
            serde_json::to_vec(&spec).map_err(|error| format!("launch specification: {error}"))?;
        let spec = sys::memfd::sealed("launch", &text).map_err(step("launch specification"))?;
        let (stdout, stdout_write) = pipe().map_err(step("pipe"))?;
        let (stderr, stderr_write) = pipe().map_err(step("pipe"))?;
        let (report, report_write) = pipe().map_err(step("pipe"))?;
        sys::descriptor::set_nonblocking(report.as_fd(), true).map_err(step("pipe"))?;
        let (standing_by, launcher) = sys::socket::seqpacket_pair().map_err(step("socket"))?;
        let descriptors = [
            (self.null.as_fd(), 0),
            (stdout_write.as_fd(), 1),
            (stderr_write.as_fd(), 2),
            (spec.as_fd(), SPEC),
            (report_write.as_fd(), REPORT),
            (launcher.as_fd(), GO),
        ];
        let program =
            CString::new(format!("{}/launcher", sys::paths::PROGRAMS)).unwrap_or_default();
        let group = make_group(&name, run, &resources).map_err(|error| error.to_string())?;
        let child = group
            .descriptor()
            .map_err(|error| error.to_string())
            .and_then(|group| {
                let child = spawn(&Spawn {
                    namespaces: CONTAINER_NAMESPACES,
                    cgroup: Some(group.as_fd()),
                    program: &program,
                    arguments: &[c"launcher", c"run"],
                    environment: &[],
                    descriptors: &descriptors,
                });
                child.map_err(|error| format!("clone: {error}"))
            });
        let child = match child {
            Ok(child) => child,
            Err(reason) => {
                // There is nothing in it, and no run that would be released.
                let _ = group.remove();
                return Err(reason);
            }
        };
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
            child: Some(child),
            standing_by: Some(standing_by),
            report: Report::new(report),
            report_token,
            started: false,
            retries: 0,
            retry_at: None,
        };
        self.runs.insert(run.0, entry);
        self.keep_output(run.0, name, logging, stdout, stderr);
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
            self.event(Event::Started { unit, run });
        }
    }

    /// The main process has been reaped; the kernel has ended everything else in its PID namespace.
    pub(crate) fn run_ended(&mut self, run: u64, ended: Ended) {
        self.report_ready(run);
        let Some(entry) = self.runs.get_mut(&run) else {
            return;
        };
        entry.child = None;
        let (unit, run) = (entry.unit, entry.run);
        let event = if entry.started {
            let out_of_memory = entry
                .cgroup
                .keyed("memory.events", "oom_kill")
                .is_some_and(|count| count > 0);
            let exit = match ended {
                Ended::Code(code) => Exit::Code(code),
                Ended::Signal(signal) => Exit::Signal {
                    signal,
                    out_of_memory,
                },
            };
            Event::Exited { unit, run, exit }
        } else {
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
                Event::PrepareFailed { unit, run, reason }
            } else {
                Event::SpawnFailed { unit, run, reason }
            }
        };
        self.event(event);
    }

    /// Ask the container to end. PID 1 of a PID namespace never gets a signal that it has no handler for
    /// (pid_namespaces(7)): waiting for it would be in vain, so such a one is ended at once.
    pub(crate) fn terminate(&mut self, _: UnitId, run: RunId) {
        let Some(entry) = self.runs.get(&run.0) else {
            return;
        };
        let Some(child) = &entry.child else { return };
        let signal = entry
            .report
            .prepared
            .as_ref()
            .map_or(nix::libc::SIGTERM, |prepared| prepared.stop_signal);
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", child.pid)).unwrap_or_default();
        let result =
            if entry.started && sys::signal::disposition(&status, signal) == Disposition::Handled {
                sys::pidfd::signal(child.pidfd.as_fd(), signal)
            } else {
                sys::pidfd::signal(child.pidfd.as_fd(), nix::libc::SIGKILL)
            };
        if let Err(error) = result {
            log::error!("run {}: signal: {error}", run.0);
        }
    }

    pub(crate) fn kill(&mut self, _: UnitId, run: RunId) {
        let Some(entry) = self.runs.get(&run.0) else {
            return;
        };
        if let Err(error) = entry.cgroup.kill() {
            log::error!("{error}");
            if let Some(child) = &entry.child {
                let _ = sys::pidfd::signal(child.pidfd.as_fd(), nix::libc::SIGKILL);
            }
        }
    }

    /// Give everything of a run back: network, then its group.
    pub(crate) fn release(&mut self, unit: UnitId, run: RunId) {
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
        match entry.cgroup.remove() {
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
                if let Some(entry) = self.runs.remove(&run)
                    && let (Some(pipe), Some(token)) = (entry.report.pipe(), entry.report_token)
                {
                    self.registry.unwatch(pipe, token);
                }
                self.event(Event::Released { unit, run: id });
            }
        }
    }

    pub(crate) fn live_run(&self, unit: UnitId) -> Option<&Run> {
        self.runs
            .values()
            .find(|run| run.unit == unit && run.child.is_some() && run.started)
    }

    pub(crate) fn prepared_of(&self, unit: UnitId) -> Option<&Prepared> {
        self.runs
            .values()
            .rev()
            .find(|run| run.unit == unit)?
            .report
            .prepared
            .as_ref()
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

/// The group of one run with its limits (cgroup-v2.rst: memory, cpu, pids).
fn make_group(unit: &UnitName, run: RunId, resources: &Resources) -> Result<Cgroup, CgroupError> {
    let path = format!("{}/{unit}:{}", sys::paths::CGROUP_CONTAINERS, run.0);
    let group = Cgroup::create(path.as_ref())?;
    let limits = || -> Result<(), CgroupError> {
        if let Some(bytes) = resources.memory {
            group.set("memory.max", &bytes.to_string())?;
        }
        // One process of it that is killed for memory takes the others along: half a container is no container.
        group.set("memory.oom.group", "1")?;
        if let Some(milli) = resources.cpus_milli {
            let quota = milli.saturating_mul(CPU_PERIOD_US) / 1000;
            group.set("cpu.max", &format!("{quota} {CPU_PERIOD_US}"))?;
        }
        group.set("pids.max", &resources.pids.to_string())
    };
    let result = limits();
    if result.is_err() {
        let _ = group.remove();
    }
    result.map(|()| group)
}
