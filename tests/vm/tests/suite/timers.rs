//! What the clock starts: on the machine that is on, over a re-execution, over a day for which it was off, and when its
//! clock is set back.

use crate::order::{SOON, aside, script, with};
use control::explain::{PastRun, TimerStatus};
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};
use vm::{Checks, Guest, until};

const SECOND_MS: i64 = 1_000;
const HOUR_MS: i64 = 3_600 * SECOND_MS;
const DAY_MS: i64 = 24 * HOUR_MS;
const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];

/// Of one test, whose machine begins with the time of its host.
pub(crate) struct Times {
    begun_ms: i64,
    /// Half a day from the begin, a full hour: no test lasts so long.
    night_ms: i64,
    /// Three days from the begin, at midnight.
    later_ms: i64,
}

pub(crate) fn history(guest: &Guest, unit: &str) -> Vec<PastRun> {
    serde_json::from_str(&guest.told(&["history", unit, "--json"])).unwrap()
}

fn timer(guest: &Guest, name: &str) -> TimerStatus {
    let text = guest.told(&["timers", "--json"]);
    let timers: Vec<TimerStatus> = serde_json::from_str(&text).unwrap();
    let found = timers.into_iter().find(|timer| timer.name == name);
    found.unwrap_or_else(|| panic!("no timer {name}: {text}"))
}

/// Wait until so many runs more have ended; the calendar times of all that were seen, by run.
fn follow(guest: &Guest, unit: &str, more: usize) -> BTreeMap<u64, i64> {
    let seen_before = history(guest, unit).last().map_or(0, |run| run.run);
    let mut seen = BTreeMap::new();
    until(&format!("{more} more runs of {unit}"), SOON, || {
        let runs = history(guest, unit);
        let new = runs.iter().filter(|run| run.run > seen_before);
        seen.extend(new.filter_map(|run| Some((run.run, run.scheduled_ms?))));
        (seen.len() >= more)
            .then_some(())
            .ok_or_else(|| format!("{seen:?}"))
    });
    seen
}

/// Each calendar time once, in their order.
fn are_ascending(times: &BTreeMap<u64, i64>) {
    let times: Vec<i64> = times.values().copied().collect();
    assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "{times:?}");
}

impl Times {
    pub(crate) fn now() -> Self {
        let since_1970 = SystemTime::UNIX_EPOCH.elapsed().unwrap();
        let begun_ms = i64::try_from(since_1970.as_millis()).unwrap();
        Self {
            begun_ms,
            night_ms: (begun_ms + 12 * HOUR_MS) / HOUR_MS * HOUR_MS,
            later_ms: (begun_ms + 3 * DAY_MS) / DAY_MS * DAY_MS,
        }
    }

    pub(crate) fn units(&self) -> Vec<(String, String)> {
        let oneshot = |name: &str, unit: &str, exit: u8| {
            let text = format!("echo {name}-ran; exit {exit}");
            script(name, &text, unit, "type = \"oneshot\"")
        };
        let tick = "[timer]\non_calendar = [\"*:*:0/2\"]\n";
        let sweep = "[timer]\nunit = \"sweep\"\non_boot = \"1s\"\non_unit_active = \"3s\"\n";
        let hour = self.night_ms.rem_euclid(DAY_MS) / HOUR_MS;
        let nightly = format!("[timer]\non_calendar = [\"{hour:02}:00\"]\n");
        let careless = format!("{nightly}persistent = false\n");
        let day = usize::try_from(self.later_ms / DAY_MS).unwrap();
        let weekly = format!("[timer]\non_calendar = [\"{} 00:00\"]\n", WEEKDAYS[day % 7]);
        vec![
            with(oneshot("tick", "", 0), tick),
            oneshot("sweep", &aside(""), 4),
            ("sweep.timer.toml".into(), sweep.into()),
            with(oneshot("nightly", "", 0), &nightly),
            with(oneshot("careless", "", 0), &careless),
            with(oneshot("weekly", "", 0), &weekly),
        ]
    }

