//! `rootfs/modules.toml`: which modules the image carries.

use crate::error::{BuildError, at, content};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct List {
    /// Loaded at every boot, in this order; uncompressed.
    pub(crate) boot: Vec<String>,
    /// Loaded when the hardware is there; uncompressed.
    pub(crate) common: Vec<String>,
    /// Loaded when the hardware is there; compressed.
    pub(crate) hardware: Vec<String>,
    /// Loaded when something asks; compressed.
    pub(crate) containers: Vec<String>,
    /// Only in an image that asks for the part; compressed.
    #[serde(default)]
    pub(crate) parts: BTreeMap<String, Vec<String>>,
}

impl List {
    pub(crate) fn read(path: &Path) -> Result<Self, BuildError> {
        let text = std::fs::read_to_string(path).map_err(at(path))?;
        toml::from_str(&text).map_err(|error| content(path, error.to_string()))
    }
}
