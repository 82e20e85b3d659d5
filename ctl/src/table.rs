//! Aligned columns, two spaces apart; the last one as wide as it likes.

use crate::output::{Colour, paint};

/// One cell: its text, and a colour that does not count for the width.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    text: String,
    colour: Option<Colour>,
}

impl Cell {
    pub(crate) fn coloured(text: impl Into<String>, colour: Colour) -> Self {
        Self {
            text: text.into(),
            colour: Some(colour),
        }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self { text, colour: None }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

/// The table as text, with a line feed at the end of each row.
pub(crate) fn table<const N: usize>(
    head: [&str; N],
    rows: Vec<[Cell; N]>,
    coloured: bool,
) -> String {
    let mut all = vec![head.map(Cell::from)];
    all.extend(rows);
    let mut widths = [0; N];
    for row in &all {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.text.chars().count());
        }
    }
    let mut text = String::new();
    for row in &all {
        let mut line = String::new();
        let mut owed = 0;
        for (cell, width) in row.iter().zip(widths) {
            line.extend(std::iter::repeat_n(' ', owed));
            match cell.colour {
                Some(colour) => line.push_str(&paint(&cell.text, colour, coloured)),
                None => line.push_str(&cell.text),
            }
            owed = width - cell.text.chars().count() + 2;
        }
        text.push_str(line.trim_end());
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
        assert_eq!(
            table(["NAME", "STATE", "PORTS"], rows.clone(), false),
            plain
        );
        let coloured = table(["NAME", "STATE", "PORTS"], rows, true);
        assert!(
            coloured.contains("a       \x1b[32mrunning\x1b[0m  x\n"),
            "{coloured}"
        );
    }
}
