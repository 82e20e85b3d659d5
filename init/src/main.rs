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
//! By the name it is called with, the same program is the kernel's `modprobe`, the child that loads drivers
//! (`drivers`), and the one that writes unit files (`unit_files`).

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

mod aside;
mod calendar_times;
mod carried;
mod change;
mod chart;
mod choices;
mod clients;
mod cmdline;
mod conditions;
mod connection;
mod console;
mod control_port;
mod deadlines;
mod declared_ports;
mod drivers;
mod dump;
mod durable;
mod exec;
mod explain;
mod first_drivers;
mod flip;
mod gasp;
mod handover;
mod hardware;
mod health;
mod helper;
mod helpers;
mod hook;
mod hotplug;
mod inside;
mod job;
mod kin;
mod launch;
mod launcher;
mod layers;
mod limits;
mod listing;
mod logs;
mod machine;
mod modprobe;
mod module_index;
mod module_words;
mod network;
mod notice;
mod notify;
mod past_runs;
mod pause;
mod place;
mod power_button;
mod probes;
mod ready;
mod record;
mod reexec;
mod registry;
mod reload;
mod requests;
mod run;
mod seed;
mod shelf;
mod shutdown;
mod signals;
mod sorted_lines;
mod source;
mod stage;
mod starts;
mod status;
mod step;
mod tail;
mod timers;
mod top;
mod turns;
mod unit_files;
mod units;
mod upload;
mod watchdog;

use shutdown::End;
use std::io;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args().peekable();
    let name = arguments.next().unwrap_or_default();
    if name.ends_with("modprobe") {
        return modprobe::main(arguments);
    }
    if name == "modload" {
        return drivers::main(arguments);
    }
    if name == unit_files::PROGRAM {
        return unit_files::main();
    }
    let first = arguments.peek().map(String::as_str);
    if first == Some(handover::CHECK) {
        return handover::check();
    }
    if std::process::id() != 1 {
        eprintln!("init: this is PID 1 of Keelson, started by the kernel; talk to it with keelctl");
        return ExitCode::FAILURE;
    }
    gasp::install();
    if first == Some(handover::TAKE_OVER) {
        end_of(take_over(arguments.nth(1)));
    }
    let boot = match stage::Boot::run() {
        Ok(boot) => boot,
        Err(error) => gasp::last(&error.to_string()),
    };
    let machine = match machine::Machine::new(boot) {
        Ok(machine) => machine,
        Err(error) => gasp::last(&format!("event loop: {error}")),
    };
    end_of(machine.run())
}

/// From the program that was PID 1 until now.
fn take_over(number: Option<String>) -> io::Result<End> {
    let number = number.and_then(|number| number.parse().ok()).unwrap_or(-1);
    let machine = handover::take_over(number);
    console::open();
    sys::kmsg::install("init");
    match machine {
        Ok(machine) => machine.go_on(),
        Err(error) => gasp::last(&format!("what was handed over can't be read: {error}")),
    }
}

fn end_of(machine: io::Result<End>) -> ! {
    match machine {
        Ok(end) => end.come(),
        Err(error) => gasp::last(&format!("event loop: {error}")),
    }
}
