//! What an operator has decided about units beside their files: enable, disable, mask, profiles.
//!
//! ```text
//! file says              operator says     unit
//! wanted_by = [t]        –                 started with t
//! wanted_by = [t]        disable           started when something else needs it, or by hand
//! wanted_by = []         enable            started with default.target
//! any                    mask              nothing starts it
//! profiles = [p]         –                 nothing starts it
//! profiles = [p]         enable, or p      as without profiles
//! ```
//!
//! The units stay in the set, so that `status` knows them and a running one is not stopped; what would start them is left
//! out of its edges. A unit that cannot do without a barred one is refused where that is found, not when it starts.

use crate::{Unit, UnitName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// Names may be of units that there are not (any more): then they mean nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Choices {
    pub enabled: BTreeSet<UnitName>,
    pub disabled: BTreeSet<UnitName>,
    pub masked: BTreeSet<UnitName>,
    pub profiles: BTreeSet<String>,
}

/// Why nothing starts a unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bar {
    Masked,
    /// It belongs to these, and none of them is enabled.
    Profiles(Vec<String>),
}

/// What comes of file and choices, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Enablement {
    /// A target starts it.
    Enabled,
    /// Something that needs it starts it, or the operator.
    Disabled,
    Masked,
    /// None of its profiles is enabled.
    NotInProfile,
}

impl Enablement {
    /// `enabled`
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
            Self::Masked => "masked",
            Self::NotInProfile => "not in an enabled profile",
        }
    }
}

impl Choices {
    #[must_use]
    pub fn bar(&self, unit: &Unit) -> Option<Bar> {
        if self.masked.contains(&unit.name) {
            return Some(Bar::Masked);
        }
        let in_profile = unit.profiles.is_empty()
            || self.enabled.contains(&unit.name)
            || unit.profiles.iter().any(|it| self.profiles.contains(it));
        (!in_profile).then(|| Bar::Profiles(unit.profiles.clone()))
    }

    /// The targets that start it.
    #[must_use]
    pub fn wanted_by(&self, unit: &Unit) -> Vec<UnitName> {
        if self.bar(unit).is_some() || self.disabled.contains(&unit.name) {
            return Vec::new();
        }
        if unit.wanted_by.is_empty() && self.enabled.contains(&unit.name) {
            return vec![UnitName::default_target()];
        }
        unit.wanted_by.clone()
    }

    #[must_use]
    pub fn enablement(&self, unit: &Unit) -> Enablement {
        match self.bar(unit) {
            Some(Bar::Masked) => Enablement::Masked,
            Some(Bar::Profiles(_)) => Enablement::NotInProfile,
            None if self.wanted_by(unit).is_empty() => Enablement::Disabled,
            None => Enablement::Enabled,
        }
    }

    pub fn enable(&mut self, unit: UnitName) {
        self.disabled.remove(&unit);
        self.enabled.insert(unit);
    }

    pub fn disable(&mut self, unit: UnitName) {
        self.enabled.remove(&unit);
        self.disabled.insert(unit);
    }
}

/// "unit `db` IS", and what to do.
impl fmt::Display for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Masked => f.write_str("is masked"),
            Self::Profiles(profiles) => {
                let (word, none) = match profiles.len() {
                    1 => ("profile", "which is not enabled"),
                    _ => ("profiles", "none of which is enabled"),
                };
                write!(f, "belongs to {word} {}, {none}", profiles.join(", "))
            }
        }
    }
}

impl Bar {
    /// How to take it away.
    #[must_use]
    pub fn advice(&self, unit: &UnitName) -> String {
        match self {
            Self::Masked => format!("`keelctl unmask {unit}` first"),
            Self::Profiles(profiles) => {
                let profile = profiles.first().map(String::as_str).unwrap_or_default();
                format!("`keelctl enable {unit}` or `keelctl enable --profile {profile}` first")
            }
        }
    }
}
