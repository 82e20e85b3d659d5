//! A text whose lines are in order: looked up by binary search, with nothing made beforehand and no line copied.

use std::cmp::Ordering;

/// Lines of a text, in the order of some key of theirs. What is looked for in a text that is not in order may not be
/// found; nothing worse comes of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SortedLines<'a> {
    text: &'a str,
}

impl<'a> SortedLines<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text }
    }

    pub(crate) fn is_empty(self) -> bool {
        self.text.is_empty()
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = &'a str> {
        self.text.lines()
    }

    /// The lines whose key is equal to what is looked for; `compare` says how a line's key is to it.
    pub(crate) fn equal(self, compare: impl Fn(&str) -> Ordering) -> Self {
        let start = self.first_that_is_not(|line| compare(line).is_lt());
        let end = self.first_that_is_not(|line| compare(line).is_le());
        Self {
            text: self.text.get(start..end).unwrap_or_default(),
        }
    }

    /// Where the first line begins for which `before` does not hold; it holds for those before that line only.
    fn first_that_is_not(self, before: impl Fn(&str) -> bool) -> usize {
        let bytes = self.text.as_bytes();
        let (mut low, mut high) = (0, bytes.len());
        while low < high {
            let middle = low.midpoint(high);
            let start = bytes
                .get(low..middle)
                .and_then(|bytes| bytes.iter().rposition(|byte| *byte == b'\n'))
                .map_or(low, |newline| low + newline + 1);
            let line = self.text.get(start..high).unwrap_or_default();
            let (line, next) = match line.split_once('\n') {
                Some((line, _)) => (line, start + line.len() + 1),
                None => (line, high),
            };
            if before(line) {
                low = next;
            } else {
                high = start;
            }
        }
        low
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of<'a>(text: &'a str, word: &str) -> Vec<&'a str> {
        let key = |line: &str| line.split(' ').next().unwrap_or_default().cmp(word);
        SortedLines::new(text).equal(key).iter().collect()
    }

    #[test]
    fn lines_are_found_wherever_they_are() {
        let text = "apple 2\n\u{e4}pfel\nfig 4\npear 1\npear 3\n";
        let text = text.replace("\u{e4}pfel\n", "banana \u{e4}\n");
        assert_eq!(of(&text, "pear"), ["pear 1", "pear 3"]);
        assert_eq!(of(&text, "apple"), ["apple 2"]);
        assert_eq!(of(&text, "banana"), ["banana \u{e4}"]);
        assert!(of(&text, "grape").is_empty() && of(&text, "a").is_empty());
        assert!(of(&text, "zebra").is_empty());
        assert!(SortedLines::new("").equal(|_| Ordering::Equal).is_empty());
    }

    #[test]
    fn each_line_of_any_length_is_found_with_and_without_a_last_newline() {
        let lines: Vec<String> = (0..200)
            .map(|number| format!("{number:03} {}", "x".repeat(number % 7 * 9)))
            .collect();
        for text in [lines.join("\n"), lines.join("\n") + "\n"] {
            for line in &lines {
                assert_eq!(of(&text, &line[..3]), [line]);
            }
        }
    }

    #[test]
    fn a_text_that_is_not_in_order_does_no_harm() {
        of("pear 1\napple 2\n\npear 3\nfig 4", "pear");
    }
}
