//! One field of either language: a list of values, ranges and steps.

use crate::error::{ParseError, Word};
use crate::{YEAR_FIRST, YEAR_LAST};

/// What a field counts.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) singular: &'static str,
    pub(crate) plural: &'static str,
    min: u16,
    max: u16,
    /// The last value of `*` and of an open step: 7 is a second name of Sunday.
    open_last: u16,
    /// Of the values from `min` on; three letters are enough.
    names: &'static [&'static str],
}

/// What differs between the languages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    /// `a-b`
    Cron,
    /// `a..b`
    Words,
}

const fn numbers(singular: &'static str, plural: &'static str, min: u16, max: u16) -> Field {
    Field {
        singular,
        plural,
        min,
        max,
        open_last: max,
        names: &[],
    }
}

pub(crate) static SECOND: Field = numbers("second", "seconds", 0, 59);
pub(crate) static MINUTE: Field = numbers("minute", "minutes", 0, 59);
pub(crate) static HOUR: Field = numbers("hour", "hours", 0, 23);
pub(crate) static DAY: Field = numbers("day of the month", "days of the month", 1, 31);
pub(crate) static YEAR: Field = numbers("year", "years", YEAR_FIRST, YEAR_LAST);
pub(crate) static MONTH: Field = Field {
    names: &[
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ],
    ..numbers("month", "months", 1, 12)
};
/// As crontab(5) counts.
pub(crate) static WEEKDAY: Field = Field {
    open_last: 6,
    names: &WEEKDAYS,
    ..numbers("day of the week", "days of the week", 0, 7)
};
/// 0 is Sunday.
pub(crate) const WEEKDAYS: [&str; 7] = [
    "sunday",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
];

/// The position of a name in a list, by three letters or more, in any case.
pub(crate) fn named(text: &str, names: &[&str]) -> Option<usize> {
    let folded = text.to_ascii_lowercase();
    let long_enough = folded.len() >= 3;
    names
        .iter()
        .position(|name| long_enough && (*name == folded || name.get(..3) == Some(&folded)))
}

/// One item of a list. `first` is at most `last`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) first: u16,
    pub(crate) last: u16,
    pub(crate) step: u16,
    /// It has no end of its own: `*`, `*/n`, `a/n`.
    pub(crate) open: bool,
}

impl Item {
    pub(crate) fn values(&self) -> impl Iterator<Item = u16> {
        (self.first..=self.last).step_by(usize::from(self.step.max(1)))
    }

    fn contains(&self, value: i64) -> bool {
        let (first, last) = (i64::from(self.first), i64::from(self.last));
        (first..=last).contains(&value) && (value - first) % i64::from(self.step.max(1)) == 0
    }
}

/// A whole field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct List {
    pub(crate) items: Vec<Item>,
    /// It begins with `*` (crontab(5): such a day field is not restricted).
    pub(crate) starred: bool,
}

impl List {
    /// Bit n is the value n.
    pub(crate) fn bits(&self) -> u64 {
        let values = self.items.iter().flat_map(Item::values);
        values.fold(0, |bits, value| {
            bits | 1u64.checked_shl(value.into()).unwrap_or(0)
        })
    }

    pub(crate) fn contains(&self, value: i64) -> bool {
        self.items.iter().any(|item| item.contains(value))
    }

    /// It goes on and on, rather than name its values.
    pub(crate) fn repeats(&self) -> bool {
        self.items
            .iter()
            .any(|item| item.open && item.first.saturating_add(item.step) <= item.last)
    }
}

pub(crate) fn list(word: Word<'_>, field: &Field, language: Language) -> Result<List, ParseError> {
    let items = word.split(|c| c == ',');
    Ok(List {
        items: items
            .map(|word| item(word, field, language))
            .collect::<Result<_, _>>()?,
        starred: word.text.starts_with('*'),
    })
}

fn item(word: Word<'_>, field: &Field, language: Language) -> Result<Item, ParseError> {
    let (base, step) = match word.split_once("/") {
        None => (word, None),
        Some((base, step)) => (base, Some(step)),
    };
    let separator = match language {
        Language::Cron => "-",
        Language::Words => "..",
    };
    let (first, last) = if base.text == "*" {
        (field.min, None)
    } else if let Some((first, last)) = base.split_once(separator) {
        let (first, mut last) = (value(first, field)?, value(last, field)?);
        if last == 0 && first > 0 && field.open_last < field.max {
            last = field.max;
        }
        if first > last {
            let message = format!("the range {} runs backwards", base.text);
            let hint = format!(
                "write it as two, joined by a comma: the {} begin anew at {}",
                field.plural, field.min
            );
            return Err(base.error(message, hint));
        }
        (first, Some(last))
    } else {
        let first = value(base, field)?;
        (first, step.is_none().then_some(first))
    };
    Ok(Item {
        first,
        last: last.unwrap_or(field.open_last.max(first)),
        step: step.map_or(Ok(1), |step| step_of(step, field))?,
        open: last.is_none(),
    })
}

fn value(word: Word<'_>, field: &Field) -> Result<u16, ParseError> {
    let number = if let Some(index) = named(word.text, field.names) {
        u16::try_from(index).ok().map(|index| index + field.min)
    } else {
        number(word.text)
    };
    match number {
        Some(number) if (field.min..=field.max).contains(&number) => Ok(number),
        _ if word.text.is_empty() => {
            Err(word.error(format!("a {} is missing", field.singular), expected(field)))
        }
        _ => Err(word.error(
            format!("\"{}\" is no {}", word.text, field.singular),
            foreign(word.text).map_or_else(|| expected(field), str::to_owned),
        )),
    }
}

/// Up to four digits.
fn number(text: &str) -> Option<u16> {
    let digits = (1..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

fn step_of(word: Word<'_>, field: &Field) -> Result<u16, ParseError> {
    let longest = field.open_last - field.min;
    match number(word.text) {
        Some(step) if (1..=longest).contains(&step) => Ok(step),
        _ => Err(word.error(
            format!("\"{}\" is no step among the {}", word.text, field.plural),
            format!("a step is 1 to {longest} here; `on_unit_active` can repeat after any time"),
        )),
    }
}

fn expected(field: &Field) -> String {
    let named = match (field.names.first(), field.names.last()) {
        (Some(first), Some(last)) => format!(" or {first} to {last},"),
        _ => String::new(),
    };
    format!(
        "{} are {} to {},{named} or * for all",
        field.plural, field.min, field.max
    )
}

/// What other schedulers write.
fn foreign(text: &str) -> Option<&'static str> {
    if text == "?" {
        return Some("write * instead");
    }
    if text.starts_with('H') {
        return Some("write a number; `randomized_delay` spreads units over time");
    }
    let quartz = text.contains(['L', 'W', '#']);
    quartz.then_some("in words, *-*~1 is the last day of each month, Mon *-*-1..7 its first Monday, Mon *-*~7/1 its last")
}
