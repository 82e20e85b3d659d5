//! Leaves out commands of a failing scenario as long as it still fails.

use crate::{Scenario, Violation, run};

/// Worlds lived through at most: a shorter story is a convenience.
const TRIES_MAX: u32 = 500;

/// The violation with as few commands as were found: by halves first, then smaller and smaller pieces, at last one by one
/// (Zeller's ddmin, without the complements that a list needs not).
#[must_use]
pub fn shrunk(violation: Box<Violation>) -> Box<Violation> {
    let scenario = Scenario::random(violation.seed);
    let mut best = violation;
    let mut tries = 0;
    let mut size = best.kept.len().div_ceil(2);
    while size > 0 {
        let mut start = 0;
        while start < best.kept.len() {
            tries += 1;
            if tries > TRIES_MAX {
                return best;
            }
            let mut fewer = best.kept.clone();
            fewer.drain(start..fewer.len().min(start + size));
            match run(&scenario, Some(&fewer), best.mutant) {
                Err(violation) => best = violation,
                Ok(_) => start += size,
            }
        }
        size = if size == 1 { 0 } else { size.div_ceil(2) };
    }
    best
}
