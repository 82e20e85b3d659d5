//! Arguments and environment that are too large for execve(2): which of the two, and what of it.

use crate::failure::{Fault, Problem};
use std::ffi::CString;
use std::path::Path;

/// Longest single text that the kernel takes, its final zero included (MAX_ARG_STRLEN of linux/binfmts.h).
const TEXT_BYTES_MAX: usize = 32 * 4096;
/// Of an argument, in a message.
const SHOWN_CHARACTERS: usize = 20;

/// `E2BIG`.
pub(crate) fn explain(path: &Path, arguments: &[CString], environment: &[CString]) -> Fault {
    Fault::new(
        path,
        Problem::NotExecutable {
            reason: reason(arguments, environment, sys::program::texts_bytes_max()),
            errno: sys::program::TOO_LONG,
        },
    )
}

/// `bytes_max`: what the kernel takes for all of it.
fn reason(arguments: &[CString], environment: &[CString], bytes_max: u64) -> String {
    let (words, variables) = (Largest::of(arguments), Largest::of(environment));
    let argument = |largest: &Largest<'_>| {
        let text = String::from_utf8_lossy(largest.text);
        let shown: String = text.chars().take(SHOWN_CHARACTERS).collect();
        let more = if shown.len() < text.len() { "…" } else { "" };
        match largest.number {
            0 => format!("the program's name \"{shown}{more}\""),
            number => format!("argument {number}, \"{shown}{more}\""),
        }
    };
    let variable = |largest: &Largest<'_>| {
        let name = largest.text.split(|byte| *byte == b'=').next();
        let name = String::from_utf8_lossy(name.unwrap_or_default());
        format!("the variable {name}")
    };
    let in_environment = variables.total > words.total;
    let (name, (what, all), largest) = if in_environment {
        (
            variable(&variables),
            ("its environment is", variables.total),
            &variables,
        )
    } else {
        (argument(&words), ("its arguments are", words.total), &words)
    };
    // One that is too long by itself may be in the smaller part.
    for (largest, name) in [
        (&words, argument(&words)),
        (&variables, variable(&variables)),
    ] {
        if largest.text.len() >= TEXT_BYTES_MAX {
            return format!(
                "{name} is too long: {}, and the kernel takes {} for one; put it in a file",
                kibibytes(largest.text.len()),
                kibibytes(TEXT_BYTES_MAX)
            );
        }
    }
    format!(
        "{what} too large: {} (arguments and environment together {}, of which the kernel takes {}); the largest is {name}, with {}",
        kibibytes(all),
        kibibytes(words.total.saturating_add(variables.total)),
        kibibytes(usize::try_from(bytes_max).unwrap_or(usize::MAX)),
        kibibytes(largest.text.len()),
    )
}

struct Largest<'a> {
    number: usize,
    text: &'a [u8],
    /// Bytes of all texts, as the kernel counts them: each with its zero and a pointer.
    total: usize,
}

impl<'a> Largest<'a> {
    fn of(texts: &'a [CString]) -> Self {
        let mut found = Self {
            number: 0,
            text: &[],
            total: 0,
        };
        for (number, text) in texts.iter().enumerate() {
            let text = text.as_bytes();
            let counted = text.len().saturating_add(1 + size_of::<usize>());
            found.total = found.total.saturating_add(counted);
            if text.len() > found.text.len() {
                (found.number, found.text) = (number, text);
            }
        }
        found
    }
}

fn kibibytes(bytes: usize) -> String {
    format!("{} KiB", bytes.div_ceil(1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: u64 = 2 << 20;

    fn texts(list: &[&str]) -> Vec<CString> {
        list.iter()
            .map(|text| CString::new(*text).unwrap())
            .collect()
    }

    #[test]
    fn one_text_that_is_too_long_is_named() {
        let long = "x".repeat(200 << 10);
        let reason = |arguments: &[&str], environment: &[&str]| {
            super::reason(&texts(arguments), &texts(environment), LIMIT)
        };
        let variable = format!("CONFIG={long}");
        let said = reason(&["sh"], &["PATH=/bin", &variable]);
        assert!(
            said.starts_with(
                "the variable CONFIG is too long: 201 KiB, and the kernel takes 128 KiB"
            ),
            "{said}"
        );
        let said = reason(&["sh", "-c", &long], &["PATH=/bin"]);
        assert!(
            said.starts_with("argument 2, \"xxxxxxxxxxxxxxxxxxxx…\" is too long: 200 KiB"),
            "{said}"
        );
    }

    #[test]
    fn of_too_much_the_larger_part_and_its_largest_are_named() {
        let variables: Vec<String> = (0..30)
            .map(|number| format!("V{number}={}", "y".repeat(100_000 + number)))
            .collect();
        let environment: Vec<CString> = variables
            .iter()
            .map(|text| CString::new(text.as_str()).unwrap())
            .collect();
        let said = reason(&texts(&["sh", "-c", "true"]), &environment, LIMIT);
        assert!(
            said.starts_with("its environment is too large: 2931 KiB"),
            "{said}"
        );
        assert!(
            said.contains("takes 2048 KiB); the largest is the variable V29"),
            "{said}"
        );
        let said = reason(&environment, &texts(&["PATH=/bin"]), LIMIT);
        assert!(said.starts_with("its arguments are too large"), "{said}");
        assert!(said.contains("argument 29, \"V29=yyyy"), "{said}");
    }
}
