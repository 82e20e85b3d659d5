//! What loading gives: the good units, the bad ones, and all that is to be said about both.

use crate::{Diagnostic, UnitSet};
use serde::{Deserialize, Serialize};

/// All that the unit directories hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Loaded {
    /// The good ones.
    pub set: UnitSet,
    /// The others.
    pub bad: Vec<BadUnit>,
    /// Errors and warnings about all of them, sorted by file and place.
    pub diagnostics: Vec<Diagnostic>,
}

impl Loaded {
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
    }
}

/// A unit that is not loaded, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BadUnit {
    /// As it would be called; `redis@` for a template whose instances are not known.
    pub name: String,
    /// Path of the file.
    pub source: String,
    /// At least one error.
    pub diagnostics: Vec<Diagnostic>,
}
