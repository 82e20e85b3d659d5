//! From single units to the set: what can only be checked when all of them are known.
//!
//! ```text
//! references ──▶ cycles of order and of need ──▶ promises ──▶ published ports ──▶ UnitSet
//!      └──────────────────┴────────────┬────────────┴────────────┘
//!                    a unit that fails, and whoever needs it, is left out
//! ```
//!
//! Each step looks only at the units that are still good, so that one mistake is reported once, where it is.

use crate::cycles::{self, Cycle};
use crate::draft::Draft;
use crate::references::{
    BadNames, Hints, Need, exists, needs, references, started_by_others, unknown,
};
use crate::{
    BadUnit, Bar, Choices, Conditions, Dependencies, Diagnostic, Loaded, Place, Severity, Unit,
    UnitKind, UnitName, UnitSet, promises, publish,
};
use std::collections::{BTreeMap, BTreeSet};

/// More units than any machine runs; each costs memory in PID 1.
pub(crate) const UNITS_MAX: usize = 4096;

/// `lame` are units that are in `bad` already: what they say about others is looked at all the same.
pub(crate) fn resolve(
    mut drafts: Vec<Draft>,
    lame: Vec<Draft>,
    bad: Vec<BadUnit>,
    diagnostics: Vec<Diagnostic>,
    choices: Option<&Choices>,
) -> Loaded {
    drafts.sort_by(|a, b| a.name().natural_order(b.name()));
    let mut resolution = Resolution {
        units: drafts.into_iter().map(Some).collect(),
        lame,
        bad,
        diagnostics,
        hints: Hints::new(),
        choices,
    };
    resolution.check_names();
    resolution.check_references();
    resolution.check_bars();
    resolution.check_cycles(Cycle::Order);
    resolution.check_cycles(Cycle::Need);
    resolution.drop_dependants();
    resolution.check_promises();
    resolution.drop_dependants();
    resolution.check_ports();
    resolution.drop_dependants();
    resolution.warn();
    resolution.finish()
}

/// Good units keep their slot; a bad one leaves it empty and goes to `bad`.
struct Resolution<'c> {
    units: Vec<Option<Draft>>,
    /// Those of `bad` whose dependencies can be read.
    lame: Vec<Draft>,
    bad: Vec<BadUnit>,
    diagnostics: Vec<Diagnostic>,
    hints: Hints,
    choices: Option<&'c Choices>,
}

