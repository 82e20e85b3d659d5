//! One number for a definition, so that two can be compared without keeping both.

use core::fmt::{self, Debug, Write};

/// FNV-1a, 64 bits (Fowler, Noll, Vo; draft-eastlake-fnv-17), over the value's debug text. Nobody gains from a collision:
/// whoever writes unit files may restart units anyway.
pub(crate) fn fingerprint(value: &impl Debug) -> u64 {
    let mut hash = Fnv(OFFSET_BASIS);
    // A Debug implementation of ours fails only when the writer does, and this one does not.
    let _ = write!(hash, "{value:?}");
    hash.0
}

const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

struct Fnv(u64);

impl Write for Fnv {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(PRIME);
        }
        Ok(())
    }
}

/// A number below `limit` that looks random and depends on nothing but `words` (SplitMix64's mixing).
pub(crate) fn scattered(words: [u64; 3], limit: u64) -> u64 {
    let mut mixed = OFFSET_BASIS;
    for word in words {
        mixed = mixed.wrapping_add(word).wrapping_add(0x9E37_79B9_7F4A_7C15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
    }
    mixed.checked_rem(limit).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_have_equal_fingerprints_and_others_have_not() {
        assert_eq!(fingerprint(&("a", 1)), fingerprint(&("a", 1)));
        assert_ne!(fingerprint(&("a", 1)), fingerprint(&("a", 2)));
    }

    #[test]
    fn a_scattered_number_is_below_its_limit() {
        assert!((0..100).all(|word| scattered([word, 0, 0], 7) < 7));
        assert_eq!(scattered([1, 2, 3], 0), 0);
    }
}
