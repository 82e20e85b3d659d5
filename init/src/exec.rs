//! A command inside a running container: a launcher that joins it, holding the client's own descriptors.

use crate::carried;
use crate::connection::Waits;
use crate::inside::CONSOLE;
use crate::limits;
use crate::machine::Machine;
use crate::run::{Report, failure_text};
use crate::source::{ChildKind, Source};
use control::reply::{Denial, Reply};
use control::request::ExecRequest;
use serde::{Deserialize, Serialize};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use supervisor::UnitId;
use sys::cgroup::Cgroup;
use sys::clock::since_boot_ms;
use sys::epoll::Interest;
use sys::pidfd::Ended;
use unit::{ExecSpec, LaunchFailure};

/// Exit statuses of `launcher exec` when there is no command that could have one (POSIX sh, docker-run(1)).
const NOT_FOUND: i32 = 127;
const NOT_EXECUTABLE: i32 = 126;
const NOT_STARTED: i32 = 125;

/// One exec, by its connection.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Exec {
    /// The launcher's.
    pid: i32,
    unit: UnitId,
    /// The command's.
    #[serde(with = "carried")]
    group: Cgroup,
    /// The command was killed, and the launcher is not waited for any longer than this.
    abandon_at: Option<u64>,
    report: Report,
    token: u64,
}

impl Machine {
    pub(crate) fn exec(&mut self, id: u64, request: ExecRequest, descriptors: &[OwnedFd]) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.waits = Waits::Exec;
        }
        if let Err(reply) = self.try_exec(id, request, descriptors) {
            self.reply_last(id, &reply);
        }
    }

    fn try_exec(
        &mut self,
        id: u64,
        request: ExecRequest,
        descriptors: &[OwnedFd],
    ) -> Result<(), Reply> {
        let denied = |reason| Reply::Denied { reason };
        let failed = |what: &'static str| {
            move |error: io::Error| Reply::Failed {
                message: format!("{what}: {error}"),
            }
        };
        let unit = self.unit_id(&request.unit).map_err(denied)?;
        let not_running = || Reply::Denied {
            reason: Denial::NotRunning {
                unit: request.unit.clone(),
            },
        };
        if self.supervisor.is_paused(unit) {
            return Err(Reply::Failed {
                message: format!(
                    "{unit} is paused, and a command in it would stand still: `keelctl unpause {unit}` first",
                    unit = request.unit
                ),
            });
        }
        let run = self.live_run(unit).ok_or_else(not_running)?;
        let child = run.child.as_ref().ok_or_else(not_running)?;
        let (found, container) = self.container(unit).ok_or_else(not_running)?;
        if request.argv.is_empty() {
            return Err(Reply::Failed {
                message: "no command given".into(),
            });
        }
        let spec = ExecSpec {
            unit: found.name.clone(),
            root: run.root,
            pid: child.pid,
            container: container.container.clone(),
            argv: request.argv,
            tty: request.tty,
            group: true,
            pids: container.resources.pids,
            env: request.env,
            user: request.user,
            working_dir: request.working_dir,
        };
        let mut standard: Vec<(BorrowedFd<'_>, RawFd)> = Vec::new();
        match descriptors {
            [console, ..] if spec.tty => {
                standard.extend((0..3).map(|number| (self.null.as_fd(), number)));
                standard.push((console.as_fd(), CONSOLE));
            }
            [stdin, stdout, stderr, ..] => {
                standard.extend([(stdin.as_fd(), 0), (stdout.as_fd(), 1), (stderr.as_fd(), 2)]);
            }
            _ => {
                return Err(Reply::Denied {
                    reason: Denial::MissingDescriptors,
                });
            }
        }
        let group = crate::inside::make_group(run, &format!("exec-{id}"));
        let group = group.map_err(|error| Reply::Failed {
            message: error.to_string(),
        })?;
        let (child, report) = match crate::inside::start(run, &group, &spec, &standard) {
            Ok(started) => started,
            Err(error) => {
                let _ = group.remove();
                return Err(failed("exec")(error));
            }
        };
        self.children
            .insert(child.pid, ChildKind::Exec { connection: id });
        let token = self
            .registry
            .watch(&report, Interest::Read, Source::ExecReport { id })
            .map_err(failed("epoll"))?;
        self.execs.insert(
            id,
            Exec {
                pid: child.pid,
                unit,
                group,
                abandon_at: None,
                report: Report::new(report),
                token,
            },
        );
        Ok(())
    }

    pub(crate) fn exec_report_ready(&mut self, id: u64) {
        let Some(exec) = self.execs.get_mut(&id) else {
            return;
        };
        if let Some(pipe) = exec.report.pipe() {
            self.registry.unwatch(pipe, exec.token);
        }
        if !exec.report.read() {
            let Some(pipe) = exec.report.pipe() else {
                return;
            };
            if let Ok(token) = self
                .registry
                .watch(pipe, Interest::Read, Source::ExecReport { id })
            {
                exec.token = token;
            }
            return;
        }
        if exec.report.succeeded() {
            self.reply(id, &Reply::Accepted);
        }
    }

    pub(crate) fn exec_ended(&mut self, id: u64, ended: Ended) {
        self.exec_report_ready(id);
        let Some(exec) = self.execs.remove(&id) else {
            return;
        };
        let mut reply = outcome(exec.report.failure.as_ref(), ended);
        if let Reply::Exited { message, .. } = &mut reply
            && crate::launcher::killed_for_memory(&exec.group) > 0
        {
            let unit = self.units.get(exec.unit).map(|unit| unit.name.to_string());
            *message = Some(format!(
                "the command was killed: out of memory; it shares `resources.memory` with {}",
                unit.unwrap_or_default()
            ));
        }
        // One of its processes that can't die yet keeps it there; then it goes with the run's.
        if let Err(error) = exec.group.remove() {
            log::warn!("{error}");
        }
        self.reply_last(id, &reply);
    }

    /// The client is gone: so is its command, with all that it has started.
    pub(crate) fn cancel_exec(&mut self, id: u64) {
        if let Some(exec) = self.execs.get_mut(&id) {
            if let Err(error) = exec.group.kill() {
                log::error!("{error}");
            }
            let abandon_at = since_boot_ms().saturating_add(limits::REAP_MS);
            exec.abandon_at.get_or_insert(abandon_at);
        }
    }

    pub(crate) fn exec_deadline(&self) -> Option<u64> {
        self.execs.values().filter_map(|exec| exec.abandon_at).min()
    }

    pub(crate) fn exec_timeouts(&mut self, now: u64) {
        for exec in self.execs.values_mut() {
            if exec.abandon_at.is_some_and(|at| at <= now) {
                exec.abandon_at = None;
                crate::helpers::kill(exec.pid);
            }
        }
    }
}

