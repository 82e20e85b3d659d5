//! A validated unit together with where in its file the parts stand that can still turn out wrong among other units.

use crate::document::Spot;
use crate::{Diagnostic, Place, Unit, UnitName};
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) unit: Unit,
    /// `unit.after.db`, `ports.0` → where that is written.
    pub(crate) places: BTreeMap<String, Spot>,
    /// For `7001-7100:6379`: position of the port in `unit`, and the last host port it may get. The first is its
    /// `host_port`, until one is chosen.
    pub(crate) choices: BTreeMap<usize, u16>,
}

impl Draft {
    pub(crate) fn name(&self) -> &UnitName {
        &self.unit.name
    }

    pub(crate) fn place(&self, key: &str) -> Option<&Spot> {
        self.places.get(key)
    }

    pub(crate) fn error(&self, key: &str, message: impl Into<String>) -> Diagnostic {
        self.report(key, Diagnostic::error, message.into())
    }

    pub(crate) fn warning(&self, key: &str, message: impl Into<String>) -> Diagnostic {
        self.report(key, Diagnostic::warning, message.into())
    }

    fn report(
        &self,
        key: &str,
        make: fn(&str, Option<Place>, String) -> Diagnostic,
        message: String,
    ) -> Diagnostic {
        match self.place(key) {
            Some(Spot { file, place }) => make(file, Some(place.clone()), message),
            None => make(&self.unit.source, None, message),
        }
    }

    /// Adds the place of `key` to what is said about another unit.
    pub(crate) fn relate(
        &self,
        diagnostic: Diagnostic,
        key: &str,
        message: impl Into<String>,
    ) -> Diagnostic {
        match self.place(key) {
            Some(spot) => diagnostic.related(spot.clone(), message),
            None => diagnostic.related_in(&self.unit.source, None, message),
        }
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
