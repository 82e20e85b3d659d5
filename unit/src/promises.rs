//! What units expect of each other's life: can it ever come true?

use crate::draft::Draft;
use crate::references::{self, Need};
use crate::{DependsOnCondition, Diagnostic, UnitKind, UnitName, graph};
use std::collections::{BTreeMap, BTreeSet};

/// What is wrong with each `[[unit.depends_on]]` that waits for more than a start.
pub(crate) fn conditions(drafts: &[&Draft]) -> BTreeMap<UnitName, Vec<Diagnostic>> {
    let by_name: BTreeMap<&UnitName, &Draft> =
        drafts.iter().map(|draft| (draft.name(), *draft)).collect();
    let mut found: BTreeMap<UnitName, Vec<Diagnostic>> = BTreeMap::new();
    for draft in drafts {
        for depends in &draft.unit.dependencies.depends_on {
            let Some(other) = by_name.get(&depends.unit) else {
                continue;
            };
            let diagnostic = match depends.condition {
                DependsOnCondition::Started => None,
                DependsOnCondition::Healthy => healthy(draft, other),
                DependsOnCondition::CompletedSuccessfully => completed(draft, other),
            };
            if let Some(diagnostic) = diagnostic {
                let mine = found.entry(draft.name().clone()).or_default();
                mine.push(diagnostic);
            }
        }
    }
    found
}

fn healthy(draft: &Draft, other: &Draft) -> Option<Diagnostic> {
    let name = other.name();
    let key = format!("unit.depends_on.{name}.condition");
    let message = format!("unit `{}` waits until `{name}` is healthy", draft.name());
    match &other.unit.kind {
        UnitKind::Container(container) if container.health.disable => {
            let error = draft.error(
                &key,
                format!("{message}, but the health check of `{name}` is disabled"),
            );
            let error = error.hint("take `disable` out there, or use `condition = \"started\"`");
            Some(other.relate(error, "health.disable", "disabled here"))
        }
        UnitKind::Container(container) if container.health.probe.is_none() => {
            let warning = draft.warning(
                &key,
                format!("{message}, but `{name}` declares no health check"),
            );
            Some(warning.hint(format!(
                "add `exec`, `http` or `tcp` to `[health]` of `{name}`, unless its image has a HEALTHCHECK"
            )))
        }
        UnitKind::Container(_) => None,
        UnitKind::Target | UnitKind::Timer { .. } => Some(
            draft
                .error(&key, format!("{message}, but only a container has health"))
                .hint("use `condition = \"started\"`"),
        ),
    }
}

fn completed(draft: &Draft, other: &Draft) -> Option<Diagnostic> {
    let name = other.name();
    let key = format!("unit.depends_on.{name}.condition");
    let message = format!("unit `{}` waits until `{name}` has completed", draft.name());
    match &other.unit.kind {
        UnitKind::Container(container) if container.service.kind.ends() => None,
        UnitKind::Container(_) => {
            let error = draft.error(&key, format!("{message}, but `{name}` is meant to go on"));
            let error = error.hint(format!(
                "set `type = \"oneshot\"` in `[service]` of `{name}`, or use `condition = \"started\"`"
            ));
            Some(match other.place("service.type") {
                Some(_) => other.relate(error, "service.type", "its type"),
                None => error,
            })
        }
        UnitKind::Target | UnitKind::Timer { .. } => Some(
            draft
                .error(&key, format!("{message}, but only a container completes"))
                .hint("use `condition = \"started\"`"),
        ),
    }
}

/// Units that need two others which exclude each other, or that exclude what they need.
pub(crate) fn exclusions(drafts: &[&Draft]) -> BTreeMap<UnitName, Vec<Diagnostic>> {
    let index: BTreeMap<&UnitName, u32> = drafts
        .iter()
        .map(|draft| draft.name())
        .zip(0u32..)
        .collect();
    let needs: Vec<Vec<u32>> = drafts
        .iter()
        .map(|draft| {
            let needs = references::needs(&draft.unit);
            let needs = needs.iter().map(|need| need.name);
            needs.filter_map(|name| index.get(name).copied()).collect()
        })
        .collect();
    let needed_by = graph::reversed(&needs);
    let mut found: BTreeMap<UnitName, Vec<Diagnostic>> = BTreeMap::new();
    for (draft, own) in drafts.iter().zip(0u32..) {
        for other in &draft.unit.dependencies.conflicts {
            let Some(second) = index.get(other).copied() else {
                continue;
            };
            let (with_own, with_other) = (
                graph::reachable(&needed_by, own),
                graph::reachable(&needed_by, second),
            );
            let both: BTreeSet<u32> = with_own.intersection(&with_other).copied().collect();
            // Whoever needs one of these has the same trouble; it is said where it begins.
            let first = both.iter().filter(|unit| {
                !graph::of(&needs, **unit)
                    .iter()
                    .any(|need| both.contains(need))
            });
            for unit in first {
                let Some(victim) = usize::try_from(*unit)
                    .ok()
                    .and_then(|unit| drafts.get(unit))
                else {
                    continue;
                };
                let ways = [&with_own, &with_other].map(|goals| towards(victim, &index, goals));
                let error = exclusion(draft, other, victim, ways);
                found.entry(victim.name().clone()).or_default().push(error);
            }
        }
    }
    found
}

/// How a unit needs one of `goals`.
fn towards<'u>(
    draft: &'u Draft,
    index: &BTreeMap<&UnitName, u32>,
    goals: &BTreeSet<u32>,
) -> Option<Need<'u>> {
    let leads_there = |need: &Need<'_>| {
        let unit = index.get(need.name);
        unit.is_some_and(|unit| goals.contains(unit))
    };
    references::needs(&draft.unit).into_iter().find(leads_there)
}

/// `victim` needs `draft` and `other`, by the first and the second of `ways`; `draft` says that it conflicts with `other`.
fn exclusion(
    draft: &Draft,
    other: &UnitName,
    victim: &Draft,
    ways: [Option<Need<'_>>; 2],
) -> Diagnostic {
    let name = draft.name();
    let conflict = format!("unit.conflicts.{other}");
    let message = if victim.name() == name {
        format!("unit `{name}` conflicts with `{other}` and needs it")
    } else if victim.name() == other {
        format!("unit `{other}` needs `{name}`, which conflicts with it")
    } else {
        format!(
            "unit `{}` needs both `{name}` and `{other}`, which exclude each other",
            victim.name()
        )
    };
    let needs: Vec<Need<'_>> = ways.into_iter().flatten().collect();
    let first = needs.first().map_or("", |need| need.place.as_str());
    let mut error = victim.error(first, message);
    for need in &needs {
        error = victim.relate(error, &need.place, format!("needs `{}`", need.name));
    }
    let error = draft.relate(error, &conflict, "excluded here");
    error.hint("take the conflict out, or one of the dependencies")
}
