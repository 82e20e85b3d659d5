//! `launcher init`: the first process of a container whose unit asks for one (`init = true`), as `docker run --init`,
//! tini and catatonit are. It hands signals on, reaps whatever is left without a parent, and ends with the command's status.
//!
//! ```text
//! launcher run ── all steps, all privileges given up ── execveat ──▶ launcher init ── fork ──▶ the command
//!                                                                        ▲   └── signals ──────▲
//!                                                                        └── orphans, statuses
//! ```
//!
//! The launcher executes itself once more, after it has become the container's user: nothing of its work stays in memory, and
//! /proc/1 of the container tells what it would tell of the command itself: its environment, its three descriptors. Its
//! executable is a file of the machine's read-only root, which can be read from inside and no more (CVE-2019-5736).

use crate::failure::{At, Fault};
use crate::program::Program;
use crate::report::Report;
use crate::run::{CLOSE_FROM, Failed, at_step};
use std::convert::Infallible;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use sys::clone::Child;
use sys::pidfd::{self, Ended};
use sys::program::Fork;

/// Step of a failure that is not the command's.
const STEP: &str = "init";
/// As `ps` in the container shows it.
const NAME: &std::ffi::CStr = c"init";

/// This program's file, opened while there is a path to it.
pub(crate) fn open() -> Result<OwnedFd, Failed> {
    at_step(
        STEP,
        sys::program::own_file().at("open", "the launcher's own program"),
    )
}

/// Become the first process of the container, whose child `program` will be. Comes back only with the reason why not.
pub(crate) fn become_first(
    own: &OwnedFd,
    program: &Program,
    report: &Report,
) -> Result<Infallible, Failed> {
    at_step(
        STEP,
        report.stays_open().at("keep open", "the report's pipe"),
    )?;
    at_step(
        "exec",
        Err(program.hand_to(own.as_fd(), &["launcher", "init"])),
    )
}

/// The first process: the program at `path`, and its arguments with its name.
pub(crate) fn run(path: &str, argv: &[String]) -> ExitCode {
    let mut report = match Report::inherited() {
        Ok(report) => report,
        Err(status) => return status,
    };
    match start(path, argv, &mut report) {
        Ok(Child { pid, pidfd }) => {
            // Whoever reads the report must see its end; and in /proc/1/fd there is nothing but what the command has.
            drop((report, pidfd));
            ExitCode::from(serve(pid))
        }
        Err((failure, status)) => {
            report.failed(failure);
            ExitCode::from(status)
        }
    }
}

fn start(path: &str, argv: &[String], report: &mut Report) -> Result<Child, Failed> {
    let prepared = sys::signal::block_all().and_then(|()| sys::program::set_name(NAME));
    at_step(STEP, prepared.at("prepare", ""))?;
    let program = at_step("exec", Program::of_this_process(path, argv))?;
    match at_step(STEP, sys::program::fork().at("fork", ""))? {
        Fork::Parent(child) => Ok(child),
        Fork::Child => {
            let status = match become_command(&program) {
                Ok(never) => match never {},
                Err((failure, status)) => {
                    report.failed(failure);
                    status
                }
            };
            sys::program::exit_at_once(status.into())
        }
    }
}

/// In a process group of its own, so that what it sends to its group does not come back to it through us.
fn become_command(program: &Program) -> Result<Infallible, Failed> {
    at_step("exec", sys::program::start_group().at("make a group", ""))?;
    at_step(
        "exec",
        sys::signal::reset_for_child().at("reset signals", ""),
    )?;
    at_step(
        "exec",
        sys::program::close_from(CLOSE_FROM).at("close descriptors", ""),
    )?;
    at_step("exec", Err::<Infallible, Fault>(program.execute()))
}

/// Until the command ends; the kernel then ends what else is in the container.
fn serve(command: i32) -> u8 {
    loop {
        match sys::signal::next() {
            Ok(sys::signal::CHILD) => {
                if let Some(ended) = reap(command) {
                    return status(ended);
                }
            }
            // Not refused but by a command that has just become another user; there is nobody to be told.
            Ok(signal) => drop(sys::signal::send_to_child(command, signal)),
            // Only a kernel that knows no such call says so.
            Err(_) => return NO_STATUS,
        }
    }
}

/// Every child that has ended. One signal may stand for many of them.
fn reap(command: i32) -> Option<Ended> {
    let mut end = None;
    while let Ok(Some((pid, ended))) = pidfd::reap_any() {
        if pid == command {
            end = Some(ended);
        }
    }
    end
}

/// Where none can be had (docker-run(1)).
const NO_STATUS: u8 = 125;

/// As shells have it.
pub(crate) fn status(ended: Ended) -> u8 {
    let code = match ended {
        Ended::Code(code) => code,
        Ended::Signal(signal) => signal.saturating_add(128),
    };
    u8::try_from(code & 0xff).unwrap_or(u8::MAX)
}
