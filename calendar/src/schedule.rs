//! What an expression says, in sets; and the next moment on the clocks of a wall that belongs to it.

use crate::civil::{DAY_S, Date, month_length, weekday};
use crate::field::List;
use crate::zone::Zone;
use crate::{YEAR_FIRST, YEAR_LAST};

/// When something is due again and again: a calendar expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    // Bit n of a set is the value n.
    seconds: u64,
    minutes: u64,
    hours: u64,
    days: Days,
    months: u64,
    /// Bit 0 is Sunday.
    pub(crate) weekdays: u64,
    day_rule: DayRule,
    /// `None`: every year.
    pub(crate) years: Option<List>,
    /// It goes by the wall clock when the clocks change; else it is due once on each of its days.
    pub(crate) repeats: bool,
    /// Named in the expression.
    pub(crate) zone: Option<Zone>,
}

/// The fields of a time.
#[derive(Debug)]
pub(crate) struct Time {
    pub(crate) hour: List,
    pub(crate) minute: List,
    /// `None`: 0
    pub(crate) second: Option<List>,
}

/// Days of a month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Days {
    FromStart(u64),
    /// Bit 1 is the last day of the month.
    FromEnd(u64),
}

/// How day of month and day of week go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DayRule {
    Both,
    Either,
}

impl Schedule {
    pub(crate) fn new(
        time: &Time,
        days: Days,
        months: u64,
        weekdays: u64,
        day_rule: DayRule,
    ) -> Self {
        let second = time.second.as_ref();
        Self {
            seconds: second.map_or(1, List::bits),
            minutes: time.minute.bits(),
            hours: time.hour.bits(),
            days,
            months,
            weekdays,
            day_rule,
            years: None,
            repeats: time.hour.repeats()
                || time.minute.repeats()
                || second.is_some_and(List::repeats),
            zone: None,
        }
    }

    /// Whether any day there is belongs to it.
    pub(crate) fn has_a_day(&self) -> bool {
        self.next_local(first_day() * DAY_S, end_s()).is_some()
    }

    /// The first second that belongs to it of those from `from` and before `until`. All are seconds of a clock on a
    /// wall that never changes, counted from 1970-01-01 00:00:00 there.
    pub(crate) fn next_local(&self, from: i64, until: i64) -> Option<i64> {
        let from = from.max(first_day() * DAY_S);
        let until = until.min(end_s());
        let mut day = from.div_euclid(DAY_S);
        let mut second = from.rem_euclid(DAY_S);
        while day * DAY_S + second < until {
            let next = self.next_day(day, until.div_euclid(DAY_S))?;
            if next > day {
                second = 0;
            }
            if let Some(second) = self.next_time(second) {
                return Some(next * DAY_S + second).filter(|found| *found < until);
            }
            day = next + 1;
            second = 0;
        }
        None
    }

    /// The first day that belongs to it, from `day` to `last`.
    fn next_day(&self, mut day: i64, last: i64) -> Option<i64> {
        while day <= last {
            let date = Date::from_days(day);
            let next_year = Date {
                year: date.year + 1,
                month: 1,
                day: 1,
            };
            if self
                .years
                .as_ref()
                .is_some_and(|years| !years.contains(date.year))
            {
                day = next_year.to_days();
            } else if !has(self.months, date.month) {
                let length = month_length(date.year, date.month);
                day += i64::from(length - date.day) + 1;
            } else if self.has_day(date, weekday(day)) {
                return Some(day);
            } else {
                day += 1;
            }
        }
        None
    }

    fn has_day(&self, date: Date, weekday: u8) -> bool {
        let of_month = match self.days {
            Days::FromStart(days) => has(days, date.day),
            Days::FromEnd(days) => has(days, month_length(date.year, date.month) - date.day + 1),
        };
        let of_week = has(self.weekdays, weekday);
        match self.day_rule {
            DayRule::Both => of_month && of_week,
            DayRule::Either => of_month || of_week,
        }
    }

    /// The first second of a day that belongs to it, from `second` on.
    fn next_time(&self, second: i64) -> Option<i64> {
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        let at = |hour: i64, minute: i64, second: i64| hour * 3_600 + minute * 60 + second;
        let (first_minute, first_second) = (next(self.minutes, 0)?, next(self.seconds, 0)?);
        if has_value(self.hours, hour) {
            if has_value(self.minutes, minute)
                && let Some(second) = next(self.seconds, second)
            {
                return Some(at(hour, minute, second));
            }
            if let Some(minute) = next(self.minutes, minute + 1) {
                return Some(at(hour, minute, first_second));
            }
        }
        next(self.hours, hour + 1).map(|hour| at(hour, first_minute, first_second))
    }
}

fn first_day() -> i64 {
    Date {
        year: YEAR_FIRST.into(),
        month: 1,
        day: 1,
    }
    .to_days()
}

/// The moment after the last year, in seconds since 1970.
pub(crate) fn end_s() -> i64 {
    let after = Date {
        year: i64::from(YEAR_LAST) + 1,
        month: 1,
        day: 1,
    };
    after.to_days() * DAY_S
}

fn has(set: u64, value: u8) -> bool {
    has_value(set, value.into())
}

fn has_value(set: u64, value: i64) -> bool {
    next(set, value) == Some(value)
}

/// The least value of a set from `value` on.
fn next(set: u64, value: i64) -> Option<i64> {
    let shift = u32::try_from(value).ok()?;
    let above = set.checked_shr(shift)?;
    (above != 0).then(|| value + i64::from(above.trailing_zeros()))
}
