//! A command inside a running container: `launcher exec`, which joins it and becomes the command's parent.

use crate::machine::Machine;
use crate::run::Run;
use crate::step::{Asked, Born, Output, Pipes};
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use sys::clone::{Child, Spawn, spawn};
use unit::ExecSpec;

/// Descriptors of `launcher exec`, as unit/src/launch.rs names them.
const SPEC: RawFd = 3;
const REPORT: RawFd = 4;
const PIDFD: RawFd = 5;
pub(crate) const CONSOLE: RawFd = 6;

/// What to execute, as the container's user and with its environment.
#[derive(Debug)]
pub(crate) struct Command {
    pub argv: Vec<String>,
    pub output: Output,
}

impl Machine {
    /// Start a command in the container of the run. Its end is told as its purpose says, exactly once, whatever happens.
    pub(crate) fn run_inside(&mut self, asked: Asked, command: Command) {
        if let Err(reason) = self.try_inside(&asked, command) {
            self.event(asked.ended(Some(reason)));
        }
    }

    fn try_inside(&mut self, asked: &Asked, command: Command) -> Result<(), String> {
        let not_running = || "the container is not running".to_owned();
        let id = self.id();
        let run = self.runs.get(&asked.run.0).filter(|run| run.started);
        let run = run.ok_or_else(not_running)?;
        let process = run.child.as_ref().ok_or_else(not_running)?;
        let (found, container) = self.container(asked.unit).ok_or_else(not_running)?;
        let spec = ExecSpec {
            unit: found.name.clone(),
            root: run.root,
            pid: process.pid,
            container: container.container.clone(),
            argv: command.argv,
            tty: false,
            env: crate::notify::environment(container),
            user: String::new(),
            working_dir: String::new(),
        };
        let pipes = Pipes::new(command.output).map_err(|error| format!("pipe: {error}"))?;
        // Of its own, so that all of it can be killed; below the container's, whose limits are its limits too.
        let group = run.cgroup.child(&format!("step-{id}"));
        let group = group.map_err(|error| error.to_string())?;
        let standard = [
            (self.null.as_fd(), 0),
            (pipes.stdout.as_fd(), 1),
            (pipes.stderr.as_fd(), 2),
        ];
        let folder = group.descriptor().map_err(|error| error.to_string());
        let child = folder.and_then(|folder| {
            start(run, folder.as_fd(), &spec, &standard).map_err(|error| start_text(&error))
        });
        match child {
            Ok((child, report)) => {
                let born = Born {
                    group,
                    child,
                    report,
                    readers: pipes.readers,
                };
                self.begin_step(id, *asked, born);
                Ok(())
            }
            Err(reason) => {
                let _ = group.remove();
                Err(reason)
            }
        }
    }
}

fn start_text(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::WouldBlock {
        return "cannot be started: the container has as many processes as `resources.pids` allows"
            .to_owned();
    }
    format!("cannot be started: {error}")
}

/// Start `launcher exec` for the container of a run, born in `group`. `standard`: descriptors 0, 1, 2, and the console
/// socket if the specification asks for a terminal. Comes back with the launcher and the reading end of its report.
///
/// # Errors
/// As memfd_create(2), pipe(2), clone3(2); `WouldBlock` when there are too many processes in the group.
pub(crate) fn start(
    run: &Run,
    group: BorrowedFd<'_>,
    spec: &ExecSpec,
    standard: &[(BorrowedFd<'_>, RawFd)],
) -> io::Result<(Child, OwnedFd)> {
    let process = run.child.as_ref().ok_or(io::ErrorKind::NotFound)?;
    let text = serde_json::to_vec(spec)?;
    let spec_file = sys::memfd::sealed("exec", &text)?;
    let (report, report_write) = io::pipe()?;
    let report = OwnedFd::from(report);
    sys::descriptor::set_nonblocking(report.as_fd(), true)?;
    let mut descriptors: Vec<(BorrowedFd<'_>, RawFd)> = vec![
        (spec_file.as_fd(), SPEC),
        (report_write.as_fd(), REPORT),
        (process.pidfd.as_fd(), PIDFD),
    ];
    descriptors.extend_from_slice(standard);
    let program = CString::new(format!("{}/launcher", sys::paths::PROGRAMS))?;
    let child = spawn(&Spawn {
        namespaces: 0,
        cgroup: Some(group),
        program: &program,
        arguments: &[c"launcher", c"exec"],
        environment: &[],
        descriptors: &descriptors,
    })?;
    Ok((child, report))
}
