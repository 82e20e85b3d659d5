//! When a timer is due: calendar expressions, cron's and systemd's, in any time zone.
//!
//! ```text
//! "0 3 * * 1-5"            ─ cron ──┐
//! "Mon..Fri 03:00"         ─ words ─┴─▶ Schedule ─ next_after(now, zone) ─▶ milliseconds since 1970, or never
//!                                                        │
//!                                   Zone ◀─ zones.txt ◀──┘
//! ```
//!
//! # Expressions
//!
//! **cron** (crontab(5)): `minute hour day-of-month month day-of-week`, or six fields with the second first. A field is a
//! list of `*`, `n`, `a-b`, each with `/step`; `n/step` goes on to the end of the field. Months and days of the week
//! have names (`jan`, `january`, `mon`, `monday`, in any case); 0 and 7 are Sunday, and Sunday may end a range. When
//! neither of the two day fields begins with `*`, a day is due that matches *either*; else one that matches both.
//! Also `@hourly @daily @midnight @weekly @monthly @yearly @annually`.
//!
//! **words** (systemd.time(7), "Calendar Events"): `[weekdays] [date] [time] [zone]`, such as `Mon..Fri 09:00`,
//! `*-*-01 00:00:00`, `*:0/15`, `Sat,Sun 10:30 Europe/Berlin`; `~` counts days from the end of the month (`*-*~1` is its
//! last day, `Mon *-*~7/1` its last Monday). Also `minutely hourly daily weekly monthly quarterly semiannually yearly`.
//! Not taken over: fractions of a second, years of two digits, `@` and a number of seconds.
//!
//! The one difference to know: cron's `@weekly` is Sunday, systemd's `weekly` Monday, each at midnight.
//!
//! # When the clocks change
//!
//! The rule is that of cron(8), for both languages. (systemd's own is not written down.)
//!
//! - A **fixed** time, as `30 2 * * *` or `02:30`: skipped in spring, it is due once, the moment the clocks have been
//!   put forward ("jobs which would have run in the time that was skipped will be run soon after the change"); of a
//!   doubled hour in autumn, the first is taken ("jobs that fall into the repeated time will not be re-run").
//! - A **repeating** one has `*`, `*/n` or an open `a/n` in its hour, minute or second. It goes by the wall clock: nothing
//!   is made up in spring, and in autumn the doubled hour has it twice ("jobs which are specified with wildcards are
//!   run based on the new time immediately"). So `*/15 * * * *` comes every 15 minutes the whole year.
//!
//! cron(8) restricts this to changes below three hours, because it can't tell them from an administrator's; here only
//! the zone's own changes count, so it holds for all of them (Samoa skipped a whole day in 2011).
//!
//! # Zones
//!
//! `zones.txt` has all names of the IANA database with their rules from 2025 on, 14 KiB, so that a check on any machine
//! and the machine itself give the same answer, and the image needs no /usr/share/zoneinfo. See [`zone`].
//!
//! # Invariants
//!
//! - No clock, no file, no panic; the same arguments give the same answer.
//! - `next_after` is later than what it was given, and ends: it looks no further than [`YEAR_LAST`].
//! - A date that never comes (30 February) is an error of `parse`.
//!
//! To add to a language: the word in `cron` or `words`, a row in `tests/expressions.rs`, and for a mistake `tests/mistakes.rs`.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::indexing_slicing
    )
)]

mod civil;
mod cron;
mod error;
mod expression;
mod field;
mod next;
mod schedule;
mod words;
pub mod zone;

pub use error::ParseError;
pub use schedule::Schedule;
pub use zone::{Zone, near_zone, zone_exists, zone_names};

/// The first year of Unix time.
pub const YEAR_FIRST: u16 = 1970;
/// Nothing is due after this year, as in systemd: a search for what never comes has an end.
pub const YEAR_LAST: u16 = 2199;
/// Longer than any expression that a person wrote.
pub const EXPRESSION_BYTES_MAX: usize = 512;
