//! The text of one file, and where in it a byte stands.

use crate::Place;
use std::ops::Range;

/// Lines longer than this are not shown: a diagnostic travels to the log and over the control socket.
const LINE_CHARS_MAX: usize = 400;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Path as shown to the operator; its last part decides kind and name of the unit.
    pub file: String,
    pub text: String,
}

impl Source {
    /// `redis@.container.toml`
    pub(crate) fn file_name(&self) -> &str {
        self.file.rsplit('/').next().unwrap_or(&self.file)
    }

    /// `web.container.toml` of `…/web.container.toml.d/10-memory.toml`: the file that it changes.
    pub(crate) fn changes(&self) -> Option<&str> {
        let folder = self.file.rsplit('/').nth(1)?;
        folder
            .strip_suffix(".d")
            .filter(|file| file.ends_with(".toml"))
    }

    /// Line, column and text of a range of bytes; a range over several lines is cut at the end of the first.
    pub(crate) fn place(&self, span: &Range<usize>) -> Place {
        let before = self.text.get(..span.start).unwrap_or(&self.text);
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = self
            .text
            .get(start..)
            .and_then(|rest| rest.lines().next())
            .unwrap_or("");
        let inside = self
            .text
            .get(span.clone())
            .and_then(|text| text.lines().next())
            .unwrap_or("");
        let count = |text: &str| u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
        Place {
            line: u32::try_from(before.matches('\n').count())
                .unwrap_or(u32::MAX)
                .saturating_add(1),
            column: count(before.get(start..).unwrap_or("")).saturating_add(1),
            width: count(inside).max(1),
            text: if line.chars().count() > LINE_CHARS_MAX {
                String::new()
            } else {
                line.chars()
                    .map(|c| {
                        if c.is_control() && c != '\t' {
                            char::REPLACEMENT_CHARACTER
                        } else {
                            c
                        }
                    })
                    .collect()
            },
        }
    }

    /// As it is written there, shortened.
    pub(crate) fn excerpt(&self, span: &Range<usize>) -> String {
        const EXCERPT_CHARS_MAX: usize = 60;
        let text = self.text.get(span.clone()).unwrap_or("");
        let line = text.lines().next().unwrap_or("");
        let short: String = line.chars().take(EXCERPT_CHARS_MAX).collect();
        if short.len() < text.len() {
            format!("{short}…")
        } else {
            short
        }
    }
}
