//! `keelctl check`: unit files, without any machine.

use crate::failure::Failure;
use crate::options::Invocation;
use crate::output;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::path::PathBuf;
use unit::{Colour, Diagnostic};

/// Exit status 1 when there is an error; warnings alone are none.
pub(crate) fn check(invocation: &Invocation, paths: &[PathBuf]) -> Result<u8, Failure> {
    if let Some(missing) = paths.iter().find(|path| !path.exists()) {
        return Err(Failure::Failed(format!(
            "{}: no such file or folder",
            missing.display()
        )));
    }
    let loaded = unit::check(paths);
    let errors = loaded
        .diagnostics
        .iter()
        .filter(|diagnostic| diagnostic.is_error())
        .count();
    if invocation.json {
        output::json(&loaded.diagnostics)?;
        return Ok(u8::from(errors > 0));
    }
    show(&loaded.diagnostics)?;
    output::print(&summary(&loaded.diagnostics, loaded.bad.len()))?;
    Ok(u8::from(errors > 0))
}

/// With the picture of each place, on stderr.
pub(crate) fn show(diagnostics: &[Diagnostic]) -> Result<(), Failure> {
    let on_terminal = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let colour = if on_terminal {
        Colour::Always
    } else {
        Colour::Never
    };
    let pictures: String = diagnostics
        .iter()
        .map(|found| unit::render(found, colour) + "\n\n")
        .collect();
    output::write_all(io::stderr().as_fd(), pictures.as_bytes())
        .map_err(|error| Failure::output(&error))
}

fn summary(diagnostics: &[Diagnostic], bad: usize) -> String {
    let errors = diagnostics
        .iter()
        .filter(|diagnostic| diagnostic.is_error())
        .count();
    let count = |number: usize, what: &str| match number {
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    };
    let warnings = count(diagnostics.len() - errors, "warning");
    if errors == 0 {
        return format!("no errors, {warnings}\n");
    }
    format!(
        "{}, {warnings}; {} will not be loaded\n",
        count(errors, "error"),
        count(bad, "unit")
    )
}
