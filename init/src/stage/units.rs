//! What shall run: unit files of the release, of the operator, and of this boot (fw_cfg).

use super::{Boot, StageError};
use crate::console;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A JSON object: file name → text (Documentation/ABI/testing/sysfs-firmware-qemu_fw_cfg).
const FW_CFG_UNITS: &str = "/sys/firmware/qemu_fw_cfg/by_name/opt/keelson/units/raw";

pub(super) fn run(boot: &mut Boot) -> Result<(), StageError> {
    let handed_over = take_fw_cfg();
    let directories = [
        sys::paths::SYSTEM_UNITS,
        sys::paths::UNITS,
        sys::paths::RUN_UNITS,
    ]
    .map(PathBuf::from);
    let loaded = unit::load(&directories);
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

/// `web.container.toml`, or a drop-in: `web.container.toml.d/10-memory.toml`.
fn is_unit_path(name: &str) -> bool {
    let plain = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains('/');
    match name.split_once('/') {
        None => plain(name),
        Some((folder, file)) => plain(folder) && folder.ends_with(".toml.d") && plain(file),
    }
}

#[cfg(test)]
mod tests {
    use super::is_unit_path;

    #[test]
    fn nothing_is_written_outside_the_folder_of_units() {
        for good in ["web.container.toml", "web.container.toml.d/10.toml"] {
            assert!(is_unit_path(good), "{good}");
        }
        for bad in [
            "",
            ".x",
            "/etc/passwd",
            "../x.toml",
            "a/b.toml",
            "x.toml.d/../y.toml",
            "x.toml.d/.toml",
            "x.toml.d/",
            "..toml.d/x.toml",
        ] {
            assert!(!is_unit_path(bad), "{bad}");
        }
    }
}