    pub(crate) fn rules(&self, checks: &mut Checks, guest: &Guest) {
        checks.that("a calendar time starts a run, each time once", || {
            let (runs, _) = until("three runs", SOON, || {
                let runs = history(guest, "tick");
                let enough = runs.len() == 3 && runs[0].run > 0;
                enough.then_some(runs).ok_or("not yet".to_owned())
            });
            let times: Vec<i64> = runs.iter().map(|run| run.scheduled_ms.unwrap()).collect();
            assert!(times.iter().all(|time| time % 2_000 == 0), "{times:?}");
            assert!(times[0] < times[1] && times[1] < times[2], "{times:?}");
            for run in &runs {
                assert!(
                    run.succeeded && run.began_ms >= run.scheduled_ms.unwrap(),
                    "{run:?}"
                );
            }
            let told = guest.told(&["history", "tick"]);
            assert!(told.contains("exited with code 0"), "{told}");
        });
        checks.that(
            "a timer of its own starts its unit after the boot, and again",
            || {
                let (runs, _) = until("two runs", SOON, || {
                    let runs = history(guest, "sweep");
                    (runs.len() >= 2)
                        .then_some(runs)
                        .ok_or("not yet".to_owned())
                });
                let apart = runs[1].began_ms - runs[0].began_ms;
                assert!((2_900..30_000).contains(&apart), "{runs:?}");
                assert!(runs.iter().all(|run| !run.succeeded), "{runs:?}");
            },
        );
        self.over_a_re_execution(checks, guest);
        checks.that("timers are listed with what comes next", || {
            let told = guest.told(&["timers"]);
            assert!(
                told.contains("sweep.timer") && told.contains("on_boot 1s"),
                "{told}"
            );
            let tick = timer(guest, "tick");
            assert!(
                tick.next_ms > tick.last_ms && tick.last_ms.is_some(),
                "{tick:?}"
            );
            self.next_are(guest, self.night_ms);
            guest.told(&["stop", "tick", "sweep.timer"]);
            let runs = history(guest, "tick").last().map(|run| run.run);
            std::thread::sleep(Duration::from_secs(3));
            assert_eq!(history(guest, "tick").last().map(|run| run.run), runs);
        });
    }

    fn over_a_re_execution(&self, checks: &mut Checks, guest: &Guest) {
        checks.that(
            "a re-execution arms all timers anew, and repeats none",
            || {
                let last = history(guest, "tick").pop().unwrap();
                let sweeps = history(guest, "sweep").pop().unwrap();
                for _ in 0..2 {
                    guest.told(&["reexec"]);
                    self.next_are(guest, self.night_ms);
                }
                let mut times = follow(guest, "tick", 3);
                times.insert(last.run, last.scheduled_ms.unwrap());
                are_ascending(&times);
                until("sweep is started again", SOON, || {
                    let runs = history(guest, "sweep");
                    let again = runs.last().is_some_and(|run| run.run > sweeps.run);
                    again.then_some(()).ok_or("not yet".to_owned())
                });
                for unit in ["nightly", "careless", "weekly"] {
                    assert_eq!(history(guest, unit), [], "{unit}");
                }
            },
        );
    }

    fn next_are(&self, guest: &Guest, night_ms: i64) {
        for (name, next_ms) in [
            ("nightly", night_ms),
            ("careless", night_ms),
            ("weekly", self.later_ms),
        ] {
            assert_eq!(timer(guest, name).next_ms, Some(next_ms), "{name}");
        }
    }

    /// As if it had been off for so long, when it boots next.
    pub(crate) fn set_forward_by_a_day(&self, guest: &Guest) {
        let now = Self::now().begun_ms;
        guest.set_hardware_clock((now + DAY_MS) / SECOND_MS);
    }

    pub(crate) fn rules_a_day_later(&self, checks: &mut Checks, guest: &Guest) {
        checks.that("a run that was missed is made up for, once", || {
            let (runs, _) = until("nightly has run", SOON, || {
                let runs = history(guest, "nightly");
                (!runs.is_empty()).then_some(runs).ok_or(String::new())
            });
            let run = runs.first().unwrap();
            assert!(run.began_ms >= self.begun_ms + DAY_MS, "{run:?}");
            assert_eq!(
                (run.scheduled_ms, run.succeeded),
                (Some(self.night_ms), true)
            );
            are_ascending(&follow(guest, "tick", 3));
            assert_eq!(history(guest, "nightly"), runs);
            assert_eq!(timer(guest, "nightly").last_ms, Some(run.began_ms));
        });
        checks.that(
            "what was not missed is not, nor what is not persistent",
            || {
                for unit in ["careless", "weekly"] {
                    assert_eq!(history(guest, unit), [], "{unit}");
                }
                self.next_are(guest, self.night_ms + DAY_MS);
            },
        );
    }

    /// The clock is what it was at first.
    pub(crate) fn rules_back_in_time(&self, checks: &mut Checks, guest: &Guest) {
        checks.that("a clock set back by a day repeats nothing", || {
            assert_eq!(history(guest, "nightly").len(), 1);
            let log = guest.told(&["logs", "nightly"]);
            assert_eq!(log.matches("nightly-ran").count(), 1, "{log}");
        });
        checks.that("nor does a timer wait until it is that day again", || {
            let times = follow(guest, "tick", 3);
            are_ascending(&times);
            // An emulated clock may go a little fast.
            let soon = Self::now().begun_ms + HOUR_MS;
            assert!(times.values().all(|time| *time < soon), "{times:?}");
            self.next_are(guest, self.night_ms);
        });
    }
}
