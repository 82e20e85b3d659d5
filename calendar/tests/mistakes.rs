//! Mistakes: each is found at its place and answered with what to write.

use calendar::{EXPRESSION_BYTES_MAX, Schedule};

/// Expression, what is underlined, message, a part of the hint.
type Row = (&'static str, &'static str, &'static str, &'static str);

const MISTAKES: &[Row] = &[
    ("", "", "an empty calendar expression", "Mon..Fri 09:00"),
    ("   ", "   ", "an empty calendar expression", "daily"),
    (
        "0 5 * *",
        "0 5 * *",
        "a cron expression of 4 fields",
        "it has five",
    ),
    (
        "0 0 0 * * * 2026",
        "0 0 0 * * * 2026",
        "a cron expression of 7 fields",
        "five",
    ),
    (
        "CRON_TZ=Asia/Tokyo 0 6 * * *",
        "CRON_TZ=Asia/Tokyo",
        "CRON_TZ= stands before an expression, and the time zone has a key of its own",
        "write `timezone = \"Asia/Tokyo\"` and `on_calendar = [\"0 6 * * *\"]`",
    ),
    (
        "TZ=\"europe/berlin\" Mon..Fri 09:00",
        "TZ=\"europe/berlin\"",
        "TZ= stands before an expression, and the time zone has a key of its own",
        "write `timezone = \"Europe/Berlin\"` and `on_calendar = [\"Mon..Fri 09:00\"]`",
    ),
    ("60 * * * *", "60", "\"60\" is no minute", "0 to 59"),
    ("0 24 * * *", "24", "\"24\" is no hour", "0 to 23"),
    ("0 0 0 * *", "0", "\"0\" is no day of the month", "1 to 31"),
    (
        "0 0 * 13 *",
        "13",
        "\"13\" is no month",
        "january to december",
    ),
    ("0 0 * * 8", "8", "\"8\" is no day of the week", "0 to 7"),
    (
        "0 0 * * mo",
        "mo",
        "\"mo\" is no day of the week",
        "sunday to saturday",
    ),
    ("0 0 * foo *", "foo", "\"foo\" is no month", "january"),
    ("-5 * * * *", "", "a minute is missing", "0 to 59"),
    ("1,,2 * * * *", "", "a minute is missing", "0 to 59"),
    (
        "99999 * * * *",
        "99999",
        "\"99999\" is no minute",
        "0 to 59",
    ),
    (
        "30-10 * * * *",
        "30-10",
        "the range 30-10 runs backwards",
        "joined by a comma",
    ),
    (
        "0 0 * * sat-mon",
        "sat-mon",
        "the range sat-mon runs backwards",
        "joined by a comma",
    ),
    (
        "*/0 * * * *",
        "0",
        "\"0\" is no step among the minutes",
        "1 to 59",
    ),
    (
        "*/90 * * * *",
        "90",
        "\"90\" is no step among the minutes",
        "on_unit_active",
    ),
    (
        "*/ * * * *",
        "",
        "\"\" is no step among the minutes",
        "1 to 59",
    ),
    (
        "0 0 ? * *",
        "?",
        "\"?\" is no day of the month",
        "write * instead",
    ),
    ("0 0 L * *", "L", "\"L\" is no day of the month", "*-*~1"),
    (
        "0 0 * * 5#2",
        "5#2",
        "\"5#2\" is no day of the week",
        "Mon *-*-1..7",
    ),
    ("H 4 * * *", "H", "\"H\" is no minute", "randomized_delay"),
    (
        "0 0 30 2 *",
        "30 2",
        "the day 30 of month 2 never comes",
        "*-*~1",
    ),
    (
        "0 0 31 2,4,6,9,11 *",
        "31 2,4,6,9,11",
        "the day 31 of month 2,4,6,9,11 never comes",
        "*-*~1",
    ),
    (
        "@reboot",
        "@reboot",
        "\"@reboot\" is no calendar word",
        "on_boot",
    ),
    (
        "@every 5m",
        "@every",
        "\"@every\" is no calendar word",
        "on_unit_active",
    ),
    (
        "@dayly",
        "@dayly",
        "\"@dayly\" is no calendar word",
        "@daily",
    ),
    ("@daily UTC", "UTC", "\"UTC\" after @daily", "stands alone"),
    (
        "dayly",
        "dayly",
        "\"dayly\" is no day of the week, date, time or time zone in this place",
        "daily",
    ),
    (
        "UTC",
        "UTC",
        "\"UTC\" is no day of the week, date, time or time zone in this place",
        "Mon..Fri",
    ),
    (
        "Mon..Foo 09:00",
        "Foo",
        "\"Foo\" is no day of the week",
        "Thu",
    ),
    (
        "Sun..Mon 09:00",
        "Sun..Mon",
        "the range Sun..Mon runs backwards",
        "Monday",
    ),
    ("Mon 25:00", "25", "\"25\" is no hour", "0 to 23"),
    ("09:00:61", "61", "\"61\" is no second", "0 to 59"),
    (
        "09:00:00.5",
        "00.5",
        "\"00.5\" is no whole second",
        "fractions",
    ),
    (
        "09:00:00:00",
        "09:00:00:00",
        "\"09:00:00:00\" is no time",
        "hour:minute",
    ),
    (
        "9",
        "9",
        "\"9\" is no day of the week, date, time or time zone in this place",
        "09:00",
    ),
    (
        "2026-01-01-01",
        "2026-01-01-01",
        "\"2026-01-01-01\" is no date",
        "year-month-day",
    ),
    (
        "*-*-1-7 09:00",
        "*-*-1-7",
        "\"*-*-1-7\" is no date",
        "two dots",
    ),
    ("26-01-01", "26", "\"26\" is no year", "1970 to 2199"),
    ("2026-13-01", "13", "\"13\" is no month", "1 to 12"),
    (
        "2026-02-30",
        "2026-02-30",
        "the date 2026-02-30 never comes",
        "*-*~1",
    ),
    (
        "2027-02-29 12:00",
        "2027-02-29",
        "the date 2027-02-29 never comes",
        "*-*~1",
    ),
    (
        "*-04~31",
        "*-04~31",
        "the date *-04~31 never comes",
        "*-*~1",
    ),
    (
        "Mon 2026-01-01",
        "Mon",
        "2026-01-01 is never a Mon",
        "remove the day of the week",
    ),
    (
        "09:00 Europe/Berlinn",
        "Europe/Berlinn",
        "\"Europe/Berlinn\" is no time zone",
        "IANA",
    ),
    (
        "09:00 europe/berlin",
        "europe/berlin",
        "\"europe/berlin\" is no time zone",
        "did you mean Europe/Berlin?",
    ),
    (
        "09:00 UTC 10:00",
        "10:00",
        "\"10:00\" is no day of the week, date, time or time zone in this place",
        "Mon..Fri",
    ),
    ("09:00 Mon", "Mon", "\"Mon\" is no time zone", "IANA"),
    ("daily Foo", "Foo", "\"Foo\" is no time zone", "IANA"),
    (
        "daily UTC x",
        "x",
        "\"x\" is no day of the week, date, time or time zone in this place",
        "daily",
    ),
    (
        "*:0/60",
        "60",
        "\"60\" is no step among the minutes",
        "1 to 59",
    ),
    (
        "ΔΔΔ 09:00",
        "ΔΔΔ",
        "\"ΔΔΔ\" is no day of the week, date, time or time zone in this place",
        "Mon..Fri",
    ),
];

#[test]
fn each_mistake_is_found_at_its_place() {
    for (expression, underlined, message, hint) in MISTAKES {
        let error = Schedule::parse(expression).expect_err(expression);
        let place = expression.get(error.offset..error.offset + error.length);
        let found_hint = error.hint.clone().unwrap_or_default();
        assert_eq!(
            (place, error.message.as_str()),
            (Some(*underlined), *message),
            "{expression}"
        );
        assert!(found_hint.contains(hint), "{expression}: {found_hint}");
    }
}

#[test]
fn an_endless_expression_is_refused() {
    let long = format!("{}0 * * * *", "0,".repeat(EXPRESSION_BYTES_MAX));
    assert!(
        Schedule::parse(&long)
            .unwrap_err()
            .message
            .contains("bytes")
    );
}
