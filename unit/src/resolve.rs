//! From single units to the set: what can only be checked when all of them are known.
//!
//! ```text
//! references ──▶ cycles of after, cycles of requires ──▶ published ports ──▶ UnitSet
//!      └──────────────────┴──────────┬─────────────────────────┘
//!                  a unit that fails, and whoever requires it, is left out
//! ```
//!
//! Each step looks only at the units that are still good, so that one mistake is reported once, where it is.

use crate::draft::Draft;
use crate::references::{BadNames, exists, references, unknown};
use crate::{
    BadUnit, Conditions, Dependencies, Diagnostic, Loaded, Unit, UnitKind, UnitName, UnitSet,
    graph, publish,
};
use std::collections::{BTreeMap, BTreeSet};

/// More units than any machine runs; each costs memory in PID 1.
pub(crate) const UNITS_MAX: usize = 4096;

pub(crate) fn resolve(
    mut drafts: Vec<Draft>,
    bad: Vec<BadUnit>,
    diagnostics: Vec<Diagnostic>,
) -> Loaded {
    drafts.sort_by(|a, b| a.name().natural_order(b.name()));
    let mut resolution = Resolution {
        units: drafts.into_iter().map(Some).collect(),
        bad,
        diagnostics,
    };
    resolution.check_names();
    resolution.check_references();
    resolution.drop_dependants();
    resolution.check_cycles("after", |draft| {
        (
            &draft.unit.dependencies.after,
            &draft.unit.dependencies.before,
        )
    });
    resolution.check_cycles("requires", |draft| {
        (&draft.unit.dependencies.requires, &NONE)
    });
    resolution.drop_dependants();
    resolution.check_ports();
    resolution.drop_dependants();
    resolution.warn();
    resolution.finish()
}

static NONE: Vec<UnitName> = Vec::new();

/// Good units keep their slot; a bad one leaves it empty and goes to `bad`.
struct Resolution {
    units: Vec<Option<Draft>>,
    bad: Vec<BadUnit>,
    diagnostics: Vec<Diagnostic>,
}

impl Resolution {
    fn good(&self) -> impl Iterator<Item = &Draft> {
        self.units.iter().flatten()
    }

    fn good_names(&self) -> BTreeSet<UnitName> {
        self.good().map(|draft| draft.name().clone()).collect()
    }

    fn bad_names(&self) -> BadNames {
        BadNames(self.bad.iter().map(|bad| bad.name.clone()).collect())
    }

    /// Takes the units with errors out.
    fn reject(&mut self, errors: &BTreeMap<UnitName, Vec<Diagnostic>>) {
        for slot in &mut self.units {
            let Some(found) = slot.as_ref().and_then(|draft| errors.get(draft.name())) else {
                continue;
            };
            if let Some(draft) = slot.take() {
                self.diagnostics.extend(found.iter().cloned());
                let (name, source) = (draft.name().to_string(), draft.unit.source);
                self.bad.push(BadUnit {
                    name,
                    source,
                    diagnostics: found.clone(),
                });
            }
        }
    }

    /// A name stands for one unit; and there is a limit to all of them.
    fn check_names(&mut self) {
        let mut sources: BTreeMap<UnitName, String> = BTreeMap::new();
        for (position, slot) in self.units.iter_mut().enumerate() {
            let Some(draft) = slot.as_ref() else { continue };
            let error = if let Some(first) = sources.get(draft.name()) {
                draft.error(
                    "",
                    format!("unit `{}` is declared by {first} already", draft.name()),
                )
            } else if position >= UNITS_MAX {
                draft
                    .error("", format!("unit `{}` is one too many", draft.name()))
                    .expected(format!("at most {UNITS_MAX} units"))
            } else {
                sources.insert(draft.name().clone(), draft.unit.source.clone());
                continue;
            };
            let name = draft.name().to_string();
            self.bad.push(BadUnit {
                name,
                source: draft.unit.source.clone(),
                diagnostics: vec![error.clone()],
            });
            self.diagnostics.push(error);
            *slot = None;
        }
    }

    /// A unit may not depend on itself, and what it requires must exist.
    fn check_references(&mut self) {
        let known = self.good_names();
        let bad = self.bad_names();
        let mut errors: BTreeMap<UnitName, Vec<Diagnostic>> = BTreeMap::new();
        for draft in self.good() {
            let name = draft.name();
            let mut mine = Vec::new();
            for (key, list) in references(&draft.unit) {
                if list.contains(name) {
                    mine.push(draft.error(
                        &format!("unit.{key}.{name}"),
                        format!("unit `{name}` cannot be in its own `{key}`"),
                    ));
                }
            }
            for missing in &draft.unit.dependencies.requires {
                if !exists(missing, &known) && !bad.has(missing) {
                    mine.push(unknown(
                        draft,
                        "requires",
                        missing,
                        &known,
                        Diagnostic::error,
                    ));
                }
            }
            if !mine.is_empty() {
                errors.insert(name.clone(), mine);
            }
        }
        self.reject(&errors);
    }

