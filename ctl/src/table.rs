//! Aligned columns, two spaces apart; the last one as wide as it likes.

use crate::output::{Colour, push_colour, push_colour_end};
use std::borrow::Cow;

/// One cell: its text, and a colour that does not count for the width.
#[derive(Clone, Debug)]
pub(crate) struct Cell<'a> {
    text: Cow<'a, str>,
    colour: Option<Colour>,
}

impl<'a> Cell<'a> {
    pub(crate) fn coloured(text: impl Into<Cow<'a, str>>, colour: Colour) -> Self {
        Self {
            text: text.into(),
            colour: Some(colour),
        }
    }
}

impl<'a> From<Cow<'a, str>> for Cell<'a> {
    fn from(text: Cow<'a, str>) -> Self {
        Self { text, colour: None }
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
    let mut table = Table::new(head, rows.len());
    for row in rows {
        for cell in row {
            table.text().push_str(&cell.text);
            table.end(cell.colour);
        }
    }
    table.render(coloured)
}

/// A table whose cells are written one behind the other, row by row, into one text. Of long ones: a text for each cell
/// takes longer than what is written into it.
#[derive(Debug)]
pub(crate) struct Table<const N: usize> {
    text: String,
    ends: Vec<End>,
    /// Where the next cell begins.
    begin: usize,
    /// In characters.
    widths: [usize; N],
}

/// Where a cell ends, and the next begins.
#[derive(Debug)]
struct End {
    at: usize,
    /// In characters.
    width: usize,
    colour: Option<Colour>,
}

/// Room for the cells of a usual row, in bytes.
const ROW_BYTES: usize = 128;

impl<const N: usize> Table<N> {
    /// With room for so many rows.
    pub(crate) fn new(head: [&str; N], rows: usize) -> Self {
        let mut table = Self {
            text: String::with_capacity(ROW_BYTES * (rows + 1)),
            ends: Vec::with_capacity(N * (rows + 1)),
            begin: 0,
            widths: [0; N],
        };
        for title in head {
            table.text().push_str(title);
            table.end(None);
        }
        table
    }

    /// Where the next cell's text is to be added.
    pub(crate) fn text(&mut self) -> &mut String {
        &mut self.text
    }

    /// What of the next cell is there.
    fn so_far(&self) -> &str {
        &self.text[self.begin..]
    }

    /// The cell is complete.
    pub(crate) fn end(&mut self, colour: Option<Colour>) {
        let cell = self.so_far();
        let width = if cell.is_ascii() {
            cell.len()
        } else {
            cell.chars().count()
        };
        if let Some(column) = self.widths.get_mut(self.ends.len() % N) {
            *column = width.max(*column);
        }
        self.begin = self.text.len();
        self.ends.push(End {
            at: self.begin,
            width,
            colour,
        });
    }

    /// The same of one that has a dash where it has no text.
    pub(crate) fn end_or_dash(&mut self) {
        if self.so_far().is_empty() {
            self.text.push('-');
        }
        self.end(None);
    }

    pub(crate) fn render(&self, coloured: bool) -> String {
        // In one piece: a text that grows row by row costs more than what is in it.
        let line = self.widths.iter().sum::<usize>() + 2 * N;
        let mut text = String::with_capacity(line * (self.ends.len() / N));
        let mut from = 0;
        for row in self.ends.chunks_exact(N) {
            let begin = text.len();
            let mut owed = 0;
            for (cell, width) in row.iter().zip(self.widths) {
                push_spaces(&mut text, owed);
                let colour = cell.colour.filter(|_| coloured);
                if let Some(colour) = colour {
                    push_colour(&mut text, colour);
                }
                text.push_str(&self.text[from..cell.at]);
                if colour.is_some() {
                    push_colour_end(&mut text);
                }
                from = cell.at;
                owed = width - cell.width + 2;
            }
            let end = text[begin..].trim_end().len();
            text.truncate(begin + end);
            text.push('\n');
        }
        text
    }
}

fn push_spaces(text: &mut String, mut count: usize) {
    const SPACES: &str = "                                ";
    while count > 0 {
        let some = count.min(SPACES.len());
        text.push_str(&SPACES[..some]);
        count -= some;
    }
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
