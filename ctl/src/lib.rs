//! `keelctl`, the operator's command line, on the machine and on the build host.
//!
//! ```text
//! arguments ─options─▶ Command ─▶ ps, status, act, logs, exec, image, check, top, boot_chart ─▶ stdout
//!                                  │ request ▲ replies, output
//!                                  └─▶ control::machine ─▶ control socket, or serial port
//! ```
//!
//! - stdout carries what was asked for, stderr everything else; with `--json` stdout is the type of `control::reply`.
//! - What a unit, an image or a program says reaches a terminal without control characters (but for `exec`'s and
//!   `logs`' own output, which is theirs).
//! - Exit status: see [`failure::Failure::status`] and `docs/keelctl.md`.
//!
//! To add a command: a variant of `options::Command` with its arguments and help, a module, an arm in `perform`.

mod act;
mod boot_chart;
mod carry;
mod change;
pub mod chart;
mod check;
mod exec;
mod explain;
mod failure;
mod folder;
mod graph;
mod help;
mod human;
mod image;
mod layout;
mod logs;
mod options;
mod output;
mod ps;
mod signals;
mod status;
mod table;
mod time;
mod top;

use control::machine::Machine;
use failure::Failure;
use folder::Empty;
use options::{Command, Invocation};
use std::ffi::OsString;
use std::process::ExitCode;

/// Perform one command line (without the program's name), and say how it ended.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let done = options::parse(arguments).and_then(|invocation| perform(&invocation));
    match done {
        Ok(status) => ExitCode::from(status),
        Err(failure) => {
            let text = failure.to_string();
            if !text.is_empty() {
                output::complain(&text);
            }
            ExitCode::from(failure.status())
        }
    }
}

/// The exit status, where it is not simply 0.
fn perform(invocation: &Invocation) -> Result<u8, Failure> {
    let machine = || Machine::find(invocation.machine.as_deref()).map_err(Failure::from);
    match &invocation.command {
        Command::Help(text) => output::print(text),
        Command::Version => version(invocation),
        Command::Check { paths } => return check::check(invocation, paths),
        Command::Diff { folder, empty } => {
            return change::diff(invocation, &machine()?, folder, Empty::of(*empty));
        }
        Command::Apply {
            folder,
            wait,
            empty,
        } => {
            return change::apply(invocation, &machine()?, folder, *wait, Empty::of(*empty));
        }
        Command::Choose { request, now } => {
            return change::choose(invocation, &machine()?, request, now);
        }
        Command::Ps { quiet } => ps::ps(invocation, &machine()?, *quiet),
        Command::Status { units } => status::status(invocation, &machine()?, units),
        Command::Act(request) => act::act(invocation, &machine()?, request),
        Command::End(request) => act::end(invocation, &machine()?, request),
        Command::Trace => act::trace(invocation, &machine()?),
        Command::TraceDump => return logs::dump(invocation, &machine()?),
        Command::Why { unit } => explain::why(invocation, &machine()?, unit),
        Command::History { unit } => explain::history(invocation, &machine()?, unit),
        Command::Timers => explain::timers(invocation, &machine()?),
        Command::Graph {
            format,
            file,
            units,
        } => graph::graph(invocation, &machine()?, *format, file.as_deref(), units),
        Command::Top => top::top(invocation, &machine()?),
        Command::Logs(request) => return logs::logs(invocation, &machine()?, request),
        Command::Exec {
            request,
            interactive,
        } => {
            return exec::exec(invocation, &machine()?, request, *interactive);
        }
        Command::ImageLoad { archive, name } => {
            image::load(invocation, &machine()?, archive, name.as_deref())
        }
        Command::ImageLs => image::ls(invocation, &machine()?),
        Command::BootChart { file, until } => {
            boot_chart::boot_chart(invocation, &machine()?, file.as_deref(), *until)
        }
    }?;
    Ok(0)
}

fn version(invocation: &Invocation) -> Result<(), Failure> {
    let (version, protocol) = (env!("CARGO_PKG_VERSION"), control::VERSION);
    if invocation.json {
        return output::json(&serde_json::json!({ "version": version, "protocol": protocol }));
    }
    output::print(&format!(
        "keelctl {version} (control protocol {protocol})\n"
    ))
}