/// The launcher ends with the command's status; where there is none, with why there is none.
fn outcome(failure: Option<&LaunchFailure>, ended: Ended) -> Reply {
    match (failure, ended) {
        (None, Ended::Code(code)) => Reply::Exited {
            code,
            message: None,
        },
        (None, Ended::Signal(signal)) => Reply::Exited {
            code: signal.saturating_add(128),
            message: None,
        },
        (Some(failure), ended) => Reply::NotStarted {
            message: failure_text(failure),
            code: match ended {
                Ended::Code(code @ (NOT_FOUND | NOT_EXECUTABLE)) => code,
                Ended::Code(_) | Ended::Signal(_) => NOT_STARTED,
            },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_was_not_started_keeps_the_launchers_status() {
        let failure = LaunchFailure {
            step: "exec".into(),
            path: "/no/such".into(),
            errno: 0,
            message: "command not found".into(),
        };
        let of_launcher = [
            (Ended::Code(127), 127),
            (Ended::Code(126), 126),
            (Ended::Code(125), 125),
            // A failure is never a success, however the launcher ends.
            (Ended::Code(0), 125),
            (Ended::Signal(9), 125),
        ];
        for (ended, code) in of_launcher {
            let message = "exec: /no/such: command not found".to_owned();
            assert_eq!(
                outcome(Some(&failure), ended),
                Reply::NotStarted { message, code },
                "{ended:?}"
            );
        }
    }

    #[test]
    fn a_command_that_ran_has_its_own_status() {
        for (ended, code) in [(Ended::Code(127), 127), (Ended::Signal(15), 143)] {
            let message = None;
            assert_eq!(outcome(None, ended), Reply::Exited { code, message });
        }
    }
}
