//! How the program of a unit behaves: a function of the seed, the unit and its version.

use crate::Chance;

/// Times in milliseconds; chances per mille.
#[derive(Clone, Copy, Debug, Default)]
pub struct Behaviour {
    pub prepare_fails: u64,
    /// A condition is not met.
    pub skipped: u64,
    pub spawn_fails: u64,
    /// The image is slow to come.
    pub slow_prepare: u64,
    /// What was prepared is lost again while the steps of `pre_start` run.
    pub preparation_lost: u64,
    /// The launcher hangs, perhaps beyond `start_timeout`.
    pub slow_start: u64,
    /// A run ends by itself.
    pub ends: u64,
    /// … within so many milliseconds.
    pub lives_ms: u64,
    /// … with an exit code that is not 0; otherwise with 0, and now and then by a signal.
    pub fails: u64,
    pub ignores_sigterm: bool,
    /// The sign of readiness does not come.
    pub never_ready: u64,
    pub probe_fails: u64,
    pub hook_fails: u64,
    pub hook_hangs: u64,
    /// It stops to say `WATCHDOG=1`.
    pub hangs: u64,
    pub reload_fails: u64,
    pub flip_fails: u64,
    /// Helpers lose what they were asked: the answer never comes.
    pub answer_lost: u64,
}

impl Behaviour {
    pub(crate) fn of(seed: u64, unit: u32, version: u64, bad_day: u64) -> Self {
        let mut chance = Chance::of(seed, &[20, u64::from(unit), version]);
        let mut loses = Chance::of(seed, &[24, u64::from(unit), version]);
        let mut level = |most: u64| {
            if chance.per_mille(400) {
                bad_day.min(most)
            } else {
                0
            }
        };
        Self {
            prepare_fails: level(900),
            skipped: level(100),
            spawn_fails: level(900),
            slow_prepare: level(300),
            preparation_lost: if loses.per_mille(300) { bad_day } else { 0 },
            slow_start: level(300),
            ends: level(900) * 3,
            fails: 400,
            never_ready: level(300),
            probe_fails: level(900) * 2,
            hook_fails: level(200),
            hook_hangs: level(100),
            hangs: level(500),
            reload_fails: level(500),
            flip_fails: level(500),
            answer_lost: level(100),
            lives_ms: chance.pick(&[1, 50, 1_000, 15_000]),
            ignores_sigterm: chance.per_mille(100),
        }
    }
}
