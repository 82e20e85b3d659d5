//! The name of a unit.

use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::fmt;

/// A container is named without its suffix (`web`, `redis@1`), everything else with it (`default.target`).
///
/// Letters, digits, `_`, `-`, `.` and, between template and instance, one `@`; at most [`UnitName::BYTES_MAX`] bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnitName(String);

impl UnitName {
    /// The name is a folder, a cgroup and a log file: 255 bytes is the limit of each (NAME_MAX), less room for suffixes.
    pub const BYTES_MAX: usize = 200;

    /// `None` when the text is not a unit name.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '@');
        let first = text.chars().next()?;
        let ok = text.len() <= Self::BYTES_MAX
            && (first.is_ascii_alphanumeric() || first == '_')
            && text.chars().all(good)
            && text.matches('@').count() <= 1
            && !text.ends_with('@');
        ok.then(|| Self(text.to_owned()))
    }

    /// `default.target`, which is started at boot and exists without a file.
    #[must_use]
    pub fn default_target() -> Self {
        Self("default.target".to_owned())
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `1` of `redis@1`.
    #[must_use]
    pub fn instance(&self) -> Option<&str> {
        self.0.split_once('@').map(|(_, instance)| instance)
    }

    /// `redis@2` before `redis@10`: by name, then numbers by value.
    pub(crate) fn natural_order(&self, other: &Self) -> Ordering {
        let key = |name: &Self| {
            let (base, instance) = name.0.split_once('@').unwrap_or((name.0.as_str(), ""));
            (
                base.to_owned(),
                instance.parse::<u64>().unwrap_or(u64::MAX),
                instance.to_owned(),
            )
        };
        key(self).cmp(&key(other))
    }
}

impl fmt::Display for UnitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
