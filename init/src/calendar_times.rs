//! When a unit's timer is due by the calendar: pure, `now` is given. Times are milliseconds since 1970 UTC.
//!
//! ```text
//! last told        scheduled, scheduled, … ≤ now          next scheduled ── + random delay ──▶ due
//! ────┼──────────────────┼───────────┼─────────┼ now ───────────┼────────────────────────────┼──▶
//!                                    └ the latest one stands for all of them
//! ```
//!
//! The clock may be set. Forwards over a time: it has come, once. Backwards by less than [`REPEAT_MS`]: what has come does
//! not come again, as in cron(8); by more, the clock was wrong, and the new time counts.

use calendar::{Schedule, Zone};
use serde::{Deserialize, Serialize};
use unit::Timer;

/// cron(8): "changes of less than three hours".
const REPEAT_MS: i64 = 3 * 3_600_000;

/// Of one armed timer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(from = "Armed", into = "Armed")]
pub(crate) struct CalendarTimes {
    schedules: Vec<Schedule>,
    zone: Zone,
    armed: Armed,
}

/// What is handed over to the next program, which reads expressions and zones by its own data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Armed {
    on_calendar: Vec<String>,
    timezone: String,
    randomized_delay_ms: u64,
    last_ms: Option<i64>,
    next: Option<Next>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Next {
    pub scheduled_ms: i64,
    /// With the random delay.
    pub due_ms: i64,
}

impl CalendarTimes {
    /// `last_ms`: the latest time that was told before. With `persistent`, what has been missed since then is due now.
    /// `delay_ms` is the random delay of a scheduled time.
    pub(crate) fn new(
        timer: &Timer,
        last_ms: Option<i64>,
        now_ms: i64,
        delay_ms: impl Fn(i64) -> u64,
    ) -> Self {
        let mut times = Self::from(Armed {
            on_calendar: timer.on_calendar.clone(),
            timezone: timer.timezone.clone(),
            randomized_delay_ms: timer.randomized_delay_ms,
            last_ms,
            next: None,
        });
        let missed = last_ms
            .filter(|_| timer.persistent)
            .and_then(|last| times.latest(last, now_ms));
        match missed {
            Some(scheduled_ms) => {
                times.armed.next = Some(Next {
                    scheduled_ms,
                    due_ms: later(now_ms, delay_ms(scheduled_ms)),
                });
            }
            None => times.look_ahead(now_ms, delay_ms),
        }
        times
    }

    /// They come from these keys of a unit file; it does not matter what else is said there.
    pub(crate) fn are_of(&self, timer: &Timer) -> bool {
        self.armed.on_calendar == timer.on_calendar
            && self.armed.timezone == timer.timezone
            && self.armed.randomized_delay_ms == timer.randomized_delay_ms
    }

    pub(crate) fn next(&self) -> Option<Next> {
        self.armed.next
    }

    /// The time that has come, if one has; the next one is waited for.
    pub(crate) fn take(&mut self, now_ms: i64, delay_ms: impl Fn(i64) -> u64) -> Option<i64> {
        let due = self.armed.next.filter(|next| next.due_ms <= now_ms)?;
        let before = due.scheduled_ms.saturating_sub(1);
        let scheduled_ms = self.latest(before, now_ms).unwrap_or(due.scheduled_ms);
        self.armed.last_ms = Some(scheduled_ms);
        self.look_ahead(now_ms, delay_ms);
        Some(scheduled_ms)
    }

    /// The clock shows hours before the latest time: it was wrong then.
    pub(crate) fn is_ahead_of(&self, now_ms: i64) -> bool {
        let ahead = |last: i64| last.saturating_sub(now_ms) >= REPEAT_MS;
        self.armed.last_ms.is_some_and(ahead)
    }

    /// The clock was wrong: what comes after `now` has not been, for any timer.
    pub(crate) fn forget_later_than(&mut self, now_ms: i64) {
        self.armed.last_ms = self.armed.last_ms.map(|last| last.min(now_ms));
    }

    /// The clock may have been set.
    pub(crate) fn look_again(&mut self, now_ms: i64, delay_ms: impl Fn(i64) -> u64) {
        let passed = self
            .armed
            .next
            .is_some_and(|next| next.scheduled_ms <= now_ms);
        // What has come and waits for its delay stays.
        if !passed {
            self.look_ahead(now_ms, delay_ms);
        }
    }

