//! The zone that is meant by a name that is nearly one.

use super::zone_names as names;

/// A zone that is off by more letters may be another place.
const MISTAKES_MAX: usize = 2;
/// Shorter names are all near to each other: `EST`, `MST`, `CET`.
const LETTERS_MIN: usize = 5;

/// The one zone that a text can mean: its name in other letters, the place alone (`Tokyo`), or a name with a mistake or two in
/// it (`Asia/Tokio`). `None` when there are several, or none.
#[must_use]
pub fn near(text: &str) -> Option<&'static str> {
    let written = text.replace(' ', "_").to_ascii_lowercase();
    let place = |name: &str| name.rsplit('/').next().unwrap_or(name).to_ascii_lowercase();
    let spelled = || names().filter(|name| name.eq_ignore_ascii_case(&written));
    let placed = || names().filter(|name| place(name) == written);
    if let Some(name) = only(spelled()).or_else(|| only(placed())) {
        return Some(name);
    }
    if written.len() < LETTERS_MIN {
        return None;
    }
    let (by_name, by_place) = (written.contains('/'), !written.contains('/'));
    (1..=MISTAKES_MAX).find_map(|most| {
        let whole = |name: &str| by_name && mistakes(&written, &name.to_ascii_lowercase()) <= most;
        let part = |name: &str| by_place && mistakes(&written, &place(name)) <= most;
        let mut found = names().filter(|name| whole(name) || part(name)).peekable();
        found.peek()?;
        Some(only(found))
    })?
}

fn only(mut found: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

/// Levenshtein distance of bytes: names of zones are ASCII.
fn mistakes(a: &str, b: &str) -> usize {
    if a.len().abs_diff(b.len()) > MISTAKES_MAX {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (x, line) in a.bytes().zip(1..) {
        let (mut corner, mut left) = (line - 1, line);
        for (y, cell) in b.bytes().zip(row.iter_mut().skip(1)) {
            let best = (corner + usize::from(x != y)).min(left + 1).min(*cell + 1);
            corner = *cell;
            *cell = best;
            left = best;
        }
        if let Some(first) = row.first_mut() {
            *first = line;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_only_suggested_where_one_alone_can_be_meant() {
        for (written, meant) in [
            ("Asia/Tokio", Some("Asia/Tokyo")),
            ("asia/tokyo", Some("Asia/Tokyo")),
            ("Tokyo", Some("Asia/Tokyo")),
            ("Europe/Berln", Some("Europe/Berlin")),
            ("America/New York", Some("America/New_York")),
            ("Mars/Olympus", None),
            ("XST", None),
            ("", None),
        ] {
            assert_eq!(near(written), meant, "{written}");
        }
    }
}
