//! Every program of the machine but PID 1, in one file: what they share (the standard library, JSON, unit files, the control
//! protocol) is in the machine's memory once. Why: docs/decisions/009.
//!
//! ```text
//! /usr/lib/keelson/bin/netd ─▶ programs ─ the name it was called by ─▶ netd::run(arguments)
//! ```
//!
//! The image has a link of each name (`host::build::NAMES`), by which each is started, and which the kernel takes for the
//! process's name. To add a program: its crate with an entry, a row in [`PROGRAMS`], its name there.

use std::env::ArgsOs;
use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;

/// A program's entry, which is given its arguments without its name.
type Entry = fn(ArgsOs) -> ExitCode;

const PROGRAMS: [(&str, Entry); 7] = [
    ("keelctl", |arguments| ctl::run(arguments)),
    ("launcher", |arguments| launcher::run(arguments)),
    ("logd", |_| logd::run()),
    ("netd", |arguments| netd::run(arguments)),
    ("prober", |arguments| prober::run(arguments)),
    ("relay", |arguments| relay::run(arguments)),
    ("store", |arguments| store::run(arguments)),
];

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let called = arguments.next().unwrap_or_default();
    match find(&called) {
        Some(run) => run(arguments),
        None => {
            let names = PROGRAMS.map(|(name, _)| name).join(", ");
            eprintln!(
                "{}: no program of this name in here; there are {names}, each by a link of its name",
                called.display()
            );
            ExitCode::from(2)
        }
    }
}

/// By the last part of the path that it was called by.
fn find(called: &OsStr) -> Option<Entry> {
    let called = Path::new(called).file_name()?;
    let (_, run) = PROGRAMS.iter().find(|(name, _)| called == *name)?;
    Some(*run)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_the_image_is_a_program() {
        let mut ours = PROGRAMS.map(|(name, _)| name);
        let mut images = host::build::NAMES;
        ours.sort_unstable();
        images.sort_unstable();
        assert_eq!(ours, images);
    }

    #[test]
    fn a_program_is_found_by_name_and_by_path_and_no_other_is() {
        for called in ["netd", "/usr/lib/keelson/bin/netd", "./netd"] {
            assert!(find(OsStr::new(called)).is_some(), "{called}");
        }
        for called in ["", "/", "programs", "netd2", "/netd/programs"] {
            assert!(find(OsStr::new(called)).is_none(), "{called}");
        }
    }
}
