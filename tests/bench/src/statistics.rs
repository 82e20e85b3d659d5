//! Medians: one slow boot among several says more about the build host than about us.

/// The median; of an even number of values, the lower middle one, so that it is a value that was measured.
pub(crate) fn median(values: impl IntoIterator<Item = u64>) -> Option<u64> {
    let mut values: Vec<u64> = values.into_iter().collect();
    values.sort_unstable();
    let middle = values.len().checked_sub(1)? / 2;
    values.get(middle).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_is_a_measured_value() {
        assert_eq!(median([9, 1, 5]), Some(5));
        assert_eq!(median([9, 1]), Some(1));
        assert_eq!(median([]), None);
    }
}
