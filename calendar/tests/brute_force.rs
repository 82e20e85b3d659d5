//! `next_after` against a search minute by minute with another reader of the time zone database, which knows nothing of
//! spans, sets of bits or rules: it looks at the clock on the wall and remembers what it has seen.

#[expect(dead_code, reason = "the other tests use the rest")]
mod support;

use calendar::{Schedule, Zone};
use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};
use proptest::prelude::*;
use std::collections::HashSet;

/// With half an hour, no rule, midnight, the south, and none at all.
const ZONES: [&str; 9] = [
    "Europe/Berlin",
    "America/New_York",
    "America/Havana",
    "Australia/Lord_Howe",
    "America/Nuuk",
    "Asia/Gaza",
    "Africa/Casablanca",
    "Pacific/Chatham",
    "UTC",
];
/// Days looked at: each case may meet one change of the clocks.
const DAYS: i64 = 5;
const MINUTE_S: usize = 60;

/// A field as text and as what it holds.
#[derive(Clone, Debug)]
struct Field {
    text: String,
    values: Vec<i8>,
    repeats: bool,
}

fn field(min: i8, max: i8) -> impl Strategy<Value = Field> {
    let all = Just(Field {
        text: "*".into(),
        values: (min..=max).collect(),
        repeats: true,
    });
    let list = proptest::collection::vec(min..=max, 1..4).prop_map(|values| Field {
        text: values
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(","),
        values,
        repeats: false,
    });
    let range = (min..=max, min..=max, 1..6i8).prop_map(|(a, b, step)| Field {
        text: format!("{}-{}/{step}", a.min(b), a.max(b)),
        values: (a.min(b)..=a.max(b)).step_by(step as usize).collect(),
        repeats: false,
    });
    let step = (2..6i8).prop_map(move |step| Field {
        text: format!("*/{step}"),
        values: (min..=max).step_by(step as usize).collect(),
        repeats: true,
    });
    prop_oneof![2 => all, 4 => list, 2 => range, 1 => step]
}

#[derive(Clone, Debug)]
struct Expression {
    minute: Field,
    hour: Field,
    day: Field,
    month: Field,
    weekday: Field,
}

impl Expression {
    fn cron(&self) -> String {
        let fields = [
            &self.minute,
            &self.hour,
            &self.day,
            &self.month,
            &self.weekday,
        ];
        fields.map(|field| field.text.as_str()).join(" ")
    }

    /// The same in the other language; it has no rule of "either".
    fn words(&self) -> Option<String> {
        const NAMES: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
        let both = self.day.text.starts_with('*') || self.weekday.text.starts_with('*');
        let dotted = |field: &Field| field.text.replace('-', "..");
        let weekdays: Vec<&str> = self
            .weekday
            .values
            .iter()
            .map(|day| NAMES[*day as usize])
            .collect();
        both.then(|| {
            format!(
                "{} *-{}-{} {}:{}",
                weekdays.join(","),
                dotted(&self.month),
                dotted(&self.day),
                dotted(&self.hour),
                dotted(&self.minute)
            )
        })
    }

    fn repeats(&self) -> bool {
        self.minute.repeats || self.hour.repeats
    }

    fn matches(&self, local: jiff::civil::DateTime) -> bool {
        let has = |field: &Field, value: i8| field.values.contains(&value);
        let day = has(&self.day, local.day());
        let weekday = has(&self.weekday, local.weekday().to_sunday_zero_offset());
        let either = !self.day.text.starts_with('*') && !self.weekday.text.starts_with('*');
        has(&self.minute, local.minute())
            && has(&self.hour, local.hour())
            && has(&self.month, local.month())
            && if either {
                day || weekday
            } else {
                day && weekday
            }
    }

    /// Every time it is due after `from_s`, for some days.
    fn search(&self, from_s: i64, zone: &TimeZone) -> Vec<i64> {
        let mut due = Vec::new();
        let mut seen = HashSet::new();
        let begin = from_s - from_s.rem_euclid(60) - 86_400;
        let mut before: Option<Offset> = None;
        for instant in (begin..from_s + DAYS * 86_400).step_by(MINUTE_S) {
            let timestamp = Timestamp::from_second(instant).unwrap();
            let offset = zone.to_offset(timestamp);
            let local = offset.to_datetime(timestamp);
            let skipped = before.replace(offset).is_some_and(|before| {
                (before.seconds()..offset.seconds())
                    .step_by(60)
                    .any(|offset| {
                        let skipped = Offset::from_seconds(offset).unwrap().to_datetime(timestamp);
                        self.matches(skipped)
                    })
            });
            let again = !seen.insert(local);
            let is_due = if self.repeats() {
                self.matches(local)
            } else {
                skipped || (self.matches(local) && !again)
            };
            if is_due && instant > from_s {
                due.push(instant);
            }
        }
        due
    }
}

