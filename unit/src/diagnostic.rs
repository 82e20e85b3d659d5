//! What is wrong with a unit file, where, and what to do about it.
//!
//! A diagnostic carries the line it speaks about, so that it can be shown away from the file: in `status` on another
//! machine, in the log of a boot. [`std::fmt::Display`] gives the one line that PID 1 prints; `render` (behind the
//! feature of that name) gives the picture with the caret.

use crate::document::Spot;
use serde::{Deserialize, Serialize};
use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The unit is not loaded.
    Error,
    /// The unit is loaded, but probably not what was meant.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// A stretch of one line of a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    /// In characters, at least 1.
    pub width: u32,
    /// The whole line; empty when it is too long to be shown.
    pub text: String,
}

/// Another place that has to do with it: the other half of a contradiction, the next edge of a cycle.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Related {
    pub file: String,
    /// `None`: the file as a whole.
    #[serde(flatten)]
    pub place: Option<Place>,
    pub message: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    pub severity: Severity,
    /// Path of the file, as it was given.
    pub file: String,
    /// `None`: the file as a whole.
    #[serde(flatten)]
    pub place: Option<Place>,
    pub message: String,
    /// The value that was found, as it is written.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub found: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expected: Option<String>,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hint: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub related: Vec<Related>,
}

impl Diagnostic {
    #[must_use]
    pub fn error(file: &str, place: Option<Place>, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, file, place, message.into())
    }

    #[must_use]
    pub fn warning(file: &str, place: Option<Place>, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, file, place, message.into())
    }

    fn new(severity: Severity, file: &str, place: Option<Place>, message: String) -> Self {
        Self {
            severity,
            file: file.to_owned(),
            place,
            message: printable(message),
            found: None,
            expected: None,
            hint: None,
            related: Vec::new(),
        }
    }

    #[must_use]
    pub fn found(mut self, found: impl Into<String>) -> Self {
        self.found = Some(printable(found.into()));
        self
    }

    #[must_use]
    pub fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(printable(expected.into()));
        self
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(printable(hint.into()));
        self
    }

    #[must_use]
    pub fn hint_if(self, hint: Option<String>) -> Self {
        match hint {
            Some(hint) => self.hint(hint),
            None => self,
        }
    }

    pub(crate) fn related(self, spot: Spot, message: impl Into<String>) -> Self {
        self.related_in(&spot.file, Some(spot.place), message)
    }

    pub(crate) fn related_in(
        mut self,
        file: &str,
        place: Option<Place>,
        message: impl Into<String>,
    ) -> Self {
        self.related.push(Related {
            file: file.to_owned(),
            place,
            message: printable(message.into()),
        });
        self
    }

    /// One of the files that it speaks about.
    pub(crate) fn concerns(&self, file: impl Fn(&str) -> bool) -> bool {
        file(&self.file) || self.related.iter().any(|related| file(&related.file))
    }

    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// From 1; 0 for the file as a whole.
    #[must_use]
    pub fn line(&self) -> u32 {
        self.place.as_ref().map_or(0, |place| place.line)
    }

    /// From 1, in characters; 0 for the file as a whole.
    #[must_use]
    pub fn column(&self) -> u32 {
        self.place.as_ref().map_or(0, |place| place.column)
    }

    /// File, then place: the order in which a reader goes through them.
    pub(crate) fn sort(diagnostics: &mut Vec<Self>) {
        diagnostics
            .sort_by(|a, b| (&a.file, a.line(), a.column()).cmp(&(&b.file, b.line(), b.column())));
        diagnostics.dedup();
    }
}

/// `file:line:column: severity: message (found …, expected …); hint [file:line:column: message]`, on one line.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{}:{}:{}: ", self.file, place.line, place.column)?,
            None => write!(f, "{}: ", self.file)?,
        }
        write!(f, "{}: {}", self.severity, self.message)?;
        match (&self.found, &self.expected) {
            (Some(found), Some(expected)) => write!(f, " (found {found}, expected {expected})")?,
            (Some(found), None) => write!(f, " (found {found})")?,
            (None, Some(expected)) => write!(f, " (expected {expected})")?,
            (None, None) => {}
        }
        if let Some(hint) = &self.hint {
            write!(f, "; {hint}")?;
        }
        for Related {
            file,
            place,
            message,
        } in &self.related
        {
            match place {
                Some(place) => write!(f, " [{file}:{}:{}: {message}]", place.line, place.column)?,
                None => write!(f, " [{file}: {message}]")?,
            }
        }
        Ok(())
    }
}

/// Files are written by others: nothing of them reaches a terminal or the log as a control character.
fn printable(text: String) -> String {
    if !text.contains(char::is_control) {
        return text;
    }
    text.chars()
        .map(|c| {
            if c.is_control() {
                c.escape_default().to_string()
            } else {
                c.to_string()
            }
        })
        .collect()
}
