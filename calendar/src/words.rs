//! systemd.time(7), "Calendar Events": `[weekdays] [date] [time] [zone]`, at least one of the first three.

use crate::error::{ParseError, Word};
use crate::field::{DAY, HOUR, Language, List, MINUTE, MONTH, SECOND, WEEKDAYS, YEAR, list, named};
use crate::schedule::{DayRule, Days, Schedule, Time};
use crate::zone::{Zone, zone_names};

const NAMED: [(&str, &str); 11] = [
    ("minutely", "*-*-* *:*:00"),
    ("hourly", "*-*-* *:00:00"),
    ("daily", "*-*-* 00:00:00"),
    ("weekly", "Mon *-*-* 00:00:00"),
    ("monthly", "*-*-01 00:00:00"),
    ("quarterly", "*-01,04,07,10-01 00:00:00"),
    ("semiannually", "*-01,07-01 00:00:00"),
    ("semi-annually", "*-01,07-01 00:00:00"),
    ("biannually", "*-01,07-01 00:00:00"),
    ("yearly", "*-01-01 00:00:00"),
    ("annually", "*-01-01 00:00:00"),
];

const EVERY_WEEKDAY: u64 = 0x7f;
const SHAPE: &str = "write as \"Mon..Fri 09:00\", \"*-*-01 00:00:00\", \"*:0/15\", \"daily\", or as cron: \"0 9 * * 1-5\"";

#[derive(Debug)]
struct Date {
    years: Option<List>,
    months: List,
    days: Days,
}

