//! Aligned columns, two spaces apart; the last one as wide as it likes.

use crate::output::{Colour, paint};
use std::borrow::Cow;

/// One cell: its text, and a colour that does not count for the width.
#[derive(Clone, Debug)]
pub(crate) struct Cell<'a> {
    text: Cow<'a, str>,
    /// In characters.
    width: usize,
    colour: Option<Colour>,
}

impl<'a> Cell<'a> {
    pub(crate) fn coloured(text: impl Into<Cow<'a, str>>, colour: Colour) -> Self {
        Self {
            colour: Some(colour),
            ..Self::from(text.into())
        }
    }
}

impl<'a> From<Cow<'a, str>> for Cell<'a> {
    fn from(text: Cow<'a, str>) -> Self {
        let is_ascii = text.is_ascii();
        let width = if is_ascii {
            text.len()
        } else {
            text.chars().count()
        };
        let colour = None;
        Self {
            text,
            width,
            colour,
        }
    }
}

impl From<String> for Cell<'_> {
    fn from(text: String) -> Self {
        Cow::<str>::Owned(text).into()
    }
}

impl<'a> From<&'a str> for Cell<'a> {
    fn from(text: &'a str) -> Self {
        Cow::Borrowed(text).into()
    }
}

/// The table as text, with a line feed at the end of each row.
pub(crate) fn table<const N: usize>(
    head: [&str; N],
    rows: &[[Cell<'_>; N]],
    coloured: bool,
) -> String {
    let head = head.map(Cell::from);
    let all = || std::iter::once(&head).chain(rows);
    let mut widths = [0; N];
    for row in all() {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.width);
        }
    }
    // In one piece: a text that grows row by row costs more than what is in it.
    let line = widths.iter().sum::<usize>() + 2 * N;
    let mut text = String::with_capacity(line * (rows.len() + 1));
    for row in all() {
        let begin = text.len();
        let mut owed = 0;
        for (cell, width) in row.iter().zip(widths) {
            text.extend(std::iter::repeat_n(' ', owed));
            match cell.colour.filter(|_| coloured) {
                Some(colour) => text.push_str(&paint(&cell.text, colour, coloured)),
                None => text.push_str(&cell.text),
            }
            owed = width - cell.width + 2;
        }
        let end = text[begin..].trim_end().len();
        text.truncate(begin + end);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_whatever_their_colours() {
        let rows = vec![
            [
                "a".into(),
                Cell::coloured("running", Colour::Green),
                "x".into(),
            ],
            ["größer".into(), "up".into(), "".into()],
        ];
        let plain = "NAME    STATE    PORTS\na       running  x\ngrößer  up\n";
        assert_eq!(table(["NAME", "STATE", "PORTS"], &rows, false), plain);
        let coloured = table(["NAME", "STATE", "PORTS"], &rows, true);
        assert!(
            coloured.contains("a       \x1b[32mrunning\x1b[0m  x\n"),
            "{coloured}"
        );
    }
}