    fn look_ahead(&mut self, now_ms: i64, delay_ms: impl Fn(i64) -> u64) {
        let recent = |last: &i64| *last > now_ms && last.saturating_sub(now_ms) < REPEAT_MS;
        let from = self.armed.last_ms.filter(recent).unwrap_or(now_ms);
        self.armed.next = self.after(from).map(|scheduled_ms| Next {
            scheduled_ms,
            due_ms: later(scheduled_ms, delay_ms(scheduled_ms)),
        });
    }

    /// The first time after `from`.
    fn after(&self, from_ms: i64) -> Option<i64> {
        let all = self.schedules.iter();
        all.filter_map(|schedule| schedule.next_after(from_ms, &self.zone))
            .min()
    }

    /// The last time after `from` that is not after `until`: by halving, for there may be as many as seconds in between.
    fn latest(&self, from_ms: i64, until_ms: i64) -> Option<i64> {
        let due = |from: i64| self.after(from).filter(|found| *found <= until_ms);
        let mut found = due(from_ms)?;
        let (mut low, mut high) = (found, until_ms);
        while high.saturating_sub(low) > 1 {
            let middle = low.saturating_add(high.saturating_sub(low) / 2);
            match due(middle) {
                Some(later) => {
                    found = later;
                    low = later;
                }
                None => high = middle,
            }
        }
        Some(due(found).unwrap_or(found))
    }
}

impl From<Armed> for CalendarTimes {
    fn from(armed: Armed) -> Self {
        // The checker has read each of them, and knows the zone.
        let schedules = armed.on_calendar.iter();
        Self {
            schedules: schedules
                .filter_map(|text| Schedule::parse(text).ok())
                .collect(),
            zone: Zone::find(&armed.timezone).unwrap_or_else(Zone::utc),
            armed,
        }
    }
}

impl From<CalendarTimes> for Armed {
    fn from(times: CalendarTimes) -> Self {
        times.armed
    }
}

