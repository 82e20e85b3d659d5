//! Units that an operator stopped and that shall stay down over a reboot (`restart = "unless-stopped"`).

use crate::durable;
use std::io;
use std::path::Path;
use supervisor::UnitId;
use unit::{UnitName, UnitSet};

/// One unit name per line.
const FILE: &str = "/var/machine/stopped";

/// Those of the set that were down on purpose when the machine went down.
pub(crate) fn read(set: &UnitSet) -> Vec<UnitId> {
    let text = std::fs::read_to_string(FILE).unwrap_or_default();
    let names = text.lines().filter_map(UnitName::new);
    names
        .filter_map(|name| set.find(&name))
        .map(UnitId)
        .collect()
}

/// # Errors
/// When the list can't be written.
pub(crate) fn write(set: &UnitSet, units: &[UnitId]) -> io::Result<()> {
    let names = units.iter().filter_map(|unit| set.get(unit.0));
    let text: String = names.map(|unit| format!("{}\n", unit.name)).collect();
    durable::write(Path::new(FILE), text.as_bytes())
}
