//! Amounts, times and names as people read them, and text of others made safe for a terminal.

use control::plain::plain_bytes;
use control::row::{command_line, push_number};
use std::borrow::Cow;

/// `0B`, `999B`, `1.2K`, `64M`, `1.0G`: powers of 1024, two digits where there is one before the point.
pub(crate) fn size(bytes: u64) -> String {
    let mut text = String::new();
    push_size(&mut text, bytes);
    text
}

/// The same, at the end of a text.
pub(crate) fn push_size(text: &mut String, bytes: u64) {
    const UNITS: [char; 6] = ['K', 'M', 'G', 'T', 'P', 'E'];
    if bytes < 1024 {
        push_number(text, bytes);
        return text.push('B');
    }
    let mut tenths = u128::from(bytes) * 10;
    let mut unit = 'B';
    for next in UNITS {
        tenths = tenths.div_ceil(1024);
        unit = next;
        if tenths < 10_000 {
            break;
        }
    }
    let tenths = u64::try_from(tenths).unwrap_or(u64::MAX);
    push_number(text, tenths / 10);
    if tenths < 100 {
        text.push('.');
        push_number(text, tenths % 10);
    }
    text.push(unit);
}

/// `0s`, `59s`, `2m 13s`, `3h 5m`, `12d 4h`: the two largest parts.
pub(crate) fn age(milliseconds: u64) -> String {
    let mut text = String::new();
    push_age(&mut text, milliseconds);
    text
}

/// The same, at the end of a text.
pub(crate) fn push_age(text: &mut String, milliseconds: u64) {
    let seconds = milliseconds / 1000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let (large, small) = match (days, hours, minutes) {
        (0, 0, 0) => (None, (seconds, 's')),
        (0, 0, _) => (Some((minutes, 'm')), (seconds % 60, 's')),
        (0, ..) => (Some((hours, 'h')), (minutes % 60, 'm')),
        _ => (Some((days, 'd')), (hours % 24, 'h')),
    };
    if let Some((count, unit)) = large {
        push_number(text, count);
        text.push(unit);
        text.push(' ');
    }
    push_number(text, small.0);
    text.push(small.1);
}

/// How much of an image's id is shown: `sha256:` and 12 digits.
const IMAGE_ID_BYTES: usize = 19;

/// `redis:7` for `docker.io/library/redis:7`, as everybody writes it; of an id so much as names the image in a unit.
pub(crate) fn image(reference: &str) -> &str {
    if reference.starts_with("sha256:") {
        return reference.get(..IMAGE_ID_BYTES).unwrap_or(reference);
    }
    let hub = reference.strip_prefix("docker.io/").unwrap_or(reference);
    hub.strip_prefix("library/").unwrap_or(hub)
}

/// A command as a shell would take it.
pub(crate) fn command(arguments: &[String]) -> String {
    printable(&command_line(arguments, usize::MAX))
}

/// At most so many characters.
pub(crate) fn cut(text: &str, characters: usize) -> Cow<'_, str> {
    match kept(text, characters) {
        None => text.into(),
        Some(kept) => Cow::Owned(format!("{kept}…")),
    }
}

/// The same, at the end of a text.
pub(crate) fn push_cut(line: &mut String, text: &str, characters: usize) {
    match kept(text, characters) {
        None => line.push_str(text),
        Some(kept) => {
            line.push_str(kept);
            line.push('…');
        }
    }
}

/// What is left of a text that is too long.
fn kept(text: &str, characters: usize) -> Option<&str> {
    if text.len() <= characters {
        return None;
    }
    let before = characters.saturating_sub(1);
    if text.is_ascii() {
        return text.get(..before);
    }
    if text.chars().count() <= characters {
        return None;
    }
    let end = text.char_indices().nth(before);
    Some(end.map_or(text, |(end, _)| text.get(..end).unwrap_or(text)))
}

/// Without control characters: text of units and programs must not drive the operator's terminal.
pub(crate) fn printable(text: &str) -> String {
    shown(text).into_owned()
}

/// The same, of what is hardly ever other than it is shown.
pub(crate) fn shown(text: &str) -> Cow<'_, str> {
    let plain = plain_bytes(text.as_bytes());
    let rest = text.as_bytes().get(plain..).unwrap_or_default();
    if rest.iter().all(|byte| matches!(byte, b' '..=b'~')) {
        return text.into();
    }
    let mut printable = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            printable.extend(c.escape_default())
        } else {
            printable.push(c)
        }
    }
    printable.into()
}

/// The same, at the end of a text.
pub(crate) fn push_shown(line: &mut String, text: &str) {
    line.push_str(&shown(text));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_two_or_three_digits() {
        let cases = [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1.0K"),
            (1_300_000, "1.3M"),
            (64 << 20, "64M"),
            (1 << 30, "1.0G"),
            (1000 << 20, "1.0G"),
            (u64::MAX, "16E"),
        ];
        for (bytes, text) in cases {
            assert_eq!(size(bytes), text, "{bytes}");
        }
    }

    #[test]
    fn ages_show_their_two_largest_parts() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (133, "2m 13s"),
            (11_100, "3h 5m"),
            (1_051_200, "12d 4h"),
        ] {
            assert_eq!(age(seconds * 1000), text);
        }
    }

    #[test]
    fn a_command_can_be_pasted_into_a_shell() {
        let arguments = ["sh", "-c", "echo 'x' $Y", ""].map(str::to_owned);
        assert_eq!(command(&arguments), r"sh -c 'echo '\''x'\'' $Y' ''");
    }

    #[test]
    fn what_is_cut_off_is_seen() {
        assert_eq!(cut("größe", 5), "größe");
        assert_eq!(cut("größer", 5), "größ…");
        assert_eq!(cut("", 5), "");
    }

    #[test]
    fn control_characters_are_shown_not_sent() {
        assert_eq!(printable("a\x1b[2Jb\n"), "a\\u{1b}[2Jb\\n");
    }

    #[test]
    fn the_default_registry_goes_without_saying() {
        assert_eq!(image("docker.io/library/redis:7"), "redis:7");
        assert_eq!(image("docker.io/grafana/loki:3"), "grafana/loki:3");
        assert_eq!(image("quay.io/a/b:1"), "quay.io/a/b:1");
        let id = format!("sha256:{}", "0123456789abcdef".repeat(4));
        assert_eq!(image(&id), "sha256:0123456789ab");
    }
}
