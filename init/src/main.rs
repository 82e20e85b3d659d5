//! PID 1 of Keelson.
//!
//! ```text
//! kernel ─▶ stages (a list, `stage`) ─▶ event loop (`machine`) ─▶ orderly end (`shutdown`)
//!                                           │
//!                    supervisor decides, this crate does: launch, network, logs, exec, job, requests
//! ```
//!
//! One thread, no async runtime; epoll over signalfd, the control socket, pipes and the helpers' sockets. Whatever can
//! block is a child process. Bulk data never passes through here: clients hand over their descriptors.
//! A failure ends as an event, a reply or a line on the console, never as a panic; if there is one all the same, `gasp`.
//!
//! By the name it is called with, the same program is `/sbin/modprobe` (`modprobe`), and the child that loads drivers
//! (`drivers`).

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

mod chart;
mod clients;
mod cmdline;
mod connection;
mod console;
mod deadlines;
mod drivers;
mod durable;
mod exec;
mod gasp;
mod hardware;
mod health;
mod helper;
mod helpers;
mod hotplug;
mod job;
mod launch;
mod limits;
mod logs;
mod machine;
mod modprobe;
mod module_index;
mod network;
mod power_button;
mod ready;
mod record;
mod registry;
mod requests;
mod run;
mod shelf;
mod shutdown;
mod signals;
mod sorted_lines;
mod source;
mod stage;
mod status;
mod top;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args();
    let name = arguments.next().unwrap_or_default();
    if name.ends_with("modprobe") {
        return modprobe::main(arguments);
    }
    if name == "modload" {
        return drivers::main(arguments);
    }
    if std::process::id() != 1 {
        eprintln!("init: this is PID 1 of Keelson, started by the kernel; talk to it with keelctl");
        return ExitCode::FAILURE;
    }
    gasp::install();
    let boot = match stage::Boot::run() {
        Ok(boot) => boot,
        Err(error) => gasp::last(&error.to_string()),
    };
    let machine = match machine::Machine::new(boot) {
        Ok(machine) => machine,
        Err(error) => gasp::last(&format!("event loop: {error}")),
    };
    match machine.run() {
        Ok(action) => shutdown::end(action),
        Err(error) => gasp::last(&format!("event loop: {error}")),
    }
}
