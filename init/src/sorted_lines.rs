//! A text whose lines are looked up by binary search, without a copy of any of them.

use std::cmp::Ordering;

/// Invariant: `starts` are where lines of the text begin, in the order of the lines' keys.
#[derive(Debug, Default)]
pub(crate) struct SortedLines {
    text: String,
    starts: Vec<u32>,
}

impl SortedLines {
    /// Looking whether the lines are in order is nearly all there is to do when the text was sorted by who wrote it.
    pub(crate) fn new(text: String, compare: impl Fn(&str, &str) -> Ordering) -> Self {
        let mut starts = vec![0];
        let ends = text.bytes().zip(1u32..).filter(|(byte, _)| *byte == b'\n');
        starts.extend(ends.map(|(_, next)| next));
        // What follows the last line's end.
        starts.pop();
        let compare_at = |one: &u32, other: &u32| compare(line(&text, *one), line(&text, *other));
        if !starts.is_sorted_by(|one, other| compare_at(one, other).is_le()) {
            starts.sort_by(compare_at);
        }
        Self { text, starts }
    }

    /// The lines whose key is equal to what is looked for; `compare` says how a line's key is to it.
    pub(crate) fn equal(&self, compare: impl Fn(&str) -> Ordering) -> impl Iterator<Item = &str> {
        let first = self
            .starts
            .partition_point(|start| compare(line(&self.text, *start)).is_lt());
        let rest = self.starts.get(first..).unwrap_or_default();
        rest.iter()
            .map(|start| line(&self.text, *start))
            .take_while(move |line| compare(line).is_eq())
    }
}

fn line(text: &str, start: u32) -> &str {
    let rest = usize::try_from(start)
        .ok()
        .and_then(|start| text.get(start..));
    let rest = rest.unwrap_or_default();
    rest.split_once('\n').map_or(rest, |(line, _)| line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_in_any_text() {
        let lines = SortedLines::new("pear 1\napple 2\npear 3\nfig 4\n".to_owned(), str::cmp);
        let of = |word: &str| -> Vec<String> {
            let key = |line: &str| line.split(' ').next().unwrap().cmp(word);
            lines.equal(key).map(str::to_owned).collect()
        };
        assert_eq!(of("pear"), ["pear 1", "pear 3"]);
        assert_eq!(of("apple"), ["apple 2"]);
        assert!(of("grape").is_empty());
        let none = SortedLines::new(String::new(), str::cmp);
        assert_eq!(none.equal(|_| Ordering::Equal).count(), 0);
    }
}
