//! UEFI firmware (OVMF): code that all machines share, and variables of which each machine has its own copy.

use host::packages::FIRMWARE;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Firmware {
    /// Read-only flash.
    pub code: PathBuf,
    /// The empty variable store that belongs to it.
    pub variables: PathBuf,
}

impl Firmware {
    /// The one that is installed; none: `ovmf` is missing.
    #[must_use]
    pub fn find() -> Option<Self> {
        FIRMWARE.iter().map(Path::new).find_map(|code| {
            let variables = variables_of(code)?;
            (code.is_file() && variables.is_file()).then(|| Self {
                code: code.to_owned(),
                variables,
            })
        })
    }
}

/// Distributions name the two alike: `OVMF_CODE_4M.fd` and `OVMF_VARS_4M.fd`, `ovmf-x86_64-code.bin` and `…-vars.bin`.
fn variables_of(code: &Path) -> Option<PathBuf> {
    let name = code.file_name()?.to_str()?;
    Some(code.with_file_name(name.replace("CODE", "VARS").replace("code", "vars")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_code_volume_has_a_variable_volume_of_another_name() {
        for code in FIRMWARE.iter().map(Path::new) {
            assert_ne!(variables_of(code).unwrap(), code, "{}", code.display());
        }
    }
}
