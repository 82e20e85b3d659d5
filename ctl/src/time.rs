//! Moments and durations as operators type them.

use crate::failure::Failure;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const DAY_MS: i64 = 86_400_000;

/// Milliseconds since 1970-01-01 UTC.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// `2026-11-21 10:00:00`, UTC.
pub(crate) fn date(unix_ms: i64) -> String {
    let (days, ms) = (unix_ms.div_euclid(DAY_MS), unix_ms.rem_euclid(DAY_MS));
    // Howard Hinnant, "chrono-compatible low-level date algorithms": civil_from_days, in eras of 400 years from March.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, late) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    let seconds = ms / 1_000;
    format!(
        "{:04}-{month:02}-{day:02} {:02}:{:02}:{:02}",
        era * 400 + year + late,
        seconds / 3_600,
        seconds / 60 % 60,
        seconds % 60
    )
}

/// `30`, `30s`, `1m30s`.
pub(crate) fn timeout(text: &str) -> Result<Duration, Failure> {
    if let Ok(seconds) = text.parse() {
        return Ok(Duration::from_secs(seconds));
    }
    unit::duration::parse(text)
        .map(Duration::from_millis)
        .map_err(|_| Failure::Usage(format!("`{text}` is not a time; write 30s or 1m30s")))
}

/// `10m` (before `now_ms`), `@1795255200` (seconds since 1970), or RFC 3339 with parts left out: `2026-11-21`,
/// `2026-11-21T10:00`, `2026-11-21 10:00:00.5+01:00`; UTC without an offset.
pub(crate) fn moment(text: &str, now_ms: i64) -> Result<i64, Failure> {
    let found = if let Some(seconds) = text.strip_prefix('@') {
        seconds
            .parse::<i64>()
            .ok()
            .and_then(|seconds| seconds.checked_mul(1000))
    } else if let Ok(ago) = unit::duration::parse(text) {
        i64::try_from(ago)
            .ok()
            .and_then(|ago| now_ms.checked_sub(ago))
    } else {
        calendar(text)
    };
    found.ok_or_else(|| {
        Failure::Usage(format!(
            "`{text}` is not a time; write 10m (ago), 2026-11-21, 2026-11-21T10:00:00Z or @SECONDS"
        ))
    })
}

fn calendar(text: &str) -> Option<i64> {
    let (date, rest) = text.split_at_checked(10)?;
    let mut parts = date.split('-');
    let (year, month, day) = (
        digits(parts.next()?, 4)?,
        digits(parts.next()?, 2)?,
        digits(parts.next()?, 2)?,
    );
    if !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) {
        return None;
    }
    let midnight = days_since_1970(year, month, day) * DAY_MS;
    if rest.is_empty() {
        return Some(midnight);
    }
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let (clock, offset_minutes) = split_offset(rest)?;
    let mut parts = clock.split(':');
    let (hour, minute) = (digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    let (second, fraction) = parts.next().map_or(("00", ""), |second| {
        second.split_once('.').unwrap_or((second, ""))
    });
    let second = digits(second, 2)?;
    if parts.next().is_some() || hour > 23 || minute > 59 || second > 60 || fraction.len() > 9 {
        return None;
    }
    let milliseconds: i64 = match fraction {
        "" => 0,
        _ if fraction.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("{fraction:0<3}").get(..3)?.parse().ok()?
        }
        _ => return None,
    };
    let of_day = ((hour * 60 + minute - offset_minutes) * 60 + second) * 1000;
    Some(midnight + of_day + milliseconds)
}

/// The time of day, and minutes east of UTC.
fn split_offset(text: &str) -> Option<(&str, i64)> {
    if let Some(clock) = text.strip_suffix(['Z', 'z']) {
        return Some((clock, 0));
    }
    let Some(at) = text.find(['+', '-']) else {
        return Some((text, 0));
    };
    let (clock, offset) = text.split_at(at);
    let (hours, minutes) = offset.get(1..)?.split_once(':')?;
    let east = digits(hours, 2)? * 60 + digits(minutes, 2)?;
    Some((clock, if offset.starts_with('-') { -east } else { east }))
}

/// Exactly so many.
fn digits(text: &str, count: usize) -> Option<i64> {
    if text.len() != count || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Of the Gregorian calendar, by eras of 400 years that begin on 1 March.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_in_many_ways() {
        const NOW: i64 = 1_795_255_200_000;
        for (text, expected) in [
            ("1970-01-01", 0),
            ("2000-02-29", 951_782_400_000),
            ("2026-11-21T10:00:00Z", 1_795_255_200_000),
            ("2026-11-21 11:00:00+01:00", 1_795_255_200_000),
            ("2026-11-21T04:30:00.25-05:30", 1_795_255_200_250),
            ("2026-11-21T10:00", 1_795_255_200_000),
            ("@1795255200", 1_795_255_200_000),
            ("10m", NOW - 600_000),
            ("1h30m", NOW - 5_400_000),
        ] {
            assert_eq!(moment(text, NOW).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn a_date_is_read_as_it_is_written() {
        for text in [
            "1970-01-01 00:00:00",
            "2000-02-29 23:59:59",
            "2026-11-21 10:00:00",
            "2100-03-01 00:00:01",
        ] {
            assert_eq!(date(moment(text, 0).unwrap()), text);
        }
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in [
            "",
            "yesterday",
            "2026-02-29",
            "2026-13-01",
            "2026-11-21T25:00",
            "2026-11-21T10:00:00.x",
            "@x",
            "21.11.2026",
        ] {
            assert!(moment(text, 0).is_err(), "{text}");
        }
    }

    #[test]
    fn a_timeout_without_unit_is_seconds() {
        assert_eq!(timeout("30").unwrap(), Duration::from_secs(30));
        assert_eq!(timeout("1m30s").unwrap(), Duration::from_secs(90));
        assert!(timeout("later").is_err());
    }
}
