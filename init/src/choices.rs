//! What the operator has decided about units beside their files, kept for the next boot.
//!
//! Beside the unit files and not among them: the next `apply` replaces those, and a unit stays masked all the same.

use crate::durable;
use std::io;
use std::path::Path;
use unit::Choices;

const FILE: &str = "/var/machine/choices.json";

/// None at the first boot, and when the file is damaged: then the unit files alone decide.
pub(crate) fn read() -> Choices {
    let Ok(text) = std::fs::read(FILE) else {
        return Choices::default();
    };
    serde_json::from_slice(&text).unwrap_or_else(|error| {
        crate::console::warn(format_args!(
            "{FILE}: {error}; what was enabled, disabled or masked is forgotten"
        ));
        Choices::default()
    })
}

/// # Errors
/// When it can't be written.
pub(crate) fn write(choices: &Choices) -> io::Result<()> {
    durable::write(Path::new(FILE), &serde_json::to_vec(choices)?)
}