/// `Mon..Fri 09:00 Europe/Berlin`
pub(crate) fn parse(words: &[Word<'_>]) -> Result<Schedule, ParseError> {
    if let [first, rest @ ..] = words
        && let Some((_, text)) = NAMED
            .iter()
            .find(|(name, _)| first.text.eq_ignore_ascii_case(name))
    {
        let mut schedule = parse_parts(&Word::new(text).words())?;
        schedule.zone = match rest {
            [] => None,
            [word] => Some(zone(*word)?),
            [_, extra, ..] => return Err(unexpected(*extra)),
        };
        return Ok(schedule);
    }
    parse_parts(words)
}

fn parse_parts(words: &[Word<'_>]) -> Result<Schedule, ParseError> {
    let mut rest = words.iter().copied().peekable();
    let weekday_word = rest.next_if(|word| begins_with_weekday(word.text));
    let date_word = rest.next_if(|word| is_date(word.text));
    let time_word = rest.next_if(|word| word.text.contains(':'));
    let given = weekday_word.is_some() || date_word.is_some() || time_word.is_some();
    let zone_word = rest.next_if(|word| given && is_name(word.text));
    if let Some(word) = rest.next() {
        return Err(unexpected(word));
    }
    let weekdays = weekday_word.map_or(Ok(EVERY_WEEKDAY), weekdays)?;
    let every_day = Word::new("*-*-*");
    let date = date(date_word.unwrap_or(every_day))?;
    let time = time(time_word.unwrap_or(Word::new("00:00:00")))?;
    let months = date.months.bits();
    let mut schedule = Schedule::new(&time, date.days, months, weekdays, DayRule::Both);
    schedule.years = date.years;
    schedule.zone = zone_word.map(zone).transpose()?;
    if schedule.has_a_day() {
        return Ok(schedule);
    }
    schedule.weekdays = EVERY_WEEKDAY;
    let word = date_word.unwrap_or(every_day);
    Err(match weekday_word {
        Some(weekday) if schedule.has_a_day() => weekday.error(
            format!("{} is never a {}", word.text, weekday.text),
            "remove the day of the week, or let the year be *",
        ),
        _ => word.error(
            format!("the date {} never comes", word.text),
            "the last day of each month is *-*~1",
        ),
    })
}

fn unexpected(word: Word<'_>) -> ParseError {
    let message = format!(
        "\"{}\" is no day of the week, date, time or time zone in this place",
        word.text
    );
    word.error(message, SHAPE)
}

/// Letters, as no date and no time has.
fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
}

/// A zone may begin like a day of the week, as `MST7MDT` or `Singapore` nearly do.
fn begins_with_weekday(text: &str) -> bool {
    let end = text
        .find(|c: char| !c.is_ascii_alphabetic())
        .unwrap_or(text.len());
    let known = |name: &str| named(name, &WEEKDAYS).is_some();
    text.get(..end).is_some_and(known)
}

fn is_date(text: &str) -> bool {
    !is_name(text) && !text.contains(':') && text.contains(['-', '~'])
}

/// `Mon..Fri,Sun`; the week begins on Monday. `Mon-Fri` is taken too, as systemd does.
fn weekdays(word: Word<'_>) -> Result<u64, ParseError> {
    let mut bits = 0;
    for item in word.split(|c| c == ',') {
        let range = item.split_once("..").or_else(|| item.split_once("-"));
        let (first, last) = range.unwrap_or((item, item));
        let (from, to) = (weekday(first)?, weekday(last)?);
        if from > to {
            return Err(item.error(
                format!("the range {} runs backwards", item.text),
                "the week begins on Monday: write it as two, joined by a comma",
            ));
        }
        // Monday is bit 1, Sunday bit 0.
        bits |= (from..=to).fold(0, |bits, day| bits | 1 << ((day + 1) % 7));
    }
    Ok(bits)
}

/// 0 is Monday.
fn weekday(word: Word<'_>) -> Result<usize, ParseError> {
    named(word.text, &WEEKDAYS)
        .map(|sunday_first| (sunday_first + 6) % 7)
        .ok_or_else(|| {
            word.error(
                format!("\"{}\" is no day of the week", word.text),
                "Mon, Tue, Wed, Thu, Fri, Sat, Sun, or the whole names",
            )
        })
}

/// `[year-]month-day` or `[year-]month~day`
fn date(word: Word<'_>) -> Result<Date, ParseError> {
    let (before, last, from_end) = match word.split_once("~") {
        Some((before, day)) => (before, Some(day), true),
        None => (word, None, false),
    };
    let mut parts: Vec<Word<'_>> = before.split(|c| c == '-').chain(last).collect();
    let day = parts.pop();
    let month = parts.pop();
    let year = parts.pop();
    let (Some(day), Some(month), true) = (day, month, parts.is_empty()) else {
        return Err(word.error(
            format!("\"{}\" is no date", word.text),
            "a date is year-month-day or month-day, with * for any; ranges have two dots, as 1..7",
        ));
    };
    let field = |word, field| list(word, field, Language::Words);
    let days = field(day, &DAY)?;
    Ok(Date {
        years: year.map(|year| field(year, &YEAR)).transpose()?,
        months: field(month, &MONTH)?,
        days: if from_end {
            Days::FromEnd(bits_from_end(&days))
        } else {
            Days::FromStart(days.bits())
        },
    })
}

/// Bit n is the nth day from the end. Steps go forward in time: `~7/1` is the last seven days.
fn bits_from_end(days: &List) -> u64 {
    let mut bits = 0;
    for item in &days.items {
        let (earliest, latest) = if item.open {
            (item.first, 1)
        } else {
            (item.last, item.first)
        };
        let values = (latest..=earliest).rev().step_by(item.step.into());
        bits |= values.fold(0, |bits, day| bits | 1 << day);
    }
    bits
}

/// `hour:minute[:second]`
fn time(word: Word<'_>) -> Result<Time, ParseError> {
    let field = |word, field| list(word, field, Language::Words);
    let parts: Vec<Word<'_>> = word.split(|c| c == ':').collect();
    let (hour, minute, second) = match *parts.as_slice() {
        [hour, minute] => (hour, minute, None),
        [hour, minute, second] => (hour, minute, Some(second)),
        _ => {
            return Err(word.error(
                format!("\"{}\" is no time", word.text),
                "a time is hour:minute or hour:minute:second",
            ));
        }
    };
    if let Some(second) = second
        && second.text.replace("..", "").contains('.')
    {
        return Err(second.error(
            format!("\"{}\" is no whole second", second.text),
            "timers have no fractions of a second",
        ));
    }
    Ok(Time {
        hour: field(hour, &HOUR)?,
        minute: field(minute, &MINUTE)?,
        second: second.map(|second| field(second, &SECOND)).transpose()?,
    })
}

fn zone(word: Word<'_>) -> Result<Zone, ParseError> {
    Zone::find(word.text).ok_or_else(|| {
        let meant = zone_names().find(|name| name.eq_ignore_ascii_case(word.text));
        word.error(
            format!("\"{}\" is no time zone", word.text),
            meant.map_or_else(
                || "a name of the IANA database, as Europe/Berlin or UTC".to_owned(),
                |name| format!("did you mean {name}?"),
            ),
        )
    })
}
