//! Reboots in a row, and power cuts at random moments. `KEELSON_LONG=1` does twenty of each.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use vm::{Checks, Guest, Setup, StatePartition, container, progress, times};

const PORT: u16 = 7001;
/// A cut comes at most so long after the units are ready; half of them come while it boots.
const RUN_MS_MAX: u64 = 3000;

/// `store` answers a write only when it is on the disk; `forgotten` is stopped by hand once.
fn setup(name: &'static str) -> Setup {
    let store = container(
        "store",
        "command = [\"--protected-mode\", \"no\", \"--appendonly\", \"yes\", \"--appendfsync\", \"always\"]\n\
         volumes = [\"store-data:/data\"]\n[[ports]]\npublish = \"7001:6379\"\n",
    );
    let forgotten = container("forgotten", "[service]\nrestart = \"unless-stopped\"\n");
    Setup::named(name)
        .own_disk(2 << 30)
        .units([store, forgotten])
        .port(PORT)
}

fn forgotten_is_down(guest: &Guest) {
    let status = guest.status("forgotten");
    assert_eq!(status.state, "inactive", "{status:?}");
}

pub(crate) fn reboots_in_a_row_are_clean() {
    const SCENARIO: &str = "reboots";
    let mut checks = Checks::of(SCENARIO);
    let guest = setup(SCENARIO).boot();
    guest.ready();
    guest.told(&["stop", "forgotten"]);
    guest.answers(PORT);
    assert_eq!(guest.redis(PORT).ask("SET reboots 0").unwrap(), "+OK");
    for number in 1..=times(3, 20) {
        checks.that(&format!("reboot {number} keeps data and states"), || {
            guest.machine.reboot().unwrap();
            guest.ready();
            guest.answers(PORT);
            let count = guest.redis(PORT).ask("INCR reboots").unwrap();
            assert_eq!(count, format!(":{number}"));
            forgotten_is_down(&guest);
            guest.has_not_said(&["was not left clean"]);
        });
    }
    checks.that("power-off is in order, and log and disk are clean", || {
        guest.power_off();
        guest.serial_log_is_clean(&[]);
        StatePartition::of(guest.disk()).is_clean();
    });
    checks.end();
}

/// Numbers for the moments of cuts (xorshift64*): printed, so that a failure can be told.
struct Random(u64);

impl Random {
    fn seeded() -> Self {
        let seed = std::env::var("KEELSON_SEED")
            .ok()
            .and_then(|text| text.parse().ok());
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self(seed.unwrap_or(now.as_secs()).max(1))
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % limit
    }
}

pub(crate) fn power_cuts_at_any_moment_lose_nothing_that_was_acknowledged() {
    const SCENARIO: &str = "power-cuts";
    let mut checks = Checks::of(SCENARIO);
    let mut random = Random::seeded();
    progress(SCENARIO, &format!("KEELSON_SEED={}", random.0));
    let mut guest = setup(SCENARIO).boot();
    guest.ready();
    guest.told(&["stop", "forgotten"]);
    guest.machine.cut_power().unwrap();
    // Any stage of a boot as long as this one can be hit: it has nothing to do that only the first one does.
    guest = guest.boot_again();
    let boot_ms = u64::try_from(guest.ready().wall.as_millis()).unwrap();
    let mut acknowledged = 0;
    for number in 1..=times(4, 20) {
        if number % 2 == 0 {
            let moment = random.below(boot_ms);
            progress(
                SCENARIO,
                &format!("cut {number}: {moment} ms after power-on"),
            );
            let since = guest.machine.started().elapsed();
            std::thread::sleep(Duration::from_millis(moment).saturating_sub(since));
        } else {
            let moment = random.below(RUN_MS_MAX);
            guest.ready();
            acknowledged = write_for(&guest, acknowledged, Duration::from_millis(moment));
            progress(
                SCENARIO,
                &format!(
                    "cut {number}: {moment} ms after it was ready, {acknowledged} writes so far"
                ),
            );
        }
        guest.machine.cut_power().unwrap();
        checks.that(
            &format!("the serial log up to cut {number} is clean"),
            || guest.serial_log_is_clean(&[]),
        );
        guest = guest.boot_again();
        if number % 2 == 0 {
            continue;
        }
        checks.that(
            &format!("after cut {number} it boots with all that was acknowledged"),
            || {
                everything_is_there(&guest, acknowledged);
            },
        );
    }
    checks.that(
        "after all of them it boots, and everything is there",
        || {
            everything_is_there(&guest, acknowledged);
            guest.power_off();
            guest.serial_log_is_clean(&[]);
            StatePartition::of(guest.disk()).is_clean();
        },
    );
    checks.end();
}

/// It boots, with every acknowledged write and the units as they were left.
fn everything_is_there(guest: &Guest, acknowledged: u64) {
    guest.ready();
    guest.answers(PORT);
    let written = guest.redis(PORT).ask("GET written").unwrap();
    let found: u64 = written.parse().unwrap();
    assert!(found >= acknowledged, "{found} of {acknowledged} writes");
    forgotten_is_down(guest);
}

/// Write numbers from `from` on, for some time; answers the last that was acknowledged.
fn write_for(guest: &Guest, from: u64, time: Duration) -> u64 {
    guest.answers(PORT);
    let mut connection = guest.redis(PORT).connect().unwrap();
    let start = Instant::now();
    let mut last = from;
    while start.elapsed() < time || last == from {
        let answer = connection
            .ask(&format!("SET written {}", last + 1))
            .unwrap();
        assert_eq!(answer, "+OK");
        last += 1;
    }
    last
}
