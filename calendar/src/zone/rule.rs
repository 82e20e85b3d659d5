//! The rule of a zone: a TZ string as the last line of a TZif file has it (RFC 9636, section 3.3.1; tzset(3)).
//!
//! `CET-1CEST,M3.5.0,M10.5.0/3`: an hour ahead of UTC, from the last Sunday of March at 02:00 another hour, until the last
//! Sunday of October at 03:00. Offsets in it count the other way round: `-1` is ahead. Days are only in the form
//! `Mmonth.week.weekday`: no zone has another since 2025, and a test sees to it.

use super::Change;
use crate::civil::{DAY_S, Date, month_length, weekday};

const HOUR_S: i32 = 3_600;
/// When a TZ string gives no time.
const CHANGE_TIME_S: i32 = 2 * HOUR_S;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    standard_s: i32,
    summer: Option<Summer>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Summer {
    offset_s: i32,
    start: Day,
    end: Day,
}

/// A day that comes once a year, and a time on the clocks before the change.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Day {
    month: u8,
    /// 1 to 4, or 5 for the last.
    week: u8,
    /// 0 is Sunday.
    weekday: u8,
    /// May be negative, or more than a day.
    time_s: i32,
}

impl Rule {
    pub(super) fn fixed(standard_s: i32) -> Self {
        Self {
            standard_s,
            summer: None,
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(',');
        let zones = skip_name(parts.next()?)?;
        let end = zones
            .find(|c: char| !(c.is_ascii_digit() || matches!(c, '+' | '-' | ':')))
            .unwrap_or(zones.len());
        let (standard, rest) = zones.split_at_checked(end)?;
        let standard_s = seconds(standard)?.checked_neg()?;
        if rest.is_empty() {
            return Some(Self::fixed(standard_s));
        }
        let own = skip_name(rest)?;
        let offset_s = if own.is_empty() {
            standard_s + HOUR_S
        } else {
            seconds(own)?.checked_neg()?
        };
        let start = Day::parse(parts.next()?)?;
        let end = Day::parse(parts.next()?)?;
        Some(Self {
            standard_s,
            summer: Some(Summer {
                offset_s,
                start,
                end,
            }),
        })
    }

    pub(super) fn offset_s(&self, unix_s: i64) -> i32 {
        self.changes_around(unix_s)
            .iter()
            .rev()
            .find(|change| change.at <= unix_s)
            .map_or(self.standard_s, |change| change.offset_s)
    }

    /// The changes of the year of an instant and its neighbours, in order.
    pub(super) fn changes_around(&self, unix_s: i64) -> Vec<Change> {
        let Some(summer) = &self.summer else {
            return Vec::new();
        };
        let year = Date::from_days(unix_s.div_euclid(DAY_S)).year;
        let mut changes: Vec<Change> = (year - 1..=year + 1)
            .flat_map(|year| {
                let start = Change {
                    at: summer.start.local_s(year) - i64::from(self.standard_s),
                    offset_s: summer.offset_s,
                };
                let end = Change {
                    at: summer.end.local_s(year) - i64::from(summer.offset_s),
                    offset_s: self.standard_s,
                };
                [start, end]
            })
            .collect();
        changes.sort_unstable();
        changes
    }
}

impl Day {
    /// `Mmonth.week.weekday[/time]`
    fn parse(text: &str) -> Option<Self> {
        let (day, time) = text
            .split_once('/')
            .map_or((text, None), |(day, time)| (day, Some(time)));
        let mut numbers = day.strip_prefix('M')?.split('.').map(str::parse::<u8>);
        let mut number = || numbers.next()?.ok();
        let (month, week, weekday) = (number()?, number()?, number()?);
        let valid = (1..=12).contains(&month) && (1..=5).contains(&week) && weekday <= 6;
        let time_s = time.map_or(Some(CHANGE_TIME_S), seconds)?;
        valid.then_some(Self {
            month,
            week,
            weekday,
            time_s,
        })
    }

    /// On the clocks before the change, seconds since 1970 there.
    fn local_s(&self, year: i64) -> i64 {
        let first = Date {
            year,
            month: self.month,
            day: 1,
        }
        .to_days();
        let to_weekday = (i64::from(self.weekday) - i64::from(weekday(first))).rem_euclid(7);
        let mut day = to_weekday + 7 * (i64::from(self.week) - 1);
        if day >= i64::from(month_length(year, self.month)) {
            day -= 7;
        }
        (first + day) * DAY_S + i64::from(self.time_s)
    }
}

/// What comes after `CET` or `<+01>`.
fn skip_name(text: &str) -> Option<&str> {
    match text.strip_prefix('<') {
        Some(quoted) => quoted.split_once('>').map(|(_, rest)| rest),
        None => Some(text.trim_start_matches(|c: char| c.is_ascii_alphabetic())),
    }
}

/// `[+-]hours[:minutes[:seconds]]`
fn seconds(text: &str) -> Option<i32> {
    let (sign, text) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut total = 0;
    let mut unit = HOUR_S;
    for part in text.split(':') {
        total += i32::from(part.parse::<u8>().ok()?) * unit;
        unit /= 60;
    }
    Some(sign * total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(year: i64, month: u8, day: u8, hour: i64) -> i64 {
        Date { year, month, day }.to_days() * DAY_S + hour * i64::from(HOUR_S)
    }

    #[test]
    fn central_european_summer_begins_and_ends_at_one_utc() {
        let rule = Rule::parse("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let offsets = |instant| (rule.offset_s(instant - 1), rule.offset_s(instant));
        assert_eq!(offsets(at(2026, 3, 29, 1)), (3_600, 7_200));
        assert_eq!(offsets(at(2026, 10, 25, 1)), (7_200, 3_600));
    }

    #[test]
    fn summer_of_the_southern_hemisphere_spans_the_new_year() {
        let rule = Rule::parse("AEST-10AEDT,M10.1.0,M4.1.0/3").unwrap();
        assert_eq!(rule.offset_s(at(2026, 1, 1, 0)), 39_600);
        assert_eq!(rule.offset_s(at(2026, 7, 1, 0)), 36_000);
    }

    #[test]
    fn names_in_brackets_half_hours_and_negative_times_are_read() {
        let rule = Rule::parse("<+1030>-10:30<+11>-11,M10.1.0,M4.1.0").unwrap();
        assert_eq!(rule.offset_s(at(2026, 7, 1, 0)), 37_800);
        assert_eq!(rule.offset_s(at(2026, 1, 1, 0)), 39_600);
        let nuuk = Rule::parse("<-02>2<-01>,M3.5.0/-1,M10.5.0/0").unwrap();
        assert_eq!(nuuk.offset_s(at(2026, 3, 29, 0)), -7_200);
        assert_eq!(nuuk.offset_s(at(2026, 3, 29, 1)), -3_600);
    }

    #[test]
    fn what_is_not_a_rule_is_refused() {
        for text in [
            "",
            "CET",
            "CET-1CEST",
            "CET-1CEST,J60,J300",
            "CET-1CEST,M13.1.0,M1.1.0",
            "<+01-1",
        ] {
            assert_eq!(Rule::parse(text), None, "{text}");
        }
    }
}
