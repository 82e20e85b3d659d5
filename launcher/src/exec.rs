//! `launcher exec`: one more process in a running container, under the same restrictions as its first.
//!
//! ```text
//! PID 1 ──▶ launcher exec ── setns ── clone3 into the command's group ──▶ the command
//!             born in the container's PID and network namespaces            becomes the user, execve
//!             becomes the reaper; ends with the command's status,  ◀─────── ends, or is killed
//!             when nothing of it is left
//! ```
//!
//! Asked to end by PID 1 (`SIGTERM`), or killed, it takes the command and all that it has started along: see `reaper`.
//!
//! Whoever is in the container sees it from its birth. docs/decisions/015-a-reaper-for-each-command.md says what they can and
//! can't do to it, and why what is done here is done in this order.

use crate::command::Environment;
use crate::confine;
use crate::failure::{At, Fault};
use crate::options::Options;
use crate::program::Program;
use crate::reaper;
use crate::report::{Prepared, Report};
use crate::run::{CLOSE_FROM, Failed, at_step, read_spec, reset_oom_score};
use crate::user::{self, User};
use crate::writable::{Record, Writable};
use std::convert::Infallible;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;
use std::process::ExitCode;
use sys::path::{self, Links};
use sys::program::Fork;
use sys::pty::Pty;
use unit::ExecSpec;

const PIDFD: RawFd = 5;
const CONSOLE: RawFd = 6;
const GROUP: RawFd = 7;

/// For programs that ask for a terminal and don't say which; the client's own comes with the environment.
const DEFAULT_TERM: &str = "xterm";

/// The highest `oom_score_adj`: when memory runs out, the kernel takes what runs beside the service, never the service.
/// Written with the machine's privileges it is the command's least as well.
const OOM_SCORE: &str = "1000";

/// What the new process needs, all looked up inside the container.
struct Joined {
    record: Record,
    root: OwnedFd,
    user: User,
    environment: Environment,
    terminal: Option<OwnedFd>,
    /// The container's first process.
    pidfd: OwnedFd,
    /// The group that the command is born in; None: ours.
    group: Option<OwnedFd>,
    /// The machine's /proc.
    proc: OwnedFd,
}

/// Ends with the command's exit status, or 125 to 127 when it could not be started.
pub(crate) fn exec(options: &Options) -> ExitCode {
    let mut report = match Report::inherited() {
        Ok(report) => report,
        Err(status) => return status,
    };
    // In the child as well, which has not become the command then.
    let (failure, status) = match start(options, &mut report) {
        Ok(never) => match never {},
        Err(failed) => failed,
    };
    report.failed(failure);
    ExitCode::from(status)
}

/// Comes back only with a failure, be it in the child.
fn start(options: &Options, report: &mut Report) -> Result<Infallible, Failed> {
    // As long as all capabilities are there nobody in the container can look into this process; when they go, this is what
    // hides it. Signals are blocked from its birth; PID 1's wish that it should end waits until the reaper listens.
    let hidden = sys::credentials::hide_from_tracing().and_then(|()| sys::signal::block_all());
    at_step("join", hidden.at("hide from tracing", ""))?;
    at_step("join", check_birth())?;
    sys::rlimit::set_umask(confine::UMASK);
    let spec: ExecSpec = at_step("spec", read_spec())?;
    at_step("limits", reset_oom_score())?;
    at_step("limits", confine::limit(options.limits))?;
    let joined = at_step("join", join(options, &spec))?;
    let group = joined.group.as_ref().map(AsFd::as_fd);
    match fork_command(group)? {
        Fork::Parent(command) => reaper::reap(command.pid, group),
        Fork::Child => become_command(&spec, joined, report),
    }
}

/// Whose parent is in an outer PID namespace was born into a container's. A command of anybody else's would be the machine's.
fn check_birth() -> Result<(), Fault> {
    if sys::program::parent() == 0 {
        Ok(())
    } else {
        Err(Fault::invalid(
            "/proc/self/ns/pid",
            "not born in the container's PID namespace",
        ))
    }
}

fn fork_command(group: Option<BorrowedFd<'_>>) -> Result<Fork, Failed> {
    let adopted = sys::program::adopt_orphans();
    at_step("fork", adopted.at("become the parent of orphans", ""))?;
    at_step("fork", sys::clone::fork_into(group).at("fork", ""))
}

fn join(options: &Options, spec: &ExecSpec) -> Result<Joined, Fault> {
    let pidfd = sys::descriptor::inherited(PIDFD).at("take over", "descriptor 5")?;
    let console = if spec.tty {
        Some(sys::descriptor::inherited(CONSOLE).at("take over", "descriptor 6")?)
    } else {
        None
    };
    let group = if options.has_group {
        Some(sys::descriptor::inherited(GROUP).at("take over", "descriptor 7")?)
    } else {
        None
    };
    let proc = path::host_handle(Path::new("/proc")).at("open", "/proc")?;
    let record = Writable::record(&options.containers(), &spec.unit, spec.root)?;
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
        group,
        proc,
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

/// In the child. Comes back only with a failure.
fn become_command(
    spec: &ExecSpec,
    joined: Joined,
    report: &mut Report,
) -> Result<Infallible, Failed> {
    let Joined {
        record,
        root,
        user,
        environment,
        terminal,
        pidfd,
        group: _,
        proc,
    } = joined;
    let parent = sys::program::parent();
    at_step("limits", be_killed_first(&proc))?;
    drop(proc);
    // Not before: nobody in the container's cgroup namespace can have a child born outside of it.
    let entered = sys::namespace::enter_cgroups(pidfd.as_fd());
    at_step(
        "join",
        entered.at("enter the cgroup namespace of", spec.unit.as_str()),
    )?;
    drop(pidfd);
    at_step("session", enter_session(terminal))?;
    at_step("working_dir", enter_working_dir(spec, &record, &root))?;
    drop(root);
    at_step("capabilities", confine::become_user(&user))?;
    at_step(
        "exec",
        sys::program::die_with_parent(parent).at("follow the reaper", ""),
    )?;
    at_step(
        "exec",
        sys::signal::reset_for_child().at("reset signals", ""),
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

/// By the machine's own /proc, which nobody in the container can have changed.
fn be_killed_first(proc: &OwnedFd) -> Result<(), Fault> {
    let path = Path::new("self/oom_score_adj");
    let file = path::open(proc.as_fd(), path, path::WRITE, Links::Follow);
    let written = file.and_then(|file| File::from(file).write_all(OOM_SCORE.as_bytes()));
    written.at("write", "/proc/self/oom_score_adj")
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
