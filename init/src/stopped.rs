//! Units that an operator stopped and that shall stay down over a reboot (`restart = "unless-stopped"`).

use crate::durable;
use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use supervisor::UnitId;
use unit::{Restart, UnitKind, UnitSet};

/// One unit name per line.
const FILE: &str = "/var/machine/stopped";

/// Those of the set that are down on purpose.
pub(crate) fn read(set: &UnitSet) -> Vec<UnitId> {
    let names = names();
    remembered(set)
        .filter(|(name, _)| names.contains(name.as_str()))
        .map(|(_, id)| id)
        .collect()
}

/// # Errors
/// When the list can't be written.
pub(crate) fn add(set: &UnitSet, units: &[UnitId]) -> io::Result<()> {
    change(set, units, |names, name| names.insert(name))
}

/// # Errors
/// When the list can't be written.
pub(crate) fn remove(set: &UnitSet, units: &[UnitId]) -> io::Result<()> {
    change(set, units, |names, name| names.remove(&name))
}

fn names() -> BTreeSet<String> {
    std::fs::read_to_string(FILE)
        .unwrap_or_default()
        .lines()
        .map(str::to_owned)
        .collect()
}

/// Units to which the rule applies.
fn remembered(set: &UnitSet) -> impl Iterator<Item = (String, UnitId)> {
    set.units()
        .iter()
        .zip(0..)
        .filter_map(|(unit, index)| match &unit.kind {
            UnitKind::Container(container)
                if container.service.restart == Restart::UnlessStopped =>
            {
                Some((unit.name.to_string(), UnitId(index)))
            }
            UnitKind::Container(_) | UnitKind::Target => None,
        })
}

fn change(
    set: &UnitSet,
    units: &[UnitId],
    apply: impl Fn(&mut BTreeSet<String>, String) -> bool,
) -> io::Result<()> {
    let mut names = names();
    let mut changed = false;
    for (name, _) in remembered(set).filter(|(_, id)| units.contains(id)) {
        changed |= apply(&mut names, name);
    }
    if !changed {
        return Ok(());
    }
    let text: String = names.iter().map(|name| format!("{name}\n")).collect();
    durable::write(Path::new(FILE), text.as_bytes())
}
