//! Diagnostics with source line and caret, as rustc shows them.

use crate::{Diagnostic, Place, Related, Severity};
use annotate_snippets::{Annotation, AnnotationKind, Level, Origin, Renderer, Snippet};

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
            let mut related: Vec<&Related> = diagnostic.related.iter().collect();
            let at_it = |other: &&Related| {
                other.file == diagnostic.file && other.place.as_ref() == Some(place)
            };
            if expected.is_none()
                && let Some(position) = related.iter().position(at_it)
            {
                expected = Some(related.remove(position).message.clone());
            }
            let annotation = AnnotationKind::Primary
                .span(bytes(place))
                .label(expected.take());
            let mut here_shown = snippet(&diagnostic.file, place).annotation(annotation);
            let (here, elsewhere) = related
                .into_iter()
                .partition::<Vec<&Related>, _>(|related| is_here(related, &diagnostic.file, place));
            for related in here {
                if let Some(place) = &related.place {
                    here_shown = here_shown.annotation(context(place, &related.message));
                }
            }
            group = group.element(here_shown);
            for related in elsewhere {
                group = match related
                    .place
                    .as_ref()
                    .filter(|place| !place.text.is_empty())
                {
                    Some(place) => group.element(
                        snippet(&related.file, place).annotation(context(place, &related.message)),
                    ),
                    None => group.element(
                        Level::NOTE.message(format!("{}: {}", related.file, related.message)),
                    ),
                };
            }
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

fn snippet<'a>(file: &'a str, place: &'a Place) -> Snippet<'a, Annotation<'a>> {
    let line = usize::try_from(place.line).unwrap_or(1);
    Snippet::source(&place.text).line_start(line).path(file)
}

fn context<'a>(place: &Place, message: &'a str) -> Annotation<'a> {
    AnnotationKind::Context.span(bytes(place)).label(message)
}

/// On the same line.
fn is_here(related: &Related, file: &str, place: &Place) -> bool {
    related.file == file
        && related
            .place
            .as_ref()
            .is_some_and(|other| other.line == place.line && !other.text.is_empty())
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
