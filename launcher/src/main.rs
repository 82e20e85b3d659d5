//! launcher as a program of its own, for tests on the build host; on the machine it is one of `programs`.

use std::process::ExitCode;

fn main() -> ExitCode {
    launcher::run(std::env::args_os().skip(1))
}
