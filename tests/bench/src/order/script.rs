//! The linker script `programs/order.ld`: a pattern of names for each function, one after the other.
//!
//! What a compiler makes up anew (hashes of crates, numbers of copies) is a star in it, so that the script outlives a change
//! of the compiler and of dependencies. What no longer matches is passed over by the linker; a test of `image` says when that
//! is most of it.

use host::link_map::Piece;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Of a longer name so much of its beginning and of its end is there: the latter has the types of a generic function.
const LONGEST: (usize, usize) = (80, 80);

/// Of a table that is taken along, whoever reads it.
const SMALL: u64 = 1024;

/// In the name of a section, of code that is seldom called.
const SELDOM: &str = "unlikely.";

const HEAD: &str = "\
/* Functions that the machine's programs call, in an order by which few page faults bring what a short program needs
 * (docs/decisions/021). Made by `cargo run --release -p bench -- order`: don't edit. */
SECTIONS {
/* Vtables and texts, whose names are new in each build, small tables, and the jump tables of what is called. */
.rodata.called : {
*(.rodata..Lanon.* .rodata.str1.* .rodata.cst*)
*libc.a:*(.rodata .rodata.*)
";
const TEXT: &str = "\
} } INSERT BEFORE .rodata;
SECTIONS {
/* The kernel maps a file by 64 KiB at each fault. */
.text.called ALIGN(0x10000) : {
";
const TAIL: &str = "\
} } INSERT BEFORE .text;
/* Fewer pages that are written on. */
SECTIONS { .tdata ALIGN(0x1000) : { *(.tdata .tdata.*) } } INSERT AFTER .text;
";
/// What calls these two lies in this object file.
const START: &str = "*crt1.o(.text)";
const START_AND_END: &str = "KEEP(*(.init))\nKEEP(*(.fini))";

/// The whole script, for the functions in this order; `all` is the whole program.
pub(super) fn write(order: &[&Piece], all: &[Piece]) -> String {
    let mut text = HEAD.to_owned();
    let mut written = BTreeSet::new();
    let called: BTreeSet<&str> = order
        .iter()
        .filter_map(|piece| piece.name.strip_prefix(".text."))
        .collect();
    for piece in all {
        let Some(name) = piece.name.strip_prefix(".rodata.") else {
            continue;
        };
        let small_table = is_static(name) && piece.size <= SMALL;
        if called.contains(name) || small_table {
            let pattern = format!("*({})", stable(&piece.name));
            if written.insert(pattern.clone()) {
                let _ = writeln!(text, "{pattern}");
            }
        }
    }
    text.push_str(TEXT);
    let own: BTreeSet<String> = order.iter().map(|piece| pattern(piece)).collect();
    for piece in order {
        let first = pattern(piece);
        // Of a function that was called itself, the place is its own.
        let others = folded(piece)
            .into_iter()
            .filter(|other| !own.contains(other));
        for pattern in [first].into_iter().chain(others) {
            if written.insert(pattern.clone()) {
                let _ = writeln!(text, "{pattern}");
                if pattern == START {
                    let _ = writeln!(text, "{START_AND_END}");
                }
            }
        }
    }
    text.push_str(TAIL);
    text
}

/// A name of Rust's whose last word is in capitals: of a table in the source, not of one that the compiler made for a function.
fn is_static(name: &str) -> bool {
    let word = name
        .split('.')
        .next()
        .unwrap_or_default()
        .rsplit(|character: char| character.is_ascii_lowercase())
        .next()
        .unwrap_or_default();
    let word = word.trim_start_matches(|character: char| character.is_ascii_digit());
    name.starts_with("_RNv")
        && !word.is_empty()
        && word
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}

/// What the linker finds a piece by.
pub(super) fn pattern(piece: &Piece) -> String {
    if piece.name.starts_with(".text.") {
        format!("*({})", stable(&piece.name))
    } else {
        format!("{}({})", file(&piece.file), piece.name)
    }
}

/// The same of those that were folded into it: the linker folds only what goes to the same place.
fn folded(piece: &Piece) -> Vec<String> {
    let Some(name) = piece.name.strip_prefix(".text.") else {
        return Vec::new();
    };
    // Code that is seldom called has a word before its name.
    let seldom = if name.starts_with(SELDOM) { SELDOM } else { "" };
    piece
        .symbols
        .iter()
        .filter(|symbol| symbol.address == piece.address)
        .map(|symbol| format!("*({})", stable(&format!(".text.{seldom}{}", symbol.name))))
        .collect()
}

/// `…/libc.a(memcpy.lo)` → `*libc.a:memcpy.lo`
fn file(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or_default();
    match file.strip_suffix(')').and_then(|file| file.split_once('(')) {
        Some((archive, member)) => format!("*{archive}:{member}"),
        None => format!("*{file}"),
    }
}

/// A section's name without what the compiler makes up in names of Rust's
/// (<https://doc.rust-lang.org/rustc/symbol-mangling/v0.html>): crates' hashes (`Cs…_`), references back into the name (`B…_`,
/// which move with the lengths of those), and the number of a copy (`.12`).
fn stable(name: &str) -> String {
    let Some(start) = name.find("._R") else {
        return name.to_owned();
    };
    let (section, name) = name.split_at(start + 1);
    let name = name.split('.').next().unwrap_or_default();
    let mut text = section.to_owned();
    let mut rest = name;
    while !rest.is_empty() {
        let made_up = rest
            .strip_prefix("Cs")
            .map(|after| ("C*", after))
            .or_else(|| rest.strip_prefix('B').map(|after| ("B*", after)))
            .and_then(|(mark, after)| Some((mark, after.split_once('_')?)))
            .filter(|(_, (number, _))| number.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        if let Some((mark, (_, after))) = made_up {
            text.push_str(mark);
            rest = after;
        } else {
            let mut characters = rest.chars();
            text.extend(characters.next());
            rest = characters.as_str();
        }
    }
    if !text.ends_with('*') {
        text.push('*');
    }
    let (beginning, end) = LONGEST;
    let parts = text
        .get(..beginning)
        .zip(text.get(text.len().saturating_sub(end)..));
    match parts {
        Some((first, last)) if text.len() > beginning + end => format!("{first}*{last}"),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use host::link_map::Symbol;

    #[test]
    fn what_a_compiler_makes_up_is_a_star() {
        for (name, pattern) in [
            (
                ".text._RNvXsK_NtCs7BliBxkEZsN_4core3fmtNtB5_5ErrorNtB5_5Debug3fmt.1107",
                ".text._RNvXsK_NtC*4core3fmtNtB*5ErrorNtB*5Debug3fmt*",
            ),
            (
                ".text.unlikely._RNvCs12_8launcher3run",
                ".text.unlikely._RNvC*8launcher3run*",
            ),
            (".text.memcpy", ".text.memcpy"),
        ] {
            assert_eq!(stable(name), pattern);
        }
        let (beginning, end) = (format!(".text._R{}", "Nt".repeat(200)), "4last");
        let short = stable(&(beginning + end));
        assert!(
            short.contains("Nt*Nt") && short.ends_with("Nt4last*"),
            "{short}"
        );
    }

    #[test]
    fn a_static_is_in_capitals() {
        assert!(is_static("_RNvNtCs1_8launcher3run5STEPS"));
        assert!(is_static("_RNvNtCs1_4core3num18DEC_DIGITS_LUT.12"));
        assert!(!is_static("_RNvNtCs1_8launcher3run3run"));
        assert!(!is_static("_RNvNtCs1_8launcher3run"));
        assert!(!is_static("sysconf"));
    }

    #[test]
    fn a_function_brings_those_of_the_same_code_and_an_object_file_is_named() {
        let symbol = |address, name: &str| Symbol {
            address,
            name: name.to_owned(),
        };
        let rust = Piece {
            section: ".text".to_owned(),
            address: 16,
            size: 16,
            file: "a.o".to_owned(),
            name: ".text._RNvCs1_1a1b".to_owned(),
            symbols: vec![
                symbol(16, "_RNvCs1_1a1b"),
                symbol(16, "_RNvCs2_1c1d"),
                symbol(20, "within"),
            ],
        };
        let c = Piece {
            file: "/lib/libc.a(memcpy.lo)".to_owned(),
            name: ".text".to_owned(),
            ..rust.clone()
        };
        let table = Piece {
            section: ".rodata".to_owned(),
            name: ".rodata._RNvCs1_1a1b".to_owned(),
            ..rust.clone()
        };
        let all = [table, rust, c];
        let script = write(&[&all[1], &all[2], &all[1]], &all);
        let lines: Vec<&str> = script
            .lines()
            .filter(|line| line.starts_with('*'))
            .collect();
        assert_eq!(
            lines,
            [
                "*(.rodata..Lanon.* .rodata.str1.* .rodata.cst*)",
                "*libc.a:*(.rodata .rodata.*)",
                "*(.rodata._RNvC*1a1b*)",
                "*(.text._RNvC*1a1b*)",
                "*(.text._RNvC*1c1d*)",
                "*libc.a:memcpy.lo(.text)"
            ]
        );
        assert!(script.ends_with("INSERT AFTER .text;\n"));
    }
}
