//! What changes from one set of units to another: for `keelctl diff`, and for what `keelctl apply` has to do.

use crate::keys::Keys;
use crate::{Needs, Unit, UnitName, UnitSet};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Of one unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitChange {
    pub unit: UnitName,
    pub change: Change,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    Added,
    Removed,
    /// At least one key.
    Changed {
        keys: Vec<KeyChange>,
    },
}

/// One key whose value differs; defaults count as if they were written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyChange {
    /// `service.restart`, `env.PATH`, `mounts."/data"`
    pub key: String,
    /// As the unit file has it; `None`: not given.
    pub old: Option<String>,
    pub new: Option<String>,
    pub needs: Needs,
}

impl UnitChange {
    /// What it takes to put the whole change into effect. A unit that is added is started and one that is removed is
    /// stopped, which is no restart.
    #[must_use]
    pub fn needs(&self) -> Needs {
        match &self.change {
            Change::Added | Change::Removed => Needs::Nothing,
            Change::Changed { keys } => {
                let needs = keys.iter().map(|key| key.needs);
                needs.max().unwrap_or(Needs::Nothing)
            }
        }
    }
}

/// The units that differ, in the order of their names. One whose file has moved but says the same does not.
#[must_use]
pub fn diff(old: &UnitSet, new: &UnitSet) -> Vec<UnitChange> {
    diff_units(old.units(), new.units())
}

/// As [`diff`], of units that need not be a set.
#[must_use]
pub fn diff_units<'u>(
    old: impl IntoIterator<Item = &'u Unit>,
    new: impl IntoIterator<Item = &'u Unit>,
) -> Vec<UnitChange> {
    let by_name = |unit: &'u Unit| (&unit.name, unit);
    let old: BTreeMap<&UnitName, &Unit> = old.into_iter().map(by_name).collect();
    let new: BTreeMap<&UnitName, &Unit> = new.into_iter().map(by_name).collect();
    let mut names: Vec<&UnitName> = old.keys().chain(new.keys()).copied().collect();
    names.sort_by(|a, b| a.natural_order(b));
    names.dedup();
    let changes = names.into_iter().filter_map(|name| {
        let change = match (old.get(name), new.get(name)) {
            (None, None) => return None,
            (None, Some(_)) => Change::Added,
            (Some(_), None) => Change::Removed,
            (Some(before), Some(after)) => {
                let keys = differing(&Keys::of(before), &Keys::of(after));
                if keys.is_empty() {
                    return None;
                }
                Change::Changed { keys }
            }
        };
        Some(UnitChange {
            unit: name.clone(),
            change,
        })
    });
    changes.collect()
}

fn differing(old: &Keys, new: &Keys) -> Vec<KeyChange> {
    let paths: BTreeSet<&String> = old.entries.keys().chain(new.entries.keys()).collect();
    let changes = paths.into_iter().filter_map(|path| {
        let (before, after) = (old.entries.get(path), new.entries.get(path));
        let text = |entry: Option<&(String, Needs)>| entry.map(|(text, _)| text.clone());
        let needs = before.or(after).map(|(_, needs)| *needs)?;
        (before != after).then(|| KeyChange {
            key: path.clone(),
            old: text(before),
            new: text(after),
            needs,
        })
    });
    changes.collect()
}
