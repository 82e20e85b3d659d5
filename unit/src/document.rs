//! The text of one unit: its file, and behind it the drop-ins that change it.
//!
//! ```text
//! web.container.toml      web.container.toml.d/10-memory.toml   …/20-ports.toml
//! 0 ────────────── 120    121 ─────────────────────── 180       181 ────── 230
//! ```
//!
//! A span counts over all parts, so that a value knows which file it came from, whatever was merged with what.

use crate::{Diagnostic, Place, Source};
use std::ops::Range;

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Spot {
    pub(crate) file: String,
    pub(crate) place: Place,
}

pub(crate) struct Document<'s> {
    unit: Part<'s>,
    drop_ins: Vec<Part<'s>>,
}

#[derive(Clone, Copy)]
pub(crate) struct Part<'s> {
    /// Where its first byte stands among all.
    pub(crate) start: usize,
    pub(crate) source: &'s Source,
}

impl Part<'_> {
    /// One place behind its last byte: an error at the end of the text still belongs to it.
    fn end(&self) -> usize {
        self.start.saturating_add(self.source.text.len())
    }
}

impl<'s> Document<'s> {
    /// `drop_ins` in the order in which they change the unit.
    pub(crate) fn new(unit: &'s Source, drop_ins: impl IntoIterator<Item = &'s Source>) -> Self {
        let unit = Part {
            start: 0,
            source: unit,
        };
        let mut end = unit.end();
        let drop_ins = drop_ins.into_iter().map(|source| {
            let part = Part {
                start: end.saturating_add(1),
                source,
            };
            end = part.end();
            part
        });
        Self {
            drop_ins: drop_ins.collect(),
            unit,
        }
    }

    /// Path of the unit file.
    pub(crate) fn file(&self) -> &'s str {
        &self.unit.source.file
    }

    /// The unit file first.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &Part<'s>> {
        std::iter::once(&self.unit).chain(&self.drop_ins)
    }

    /// Paths of the drop-ins.
    pub(crate) fn drop_ins(&self) -> Vec<String> {
        let files = self.drop_ins.iter().map(|part| part.source.file.clone());
        files.collect()
    }

    /// The part of a span, and the span within it.
    fn part(&self, span: &Range<usize>) -> (&'s Source, Range<usize>) {
        let behind = self.drop_ins.iter().rev();
        let part = behind
            .chain([&self.unit])
            .find(|part| part.start <= span.start)
            .unwrap_or(&self.unit);
        let inside = |at: usize| at.saturating_sub(part.start);
        (part.source, inside(span.start)..inside(span.end))
    }

    pub(crate) fn spot(&self, span: &Range<usize>) -> Spot {
        let (source, span) = self.part(span);
        Spot {
            file: source.file.clone(),
            place: source.place(&span),
        }
    }

    /// As it is written there, shortened.
    pub(crate) fn excerpt(&self, span: &Range<usize>) -> String {
        let (source, span) = self.part(span);
        source.excerpt(&span)
    }

    /// As it is written there.
    pub(crate) fn text(&self, span: &Range<usize>) -> &'s str {
        let (source, span) = self.part(span);
        source.text.get(span).unwrap_or("")
    }

    pub(crate) fn error(&self, span: &Range<usize>, message: impl Into<String>) -> Diagnostic {
        let Spot { file, place } = self.spot(span);
        Diagnostic::error(&file, Some(place), message)
    }

    pub(crate) fn warning(&self, span: &Range<usize>, message: impl Into<String>) -> Diagnostic {
        let Spot { file, place } = self.spot(span);
        Diagnostic::warning(&file, Some(place), message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_belongs_to_the_file_it_was_read_from() {
        let source = |file: &str, text: &str| Source {
            file: file.to_owned(),
            text: text.to_owned(),
        };
        let (unit, first, second) = (source("u", "a\nb"), source("d1", ""), source("d2", "x\nyz"));
        let document = Document::new(&unit, [&first, &second]);
        let starts: Vec<usize> = document.parts().map(|part| part.start).collect();
        assert_eq!(starts, [0, 4, 5]);
        let seen = |span: Range<usize>| {
            let spot = document.spot(&span);
            (spot.file, spot.place.line, spot.place.column)
        };
        assert_eq!(seen(2..3), ("u".to_owned(), 2, 1));
        assert_eq!(seen(3..3), ("u".to_owned(), 2, 2));
        assert_eq!(seen(4..4), ("d1".to_owned(), 1, 1));
        assert_eq!(seen(8..9), ("d2".to_owned(), 2, 2));
        assert_eq!(document.excerpt(&(7..9)), "yz");
    }
}
