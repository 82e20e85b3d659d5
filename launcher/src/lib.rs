//! The launcher starts exactly one container (`launcher run`), or one command in a running one (`launcher exec`); it is the
//! first process of a container that wants one (`launcher init`, which only `launcher run` executes); and it removes writable
//! layers that nobody uses any more (`launcher discard`).
//!
//! ```text
//! PID 1 ── clone3 into cgroup and namespaces ──▶ launcher run ── steps ── execve ──▶ the workload, PID 1 of its container
//!   │        fd 3 LaunchSpec, 4 report, 5 go ahead     │
//!   ◀───────────── LaunchReport ───────────────────────┘
//!
//! PID 1 ── clone3 into the container's PID namespace ──▶ launcher exec ── setns ── clone3 into cgroup ──▶ the command
//!            fd 3 ExecSpec, 4 report, 5 pidfd,             stays as its reaper; ends when nothing of the command is left
//!            6 console, 7 cgroup
//! ```
//!
//! The root is built in the container's own mount namespace, so it vanishes with the container:
//!
//! ```text
//! /var/containers/<unit>/upper,work    the writable layer, kept as long as the image's digest stays the same
//!                       /image.json    that digest, and what `exec` needs of the image's configuration
//!                       /stage         a tmpfs: root/ (here the overlay is mounted), dev/, hosts, resolv.conf, hostname
//!                <unit>:<run>/…        the same of a run beside another one of its unit: `launcher discard` removes it
//! ```
//!
//! Invariants:
//!
//! - There is no process between PID 1 and the workload: the launcher becomes it. Only a unit that says `init = true` has
//!   one, which is in the container, with no more rights than the workload (`init`).
//! - Until execve(2) everything happens in order in one thread; a step that fails ends the launch and says which
//!   step, path and errno. Nothing that a unit asked for is left out in silence.
//! - A path of the container is looked up once, below its root, never through a link that leads out of it
//!   (`sys::path`); what was found is mounted upon by its descriptor.
//! - When the workload is executed, no descriptor but 0, 1, 2 is open, and the mounts of the machine are gone from its
//!   namespace. Our own executable is on a read-only root (CVE-2019-5736), and `exec` can't be looked into from inside
//!   (`PR_SET_DUMPABLE`).
//!
//! To add a step: one row in `run::STEPS`, one function, and what it needs in `Launch`.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::indexing_slicing
    )
)]

mod command;
mod confine;
mod copy;
mod devices;
mod discard;
mod etc;
mod exec;
mod failure;
mod health;
mod image_volumes;
mod init;
mod masks;
mod mounts;
mod one_word;
mod options;
mod overlay;
mod program;
mod reaper;
mod refusal;
mod report;
mod root;
mod run;
mod size;
mod user;
mod volume;
mod writable;

use options::{Mode, Options};
use std::ffi::OsString;
use std::process::ExitCode;

/// The program `launcher`, with its arguments (without its name).
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    // None of ours is not UTF-8; whatever is not is refused, and shown as well as it can be.
    let arguments = arguments
        .into_iter()
        .map(|argument| argument.to_string_lossy().into_owned());
    match Options::parse(arguments) {
        Ok((Mode::Run, options)) => run::run(&options),
        Ok((Mode::Exec, options)) => exec::exec(&options),
        Ok((Mode::Init { path, argv }, _)) => init::run(&path, &argv),
        Ok((Mode::Discard { folders }, options)) => discard::discard(&options, &folders),
        Err(error) => {
            eprintln!("launcher: {error}");
            ExitCode::from(2)
        }
    }
}
