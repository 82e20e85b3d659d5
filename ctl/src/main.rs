//! keelctl: see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    ctl::run(std::env::args_os().skip(1))
}
