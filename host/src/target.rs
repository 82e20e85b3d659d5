//! The Rust target of the programs in the image.

use crate::progress;
use crate::run::{self, RunError};
use std::process::Command;

/// Static programs without a C library of their own to install.
pub const TRIPLE: &str = "x86_64-unknown-linux-musl";

/// See that the standard library for [`TRIPLE`] is installed; rustup fetches it when it is not.
///
/// # Errors
/// When rustc can't be asked, or neither rustup nor the distribution's package provides the target.
pub fn ensure() -> Result<(), RunError> {
    let folder = crate::paths::workspace();
    let library = run::output(run::command_in(&folder, "rustc").args([
        "--print",
        "target-libdir",
        "--target",
        TRIPLE,
    ]))?;
    let core =
        |entry: std::fs::DirEntry| entry.file_name().to_string_lossy().starts_with("libcore-");
    let there = std::fs::read_dir(library.trim())
        .is_ok_and(|mut entries| entries.any(|entry| entry.is_ok_and(core)));
    if there {
        return Ok(());
    }
    let mut step = progress::step(&format!("install the Rust target {TRIPLE}"));
    run::watched(
        run::command_in(&folder, "rustup").args(["target", "add", TRIPLE]),
        &mut step,
    )?;
    step.done("");
    Ok(())
}

/// The cargo that runs us, or the one in PATH.
pub(crate) fn cargo() -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.current_dir(crate::paths::workspace());
    command
}
