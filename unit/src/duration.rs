//! Durations: `1h30m15s`, `100ms`.

use crate::fault::Fault;

/// Largest first; each may be given once, in this order.
const UNITS: &[(&str, u64)] = &[
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Ten years: longer is a mistake, and sums of a few durations and a clock stay far from the end of u64.
pub const MILLISECONDS_MAX: u64 = 10 * 365 * 86_400_000;

/// How others write units.
const SPELLINGS: &[(&str, &str)] = &[
    ("day", "d"),
    ("hour", "h"),
    ("hr", "h"),
    ("minute", "m"),
    ("min", "m"),
    ("second", "s"),
    ("sec", "s"),
    ("millisecond", "ms"),
    ("msec", "ms"),
];

/// Milliseconds.
pub fn parse(text: &str) -> Result<u64, Fault> {
    read(text).map_err(|fault| match (&fault.hint, respelled(text)) {
        (None, Some(good)) => fault.hint(format!("write \"{good}\"")),
        (None, None) if matches!(text, "infinity" | "never" | "none" | "unlimited") => {
            fault.hint("for the default leave the key out; the longest is \"3650d\"")
        }
        (_, _) => fault,
    })
}

/// What was meant by `30 seconds` or `1h 30min`, if anything.
fn respelled(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (number, after) = split(rest, |c| c.is_ascii_digit());
        let (name, after) = split(after.trim_start(), |c| c.is_ascii_alphabetic());
        let name = name.to_ascii_lowercase();
        let singular = name.strip_suffix('s').filter(|name| name.len() > 1);
        let known = SPELLINGS
            .iter()
            .find(|(known, _)| *known == name || Some(*known) == singular);
        out.push_str(number);
        out.push_str(known.map_or(name.as_str(), |(_, unit)| unit));
        if after.len() == rest.len() {
            return None;
        }
        rest = after.trim_start();
    }
    (out != text && read(&out).is_ok()).then_some(out)
}

fn read(text: &str) -> Result<u64, Fault> {
    let fault = || {
        Fault::new(
            "is not a duration",
            "numbers with units, largest first: \"1h30m15s\", \"100ms\"",
        )
    };
    let mut rest = text;
    let mut units = UNITS.iter();
    let mut total: u64 = 0;
    if rest.is_empty() {
        return Err(fault());
    }
    while !rest.is_empty() {
        let (number, after) = split(rest, |c| c.is_ascii_digit());
        let (name, after) = split(after, |c| c.is_ascii_alphabetic());
        if name.is_empty() && after.is_empty() && !number.is_empty() {
            return Err(fault().hint(format!("give the unit: \"{text}s\" for seconds")));
        }
        let factor = units
            .find(|(unit, _)| *unit == name)
            .map(|(_, factor)| *factor)
            .ok_or_else(fault)?;
        let too_long = || Fault::new("is too long", "at most ten years");
        let number: u64 = number.parse().map_err(|_| {
            if number.is_empty() {
                fault()
            } else {
                too_long()
            }
        })?;
        total = number
            .checked_mul(factor)
            .and_then(|part| total.checked_add(part))
            .ok_or_else(too_long)?;
        if total > MILLISECONDS_MAX {
            return Err(too_long());
        }
        rest = after;
    }
    Ok(total)
}

/// The same duration as [`parse`] reads it.
#[must_use]
pub fn display(milliseconds: u64) -> String {
    let mut rest = milliseconds;
    let mut out = String::new();
    for (name, factor) in UNITS {
        if let Some(number) = rest.checked_div(*factor).filter(|number| *number > 0) {
            out.push_str(&format!("{number}{name}"));
            rest %= factor;
        }
    }
    if out.is_empty() { "0s".to_owned() } else { out }
}

fn split(text: &str, inside: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !inside(c)).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn units_add_up_largest_first() {
        assert_eq!(parse("1h30m15s"), Ok(5_415_000));
        assert_eq!(parse("100ms"), Ok(100));
        assert_eq!(parse("2d"), Ok(172_800_000));
        assert_eq!(parse("0s"), Ok(0));
        for bad in [
            "",
            "s",
            "15s1h",
            "1s1s",
            "1.5s",
            "-1s",
            "1 s",
            "1y",
            "99999999999999999999s",
            "11000d",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_number_alone_gets_the_hint_to_name_the_unit() {
        let hint = parse("90").unwrap_err().hint.unwrap();
        assert!(hint.contains("90s"), "{hint}");
    }

    #[test]
    fn other_spellings_get_the_hint_how_to_write_them() {
        for (text, good) in [
            ("30 seconds", "30s"),
            ("1h 30min", "1h30m"),
            ("2 Hours 1 second", "2h1s"),
            ("5 ms", "5ms"),
        ] {
            let hint = parse(text).unwrap_err().hint.unwrap();
            assert_eq!(hint, format!("write \"{good}\""));
        }
        for text in ["1s1s", "soon", "-1s", "1.5s", "99999999999999999999 s"] {
            assert_eq!(parse(text).unwrap_err().hint, None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_displayed_is_read_back(milliseconds in 0..=MILLISECONDS_MAX) {
            prop_assert_eq!(parse(&display(milliseconds)), Ok(milliseconds));
        }

        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = parse(&text);
        }

        #[test]
        fn no_text_of_its_letters_panics(text in "[0-9hmsd.]{0,40}") {
            let _ = parse(&text);
        }
    }
}