impl Resolution<'_> {
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
        for draft in &self.lame {
            let Some(found) = errors.get(draft.name()) else {
                continue;
            };
            let found: Vec<Diagnostic> = found
                .iter()
                .filter(|new| self.is_news(draft, new))
                .cloned()
                .collect();
            add_to_bad(&mut self.bad, draft.name(), &found);
            self.diagnostics.extend(found);
        }
        let mut taken = Vec::new();
        for slot in &mut self.units {
            let Some(found) = slot.as_ref().and_then(|draft| errors.get(draft.name())) else {
                continue;
            };
            if let Some(draft) = slot.take() {
                taken.push((draft, found));
            }
        }
        for (draft, found) in taken {
            let news: Vec<Diagnostic> = found
                .iter()
                .filter(|new| self.is_news(&draft, new))
                .cloned()
                .collect();
            self.diagnostics.extend(news);
            self.bad.push(BadUnit {
                name: draft.name().to_string(),
                source: draft.unit.source.clone(),
                diagnostics: found.clone(),
            });
            self.lame.push(draft);
        }
    }

    /// What is wrong with all instances of a template is said for the first.
    fn is_news(&self, draft: &Draft, new: &Diagnostic) -> bool {
        draft.unit.replica.is_none() || new.place.is_none() || !self.is_said_at(new)
    }

    /// Something is said about the place already.
    fn is_said_at(&self, new: &Diagnostic) -> bool {
        let same = |old: &Diagnostic| (&old.file, &old.place) == (&new.file, &new.place);
        self.diagnostics.iter().any(same)
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
        for draft in self.good().chain(&self.lame) {
            let name = draft.name();
            let mut mine = Vec::new();
            for references in references(&draft.unit) {
                for other in references.names.iter().copied() {
                    if other == name {
                        let message =
                            format!("unit `{name}` cannot be in its own `{}`", references.last());
                        mine.push(draft.error(&references.place(name), message));
                    } else if references.hard && !exists(other, &known) && !bad.has(other) {
                        mine.push(unknown(
                            draft,
                            &references,
                            other,
                            &known,
                            &self.hints,
                            Severity::Error,
                        ));
                    }
                }
            }
            // What a key was expanded to stands at the same place.
            mine.dedup_by(|b, a| a.place == b.place);
            if !mine.is_empty() {
                errors.insert(name.clone(), mine);
            }
        }
        self.reject(&errors);
    }

    /// Whoever can't do without a unit that nothing starts would wait for it in vain.
    fn check_bars(&mut self) {
        let Some(choices) = self.choices else { return };
        let barred: BTreeMap<&UnitName, Bar> = self
            .good()
            .filter_map(|draft| Some((draft.name(), choices.bar(&draft.unit)?)))
            .collect();
        let mut errors: BTreeMap<UnitName, Vec<Diagnostic>> = BTreeMap::new();
        for draft in self
            .good()
            .filter(|draft| !barred.contains_key(draft.name()))
        {
            for need in needs(&draft.unit) {
                let Some(bar) = barred.get(need.name) else {
                    continue;
                };
                let name = draft.name();
                let message = format!("unit `{name}` {} `{}`, which {bar}", need.verb, need.name);
                let error = draft.error(&need.place, message);
                let mine = errors.entry(name.clone()).or_default();
                mine.push(error.hint(bar.advice(need.name)));
            }
        }
        self.reject(&errors);
    }

    /// Whoever needs a bad unit cannot start either, nor can those that need him.
    fn drop_dependants(&mut self) {
        let (bad, good) = (self.bad_names(), self.good_names());
        let mut needers: BTreeMap<&UnitName, Vec<(&Draft, Need<'_>)>> = BTreeMap::new();
        for draft in self.good() {
            for need in needs(&draft.unit) {
                needers.entry(need.name).or_default().push((draft, need));
            }
        }
        let broken = needers
            .keys()
            .filter(|name| !exists(name, &good) && bad.has(name));
        let mut queue: Vec<&UnitName> = broken.copied().collect();
        let mut errors: BTreeMap<UnitName, Vec<Diagnostic>> = BTreeMap::new();
        while let Some(name) = queue.pop() {
            for (draft, need) in needers.get(name).into_iter().flatten() {
                let message = format!(
                    "unit `{}` {} `{name}`, which has errors",
                    draft.name(),
                    need.verb
                );
                let error = draft.error(&need.place, message);
                let mine = errors.entry(draft.name().clone()).or_default();
                if mine.is_empty() {
                    queue.push(draft.name());
                }
                mine.push(error.hint(format!("mend `{name}` first")));
            }
        }
        self.reject(&errors);
    }

    /// All units of a cycle are bad: which of its edges is the wrong one is not ours to guess. It is said once. When one
    /// of them is bad already, the others are left alone, for without it there is no cycle.
    fn check_cycles(&mut self, kind: Cycle) {
        loop {
            let drafts: Vec<&Draft> = self.good().chain(&self.lame).collect();
            let Some((error, members)) = cycles::find(&drafts, kind) else {
                return;
            };
            let is_member = |draft: &Draft| members.contains(draft.name());
            let (out, lame) = std::mem::take(&mut self.lame)
                .into_iter()
                .partition::<Vec<Draft>, _>(is_member);
            self.lame = lame;
            for draft in &out {
                add_to_bad(&mut self.bad, draft.name(), std::slice::from_ref(&error));
            }
            let broken_already = !out.is_empty();
            let taken: Vec<Draft> = self
                .units
                .iter_mut()
                .filter(|_| !broken_already)
                .filter_map(|slot| slot.take_if(|draft| is_member(draft)))
                .collect();
            self.diagnostics.push(error.clone());
            if out.is_empty() && taken.is_empty() {
                return;
            }
            for draft in taken {
                self.bad.push(BadUnit {
                    name: draft.name().to_string(),
                    source: draft.unit.source,
                    diagnostics: vec![error.clone()],
                });
            }
        }
    }

    /// What is expected of other units must be possible.
    fn check_promises(&mut self) {
        let drafts: Vec<&Draft> = self.good().collect();
        let mut errors = promises::exclusions(&drafts);
        let mut warnings = Vec::new();
        for (name, found) in promises::conditions(&drafts) {
            let (bad, harmless) = found
                .into_iter()
                .partition::<Vec<Diagnostic>, _>(Diagnostic::is_error);
            warnings.extend(harmless);
            if !bad.is_empty() {
                errors.entry(name).or_default().extend(bad);
            }
        }
        self.diagnostics.extend(warnings);
        self.reject(&errors);
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
        let started = started_by_others(self.good().map(|draft| &draft.unit));
        let mut warnings: Vec<Diagnostic> = Vec::new();
        for (draft, is_good) in self
            .good()
            .map(|draft| (draft, true))
            .chain(self.lame.iter().map(|draft| (draft, false)))
        {
            let mut mine: Vec<Diagnostic> = Vec::new();
            for references in references(&draft.unit) {
                for name in references.names.iter().copied() {
                    if exists(name, &known) {
                        continue;
                    }
                    if !bad.has(name) {
                        let mut warning = unknown(
                            draft,
                            &references,
                            name,
                            &known,
                            &self.hints,
                            Severity::Warning,
                        );
                        let nothing_else = references.last() == "wanted_by"
                            && !references.names.iter().any(|it| exists(it, &known))
                            && !started.contains(draft.name());
                        if nothing_else {
                            warning.message.push_str(", so nothing starts it");
                        }
                        mine.push(warning);
                    } else if is_good && references.last() != "conflicts" {
                        let message = format!(
                            "unit `{}` has `{}` on `{name}`, which has errors",
                            draft.name(),
                            references.last()
                        );
                        mine.push(draft.warning(&references.place(name), message));
                    }
                }
            }
            // What `depends_on` was expanded to stands at the same place and is said already; so is an error.
            let mut said: BTreeSet<Place> = BTreeSet::new();
            let of_template = draft.unit.replica.is_some();
            mine.retain(|warning| match &warning.place {
                Some(place) => {
                    let same = |old: &Diagnostic| {
                        (&old.file, &old.place) == (&warning.file, &warning.place)
                    };
                    said.insert(place.clone())
                        && !self.is_said_at(warning)
                        && !(of_template && warnings.iter().any(same))
                }
                None => true,
            });
            warnings.extend(mine);
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
            set: UnitSet::assemble(units, self.choices),
            bad,
            diagnostics,
        }
    }
}

fn add_to_bad(bad: &mut [BadUnit], name: &UnitName, more: &[Diagnostic]) {
    if let Some(entry) = bad.iter_mut().find(|bad| bad.name == name.as_str()) {
        entry.diagnostics.extend(more.iter().cloned());
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
