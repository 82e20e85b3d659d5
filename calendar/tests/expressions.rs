//! What each form of expression means: the next three times after an instant, in UTC.

mod support;

use support::following;

/// Expression, after, the next times without the offset.
type Row = (&'static str, &'static str, &'static [&'static str]);

fn check(rows: &[Row]) {
    for (expression, after, expected) in rows {
        let found = following(expression, after, "UTC", expected.len());
        let found: Vec<&str> = found
            .iter()
            .map(|text| text.trim_end_matches(" +00:00"))
            .collect();
        assert_eq!(found, *expected, "{expression} after {after}");
    }
}

const NEW_YEAR: &str = "2026-01-01 00:00:00";

#[test]
fn five_fields_are_minute_hour_day_month_weekday() {
    check(&[
        (
            "* * * * *",
            NEW_YEAR,
            &["2026-01-01 Thu 00:01:00", "2026-01-01 Thu 00:02:00"],
        ),
        (
            "30 4 * * *",
            NEW_YEAR,
            &["2026-01-01 Thu 04:30:00", "2026-01-02 Fri 04:30:00"],
        ),
        (
            "*/20 9-10 * * *",
            NEW_YEAR,
            &[
                "2026-01-01 Thu 09:00:00",
                "2026-01-01 Thu 09:20:00",
                "2026-01-01 Thu 09:40:00",
                "2026-01-01 Thu 10:00:00",
            ],
        ),
        (
            "5/25 3 * * *",
            NEW_YEAR,
            &[
                "2026-01-01 Thu 03:05:00",
                "2026-01-01 Thu 03:30:00",
                "2026-01-01 Thu 03:55:00",
                "2026-01-02 Fri 03:05:00",
            ],
        ),
        (
            "0 0 1,15 feb-apr *",
            NEW_YEAR,
            &[
                "2026-02-01 Sun 00:00:00",
                "2026-02-15 Sun 00:00:00",
                "2026-03-01 Sun 00:00:00",
            ],
        ),
        (
            "0 9 * * mon-fri",
            NEW_YEAR,
            &[
                "2026-01-01 Thu 09:00:00",
                "2026-01-02 Fri 09:00:00",
                "2026-01-05 Mon 09:00:00",
            ],
        ),
        (
            "0 9 * JANUARY Monday",
            NEW_YEAR,
            &["2026-01-05 Mon 09:00:00", "2026-01-12 Mon 09:00:00"],
        ),
        (
            "10-30/10 0 * * *",
            NEW_YEAR,
            &[
                "2026-01-01 Thu 00:10:00",
                "2026-01-01 Thu 00:20:00",
                "2026-01-01 Thu 00:30:00",
                "2026-01-02 Fri 00:10:00",
            ],
        ),
        (
            "0 0 * * *",
            "2026-12-31 23:59:59.999",
            &["2027-01-01 Fri 00:00:00"],
        ),
    ]);
}

#[test]
fn a_sixth_field_in_front_is_the_second() {
    check(&[
        (
            "*/30 * * * * *",
            NEW_YEAR,
            &["2026-01-01 Thu 00:00:30", "2026-01-01 Thu 00:01:00"],
        ),
        (
            "15 30 4 * * *",
            NEW_YEAR,
            &["2026-01-01 Thu 04:30:15", "2026-01-02 Fri 04:30:15"],
        ),
    ]);
}

#[test]
fn zero_and_seven_are_sunday_and_sunday_ends_a_range() {
    let sundays: &[&str] = &["2026-01-04 Sun 00:00:00", "2026-01-11 Sun 00:00:00"];
    let ends: &[&str] = &[
        "2026-01-02 Fri 00:00:00",
        "2026-01-03 Sat 00:00:00",
        "2026-01-04 Sun 00:00:00",
        "2026-01-09 Fri 00:00:00",
    ];
    check(&[
        ("0 0 * * 0", NEW_YEAR, sundays),
        ("0 0 * * 7", NEW_YEAR, sundays),
        ("0 0 * * sun", NEW_YEAR, sundays),
        ("0 0 * * fri-sun", NEW_YEAR, ends),
        ("0 0 * * 5-7", NEW_YEAR, ends),
        ("0 0 * * 0-0", NEW_YEAR, sundays),
        ("0 0 * * 5-0", NEW_YEAR, ends),
        (
            "0 0 * * */3",
            NEW_YEAR,
            &[
                "2026-01-03 Sat 00:00:00",
                "2026-01-04 Sun 00:00:00",
                "2026-01-07 Wed 00:00:00",
            ],
        ),
    ]);
}

