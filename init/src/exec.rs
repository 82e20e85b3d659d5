//! A command inside a running container: a launcher that joins it, holding the client's own descriptors.

use crate::connection::Waits;
use crate::inside::{CONSOLE, Started};
use crate::machine::Machine;
use crate::place::{Place, give_back};
use crate::run::{Report, failure_text};
use crate::source::{ChildKind, Source};
use control::reply::{Denial, Reply};
use control::request::ExecRequest;
use serde::{Deserialize, Serialize};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use supervisor::RunId;
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
    place: Place,
    run: RunId,
    report: Report,
    token: u64,
}

impl Exec {
    pub(crate) fn run(&self) -> RunId {
        self.run
    }

    pub(crate) fn place_mut(&mut self) -> &mut Place {
        &mut self.place
    }
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
        let (found, container) = self.container(unit).ok_or_else(not_running)?;
        if request.argv.is_empty() {
            return Err(Reply::Failed {
                message: "no command given".into(),
            });
        }
        let spec = ExecSpec {
            unit: found.name.clone(),
            root: run.root,
            container: container.container.clone(),
            argv: request.argv,
            tty: request.tty,
            env: request.env,
            user: request.user,
            working_dir: request.working_dir,
        };
        let run = run.run;
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
        let started = crate::inside::start(&mut self.runs, run, &spec, &standard);
        let Started {
            place,
            child,
            report,
        } = started.map_err(|reason| Reply::Failed {
            message: format!("exec: {reason}"),
        })?;
        self.children
            .insert(child.pid, ChildKind::Exec { connection: id });
        let token = self
            .registry
            .watch(&report, Interest::Read, Source::ExecReport { id })
            .map_err(failed("epoll"))?;
        self.execs.insert(
            id,
            Exec {
                place,
                run,
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
        let failure = exec.report.failure.as_ref();
        // Who was short of something and did well has nothing to tell of it.
        let run = self.runs.get(&exec.run.0);
        let told = failure.is_some() || ended != Ended::Code(0);
        let shortage = told.then(|| exec.place.shortage(run)).flatten();
        let shortage = shortage.map(|shortage| {
            let container = run.and_then(|run| self.container(run.unit));
            let resources = container.map(|(_, it)| it.resources.clone());
            shortage.text(&resources.unwrap_or_default())
        });
        self.reply_last(id, &outcome(failure, ended, shortage));
        give_back(&exec.place, &mut self.runs, &mut self.give_up_at);
    }

    /// The client is gone: so is its command, with all that it has started.
    pub(crate) fn cancel_exec(&mut self, id: u64) {
        let launcher = self.execs.get(&id).and_then(|exec| exec.place.end());
        self.give_up_later(launcher);
    }
}

/// The launcher ends with the command's status; where there is none, with why there is none. `shortage`: the limit that the
/// command has run into, in words.
fn outcome(failure: Option<&LaunchFailure>, ended: Ended, shortage: Option<String>) -> Reply {
    match (failure, ended) {
        (None, Ended::Code(code)) => Reply::Exited {
            code,
            reason: shortage.filter(|_| code != 0),
        },
        (None, Ended::Signal(signal)) => Reply::Exited {
            code: signal.saturating_add(128),
            reason: shortage,
        },
        (Some(failure), ended) => Reply::NotStarted {
            message: match shortage {
                Some(text) if failure.errno == nix::libc::EAGAIN => text,
                _ => failure_text(failure),
            },
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
                outcome(Some(&failure), ended, None),
                Reply::NotStarted { message, code },
                "{ended:?}"
            );
        }
    }

    #[test]
    fn a_command_that_ran_has_its_own_status() {
        for (ended, code) in [(Ended::Code(127), 127), (Ended::Signal(15), 143)] {
            let reason = None;
            assert_eq!(outcome(None, ended, None), Reply::Exited { code, reason });
        }
    }

    #[test]
    fn a_limit_is_named_where_it_was_in_the_way() {
        let text = || Some("resources.pids = 12".to_owned());
        let exited = |code, reason| Reply::Exited { code, reason };
        assert_eq!(
            outcome(None, Ended::Code(2), text()),
            exited(2, text()),
            "it could not fork"
        );
        assert_eq!(
            outcome(None, Ended::Code(0), text()),
            exited(0, None),
            "it could do without"
        );
        let failure = LaunchFailure {
            step: "fork".into(),
            path: String::new(),
            errno: nix::libc::EAGAIN,
            message: "cannot fork".into(),
        };
        let message = "resources.pids = 12".to_owned();
        assert_eq!(
            outcome(Some(&failure), Ended::Code(125), text()),
            Reply::NotStarted { message, code: 125 }
        );
    }
}