fn later(ms: i64, by_ms: u64) -> i64 {
    ms.saturating_add(i64::try_from(by_ms).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;
    const DAY: i64 = 86_400_000;
    /// Midnight.
    const START: i64 = 20_000 * DAY;

    fn timer(expressions: &[&str], persistent: bool) -> Timer {
        Timer {
            on_calendar: expressions.iter().map(ToString::to_string).collect(),
            persistent,
            ..Timer::default()
        }
    }

    fn times(expressions: &[&str], persistent: bool, last: Option<i64>) -> CalendarTimes {
        CalendarTimes::new(&timer(expressions, persistent), last, START, |_| 0)
    }

    fn scheduled(times: &CalendarTimes) -> Option<i64> {
        Some(times.next()?.scheduled_ms - START)
    }

    #[test]
    fn each_time_comes_once_and_the_earliest_expression_is_next() {
        let mut times = times(&["*:0/10", "*:05"], false, None);
        assert_eq!(scheduled(&times), Some(5 * MINUTE));
        assert_eq!(times.take(START + 5 * MINUTE - 1, |_| 0), None);
        let told = times.take(START + 5 * MINUTE, |_| 0);
        assert_eq!(told, Some(START + 5 * MINUTE));
        assert_eq!(times.take(START + 5 * MINUTE, |_| 0), None);
        assert_eq!(scheduled(&times), Some(10 * MINUTE));
    }

    #[test]
    fn a_missed_time_is_made_up_once_if_it_is_persistent() {
        let last = START - 3 * DAY - DAY / 2;
        let mut missed = times(&["daily"], true, Some(last));
        // Of four midnights, the latest stands for all.
        assert_eq!(missed.take(START, |_| 0), Some(START));
        assert_eq!(scheduled(&missed), Some(DAY));
        assert_eq!(scheduled(&times(&["daily"], false, Some(last))), Some(DAY));
        assert_eq!(scheduled(&times(&["daily"], true, None)), Some(DAY));
        assert_eq!(scheduled(&times(&["daily"], true, Some(START))), Some(DAY));
    }

    #[test]
    fn the_latest_of_very_many_missed_times_is_found_at_once() {
        let since = START - 20 * 365 * DAY;
        let mut times = times(&["* * * * * *"], true, Some(since));
        assert_eq!(times.take(START, |_| 0), Some(START));
        // Seconds of one January long ago.
        let mut rare = CalendarTimes::new(
            &timer(&["2005-01-* *:*:*"], true),
            Some(START - 30 * 365 * DAY),
            START,
            |_| 0,
        );
        // 2005-02-01 00:00:00 UTC, less a second.
        assert_eq!(rare.take(START, |_| 0), Some(1_107_216_000_000 - 1_000));
        assert_eq!(rare.next(), None);
    }

    #[test]
    fn a_random_delay_puts_off_and_is_not_part_of_the_time() {
        let delay = |_| 90_000;
        let timer = timer(&["*:0/10"], true);
        let mut times = CalendarTimes::new(&timer, None, START, delay);
        let ten = START + 10 * MINUTE;
        assert_eq!(times.take(ten, delay), None);
        assert_eq!(times.take(ten + 89_999, delay), None);
        assert_eq!(times.take(ten + 90_000, delay), Some(ten));
    }

    #[test]
    fn a_clock_set_forward_over_times_brings_the_last_of_them_once() {
        let mut times = times(&["hourly"], false, None);
        let now = START + 5 * 60 * MINUTE + MINUTE;
        times.look_again(now, |_| 0);
        assert_eq!(times.take(now, |_| 0), Some(now - MINUTE));
        assert_eq!(scheduled(&times), Some(6 * 60 * MINUTE));
    }

    #[test]
    fn a_clock_set_back_a_little_repeats_nothing_and_one_set_back_far_counts() {
        let mut times = times(&["*:0/10"], false, None);
        let ten = START + 10 * MINUTE;
        assert_eq!(times.take(ten, |_| 0), Some(ten));
        times.look_again(START - 5 * MINUTE, |_| 0);
        assert_eq!(scheduled(&times), Some(20 * MINUTE));
        assert!(!times.is_ahead_of(START - 5 * MINUTE));
        times.look_again(START - 10 * DAY, |_| 0);
        assert_eq!(scheduled(&times), Some(10 * MINUTE - 10 * DAY));
    }

    #[test]
    fn what_came_before_the_clock_was_set_back_far_comes_again_however_often_it_is_looked_at() {
        let mut times = times(&["daily"], false, None);
        assert_eq!(times.take(START + DAY, |_| 0), Some(START + DAY));
        let back = START + DAY - 4 * 60 * MINUTE;
        assert!(times.is_ahead_of(back));
        times.forget_later_than(back);
        // Less than three hours before midnight, which has been told.
        for hours in [0, 2] {
            times.look_again(back + hours * 60 * MINUTE, |_| 0);
            assert_eq!(scheduled(&times), Some(DAY));
        }
        assert_eq!(times.take(START + DAY, |_| 0), Some(START + DAY));
    }

    #[test]
    fn what_has_come_and_waits_for_its_delay_is_kept() {
        let timer = timer(&["*:0/10"], false);
        let delay = |_| 600_000;
        let mut times = CalendarTimes::new(&timer, None, START, delay);
        times.look_again(START + 11 * MINUTE, delay);
        assert_eq!(
            times.take(START + 20 * MINUTE, delay),
            Some(START + 20 * MINUTE)
        );
    }

    #[test]
    fn another_program_goes_on_with_what_is_armed() {
        let timer = timer(&["*:0/10"], false);
        let delay = |_| 90_000;
        let mut times = CalendarTimes::new(&timer, None, START, delay);
        let ten = START + 10 * MINUTE;
        assert_eq!(times.take(ten + 60_000, delay), None);
        let text = serde_json::to_string(&times).unwrap();
        let mut resumed: CalendarTimes = serde_json::from_str(&text).unwrap();
        assert!(resumed.are_of(&timer));
        // What has come meanwhile comes now, with the delay that it had.
        resumed.look_again(ten + 80_000, |_| 600_000);
        assert_eq!(resumed.take(ten + 90_000, delay), Some(ten));
        assert_eq!(scheduled(&resumed), Some(20 * MINUTE));
        resumed.look_again(START, delay);
        assert_eq!(scheduled(&resumed), Some(20 * MINUTE));
    }

    #[test]
    fn other_keys_of_a_timer_do_not_change_its_times() {
        let nightly = timer(&["daily"], false);
        let times = CalendarTimes::new(&nightly, None, START, |_| 0);
        let same = Timer {
            on_boot_ms: Some(1),
            ..nightly.clone()
        };
        assert!(times.are_of(&same));
        let delayed = Timer {
            randomized_delay_ms: 1,
            ..nightly.clone()
        };
        let elsewhere = Timer {
            timezone: "Europe/Berlin".to_owned(),
            ..nightly
        };
        for other in [delayed, elsewhere, timer(&["hourly"], false)] {
            assert!(!times.are_of(&other));
        }
    }
}