#[test]
fn two_restricted_day_fields_match_either_a_starred_one_both() {
    check(&[
        // crontab(5): the 1st and the 15th, and every Friday.
        (
            "30 4 1,15 * 5",
            NEW_YEAR,
            &[
                "2026-01-01 Thu 04:30:00",
                "2026-01-02 Fri 04:30:00",
                "2026-01-09 Fri 04:30:00",
                "2026-01-15 Thu 04:30:00",
            ],
        ),
        // Begins with a star, so it does not count as restricted: Mondays with an odd date.
        (
            "0 0 */2 * mon",
            NEW_YEAR,
            &[
                "2026-01-05 Mon 00:00:00",
                "2026-01-19 Mon 00:00:00",
                "2026-02-09 Mon 00:00:00",
            ],
        ),
        // 30 February never comes, but Mondays of February do.
        ("0 0 30 2 mon", NEW_YEAR, &["2026-02-02 Mon 00:00:00"]),
    ]);
}

#[test]
fn words_of_cron_and_of_systemd() {
    check(&[
        ("@hourly", NEW_YEAR, &["2026-01-01 Thu 01:00:00"]),
        ("@daily", NEW_YEAR, &["2026-01-02 Fri 00:00:00"]),
        ("@midnight", NEW_YEAR, &["2026-01-02 Fri 00:00:00"]),
        ("@weekly", NEW_YEAR, &["2026-01-04 Sun 00:00:00"]),
        ("@monthly", NEW_YEAR, &["2026-02-01 Sun 00:00:00"]),
        ("@yearly", NEW_YEAR, &["2027-01-01 Fri 00:00:00"]),
        ("@annually", NEW_YEAR, &["2027-01-01 Fri 00:00:00"]),
        ("minutely", NEW_YEAR, &["2026-01-01 Thu 00:01:00"]),
        ("hourly", NEW_YEAR, &["2026-01-01 Thu 01:00:00"]),
        ("daily", NEW_YEAR, &["2026-01-02 Fri 00:00:00"]),
        ("weekly", NEW_YEAR, &["2026-01-05 Mon 00:00:00"]),
        ("monthly", NEW_YEAR, &["2026-02-01 Sun 00:00:00"]),
        ("quarterly", NEW_YEAR, &["2026-04-01 Wed 00:00:00"]),
        (
            "semiannually",
            NEW_YEAR,
            &["2026-07-01 Wed 00:00:00", "2027-01-01 Fri 00:00:00"],
        ),
        ("Yearly", NEW_YEAR, &["2027-01-01 Fri 00:00:00"]),
    ]);
}

#[test]
fn weekdays_dates_and_times_as_systemd_time_7_has_them() {
    check(&[
        (
            "Mon..Fri 09:00",
            NEW_YEAR,
            &[
                "2026-01-01 Thu 09:00:00",
                "2026-01-02 Fri 09:00:00",
                "2026-01-05 Mon 09:00:00",
            ],
        ),
        (
            "Sat,Sun 10:30",
            NEW_YEAR,
            &[
                "2026-01-03 Sat 10:30:00",
                "2026-01-04 Sun 10:30:00",
                "2026-01-10 Sat 10:30:00",
            ],
        ),
        (
            "Sat,Thu,Mon-Wed,Sat-Sun",
            NEW_YEAR,
            &[
                "2026-01-03 Sat 00:00:00",
                "2026-01-04 Sun 00:00:00",
                "2026-01-05 Mon 00:00:00",
            ],
        ),
        (
            "Mon,Sun 12-* 2,1:23",
            NEW_YEAR,
            &[
                "2026-12-06 Sun 01:23:00",
                "2026-12-06 Sun 02:23:00",
                "2026-12-07 Mon 01:23:00",
            ],
        ),
        ("*-*-01 00:00:00", NEW_YEAR, &["2026-02-01 Sun 00:00:00"]),
        (
            "*:0/15",
            NEW_YEAR,
            &["2026-01-01 Thu 00:15:00", "2026-01-01 Thu 00:30:00"],
        ),
        ("*:*:0/20", NEW_YEAR, &["2026-01-01 Thu 00:00:20"]),
        (
            "Wed *-1",
            NEW_YEAR,
            &["2026-04-01 Wed 00:00:00", "2026-07-01 Wed 00:00:00"],
        ),
        ("Wed..Wed,Wed *-1", NEW_YEAR, &["2026-04-01 Wed 00:00:00"]),
        (
            "10-15",
            NEW_YEAR,
            &["2026-10-15 Thu 00:00:00", "2027-10-15 Fri 00:00:00"],
        ),
        (
            "Mon *-*-1..7 09:00",
            NEW_YEAR,
            &["2026-01-05 Mon 09:00:00", "2026-02-02 Mon 09:00:00"],
        ),
        (
            "2027..2029/2-02-28 12:00",
            NEW_YEAR,
            &["2027-02-28 Sun 12:00:00", "2029-02-28 Wed 12:00:00"],
        ),
        (
            "*-*-* 08..12/2:00,30",
            NEW_YEAR,
            &[
                "2026-01-01 Thu 08:00:00",
                "2026-01-01 Thu 08:30:00",
                "2026-01-01 Thu 10:00:00",
            ],
        ),
    ]);
}

