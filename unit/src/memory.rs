//! Promises of memory against what the machine has.

use crate::{UnitSet, bytes};

/// What to say when the limits of all containers add up to more than the machine has. That is allowed: a limit is not a
/// reservation, and few containers use all of theirs at once.
#[must_use]
pub fn over_commitment(set: &UnitSet, machine_memory_bytes: u64) -> Option<String> {
    let limits = set
        .units()
        .iter()
        .filter_map(|unit| unit.container()?.resources.memory);
    let sum = limits.fold(0u64, u64::saturating_add);
    let (sum_text, machine) = (bytes::display(sum), bytes::display(machine_memory_bytes));
    (sum > machine_memory_bytes)
        .then(|| format!("memory limits add up to {sum_text} on a machine with {machine}"))
}
