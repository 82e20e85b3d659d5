//! `launcher exec`: one more process in a running container, under the same restrictions as its first.

use crate::command::Environment;
use crate::confine;
use crate::failure::{At, Fault, Problem};
use crate::options::Options;
use crate::program::Program;
use crate::reaper;
use crate::report::{Prepared, Report};
use crate::run::{CLOSE_FROM, Failed, at_step, read_spec, set_oom_score};
use crate::user::{self, User};
use crate::writable::{Record, Writable};
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::path::Path;
use std::process::ExitCode;
use sys::clone::Child;
use sys::path::{self, Links};
use sys::program::Fork;
use sys::pty::Pty;
use unit::ExecSpec;

const PIDFD: RawFd = 5;
const CONSOLE: RawFd = 6;
const GROUP: RawFd = 7;

/// Of two who share a unit's memory, the kernel's choice is the one that was started beside the service
/// (proc_pid_oom_score_adj(5); the highest there is).
const OOM_SCORE: &str = "1000";

/// For programs that ask for a terminal and don't say which; the client's own comes with the environment.
const DEFAULT_TERM: &str = "xterm";

/// What the new process needs, all looked up inside the container.
struct Joined {
    record: Record,
    root: OwnedFd,
    user: User,
    environment: Environment,
    terminal: Option<OwnedFd>,
    pidfd: OwnedFd,
}

/// The launcher's part from the fork on.
struct Followed {
    reaper: Child,
    /// How the command ended.
    told: OwnedFd,
    group: Option<OwnedFd>,
}

/// Ends with the command's exit status, or 125 to 127 when it could not be started.
pub(crate) fn exec(options: &Options) -> ExitCode {
    let mut report = match Report::inherited() {
        Ok(report) => report,
        Err(status) => return status,
    };
    match start(options, &mut report) {
        Ok(followed) => {
            // The command's own: whoever reads them must see their end with its end.
            drop(report);
            let standard = [0, 1, 2].map(sys::descriptor::inherited);
            drop(standard);
            let Followed {
                reaper,
                told,
                group,
            } = followed;
            match reaper::follow(&reaper, told, group.as_ref().map(AsFd::as_fd)) {
                Ok(ended) => ExitCode::from(crate::init::status(ended)),
                Err(_) => ExitCode::from(125),
            }
        }
        // Reaper and command come back from `start` only when they have failed.
        Err((failure, status)) => {
            report.failed(failure);
            ExitCode::from(status)
        }
    }
}

fn start(options: &Options, report: &mut Report) -> Result<Followed, Failed> {
    sys::rlimit::set_umask(confine::UMASK);
    let spec: ExecSpec = at_step("spec", read_spec())?;
    at_step("limits", set_oom_score(OOM_SCORE))?;
    at_step("limits", confine::limit(options.limits))?;
    let group = spec.group.then(|| sys::descriptor::inherited(GROUP));
    let group = at_step("spec", group.transpose().at("take over", "descriptor 7"))?;
    let joined = at_step("join", join(options, &spec))?;
    let (told, tell) = at_step("fork", std::io::pipe().at("make a pipe", ""))?;
    if let Fork::Parent(reaper) = at_step("fork", sys::program::fork().at("fork", ""))? {
        return Ok(Followed {
            reaper,
            told: told.into(),
            group,
        });
    }
    drop(told);
    let tell = OwnedFd::from(tell);
    at_step(
        "fork",
        sys::program::become_subreaper().at("become a subreaper", ""),
    )?;
    match at_step("fork", fork_command(group.as_ref(), spec.pids))? {
        Fork::Parent(command) => reaper::stay(&command, &tell),
        Fork::Child => become_command(&spec, joined, report),
    }
}

/// In the command's own group, where its unit's limit of processes counts it.
fn fork_command(group: Option<&OwnedFd>, pids: u64) -> Result<Fork, Fault> {
    let forked = match group {
        Some(group) => sys::clone::fork_into(group.as_fd()),
        None => sys::program::fork(),
    };
    match forked {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
            Err(Fault::new("", Problem::NoMoreProcesses { pids }))
        }
        other => other.at("fork", ""),
    }
}

