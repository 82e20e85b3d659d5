//! The order in which the linker lays functions (programs/order.ld, docs/decisions/021) is still that of what is called.
//!
//! When one of these fails: `cargo run --release -p bench -- order` records anew.

use host::build::{self, Profile};
use host::link_map::{self, Piece};
use nix::sys::resource::{UsageWho, getrusage};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::LazyLock;

/// Of a hundred patterns, so many must still name a function.
const LEAST_THAT_MATCH: usize = 75;
/// All that is called lies within so much.
const MOST_TEXT: u64 = 1 << 20;
/// Of `keelctl version`, the faults of the fork included. It has 19; in the order that functions come in, 29.
const MOST_FAULTS: i64 = 24;

/// The released file of programs, and its map: made once, so that no test counts the faults of the compiler.
static RELEASED: LazyLock<(PathBuf, Vec<Piece>)> = LazyLock::new(|| {
    let programs = build::programs(Profile::Os).unwrap();
    let program = programs
        .into_iter()
        .find(|program| program.name == build::ALL_BUT_INIT)
        .unwrap();
    let map = std::fs::read_to_string(build::link_map()).unwrap();
    (program.path, link_map::parse(&map))
});

/// `*FILE(NAME)` of the script, one a line, of names that are one function's.
fn patterns() -> Vec<(String, String)> {
    let script = host::paths::workspace().join("programs/order.ld");
    let script = std::fs::read_to_string(script).unwrap();
    let patterns = script
        .lines()
        .filter(|line| line.starts_with('*') && !line.contains(' '));
    let parts = patterns.map(|line| line.strip_suffix(')').unwrap().split_once('(').unwrap());
    parts
        .map(|(file, name)| (file.to_owned(), name.to_owned()))
        .collect()
}

/// A text is of a pattern, in which a star stands for any text.
fn is_of(text: &str, pattern: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return text == pattern;
    };
    let Some(mut left) = text.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap();
    for part in parts {
        match left.split_once(part) {
            Some((_, after)) => left = after,
            None => return false,
        }
    }
    left.ends_with(last)
}

/// As the linker calls a member of an archive: `libc.a:memcpy.lo`.
fn file(piece: &Piece) -> String {
    piece.file.replace('(', ":").replace(')', "")
}

#[test]
fn a_pattern_has_stars() {
    for (text, pattern, is) in [
        ("abc", "abc", true),
        ("abc", "ab", false),
        ("abcabd", "a*b*d", true),
        ("abcabd", "*", true),
        ("abcabd", "a*c", false),
        ("xabc", "a*", false),
    ] {
        assert_eq!(is_of(text, pattern), is, "{text} {pattern}");
    }
}

#[test]
fn most_of_what_the_order_names_is_there_and_lies_together() {
    let (_, pieces) = &*RELEASED;
    let names: Vec<(String, Vec<String>)> = pieces
        .iter()
        .filter(|piece| piece.section.ends_with(".called"))
        .map(|piece| {
            // What was folded into it is a symbol only.
            let symbols = piece.symbols.iter();
            let folded = symbols.map(|symbol| format!(".text.{}", symbol.name));
            (
                file(piece),
                [piece.name.clone()].into_iter().chain(folded).collect(),
            )
        })
        .collect();
    let patterns = patterns();
    let matching = patterns
        .iter()
        .filter(|(of_file, of_name)| {
            names.iter().any(|(file, names)| {
                is_of(file, of_file) && names.iter().any(|name| is_of(name, of_name))
            })
        })
        .count();
    let of = patterns.len();
    println!("{matching} of {of} patterns");
    assert!(
        of > 500 && matching * 100 >= of * LEAST_THAT_MATCH,
        "{matching} of {of} patterns of programs/order.ld name a function"
    );
    let mut called = pieces
        .iter()
        .filter(|piece| piece.section == ".text.called");
    let (first, last) = (called.next().unwrap(), called.next_back().unwrap());
    let size = last.address + last.size - first.address;
    assert!(
        size <= MOST_TEXT,
        "{size} bytes of functions that are called"
    );
}

#[test]
fn a_short_program_has_few_page_faults() {
    let (program, _) = &*RELEASED;
    let faults = |count: usize| {
        let before = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
        for _ in 0..count {
            let status = Command::new(program)
                .arg0("keelctl")
                .arg("version")
                .stdout(Stdio::null())
                .status();
            assert!(status.unwrap().success());
        }
        let after = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
        after.minor_page_faults() - before.minor_page_faults()
    };
    // The file comes into memory.
    faults(1);
    let each = faults(10) / 10;
    println!("{each} page faults");
    assert!(each <= MOST_FAULTS, "{each} page faults");
}
