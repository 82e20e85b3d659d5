//! In which order functions lie: what a short-lived program calls in one stretch, so that few faults bring it.
//!
//! ```text
//! launcher alone │ launcher and keelctl │ keelctl alone │ neither, by the programs that call them
//! ```
//!
//! In each stretch by the time of the first call, but large functions, of which little is run at a time, towards its end (of the
//! first: its beginning).

use super::Called;
use super::script::pattern;
use host::link_map::Piece;
use std::collections::{BTreeMap, BTreeSet};

/// The most often started.
const FIRST: &str = "launcher";
const SECOND: &str = "keelctl";
/// From so many bytes on a function is large.
const LARGE: u64 = 8192;

/// How functions of one pattern were called: the linker can't tell them apart.
#[derive(Debug, Default)]
struct Callers<'a> {
    pieces: BTreeSet<usize>,
    programs: BTreeSet<&'a str>,
    /// When the program that is sorted by called it first.
    first_call: usize,
}

/// The pieces that were called, as they are to lie.
pub(super) fn of<'a>(called: &Called, pieces: &'a [Piece]) -> Vec<&'a Piece> {
    let mut callers: BTreeMap<String, Callers<'_>> = BTreeMap::new();
    // The first call by the launcher counts, then by keelctl, then by any other.
    let others = called
        .keys()
        .filter(|name| *name != FIRST && *name != SECOND)
        .map(String::as_str);
    for program in [FIRST, SECOND].into_iter().chain(others) {
        let Some(functions) = called.get(program) else {
            continue;
        };
        for (call, address) in functions.iter().enumerate() {
            let Some((at, piece)) = holder(pieces, *address) else {
                continue;
            };
            let callers = callers.entry(pattern(piece)).or_insert_with(|| Callers {
                first_call: call,
                ..Callers::default()
            });
            callers.pieces.insert(at);
            callers.programs.insert(program);
        }
    }
    let mut order: Vec<Callers<'_>> = callers.into_values().collect();
    let large = |callers: &Callers<'_>| {
        let mut pieces = callers.pieces.iter().filter_map(|at| pieces.get(*at));
        pieces.any(|piece| piece.size >= LARGE)
    };
    order.sort_by_cached_key(|callers| {
        let of = |name| callers.programs.contains(name);
        let large = large(callers);
        let (stretch, large, others) = match (of(FIRST), of(SECOND)) {
            (true, false) => (0, !large, Vec::new()),
            (true, true) => (1, large, Vec::new()),
            (false, true) => (2, large, Vec::new()),
            (false, false) => (3, large, callers.programs.iter().copied().collect()),
        };
        (stretch, others, large, callers.first_call)
    });
    order
        .into_iter()
        .flat_map(|callers| callers.pieces)
        .filter_map(|piece| pieces.get(piece))
        .collect()
}

/// Which of the pieces has this address; they are in the order of theirs.
fn holder(pieces: &[Piece], address: u64) -> Option<(usize, &Piece)> {
    let after = pieces.partition_point(|piece| piece.address <= address);
    let at = after.checked_sub(1)?;
    let piece = pieces.get(at)?;
    (address < piece.address + piece.size).then_some((at, piece))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_launcher_calls_lies_together_and_so_does_what_keelctl_calls() {
        let pieces: Vec<Piece> = (0..6)
            .map(|at| Piece {
                section: ".text".to_owned(),
                address: 0x1000 + at * 0x10,
                size: 0x10,
                file: "a.o".to_owned(),
                name: format!(".text.{at}"),
                symbols: Vec::new(),
            })
            .collect();
        let called = Called::from([
            ("netd".to_owned(), vec![0x1050, 0x1000]),
            // 0x1045 is within a piece, 0x2000 in none.
            ("keelctl".to_owned(), vec![0x1000, 0x1020, 0x2000]),
            ("launcher".to_owned(), vec![0x1045, 0x1000, 0x1010]),
        ]);
        let order: Vec<&str> = of(&called, &pieces)
            .iter()
            .map(|piece| piece.name.as_str())
            .collect();
        assert_eq!(
            order,
            [".text.4", ".text.1", ".text.0", ".text.2", ".text.5"]
        );
    }
}
