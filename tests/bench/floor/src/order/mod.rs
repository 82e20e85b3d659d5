//! Which functions of the file of programs each program calls, seen on Keelson's own machine: a process that was there before
//! its PID 1 traces that, and everything that it starts, while an operator's commands are given.
//!
//! ```text
//! kernel ─▶ floor-init ─┬─ recorder ─▶ seizes PID 1 and the operator ─▶ a stop at each function's first call [tracer] ─▶ lines
//!                       │   └─ operator ─▶ waits for the machine ─▶ keelctl start, ps, exec, … [operator]
//!                       └─ waits to be seized ─▶ becomes /init: Keelson
//! ```
//!
//! ```text
//! floor: called PROGRAM ADDRESS…      (in the order of the first calls; hexadecimal)
//! floor: order done
//! ```

mod operator;
mod tracer;

use crate::launch::place;
use nix::unistd::{Pid, getppid};
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use tracer::{Called, Tracer};

/// As the child of PID 1 that records.
pub(crate) const RECORDER: &str = "record-order";
/// As the recorder's child, which does what is recorded.
pub(crate) const OPERATOR: &str = "operate";
/// One hexadecimal address a line: where functions of the file of programs begin (tests/bench/src/order).
const FUNCTIONS: &str = "/bench/functions";
const SEIZED: Duration = Duration::from_secs(20);
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// On a line of the console.
const ADDRESSES: usize = 100;

/// Start the recorder, and become Keelson's PID 1 once it looks on. Returns only the reason why not.
pub(crate) fn start() -> io::Error {
    let child = place::prepare().and_then(|()| Command::new(place::AGENT).arg(RECORDER).spawn());
    match child.and_then(|_| until_seized()) {
        Ok(()) => Command::new("/init").exec(),
        Err(error) => error,
    }
}

/// The recorder's work.
pub(crate) fn record() {
    match record_all() {
        Ok(called) => {
            for (program, addresses) in called {
                for part in addresses.chunks(ADDRESSES) {
                    let words: Vec<String> = part.iter().map(|at| format!("{at:x}")).collect();
                    println!("floor: called {program} {}", words.join(" "));
                }
            }
            println!("floor: order done");
        }
        Err(error) => println!("floor: failed: order: {error}"),
    }
}

/// The operator's work.
pub(crate) fn operate() -> io::Result<()> {
    until_seized()?;
    operator::run()
}

fn record_all() -> io::Result<Called> {
    let text = fs::read_to_string(FUNCTIONS)?;
    let functions = text.lines().map(|line| u64::from_str_radix(line, 16));
    let functions = functions.collect::<Result<_, _>>();
    let tracer = Tracer::new(Path::new(place::PROC), functions.map_err(io::Error::other)?);
    tracer.seize(getppid())?;
    let operator = Command::new(place::AGENT).arg(OPERATOR).spawn()?;
    let operator = Pid::from_raw(i32::try_from(operator.id()).map_err(io::Error::other)?);
    tracer.seize(operator)?;
    tracer.run_until_end_of(operator)
}

fn failed(text: String) -> io::Error {
    io::Error::other(text)
}

/// Somebody traces this process.
fn until_seized() -> io::Result<()> {
    let status = format!("{}/self/status", place::PROC);
    let until = Instant::now() + SEIZED;
    while fs::read_to_string(&status)?
        .lines()
        .any(|line| line.starts_with("TracerPid:") && line.ends_with("\t0"))
    {
        if Instant::now() > until {
            return Err(failed("nobody traces this process".to_owned()));
        }
        std::thread::sleep(LOOK_AGAIN);
    }
    Ok(())
}
