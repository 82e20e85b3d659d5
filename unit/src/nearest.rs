//! The known name that is nearest to a mistyped one.

/// Optimal string alignment distance: insertions, deletions, substitutions and swaps of neighbours.
///
/// Boytsov, "Indexing methods for approximate dictionary searching", 2011, section 2.2.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut before_previous: Vec<usize> = Vec::new();
    let mut previous: Vec<usize> = (0..=b.len()).collect();
    let mut last_a = None;
    for (i, x) in a.chars().enumerate() {
        let mut current = vec![i + 1];
        let mut last_b = None;
        let mut left = i + 1;
        for (j, y) in b.iter().copied().enumerate() {
            let at =
                |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX / 2);
            let replace = at(&previous, j) + usize::from(x != y);
            let mut best = replace.min(at(&previous, j + 1) + 1).min(left + 1);
            if j > 0 && last_a == Some(y) && last_b == Some(x) {
                best = best.min(at(&before_previous, j - 1) + 1);
            }
            current.push(best);
            left = best;
            last_b = Some(y);
        }
        before_previous = std::mem::replace(&mut previous, current);
        last_a = Some(x);
    }
    previous.last().copied().unwrap_or(0)
}

/// The candidate that is nearest to `name`, if one is near enough to be what was meant: a third of its length in
/// mistakes. The first of equals wins.
pub(crate) fn nearest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let folded = name.to_lowercase().replace('-', "_");
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let target = candidate.to_lowercase().replace('-', "_");
        let longest = folded.chars().count().max(target.chars().count());
        let mistakes = distance(&folded, &target);
        let near = mistakes <= (longest / 3).max(1);
        if near && candidate != name && best.is_none_or(|(least, _)| mistakes < least) {
            best = Some((mistakes, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_swap_of_neighbours_is_one_mistake() {
        assert_eq!(distance("comamnd", "command"), 1);
        assert_eq!(distance("iamge", "image"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", ""), 3);
        assert_eq!(distance("same", "same"), 0);
    }

    #[test]
    fn something_quite_different_has_no_nearest_name() {
        assert_eq!(nearest("frobnicate", ["image", "command"]), None);
        assert_eq!(nearest("Image", ["command", "image"]), Some("image"));
        assert_eq!(nearest("stop-signal", ["stop_signal"]), Some("stop_signal"));
    }
}
