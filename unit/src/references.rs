//! Names of other units in a unit: do they exist, and if not, which were meant.

use crate::draft::Draft;
use crate::nearest::nearest;
use crate::{Dependencies, Diagnostic, Severity, Unit, UnitKind, UnitName};
use std::cell::Cell;
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

/// One key of a unit and the units that it names.
pub(crate) struct References<'u> {
    /// Its path without the name: `unit.after`.
    pub(crate) key: &'static str,
    /// "unit `web` VERB `db`"
    pub(crate) verb: &'static str,
    /// The unit can do nothing without them.
    pub(crate) hard: bool,
    pub(crate) names: Vec<&'u UnitName>,
}

impl References<'_> {
    /// `after`
    pub(crate) fn last(&self) -> &'static str {
        self.key.rsplit('.').next().unwrap_or(self.key)
    }

    /// As the draft remembers its places.
    pub(crate) fn place(&self, name: &UnitName) -> String {
        if self.key.starts_with("unit.") {
            format!("{}.{name}", self.key)
        } else {
            self.key.to_owned()
        }
    }
}

/// All of them. `depends_on` comes before those that it is expanded to.
pub(crate) fn references<'u>(unit: &'u Unit) -> Vec<References<'u>> {
    let Dependencies {
        after,
        before,
        requires,
        requisite,
        wants,
        binds_to,
        part_of,
        conflicts,
        on_failure,
        on_success,
        depends_on,
    } = &unit.dependencies;
    let list = |key, verb, hard, names| References {
        key,
        verb,
        hard,
        names,
    };
    let each = |names: &'u Vec<UnitName>| -> Vec<&'u UnitName> { names.iter().collect() };
    let depends = |required: bool| -> Vec<&'u UnitName> {
        let depends_on = depends_on.iter();
        let of_kind = depends_on.filter(|depends| depends.required == required);
        of_kind.map(|depends| &depends.unit).collect()
    };
    let timed = match &unit.kind {
        UnitKind::Timer { unit, .. } => vec![unit],
        UnitKind::Container(_) | UnitKind::Target => Vec::new(),
    };
    vec![
        list("timer.unit", "starts", true, timed),
        list("unit.depends_on", "depends on", true, depends(true)),
        list("unit.depends_on", "depends on", false, depends(false)),
        list("unit.requires", "requires", true, each(requires)),
        list("unit.requisite", "has the requisite", true, each(requisite)),
        list("unit.binds_to", "binds to", true, each(binds_to)),
        list("unit.wants", "wants", false, each(wants)),
        list("unit.after", "is after", false, each(after)),
        list("unit.before", "is before", false, each(before)),
        list("unit.part_of", "is part of", false, each(part_of)),
        list("unit.conflicts", "conflicts with", false, each(conflicts)),
        list(
            "unit.on_failure",
            "at its failure starts",
            false,
            each(on_failure),
        ),
        list(
            "unit.on_success",
            "at its success starts",
            false,
            each(on_success),
        ),
        list(
            "unit.wanted_by",
            "is wanted by",
            false,
            each(&unit.wanted_by),
        ),
    ]
}

/// What the unit can do nothing without.
pub(crate) struct Need<'u> {
    pub(crate) name: &'u UnitName,
    /// "unit `web` VERB `db`"
    pub(crate) verb: &'static str,
    /// As the draft remembers its places.
    pub(crate) place: String,
}

/// Each name once.
pub(crate) fn needs(unit: &Unit) -> Vec<Need<'_>> {
    let mut found: Vec<Need<'_>> = Vec::new();
    for references in references(unit).iter().filter(|references| references.hard) {
        for name in &references.names {
            if !found.iter().any(|need| need.name == *name) {
                found.push(Need {
                    name,
                    verb: references.verb,
                    place: references.place(name),
                });
            }
        }
    }
    found
}

