//! When the clocks change: the rule of cron(8), as the head of the crate states it.

mod support;

use support::following;

const BERLIN: &str = "Europe/Berlin";
/// Clocks go from 02:00 to 03:00 on 29 March 2026, and from 03:00 back to 02:00 on 25 October 2026.
const BEFORE_SPRING: &str = "2026-03-28 12:00:00";
const BEFORE_AUTUMN: &str = "2026-10-24 12:00:00";

#[test]
fn a_skipped_fixed_time_is_due_once_the_moment_after_the_gap() {
    for expression in ["30 2 * * *", "02:30", "*-*-* 02:30:00"] {
        assert_eq!(
            following(expression, BEFORE_SPRING, BERLIN, 2),
            [
                "2026-03-29 Sun 03:00:00 +02:00",
                "2026-03-30 Mon 02:30:00 +02:00"
            ],
            "{expression}"
        );
    }
}

#[test]
fn several_skipped_times_are_due_once_together() {
    assert_eq!(
        following("0,10,59 2,3 * * *", "2026-03-29 01:00:00", BERLIN, 3),
        [
            "2026-03-29 Sun 03:00:00 +02:00",
            "2026-03-29 Sun 03:10:00 +02:00",
            "2026-03-29 Sun 03:59:00 +02:00"
        ],
    );
}

#[test]
fn a_doubled_fixed_time_is_due_the_first_time_only() {
    assert_eq!(
        following("30 2 * * *", BEFORE_AUTUMN, BERLIN, 2),
        [
            "2026-10-25 Sun 02:30:00 +02:00",
            "2026-10-26 Mon 02:30:00 +01:00"
        ],
    );
    // Asked in the second pass, after a start of the machine there.
    assert_eq!(
        following("30 2 * * *", "2026-10-25T01:15:00Z", BERLIN, 1),
        ["2026-10-26 Mon 02:30:00 +01:00"],
    );
    // The end of the doubled hour has been once only.
    assert_eq!(
        following("0 3 * * *", BEFORE_AUTUMN, BERLIN, 1),
        ["2026-10-25 Sun 03:00:00 +01:00"],
    );
}

#[test]
fn a_repeating_one_goes_by_the_wall_clock() {
    assert_eq!(
        following("30 * * * *", "2026-03-29 01:00:00", BERLIN, 2),
        [
            "2026-03-29 Sun 01:30:00 +01:00",
            "2026-03-29 Sun 03:30:00 +02:00"
        ],
    );
    assert_eq!(
        following("*:30", "2026-10-25 01:00:00", BERLIN, 4),
        [
            "2026-10-25 Sun 01:30:00 +02:00",
            "2026-10-25 Sun 02:30:00 +02:00",
            "2026-10-25 Sun 02:30:00 +01:00",
            "2026-10-25 Sun 03:30:00 +01:00"
        ],
    );
    // A star in the minute alone repeats too, as cron(8) says: nothing in spring, twice in autumn.
    assert_eq!(
        following("*/30 2 * * *", BEFORE_SPRING, BERLIN, 1),
        ["2026-03-30 Mon 02:00:00 +02:00"],
    );
    assert_eq!(
        following("0/30 2 * * *", "2026-10-25 01:00:00", BERLIN, 5).len(),
        5
    );
    assert_eq!(
        following("0/30 2 * * *", "2026-10-25 01:00:00", BERLIN, 5)[4],
        "2026-10-26 Mon 02:00:00 +01:00",
    );
}

#[test]
fn every_quarter_of_an_hour_is_900_seconds_the_whole_year() {
    let schedule = calendar::Schedule::parse("*/15 * * * *").unwrap();
    for name in [
        BERLIN,
        "America/New_York",
        "Australia/Lord_Howe",
        "Asia/Kathmandu",
    ] {
        let zone = calendar::Zone::find(name).unwrap();
        let mut at = support::instant_ms("2026-01-01T00:00:00Z", "UTC");
        for _ in 0..366 * 96 {
            let next = schedule.next_after(at, &zone).unwrap();
            assert_eq!(next - at, 900_000, "{name} at {}", support::text(at, name));
            at = next;
        }
    }
}

#[test]
fn half_an_hour_of_lord_howe_and_a_skipped_midnight_of_havana() {
    // 02:00 to 02:30.
    assert_eq!(
        following(
            "15 2 * * *",
            "2026-10-03 12:00:00",
            "Australia/Lord_Howe",
            2
        ),
        [
            "2026-10-04 Sun 02:30:00 +11:00",
            "2026-10-05 Mon 02:15:00 +11:00"
        ],
    );
    // 00:00 to 01:00.
    assert_eq!(
        following("daily", "2026-03-07 12:00:00", "America/Havana", 2),
        [
            "2026-03-08 Sun 01:00:00 -04:00",
            "2026-03-09 Mon 00:00:00 -04:00"
        ],
    );
    // 01:00 back to 00:00: midnight comes twice.
    assert_eq!(
        following("daily", "2026-10-31 12:00:00", "America/Havana", 2),
        [
            "2026-11-01 Sun 00:00:00 -04:00",
            "2026-11-02 Mon 00:00:00 -05:00"
        ],
    );
}

#[test]
fn changes_that_follow_no_rule_count_too() {
    // Cairo goes by the last Thursday of October, at 24:00, which is a Friday.
    assert_eq!(
        following("30 23 * * *", "2026-10-29 12:00:00", "Africa/Cairo", 2),
        [
            "2026-10-29 Thu 23:30:00 +03:00",
            "2026-10-30 Fri 23:30:00 +02:00"
        ],
    );
    // Gaza ends summer before Ramadan, on dates of the moon.
    let gaza = following("0 3 * * *", "2026-01-01 00:00:00", "Asia/Gaza", 365);
    assert_eq!(gaza.len(), 365);
}
