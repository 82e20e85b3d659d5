//! A validated unit together with where in its file the parts stand that can still turn out wrong among other units.

use crate::{Diagnostic, Place, Unit, UnitName};
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) unit: Unit,
    /// `unit.after.db`, `ports.0` → where that is written.
    pub(crate) places: BTreeMap<String, Place>,
    /// For `7001-7100:6379`: position of the port in `unit`, and the last host port it may get. The first is its
    /// `host_port`, until one is chosen.
    pub(crate) choices: BTreeMap<usize, u16>,
}

impl Draft {
    pub(crate) fn name(&self) -> &UnitName {
        &self.unit.name
    }

    pub(crate) fn place(&self, key: &str) -> Option<Place> {
        self.places.get(key).cloned()
    }

    pub(crate) fn error(&self, key: &str, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(&self.unit.source, self.place(key), message)
    }

    pub(crate) fn warning(&self, key: &str, message: impl Into<String>) -> Diagnostic {
        Diagnostic::warning(&self.unit.source, self.place(key), message)
    }
}

impl From<Unit> for Draft {
    fn from(unit: Unit) -> Self {
        Self {
            unit,
            places: BTreeMap::new(),
            choices: BTreeMap::new(),
        }
    }
}
