//! `cargo boot`: from a clone to a running machine in one command.
//!
//! ```text
//! options ──▶ prepare: units checked, host::packages, image::build, disk ──▶ MachineOptions
//!                                                                              │
//!            session: Machine::boot, console and units shown live ◀────────────┘
//!               └── ready ──▶ Ctrl-C, --until, or left running (--headless)
//! ```
//!
//! Exit status: 0 the machine became ready, or ran and was shut down; 1 something failed, and a line says what to do;
//! 2 the command line was not understood.

mod answers;
mod disk;
mod display;
mod options;
mod prepare;
mod session;

use clap::Parser;
use options::{Options, Until};
use qemu::{RunFolder, StartError};
use session::{Mode, STOP_TIMEOUT};
use std::error::Error;
use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    let options = Options::parse_from(words(std::env::args_os()));
    let folder = RunFolder::of_workspace();
    let result = if options.stop {
        stop(&folder)
    } else if options.cut {
        cut(&folder)
    } else {
        boot(&options, &folder)
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The alias ends in `--`, so that both `cargo boot --headless` and `cargo boot -- --headless` work: one more is dropped.
fn words(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut words: Vec<OsString> = arguments.collect();
    if words.get(1).is_some_and(|word| word == "--") {
        words.remove(1);
    }
    words
}

fn boot(options: &Options, folder: &RunFolder) -> Result<(), Box<dyn Error>> {
    if let Some(pid) = folder.running() {
        return Err(StartError::Running {
            pid,
            folder: folder.path().to_owned(),
        }
        .into());
    }
    let machine = prepare::prepare(options, folder)?;
    let mode = if options.headless {
        Mode::Headless
    } else {
        Mode::Attached
    };
    let until = options
        .until
        .or_else(|| options.headless.then_some(Until::Ready));
    session::run(machine, mode, until)
}

fn stop(folder: &RunFolder) -> Result<(), Box<dyn Error>> {
    if let Some(pid) = folder.running() {
        println!("shutting down (pid {pid})");
    }
    let took = folder.stop(STOP_TIMEOUT)?;
    println!("the machine is off ({:.1} s)", took.as_secs_f32());
    Ok(())
}

fn cut(folder: &RunFolder) -> Result<(), Box<dyn Error>> {
    let pid = folder.cut()?;
    println!("the plug is pulled (pid {pid})");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_separator_is_dropped() {
        let words = |line: &str| words(line.split(' ').map(OsString::from));
        assert_eq!(words("boot -- --headless"), ["boot", "--headless"]);
        assert_eq!(words("boot --headless"), ["boot", "--headless"]);
        assert_eq!(words("boot"), ["boot"]);
    }
}