    /// Whoever requires a bad unit cannot start either, nor can those that require him.
    fn drop_dependants(&mut self) {
        let (bad, good) = (self.bad_names(), self.good_names());
        let mut requirers: BTreeMap<&UnitName, Vec<&Draft>> = BTreeMap::new();
        for draft in self.good() {
            for name in &draft.unit.dependencies.requires {
                requirers.entry(name).or_default().push(draft);
            }
        }
        let broken = requirers
            .keys()
            .filter(|name| !exists(name, &good) && bad.has(name));
        let mut queue: Vec<&UnitName> = broken.copied().collect();
        let mut errors: BTreeMap<UnitName, Vec<Diagnostic>> = BTreeMap::new();
        while let Some(name) = queue.pop() {
            for draft in requirers.get(name).into_iter().flatten() {
                let message = format!(
                    "unit `{}` requires `{name}`, which has errors",
                    draft.name()
                );
                let error = draft.error(&format!("unit.requires.{name}"), message);
                let mine = errors.entry(draft.name().clone()).or_default();
                if mine.is_empty() {
                    queue.push(draft.name());
                }
                mine.push(error.hint(format!("mend `{name}` first")));
            }
        }
        self.reject(&errors);
    }

    /// All units of a cycle are bad: which of its edges is the wrong one is not ours to guess.
    fn check_cycles(
        &mut self,
        key: &str,
        edges: impl Fn(&Draft) -> (&Vec<UnitName>, &Vec<UnitName>),
    ) {
        loop {
            let drafts: Vec<&Draft> = self.good().collect();
            let index: BTreeMap<&UnitName, u32> = drafts
                .iter()
                .map(|draft| draft.name())
                .zip(0u32..)
                .collect();
            let find = |list: &Vec<UnitName>| -> Vec<u32> {
                list.iter()
                    .filter_map(|name| index.get(name).copied())
                    .collect()
            };
            let mut forward: Vec<Vec<u32>> =
                drafts.iter().map(|draft| find(edges(draft).0)).collect();
            let back: Vec<Vec<u32>> = drafts.iter().map(|draft| find(edges(draft).1)).collect();
            for (list, more) in forward.iter_mut().zip(graph::reversed(&back)) {
                list.extend(more);
            }
            let Err(cycle) = graph::order(&forward) else {
                return;
            };
            let members: Vec<&Draft> = cycle
                .iter()
                .filter_map(|node| drafts.get(usize::try_from(*node).ok()?).copied())
                .collect();
            let names: BTreeSet<&UnitName> = members.iter().map(|draft| draft.name()).collect();
            let way: Vec<String> = members
                .iter()
                .chain(members.first())
                .map(|draft| format!("`{}`", draft.name()))
                .collect();
            let message = format!("cycle of `{key}`: {}", way.join(" → "));
            let errors = members.iter().map(|draft| {
                let (first, second) = edges(draft);
                let written = first
                    .iter()
                    .map(|name| (key, name))
                    .chain(second.iter().map(|name| ("before", name)));
                let place = written
                    .filter(|(_, name)| names.contains(name))
                    .find_map(|(key, name)| draft.place(&format!("unit.{key}.{name}")));
                let error = Diagnostic::error(&draft.unit.source, place, message.clone())
                    .hint("take one of these dependencies out");
                (draft.name().clone(), vec![error])
            });
            let errors: BTreeMap<UnitName, Vec<Diagnostic>> = errors.collect();
            if errors.is_empty() {
                return;
            }
            self.reject(&errors);
        }
    }

    /// The first unit in name order keeps the port.
    fn check_ports(&mut self) {
        publish::choose(&mut self.units);
        let errors = publish::conflicts(self.good());
        self.reject(&errors);
    }

    /// References that do no harm, but that nobody writes on purpose.
    fn warn(&mut self) {
        let known = self.good_names();
        let bad = self.bad_names();
        let mut warnings = Vec::new();
        for draft in self.good() {
            for (key, list) in references(&draft.unit) {
                for name in list.iter().filter(|name| !exists(name, &known)) {
                    warnings.push(if bad.has(name) {
                        let message = format!(
                            "unit `{}` has `{key}` on `{name}`, which has errors",
                            draft.name()
                        );
                        draft.warning(&format!("unit.{key}.{name}"), message)
                    } else {
                        unknown(draft, key, name, &known, Diagnostic::warning)
                    });
                }
            }
        }
        self.diagnostics.extend(warnings);
    }

    fn finish(self) -> Loaded {
        let mut units: Vec<Unit> = self
            .units
            .into_iter()
            .flatten()
            .map(|draft| draft.unit)
            .collect();
        if !units
            .iter()
            .any(|unit| unit.name == UnitName::default_target())
        {
            units.push(default_target());
            units.sort_by(|a, b| a.name.natural_order(&b.name));
        }
        let (mut bad, mut diagnostics) = (self.bad, self.diagnostics);
        bad.sort_by(|a, b| a.name.cmp(&b.name));
        Diagnostic::sort(&mut diagnostics);
        Loaded {
            set: UnitSet::assemble(units),
            bad,
            diagnostics,
        }
    }
}

/// It wants whatever says so in `wanted_by`.
fn default_target() -> Unit {
    Unit {
        name: UnitName::default_target(),
        source: String::new(),
        drop_ins: Vec::new(),
        description: "Units that are started at boot".to_owned(),
        dependencies: Dependencies::default(),
        wanted_by: Vec::new(),
        conditions: Conditions::default(),
        profiles: Vec::new(),
        replica: None,
        kind: UnitKind::Target,
    }
}
