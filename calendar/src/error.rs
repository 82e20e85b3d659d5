//! What is wrong with an expression, where, and what to write instead.

use std::fmt;

/// The first mistake of an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// Where it begins, in bytes from the start of the text.
    pub offset: usize,
    /// In bytes; 0 where something is missing.
    pub length: usize,
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ParseError {}

/// A part of an expression that knows its place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Word<'a> {
    pub(crate) text: &'a str,
    /// In bytes from the start of the expression.
    pub(crate) offset: usize,
}

impl<'a> Word<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, offset: 0 }
    }

    /// The parts between blanks; blanks at both ends do not count.
    pub(crate) fn words(self) -> Vec<Self> {
        let parts = self.split(|c| c.is_ascii_whitespace());
        parts.filter(|part| !part.text.is_empty()).collect()
    }

    /// The parts between separators of one byte.
    pub(crate) fn split(self, separates: impl Fn(char) -> bool) -> impl Iterator<Item = Self> {
        let mut offset = self.offset;
        self.text.split(separates).map(move |text| {
            let part = Self { text, offset };
            offset += text.len() + 1;
            part
        })
    }

    /// Before and after the first `separator`.
    pub(crate) fn split_once(self, separator: &str) -> Option<(Self, Self)> {
        let (before, after) = self.text.split_once(separator)?;
        let left = Self {
            text: before,
            offset: self.offset,
        };
        let right = Self {
            text: after,
            offset: self.offset + before.len() + separator.len(),
        };
        Some((left, right))
    }

    pub(crate) fn error(self, message: String, hint: impl Into<String>) -> ParseError {
        ParseError {
            offset: self.offset,
            length: self.text.len(),
            message,
            hint: Some(hint.into()),
        }
    }
}