/// The units that others start.
pub(crate) fn started_by_others<'u>(
    units: impl Iterator<Item = &'u Unit>,
) -> BTreeSet<&'u UnitName> {
    const STARTING: [&str; 7] = [
        "timer.unit",
        "unit.depends_on",
        "unit.requires",
        "unit.binds_to",
        "unit.wants",
        "unit.on_failure",
        "unit.on_success",
    ];
    let all = units.flat_map(references);
    let starting = all.filter(|references| STARTING.contains(&references.key));
    starting.flat_map(|references| references.names).collect()
}

pub(crate) fn exists(name: &UnitName, known: &BTreeSet<UnitName>) -> bool {
    known.contains(name) || *name == UnitName::default_target()
}

/// Looking for what was meant compares the name with all others: in a set of thousands of units whose names are all
/// wrong, that would take PID 1 a minute. So many are enough for a person.
const HINTS_MAX: u32 = 100;

/// How many hints are left to be looked for.
pub(crate) struct Hints(Cell<u32>);

impl Hints {
    pub(crate) fn new() -> Self {
        Self(Cell::new(HINTS_MAX))
    }

    fn take(&self) -> bool {
        let left = self.0.get();
        self.0.set(left.saturating_sub(1));
        left > 0
    }
}

/// Says that the unit does not exist, and which one may have been meant.
pub(crate) fn unknown(
    draft: &Draft,
    references: &References<'_>,
    name: &UnitName,
    known: &BTreeSet<UnitName>,
    hints: &Hints,
    severity: Severity,
) -> Diagnostic {
    let message = format!(
        "unit `{}` {} `{name}`, which does not exist",
        draft.name(),
        references.verb
    );
    let place = references.place(name);
    let diagnostic = match severity {
        Severity::Error => draft.error(&place, message),
        Severity::Warning => draft.warning(&place, message),
    };
    if let Some(place) = machine_has(references.last(), name.as_str()) {
        return diagnostic.hint(place);
    }
    if !hints.take() {
        return diagnostic;
    }
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
    let near = nearest(name.as_str(), candidates.chain([default.as_str()]));
    match (instance, near) {
        (Some(instance), _) => diagnostic.hint(format!(
            "`{name}` is a template: name an instance of it, such as `{instance}`"
        )),
        (None, Some(near)) => {
            diagnostic.hint(format!("a unit with a similar name exists: `{near}`"))
        }
        (None, None) => diagnostic,
    }
}

/// Targets that start everything, of systemd.
const BOOT_TARGETS: &[&str] = &[
    "multi-user.target",
    "graphical.target",
    "basic.target",
    "sysinit.target",
    "boot-complete.target",
];
/// What systemd has units for, and what is the machine's own doing here.
const ALWAYS_THERE: &[&str] = &[
    "network",
    "network-online",
    "network-pre",
    "nss-lookup",
    "nss-user-lookup",
    "time-set",
    "time-sync",
    "local-fs",
    "local-fs-pre",
    "remote-fs",
    "paths",
    "sockets",
    "timers",
    "slices",
    "swap",
    "cryptsetup",
    "sysinit",
    "basic",
    "multi-user",
    "default",
    "docker",
    "podman",
    "containerd",
    "dbus",
    "firewalld",
    "NetworkManager",
    "NetworkManager-wait-online",
    "systemd-networkd",
    "systemd-networkd-wait-online",
    "systemd-resolved",
    "systemd-journald",
    "systemd-tmpfiles-setup",
];

pub(crate) const NO_UNIT: &str =
    "leave it out: here that is the machine's own doing, and no unit stands for it";

/// What systemd's unit of this name is here.
fn machine_has(key: &str, name: &str) -> Option<String> {
    if key == "wanted_by" {
        let of_systemd = BOOT_TARGETS.contains(&name);
        return of_systemd.then(|| {
            "here it is `default.target`, which is meant too when `wanted_by` is left out"
                .to_owned()
        });
    }
    is_always_there(name).then(|| NO_UNIT.to_owned())
}

/// Whether systemd has a unit of this name for what the machine itself does here.
pub(crate) fn is_always_there(name: &str) -> bool {
    let stem = name
        .rsplit_once('.')
        .filter(|(_, kind)| matches!(*kind, "target" | "service" | "socket"));
    stem.is_some_and(|(stem, _)| ALWAYS_THERE.contains(&stem))
}
