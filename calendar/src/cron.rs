//! crontab(5): five or six fields, or a word that begins with `@`.

use crate::error::{ParseError, Word};
use crate::field::{DAY, Field, HOUR, Language, MINUTE, MONTH, SECOND, WEEKDAY, list};
use crate::schedule::{DayRule, Days, Schedule, Time};

const NAMED: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// `@daily`
pub(crate) fn named(word: Word<'_>) -> Result<Schedule, ParseError> {
    let folded = word.text.to_ascii_lowercase();
    if let Some((_, fields)) = NAMED.iter().find(|(name, _)| *name == folded) {
        return parse(&Word::new(fields).words());
    }
    let hint = match folded.as_str() {
        "@reboot" => "use `on_boot`".to_owned(),
        "@every" => "use `on_unit_active`".to_owned(),
        _ => format!("there are {}", NAMED.map(|(name, _)| name).join(", ")),
    };
    Err(word.error(format!("\"{}\" is no calendar word", word.text), hint))
}

/// Five or six fields.
pub(crate) fn parse(words: &[Word<'_>]) -> Result<Schedule, ParseError> {
    let (second, minute, hour, day, month, weekday) = match *words {
        [minute, hour, day, month, weekday] => (None, minute, hour, day, month, weekday),
        [second, minute, hour, day, month, weekday] => {
            (Some(second), minute, hour, day, month, weekday)
        }
        _ => return Err(count(words)),
    };
    let field = |word: Word<'_>, field: &Field| list(word, field, Language::Cron);
    let time = Time {
        second: second.map(|second| field(second, &SECOND)).transpose()?,
        minute: field(minute, &MINUTE)?,
        hour: field(hour, &HOUR)?,
    };
    let (days, months) = (field(day, &DAY)?, field(month, &MONTH)?);
    let weekdays = field(weekday, &WEEKDAY)?;
    let day_rule = if days.starred || weekdays.starred {
        DayRule::Both
    } else {
        DayRule::Either
    };
    // Bit 7 is Sunday too.
    let weekdays = weekdays.bits();
    let weekdays = (weekdays | weekdays >> 7) & 0x7f;
    let schedule = Schedule::new(
        &time,
        Days::FromStart(days.bits()),
        months.bits(),
        weekdays,
        day_rule,
    );
    if schedule.has_a_day() {
        return Ok(schedule);
    }
    Err(ParseError {
        offset: day.offset,
        length: (month.offset + month.text.len()).saturating_sub(day.offset),
        message: format!("the day {} of month {} never comes", day.text, month.text),
        hint: Some("in words, *-*~1 is the last day of each month".into()),
    })
}

/// It looks like cron's language, but for the number of fields.
pub(crate) fn count(words: &[Word<'_>]) -> ParseError {
    let number = words.len();
    let (offset, length) = match (words.first(), words.last()) {
        (Some(first), Some(last)) => (first.offset, last.offset + last.text.len() - first.offset),
        _ => (0, 0),
    };
    ParseError {
        offset,
        length,
        message: format!("a cron expression of {number} fields"),
        hint: Some(
            "it has five: minute hour day-of-month month day-of-week, or six with the second first; \
             the time zone has its own key"
                .into(),
        ),
    }
}
