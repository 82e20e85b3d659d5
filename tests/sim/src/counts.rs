//! What one or more worlds have seen.

macro_rules! counts {
    ($($(#[$doc:meta])* $field:ident: $text:literal,)*) => {
        #[derive(Clone, Copy, Debug, Default)]
        pub struct Counts {
            $($(#[$doc])* pub $field: u64,)*
        }

        impl Counts {
            pub fn add(&mut self, more: &Self) {
                $(self.$field += more.$field;)*
            }

            /// Each number with its name.
            #[must_use]
            pub fn list(&self) -> Vec<(&'static str, u64)> {
                vec![$(($text, self.$field),)*]
            }
        }
    };
}

counts! {
    worlds: "worlds",
    turns: "turns",
    runs: "runs",
    prepare_failures: "failed preparations",
    slow_pulls: "slow image pulls",
    extensions: "slow image pulls that say so",
    prepare_timeouts: "preparations that took too long",
    lost_preparations: "preparations lost again",
    skipped: "skipped runs",
    spawn_failures: "failed spawns",
    failed_exits: "bad exits",
    kills: "kills",
    out_of_memory: "out of memory",
    helper_deaths: "deaths of helpers",
    clock_jumps: "clock jumps",
    late: "late reports",
    duplicate: "duplicate reports",
    stale: "stale reports",
    invented: "invented reports",
    found: "lost and found reports",
    hooks: "steps of hooks",
    failed_hooks: "failed steps",
    probes: "probes",
    failed_probes: "failed probes",
    lost_answers: "lost answers",
    signs: "signs of readiness",
    pings: "watchdog pings",
    reloads: "reloads",
    pauses: "pauses",
    elapsed: "times of timers",
    applied: "applied sets",
    flips: "port flips",
    swaps: "replacements without a gap",
    power_losses: "power cuts",
    reexecutions: "re-executions",
}
