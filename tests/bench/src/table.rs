//! Tables of Markdown, aligned so that they can be read as text too.

/// The first column to the left, numbers to the right.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let head: Vec<String> = head.iter().map(|cell| (*cell).to_owned()).collect();
    let mut widths: Vec<usize> = head.iter().map(|cell| width(cell).max(3)).collect();
    for row in rows {
        for (known, cell) in widths.iter_mut().zip(row) {
            *known = (*known).max(width(cell));
        }
    }
    let mut text = line(&head, &widths);
    let rule: Vec<String> = widths
        .iter()
        .enumerate()
        .map(|(column, width)| match column {
            0 => "-".repeat(*width),
            _ => "-".repeat(width - 1) + ":",
        })
        .collect();
    text.push_str(&line(&rule, &widths));
    rows.iter()
        .for_each(|row| text.push_str(&line(row, &widths)));
    text
}

fn line(cells: &[String], widths: &[usize]) -> String {
    let mut text = String::from("|");
    for (column, (cell, width_of)) in cells.iter().zip(widths).enumerate() {
        let padding = " ".repeat(width_of - width(cell));
        match column {
            0 => text.push_str(&format!(" {cell}{padding} |")),
            _ => text.push_str(&format!(" {padding}{cell} |")),
        }
    }
    text.push('\n');
    text
}

fn width(cell: &str) -> usize {
    cell.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_line_up_on_the_right() {
        let rows = [
            vec!["Keelson, 1 unit".to_owned(), "1.2".to_owned()],
            vec!["floor".to_owned(), "10.25".to_owned()],
        ];
        let text = "\
| system          |  time |
| --------------- | ----: |
| Keelson, 1 unit |   1.2 |
| floor           | 10.25 |
";
        assert_eq!(table(&["system", "time"], &rows), text);
    }
}