fn expression() -> impl Strategy<Value = Expression> {
    let every = |min: i8, max: i8| {
        Just(Field {
            text: "*".into(),
            values: (min..=max).collect(),
            repeats: true,
        })
    };
    (
        field(0, 59),
        // Where clocks change.
        prop_oneof![field(0, 23), field(0, 3)],
        prop_oneof![3 => every(1, 31).boxed(), 1 => field(1, 31).boxed()],
        prop_oneof![5 => every(1, 12).boxed(), 1 => field(1, 12).boxed()],
        prop_oneof![2 => every(0, 6).boxed(), 1 => field(0, 6).boxed()],
    )
        // An open step in the hours 0 to 3 would go on to 23.
        .prop_filter("open steps end at the field's end", |(_, hour, ..)| {
            !hour.repeats || hour.values.last() > Some(&3)
        })
        .prop_map(|(minute, hour, day, month, weekday)| Expression {
            minute,
            hour,
            day,
            month,
            weekday,
        })
}

/// An instant from 2025 to 2045, most often near a change of the zone's clocks.
fn instant(zone: usize) -> impl Strategy<Value = i64> {
    let first = support::instant_ms("2025-02-01T00:00:00Z", "UTC") / 1_000;
    let last = support::instant_ms("2045-01-01T00:00:00Z", "UTC") / 1_000;
    let zone = support::zone(ZONES[zone]);
    (first..last, -3 * 86_400..3_600i64, any::<bool>()).prop_map(move |(any, beside, near)| {
        let after = zone.following(Timestamp::from_second(any).unwrap()).next();
        match after {
            Some(change) if near => change.timestamp().as_second() + beside,
            _ => any,
        }
    })
}

fn case() -> impl Strategy<Value = (Expression, usize, i64)> {
    (0..ZONES.len()).prop_flat_map(|zone| (expression(), Just(zone), instant(zone)))
}

fn due(schedule: &Schedule, from_s: i64, zone: &Zone) -> Vec<i64> {
    let mut due = Vec::new();
    let mut at = from_s * 1_000;
    while let Some(next) = schedule.next_after(at, zone) {
        assert!(next > at && next % 1_000 == 0);
        if next >= (from_s + DAYS * 86_400) * 1_000 {
            break;
        }
        due.push(next / 1_000);
        at = next;
    }
    due
}

/// What one has in a place where the other has something else.
fn first_difference(found: &[i64], expected: &[i64]) -> Option<(Option<i64>, Option<i64>)> {
    (0..found.len().max(expected.len()))
        .map(|index| (found.get(index).copied(), expected.get(index).copied()))
        .find(|(found, expected)| found != expected)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_due_time_is_found_and_no_other((expression, zone, from) in case()) {
        let expected = expression.search(from, &support::zone(ZONES[zone]));
        let zone = Zone::find(ZONES[zone]).unwrap();
        // The search knows only of days that there are; 30 February alone is refused.
        let Ok(schedule) = Schedule::parse(&expression.cron()) else {
            prop_assert!(expected.is_empty());
            return Ok(());
        };
        prop_assert_eq!(first_difference(&due(&schedule, from, &zone), &expected), None, "{}", expression.cron());
        if let Some(words) = expression.words() {
            let schedule = Schedule::parse(&words).unwrap();
            prop_assert_eq!(first_difference(&due(&schedule, from, &zone), &expected), None, "{}", words);
        }
    }

    #[test]
    fn any_text_is_read_or_refused_at_a_place_of_its_own(text in "[ -~α]{0,40}|[0-9*/,. :~@a-zA-Z-]{0,30}") {
        match Schedule::parse(&text) {
            Ok(schedule) => {
                let next = schedule.next_after(1_767_225_600_000, &Zone::utc());
                prop_assert!(next.is_none_or(|next| next > 1_767_225_600_000));
            }
            Err(error) => prop_assert!(text.get(error.offset..error.offset + error.length).is_some()),
        }
    }
}
