//! Amounts of memory and disk: `64M`, counted by 1024 as Docker does.

use crate::fault::Fault;

const UNITS: &[(char, u32)] = &[('k', 10), ('m', 20), ('g', 30), ('t', 40), ('p', 50)];
const NAMES: &[(u32, &str)] = &[
    (50, "PiB"),
    (40, "TiB"),
    (30, "GiB"),
    (20, "MiB"),
    (10, "KiB"),
];

/// Digits after the point that are read; more would not change the amount by a byte.
const FRACTION_DIGITS_MAX: u32 = 15;

/// A number, perhaps with a fraction, and `K`, `M`, `G`, `T` or `P`; `KiB`, `kb` and so on mean the same.
pub fn parse(text: &str) -> Result<u64, Fault> {
    read(text).map_err(|fault| match respelled(text) {
        Some(good) => fault.hint(format!("write \"{good}\"")),
        None if UNLIMITED.contains(&text.to_ascii_lowercase().as_str()) => {
            fault.hint("for no limit of your own leave the key out")
        }
        None if text.ends_with('%') => {
            fault.hint("give an amount, such as 64M: a share of it differs from machine to machine")
        }
        None => fault,
    })
}

/// What was meant by Kubernetes' `512Mi`, by `512 MB` or `512 megabytes`, if anything.
fn respelled(text: &str) -> Option<String> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(end);
    let unit = unit.trim().to_ascii_lowercase();
    let unit = match unit.as_str() {
        "byte" | "bytes" => "",
        _ => unit
            .strip_suffix('s')
            .filter(|it| it.len() > 2)
            .unwrap_or(&unit),
    };
    let letter = unit
        .chars()
        .next()
        .map(|letter| letter.to_ascii_uppercase());
    let known = [
        "", "i", "b", "ib", "byte", "ilobyte", "ibibyte", "egabyte", "ebibyte", "igabyte",
        "erabyte", "etabyte",
    ];
    let rest = unit.get(1..).unwrap_or("");
    let good = match letter {
        Some(letter) if known.contains(&rest) => format!("{number}{letter}"),
        Some(_) => return None,
        None => number.to_owned(),
    };
    (good != text && read(&good).is_ok()).then_some(good)
}

/// How others say that there is none.
const UNLIMITED: &[&str] = &["-1", "max", "unlimited", "infinity", "none"];

