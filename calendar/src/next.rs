//! The next instant, over the changes of a zone's clocks.
//!
//! ```text
//! spring:  offset +1 ──────────────┤ offset +2 ─────────▶      autumn:  offset +2 ────────────┤ offset +1 ──────▶
//! clock:   … 01:59:59   (02:00 … 02:59 skipped)  03:00 …       clock:   … 02:59:59   02:00 (again) … 03:00 …
//! ```
//!
//! Time is a row of spans with one offset each. Within a span the clock on the wall never changes, and `Schedule`
//! searches there; at the start of a span, a fixed time that was skipped is due, and one that was had already is not.

use crate::Schedule;
use crate::schedule::end_s;
use crate::zone::Zone;

impl Schedule {
    /// The first instant after `unix_ms` (milliseconds since 1970, UTC) at which this is due, in a zone; one that the
    /// expression names itself comes first. `None`: never again.
    #[must_use]
    pub fn next_after(&self, unix_ms: i64, zone: &Zone) -> Option<i64> {
        let zone = self.zone.as_ref().unwrap_or(zone);
        // Before 1970 nothing is due; and no sum below can overflow.
        let mut from = unix_ms.div_euclid(1_000).max(-86_400 * 2) + 1;
        while from < end_s() {
            let span = zone.span(from);
            let offset = i64::from(span.offset_s);
            let mut local = from + offset;
            if let Some(start) = span.start
                && !self.repeats
            {
                let before = start.at + i64::from(start.offset_before_s);
                let after = start.at + offset;
                if from == start.at && self.next_local(before, after).is_some() {
                    return Some(from * 1_000);
                }
                local = local.max(before);
            }
            let until = span.end.map_or(i64::MAX, |end| end + offset);
            if let Some(found) = self.next_local(local, until) {
                return Some((found - offset) * 1_000);
            }
            from = span.end?;
        }
        None
    }

    /// Whether the expression names a time zone of its own.
    #[must_use]
    pub fn names_a_zone(&self) -> bool {
        self.zone.is_some()
    }
}
