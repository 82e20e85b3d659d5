//! Randomness that depends on nothing but its seed.

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
#[derive(Clone, Copy, Debug)]
pub struct Chance(u64);

impl Chance {
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A stream of its own for one purpose, so that leaving a command out changes as little as possible of the rest.
    #[must_use]
    pub fn of(seed: u64, purpose: &[u64]) -> Self {
        let mut chance = Self(seed);
        for word in purpose {
            chance = Self(chance.next() ^ word.wrapping_mul(0xA24B_AED4_963E_E407));
        }
        chance
    }

    #[expect(
        clippy::should_implement_trait,
        reason = "it never ends, so Option would be noise"
    )]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// In `from..to`.
    pub fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.next() % (to - from).max(1)
    }

    pub fn number(&mut self, to: u32) -> u32 {
        u32::try_from(self.between(0, u64::from(to))).unwrap_or_default()
    }

    /// True so many times in a thousand.
    pub fn per_mille(&mut self, times: u64) -> bool {
        self.between(0, 1_000) < times
    }

    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        let place = self.between(0, choices.len() as u64);
        choices[usize::try_from(place).unwrap_or_default()]
    }
}
