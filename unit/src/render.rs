//! Diagnostics with source line and caret, as rustc shows them.

use crate::{Diagnostic, Place, Severity};
use annotate_snippets::{AnnotationKind, Level, Origin, Renderer, Snippet};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    Always,
    Never,
}

/// Several lines, without a line feed at the end.
#[must_use]
pub fn render(diagnostic: &Diagnostic, colour: Colour) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group = level
        .primary_title(&diagnostic.message)
        .elements(Vec::<annotate_snippets::Message<'_>>::new());
    let mut expected = diagnostic
        .expected
        .as_ref()
        .map(|expected| format!("expected {expected}"));
    match diagnostic.place.as_ref() {
        Some(place) if !place.text.is_empty() => {
            let annotation = AnnotationKind::Primary
                .span(bytes(place))
                .label(expected.take());
            let line = usize::try_from(place.line).unwrap_or(1);
            group = group.element(
                Snippet::source(&place.text)
                    .line_start(line)
                    .path(&diagnostic.file)
                    .annotation(annotation),
            );
        }
        Some(place) => {
            let (line, column) = (
                usize::try_from(place.line).unwrap_or(0),
                usize::try_from(place.column).unwrap_or(0),
            );
            group = group.element(
                Origin::path(&diagnostic.file)
                    .line(line)
                    .char_column(column),
            );
        }
        None => group = group.element(Origin::path(&diagnostic.file)),
    }
    if let Some(expected) = expected {
        group = group.element(Level::NOTE.message(expected));
    }
    if let Some(hint) = &diagnostic.hint {
        group = group.element(Level::HELP.message(hint));
    }
    let renderer = match colour {
        Colour::Always => Renderer::styled(),
        Colour::Never => Renderer::plain(),
    };
    renderer.render(&[group])
}

/// The underlined part of the line.
fn bytes(place: &Place) -> std::ops::Range<usize> {
    let byte = |column: u32| {
        let column = usize::try_from(column).unwrap_or(usize::MAX);
        place
            .text
            .char_indices()
            .nth(column)
            .map_or(place.text.len(), |(byte, _)| byte)
    };
    let first = place.column.saturating_sub(1);
    byte(first)..byte(first.saturating_add(place.width))
}
