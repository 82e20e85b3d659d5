//! The test of the test: each planted bug must be found, quickly, and its story must shrink.

use sim::{Scenario, run, run_seeds, shrunk};
use supervisor::Mutant;

/// A bug that needs more worlds than this to be found would be found by luck only.
const SEEDS_MAX: u64 = 3_000;

#[test]
fn every_mutant_is_caught() {
    let mut survivors = Vec::new();
    for mutant in Mutant::ALL {
        match run_seeds(0, SEEDS_MAX, Some(mutant), |_| {}) {
            Ok(_) => survivors.push(mutant),
            Err(violation) => println!("{mutant:?}: seed {}: {}", violation.seed, violation.what),
        }
    }
    assert!(
        survivors.is_empty(),
        "survived {SEEDS_MAX} seeds: {survivors:?}"
    );
}

#[test]
fn a_failing_world_shrinks_to_a_story_that_still_fails() {
    let found = run_seeds(0, SEEDS_MAX, Some(Mutant::NoKillAfterTerminate), |_| {});
    let violation = found.expect_err("the mutant is caught");
    let (seed, before) = (violation.seed, violation.kept.len());
    let short = shrunk(violation);
    assert!(short.kept.len() <= before);
    let again = run(&Scenario::random(seed), Some(&short.kept), short.mutant);
    assert_eq!(again.expect_err("it still fails").what, short.what);
}
