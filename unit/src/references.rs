//! Names of other units in a unit: do they exist, and if not, which were meant.

use crate::draft::Draft;
use crate::nearest::nearest;
use crate::{Dependencies, Diagnostic, Place, Unit, UnitName};
use std::collections::BTreeSet;

/// Names of the units that are not loaded.
pub(crate) struct BadNames(pub(crate) BTreeSet<String>);

impl BadNames {
    /// An instance of a template that could not be read may be meant to exist.
    pub(crate) fn has(&self, name: &UnitName) -> bool {
        let template = || {
            name.as_str()
                .split_once('@')
                .map(|(base, _)| format!("{base}@"))
        };
        self.0.contains(name.as_str())
            || template().is_some_and(|template| self.0.contains(&template))
    }
}

/// Each key of a unit that names others.
pub(crate) fn references(unit: &Unit) -> [(&'static str, &Vec<UnitName>); 5] {
    let Dependencies {
        after,
        before,
        requires,
        wants,
        ..
    } = &unit.dependencies;
    [
        ("after", after),
        ("before", before),
        ("requires", requires),
        ("wants", wants),
        ("wanted_by", &unit.wanted_by),
    ]
}

pub(crate) fn exists(name: &UnitName, known: &BTreeSet<UnitName>) -> bool {
    known.contains(name) || *name == UnitName::default_target()
}

type Report = fn(&str, Option<Place>, String) -> Diagnostic;

/// Says that the unit does not exist, and which one may have been meant.
pub(crate) fn unknown(
    draft: &Draft,
    key: &str,
    name: &UnitName,
    known: &BTreeSet<UnitName>,
    report: Report,
) -> Diagnostic {
    let verb = match key {
        "requires" => "requires",
        "wants" => "wants",
        "wanted_by" => "is wanted by",
        "before" => "is before",
        _ => "is after",
    };
    let message = format!(
        "unit `{}` {verb} `{name}`, which does not exist",
        draft.name()
    );
    let diagnostic = report(
        &draft.unit.source,
        draft.place(&format!("unit.{key}.{name}")),
        message,
    );
    let candidates = known
        .iter()
        .map(UnitName::as_str)
        .filter(|known| *known != draft.name().as_str());
    let default = UnitName::default_target();
    let instance = known.iter().find(|known| {
        known
            .as_str()
            .split_once('@')
            .is_some_and(|(base, _)| base == name.as_str())
    });
    match (
        instance,
        nearest(name.as_str(), candidates.chain([default.as_str()])),
    ) {
        (Some(instance), _) => diagnostic.hint(format!(
            "`{name}` is a template: name an instance of it, such as `{instance}`"
        )),
        (None, Some(near)) => {
            diagnostic.hint(format!("a unit with a similar name exists: `{near}`"))
        }
        (None, None) => diagnostic,
    }
}