#[test]
fn a_tilde_counts_days_from_the_end_of_the_month() {
    check(&[
        (
            "*-*~1",
            NEW_YEAR,
            &[
                "2026-01-31 Sat 00:00:00",
                "2026-02-28 Sat 00:00:00",
                "2026-03-31 Tue 00:00:00",
                "2026-04-30 Thu 00:00:00",
            ],
        ),
        (
            "*-02~03",
            NEW_YEAR,
            &[
                "2026-02-26 Thu 00:00:00",
                "2027-02-26 Fri 00:00:00",
                "2028-02-27 Sun 00:00:00",
            ],
        ),
        (
            "Mon *-05~07/1",
            NEW_YEAR,
            &["2026-05-25 Mon 00:00:00", "2027-05-31 Mon 00:00:00"],
        ),
        (
            "*-02~1..3",
            NEW_YEAR,
            &[
                "2026-02-26 Thu 00:00:00",
                "2026-02-27 Fri 00:00:00",
                "2026-02-28 Sat 00:00:00",
                "2027-02-26 Fri 00:00:00",
            ],
        ),
        ("*-02~29", NEW_YEAR, &["2028-02-01 Tue 00:00:00"]),
    ]);
}

#[test]
fn a_leap_day_comes_every_fourth_year_but_for_most_centuries() {
    check(&[
        (
            "0 0 29 2 *",
            NEW_YEAR,
            &["2028-02-29 Tue 00:00:00", "2032-02-29 Sun 00:00:00"],
        ),
        (
            "*-02-29",
            "2096-02-29 00:00:00",
            &["2104-02-29 Fri 00:00:00"],
        ),
        ("Mon 02-29", NEW_YEAR, &["2044-02-29 Mon 00:00:00"]),
    ]);
}

#[test]
fn a_zone_in_the_expression_comes_before_the_given_one() {
    check(&[
        (
            "03:00 Europe/Berlin",
            "2026-06-30 12:00:00",
            &["2026-07-01 Wed 01:00:00"],
        ),
        (
            "daily Pacific/Auckland",
            NEW_YEAR,
            &["2026-01-01 Thu 11:00:00"],
        ),
        (
            "Mon..Fri *-*-* 09:00:00 UTC",
            NEW_YEAR,
            &["2026-01-01 Thu 09:00:00"],
        ),
    ]);
}

#[test]
fn what_is_past_never_comes_again() {
    let none: &[&str] = &[];
    assert_eq!(following("2020-01-01", NEW_YEAR, "UTC", 1), none);
    assert_eq!(
        following("daily", "2199-12-31T00:00:00Z", "Europe/Berlin", 1),
        none
    );
    let schedule = calendar::Schedule::parse("daily").unwrap();
    let utc = calendar::Zone::utc();
    assert_eq!(schedule.next_after(i64::MAX, &utc), None);
    assert_eq!(schedule.next_after(i64::MIN, &utc), Some(0));
    assert_eq!(schedule.next_after(-1, &utc), Some(0));
    assert_eq!(schedule.next_after(0, &utc), Some(86_400_000));
}
