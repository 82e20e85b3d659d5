//! A command inside a running container: `launcher exec`, which joins it and becomes the command's parent.

use crate::launcher;
use crate::machine::Machine;
use crate::run::Run;
use crate::step::{Asked, Born, Output, Pipes};
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use sys::cgroup::{Cgroup, CgroupError};
use sys::clone::{Child, Spawn, spawn};
use unit::ExecSpec;

/// Descriptors of `launcher exec`, as unit/src/launch.rs names them.
const SPEC: RawFd = 3;
const REPORT: RawFd = 4;
const PIDFD: RawFd = 5;
pub(crate) const CONSOLE: RawFd = 6;
const GROUP: RawFd = 7;

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
            group: true,
            pids: container.resources.pids,
            env: crate::notify::environment(container),
            user: String::new(),
            working_dir: String::new(),
        };
        let pipes = Pipes::new(command.output).map_err(|error| format!("pipe: {error}"))?;
        let group = make_group(run, &format!("step-{id}")).map_err(|error| error.to_string())?;
        let standard = [
            (self.null.as_fd(), 0),
            (pipes.stdout.as_fd(), 1),
            (pipes.stderr.as_fd(), 2),
        ];
        match start(run, &group, &spec, &standard) {
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
            Err(error) => {
                let _ = group.remove();
                Err(format!("cannot be started: {error}"))
            }
        }
    }
}

/// A group for one command beside a container: below that of the run, whose limits count it too, and killed as a whole, by
/// us and for memory.
///
/// # Errors
/// Names the file.
pub(crate) fn make_group(run: &Run, name: &str) -> Result<Cgroup, CgroupError> {
    let group = run.cgroup.child(name)?;
    match launcher::die_together(&group) {
        Ok(()) => Ok(group),
        Err(error) => {
            let _ = group.remove();
            Err(error)
        }
    }
}

/// Start `launcher exec` for the container of a run; its command will be born in `group`. `standard`: descriptors 0, 1, 2,
/// and the console socket if the specification asks for a terminal. Comes back with the launcher, which is in a group of the
/// system's because it outlives its command, and the reading end of its report.
///
/// # Errors
/// As memfd_create(2), pipe(2), open(2), clone3(2).
pub(crate) fn start(
    run: &Run,
    group: &Cgroup,
    spec: &ExecSpec,
    standard: &[(BorrowedFd<'_>, RawFd)],
) -> io::Result<(Child, OwnedFd)> {
    let process = run.child.as_ref().ok_or(io::ErrorKind::NotFound)?;
    let text = serde_json::to_vec(spec)?;
    let spec_file = sys::memfd::sealed("exec", &text)?;
    let (report, report_write) = io::pipe()?;
    let report = OwnedFd::from(report);
    sys::descriptor::set_nonblocking(report.as_fd(), true)?;
    let group = group.descriptor().map_err(|error| error.source)?;
    let launchers = Cgroup::at(sys::paths::CGROUP_EXEC).descriptor();
    let launchers = launchers.map_err(|error| error.source)?;
    let mut descriptors: Vec<(BorrowedFd<'_>, RawFd)> = vec![
        (spec_file.as_fd(), SPEC),
        (report_write.as_fd(), REPORT),
        (process.pidfd.as_fd(), PIDFD),
        (group.as_fd(), GROUP),
    ];
    descriptors.extend_from_slice(standard);
    let program = CString::new(format!("{}/launcher", sys::paths::PROGRAMS))?;
    let child = spawn(&Spawn {
        namespaces: 0,
        cgroup: Some(launchers.as_fd()),
        program: &program,
        arguments: &[c"launcher", c"exec"],
        environment: &[],
        descriptors: &descriptors,
    })?;
    Ok((child, report))
}
