//! What shall run: unit files of the release, of the operator, and of this boot (fw_cfg).

use super::{Boot, StageError};
use crate::unit_files::is_unit_path;
use crate::{choices, console, unit_files};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// A JSON object: file name → text (Documentation/ABI/testing/sysfs-firmware-qemu_fw_cfg).
const FW_CFG_UNITS: &str = "/sys/firmware/qemu_fw_cfg/by_name/opt/keelson/units/raw";

pub(super) fn run(boot: &mut Boot) -> Result<(), StageError> {
    let handed_over = take_fw_cfg();
    boot.choices = choices::read();
    let loaded = unit::load_layers(unit_files::layers(None), &boot.choices);
    for diagnostic in &loaded.diagnostics {
        console::warn(diagnostic);
    }
    if let Some(memory) = sys::memory::total()
        && let Some(line) = unit::over_commitment(&loaded.set, memory)
    {
        console::warn(line);
    }
    boot.units = Some(loaded);
    handed_over
}

/// Unit files that the virtual machine's owner gave to this boot.
fn take_fw_cfg() -> Result<(), StageError> {
    let text = match fs::read(FW_CFG_UNITS) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(StageError::io(FW_CFG_UNITS, error)),
    };
    let files: BTreeMap<String, String> = serde_json::from_slice(&text)
        .map_err(|error| StageError::text(format!("fw_cfg opt/keelson/units: {error}")))?;
    for (name, text) in files {
        if !is_unit_path(&name) {
            console::warn(format_args!(
                "fw_cfg opt/keelson/units: {name:?} is neither a file name nor a drop-in: ignoring it"
            ));
            continue;
        }
        let path = Path::new(sys::paths::RUN_UNITS).join(&name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)
                .map_err(|error| StageError::io(folder.display().to_string(), error))?;
        }
        fs::write(&path, text)
            .map_err(|error| StageError::io(path.display().to_string(), error))?;
    }
    Ok(())
}