fn join(options: &Options, spec: &ExecSpec) -> Result<Joined, Fault> {
    let pidfd = sys::descriptor::inherited(PIDFD).at("take over", "descriptor 5")?;
    let console = if spec.tty {
        Some(sys::descriptor::inherited(CONSOLE).at("take over", "descriptor 6")?)
    } else {
        None
    };
    let record = Writable::record(&options.containers(), &spec.unit, spec.root)?;
    sys::credentials::hide_from_tracing().at("hide from tracing", "")?;
    sys::namespace::enter_process(pidfd.as_fd())
        .at("enter the namespaces of", spec.unit.as_str())?;
    let root = path::host_handle(Path::new("/")).at("open", "/")?;
    let container = &spec.container;
    let user_text = [
        &spec.user,
        container.user.as_ref().unwrap_or(&record.defaults.user),
    ];
    let user_text = user_text.into_iter().find(|text| !text.is_empty());
    let user = user::find(root.as_fd(), user_text.map_or("", String::as_str))?;
    let mut environment = Environment::new(&record.defaults, container, &spec.env);
    environment.set_default("HOME", &user.home);
    let mut terminal = None;
    if let Some(console) = console {
        environment.set_default("TERM", DEFAULT_TERM);
        terminal = Some(open_terminal(&root, &console)?);
    }
    Ok(Joined {
        record,
        root,
        user,
        environment,
        terminal,
        pidfd,
    })
}

/// A terminal of the container's own devpts; its master goes to the client, who alone holds it: when the client goes,
/// the terminal hangs up.
fn open_terminal(root: &OwnedFd, console: &OwnedFd) -> Result<OwnedFd, Fault> {
    let Pty { master, slave } = sys::pty::open(root.as_fd()).at("open", "/dev/pts/ptmx")?;
    // Descriptors travel with at least one byte.
    sys::socket::send(console.as_fd(), &[0], &[master.as_fd()])
        .at("send the terminal to", "descriptor 6")?;
    Ok(slave)
}

/// In the child, which is in the container's PID namespace. Comes back only with a failure.
fn become_command(
    spec: &ExecSpec,
    joined: Joined,
    report: &mut Report,
) -> Result<Followed, Failed> {
    let Joined {
        record,
        root,
        user,
        environment,
        terminal,
        pidfd,
    } = joined;
    let parent = sys::program::parent();
    // Only now: from inside of it the command's group could not be reached.
    at_step(
        "join",
        sys::namespace::enter_cgroup_namespace(pidfd.as_fd())
            .at("enter the cgroup namespace of", spec.unit.as_str()),
    )?;
    at_step("session", enter_session(terminal))?;
    at_step("working_dir", enter_working_dir(spec, &record, &root))?;
    drop(root);
    at_step("capabilities", confine::become_user(&user))?;
    at_step(
        "exec",
        sys::program::die_with_parent(parent).at("follow the launcher", ""),
    )?;
    at_step(
        "exec",
        sys::program::reset_signals().at("reset signals", ""),
    )?;
    let program = Program::find(&spec.argv, &environment, &spec.container.image);
    let program = at_step("exec", program)?;
    report.prepared(Prepared {
        argv: spec.argv.clone(),
        image_digest: record.digest,
        ..Prepared::default()
    });
    at_step(
        "exec",
        sys::program::close_from(CLOSE_FROM).at("close descriptors", ""),
    )?;
    at_step("exec", Err(program.execute()))
}

fn enter_session(terminal: Option<OwnedFd>) -> Result<(), Fault> {
    sys::program::start_session().at("start a session", "")?;
    if let Some(slave) = terminal {
        let slave = slave.as_fd();
        sys::pty::take_control(slave).at("take control of", "terminal")?;
        sys::descriptor::place(&[(slave, 0), (slave, 1), (slave, 2)]).at("use", "terminal")?;
    }
    Ok(())
}

/// The caller's, the unit's, the image's. It must exist: an exec changes nothing in the container by itself.
fn enter_working_dir(spec: &ExecSpec, record: &Record, root: &OwnedFd) -> Result<(), Fault> {
    let units = spec.container.working_dir.as_ref();
    let candidates = [
        &spec.working_dir,
        units.unwrap_or(&record.defaults.working_dir),
    ];
    let path = candidates.into_iter().find(|path| !path.is_empty());
    let path = path.map_or("/", String::as_str);
    let folder = path::folder(root.as_fd(), Path::new(path), Links::Follow).at("open", path)?;
    path::change_folder(folder.as_fd()).at("enter", path)
}