fn read(text: &str) -> Result<u64, Fault> {
    let fault = || {
        Fault::new(
            "is not an amount of bytes",
            "a number and K, M, G, T or P (of 1024): \"64M\", \"1.5G\"",
        )
    };
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.to_ascii_lowercase();
    let unit = unit
        .strip_suffix("ib")
        .filter(|unit| !unit.is_empty())
        .or_else(|| unit.strip_suffix('b'))
        .unwrap_or(&unit);
    let mut letters = unit.chars();
    let shift = match (letters.next(), letters.next()) {
        (None, _) => 0,
        (Some(letter), None) => UNITS
            .iter()
            .find(|(name, _)| *name == letter)
            .map(|(_, shift)| *shift)
            .ok_or_else(fault)?,
        (Some(_), Some(_)) => return Err(fault()),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let good = !whole.is_empty()
        && !number.ends_with('.')
        && !fraction.contains('.')
        && (shift > 0 || fraction.is_empty());
    if !good {
        return Err(fault());
    }
    let too_much = || Fault::new("is too much", "less than 8192P");
    let whole: u128 = whole.parse().map_err(|_| too_much())?;
    let digits = fraction
        .chars()
        .take(usize::try_from(FRACTION_DIGITS_MAX).unwrap_or(0))
        .collect::<String>();
    let scale = 10u128.pow(u32::try_from(digits.len()).unwrap_or(0));
    let part: u128 = if digits.is_empty() {
        0
    } else {
        digits.parse().map_err(|_| fault())?
    };
    let bytes = whole
        .checked_mul(1 << shift)
        .and_then(|bytes| bytes.checked_add((part << shift) / scale))
        .ok_or_else(too_much)?;
    u64::try_from(bytes)
        .ok()
        .filter(|bytes| i64::try_from(*bytes).is_ok())
        .ok_or_else(too_much)
}

/// `5.0 GiB`, `64.0 MiB`, `17 B`: for people, rounded.
#[must_use]
pub fn display(bytes: u64) -> String {
    for (shift, name) in NAMES {
        if bytes >> shift > 0 {
            let tenths = (u128::from(bytes) * 10 + (1 << (shift - 1))) >> shift;
            return format!("{}.{} {name}", tenths / 10, tenths % 10);
        }
    }
    format!("{bytes} B")
}

/// The same amount as [`parse`] reads it: `64M`, `1000`.
#[must_use]
pub fn exact(bytes: u64) -> String {
    let unit = UNITS
        .iter()
        .rev()
        .find(|(_, shift)| bytes > 0 && bytes.trailing_zeros() >= *shift);
    match unit {
        Some((letter, shift)) => format!("{}{}", bytes >> shift, letter.to_ascii_uppercase()),
        None => bytes.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn units_count_by_1024_and_may_be_written_in_every_usual_way() {
        for text in [
            "64M",
            "64m",
            "64MB",
            "64mb",
            "64MiB",
            "65536K",
            "67108864",
            "67108864B",
            "0.0625g",
        ] {
            assert_eq!(parse(text), Ok(64 << 20), "{text}");
        }
        assert_eq!(parse("1.5G"), Ok(3 << 29));
        for bad in [
            "", "M", "1.", ".5G", "1.5", "1..5G", "64 M", "64Mi", "-1", "64X", "99999P", "1e3",
            "0x10", "ib",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn other_spellings_are_refused_with_the_one_to_write() {
        for (text, good) in [
            ("512Mi", "512M"),
            ("1Gi", "1G"),
            ("1.5Gi", "1.5G"),
            ("512 MB", "512M"),
            (" 64k ", "64K"),
            ("2 gigabytes", "2G"),
            ("100 bytes", "100"),
        ] {
            let fault = parse(text).unwrap_err();
            assert_eq!(fault.hint, Some(format!("write \"{good}\"")), "{text}");
            assert!(parse(good).is_ok(), "{good}");
        }
        for (text, hinted) in [("50%", true), ("max", true), ("-1", true), ("M", false)] {
            assert_eq!(parse(text).unwrap_err().hint.is_some(), hinted, "{text}");
        }
    }

    #[test]
    fn display_rounds_to_tenths() {
        assert_eq!(display(5 << 30), "5.0 GiB");
        assert_eq!(display(0), "0 B");
        assert_eq!(display(1023), "1023 B");
        assert_eq!(display((1 << 20) + (1 << 19)), "1.5 MiB");
        assert_eq!(display(u64::MAX), "16384.0 PiB");
    }

    #[test]
    fn exact_is_the_shortest_way_to_write_it() {
        for text in ["64M", "1536M", "1G", "1000", "0", "1K"] {
            assert_eq!(exact(parse(text).unwrap()), text);
        }
    }

    proptest! {
        #[test]
        fn what_is_exact_is_read_back(bytes in 0..=i64::MAX as u64) {
            prop_assert_eq!(parse(&exact(bytes)), Ok(bytes));
        }

        #[test]
        fn a_number_of_units_is_that_many_bytes(number in 0u64..1 << 12, unit in 0usize..5) {
            let (name, shift) = UNITS[unit];
            prop_assert_eq!(parse(&format!("{number}{name}")), Ok(number << shift));
            prop_assert_eq!(parse(&format!("{number}{}iB", name.to_ascii_uppercase())), Ok(number << shift));
        }

        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = parse(&text);
        }

        #[test]
        fn no_text_of_its_letters_panics(text in "[0-9.kKmMgGtTpPiBb]{0,60}") {
            let _ = parse(&text);
        }
    }
}
