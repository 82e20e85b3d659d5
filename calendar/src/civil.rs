//! Days of the Gregorian calendar as numbers, and back.
//!
//! Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms": a year is counted from March, so that the leap day is
//! its last, and 400 years have 146 097 days.

/// Seconds of a day of the calendar. (Days on which the clocks change are longer or shorter; that is the zone's matter.)
pub(crate) const DAY_S: i64 = 86_400;
const ERA_DAYS: i64 = 146_097;
/// From 0000-03-01 to 1970-01-01.
const EPOCH_DAYS: i64 = 719_468;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Date {
    pub(crate) year: i64,
    /// 1 to 12.
    pub(crate) month: u8,
    /// 1 to 31.
    pub(crate) day: u8,
}

impl Date {
    /// The day that comes `days` after 1970-01-01.
    pub(crate) fn from_days(days: i64) -> Self {
        let days = days + EPOCH_DAYS;
        let era = days.div_euclid(ERA_DAYS);
        let day_of_era = days.rem_euclid(ERA_DAYS);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted + 2) / 5 + 1;
        let month = if shifted < 10 {
            shifted + 3
        } else {
            shifted - 9
        };
        Self {
            year: year_of_era + era * 400 + i64::from(month <= 2),
            month: u8::try_from(month).unwrap_or(1),
            day: u8::try_from(day).unwrap_or(1),
        }
    }

    /// Days since 1970-01-01.
    pub(crate) fn to_days(self) -> i64 {
        let year = self.year - i64::from(self.month <= 2);
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let shifted = (i64::from(self.month) + 9) % 12;
        let day_of_year = (153 * shifted + 2) / 5 + i64::from(self.day) - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        era * ERA_DAYS + day_of_era - EPOCH_DAYS
    }
}

/// 0 is Sunday; 1970-01-01 was a Thursday.
pub(crate) fn weekday(days: i64) -> u8 {
    u8::try_from((days + 4).rem_euclid(7)).unwrap_or(0)
}

/// Days of a month (1 to 12).
pub(crate) fn month_length(year: i64, month: u8) -> u8 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_four_centuries_is_the_one_after_the_day_before() {
        let mut expected = Date {
            year: 1901,
            month: 1,
            day: 1,
        };
        let first = expected.to_days();
        assert_eq!(first, -25_202);
        for days in first..first + ERA_DAYS {
            assert_eq!(Date::from_days(days), expected);
            assert_eq!(expected.to_days(), days);
            expected.day += 1;
            if expected.day > month_length(expected.year, expected.month) {
                expected.day = 1;
                expected.month += 1;
            }
            if expected.month > 12 {
                expected.month = 1;
                expected.year += 1;
            }
        }
    }

    #[test]
    fn weekdays_are_those_of_the_newspaper() {
        let day = |year, month, day| weekday(Date { year, month, day }.to_days());
        assert_eq!(day(1970, 1, 1), 4);
        assert_eq!(day(2000, 2, 29), 2);
        assert_eq!(day(2026, 3, 29), 0);
        assert_eq!(day(1969, 12, 28), 0);
    }
}
