//! A command inside a running container: `launcher exec`, which is born in its PID namespace, joins it otherwise, and becomes the
//! command's parent.

use crate::gasp;
use crate::machine::Machine;
use crate::place::Place;
use crate::run::Run;
use crate::step::{Asked, Born, Home, Output, Pipes};
use std::collections::BTreeMap;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use supervisor::RunId;
use sys::cgroup::Cgroup;
use sys::clone::{Child, Spawn};
use sys::inside::SpawnInsideError;
use unit::ExecSpec;

/// Descriptors of `launcher exec`, as unit/src/launch.rs names them.
const SPEC: RawFd = 3;
const REPORT: RawFd = 4;
const PIDFD: RawFd = 5;
pub(crate) const CONSOLE: RawFd = 6;
const GROUP: RawFd = 7;

/// The group of those who start commands and reap what they leave behind: what they need is not the container's, and they
/// outlive what kills its commands.
const LAUNCHERS: &str = "launcher";

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
        let run = self.runs.get(&asked.run.0);
        let run = run.filter(|run| run.started && run.child.is_some());
        let run = run.ok_or_else(not_running)?;
        let (found, container) = self.container(asked.unit).ok_or_else(not_running)?;
        let spec = ExecSpec {
            unit: found.name.clone(),
            root: run.root,
            container: container.container.clone(),
            argv: command.argv,
            tty: false,
            env: crate::notify::environment(container),
            user: String::new(),
            working_dir: String::new(),
        };
        let pipes = Pipes::new(command.output).map_err(|error| format!("pipe: {error}"))?;
        let standard = [
            (self.null.as_fd(), 0),
            (pipes.stdout.as_fd(), 1),
            (pipes.stderr.as_fd(), 2),
        ];
        let Started {
            place,
            child,
            report,
        } = start(&mut self.runs, asked.run, &spec, &standard)?;
        let born = Born {
            home: Home::Place(place),
            child,
            report,
            readers: pipes.readers,
        };
        self.begin_step(id, *asked, born);
        Ok(())
    }
}

/// The launcher of a command, and where the command is born.
#[derive(Debug)]
pub(crate) struct Started {
    pub place: Place,
    pub child: Child,
    /// The reading end of its report, non-blocking.
    pub report: OwnedFd,
}

/// Start `launcher exec` for the container of a run. `standard`: descriptors 0, 1, 2, and the console socket if the
/// specification asks for a terminal.
///
/// # Errors
/// In words. Nothing of it is left then.
pub(crate) fn start(
    runs: &mut BTreeMap<u64, Run>,
    run: RunId,
    spec: &ExecSpec,
    standard: &[(BorrowedFd<'_>, RawFd)],
) -> Result<Started, String> {
    let run = runs.get_mut(&run.0).ok_or("the container is not running")?;
    let mut place = run.take_place()?;
    match start_at(run, &place, spec, standard) {
        Ok((child, report)) => {
            place.occupied_by(child.pid);
            Ok(Started {
                place,
                child,
                report,
            })
        }
        Err(error) => {
            run.leave(&place);
            Err(format!("cannot be started: {error}"))
        }
    }
}

fn start_at(
    run: &Run,
    place: &Place,
    spec: &ExecSpec,
    standard: &[(BorrowedFd<'_>, RawFd)],
) -> io::Result<(Child, OwnedFd)> {
    let process = run.child.as_ref().ok_or(io::ErrorKind::NotFound)?;
    let text = serde_json::to_vec(spec)?;
    let spec_file = sys::memfd::sealed("exec", &text)?;
    let (report, report_write) = io::pipe()?;
    let report = OwnedFd::from(report);
    sys::descriptor::set_nonblocking(report.as_fd(), true)?;
    let launchers = format!("{}/{LAUNCHERS}", sys::paths::CGROUP_SYSTEM);
    // There from the first command on.
    let there = Cgroup::at(&launchers).descriptor();
    let launchers = there.or_else(|_| Cgroup::create(launchers.as_ref())?.descriptor());
    let launchers = launchers.map_err(io::Error::other)?;
    let group = place.group.descriptor().map_err(io::Error::other)?;
    let mut descriptors: Vec<(BorrowedFd<'_>, RawFd)> = vec![
        (spec_file.as_fd(), SPEC),
        (report_write.as_fd(), REPORT),
        (process.pidfd.as_fd(), PIDFD),
        (group.as_fd(), GROUP),
    ];
    descriptors.extend_from_slice(standard);
    let program = CString::new(format!("{}/launcher", sys::paths::PROGRAMS))?;
    let spawn = Spawn {
        namespaces: 0,
        cgroup: Some(launchers.as_fd()),
        program: &program,
        arguments: &[c"launcher", c"exec"],
        environment: &[],
        descriptors: &descriptors,
    };
    match sys::inside::spawn(process.pidfd.as_fd(), &spawn) {
        Ok(child) => Ok((child, report)),
        Err(SpawnInsideError::Failed(error)) => Err(error),
        // All that would be started from now on would be in that container.
        Err(error @ SpawnInsideError::Astray(_)) => gasp::last(&error.to_string()),
    }
}
