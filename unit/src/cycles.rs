//! Dependencies that lead back to where they began.

use crate::draft::Draft;
use crate::{Diagnostic, UnitName, graph};
use std::collections::BTreeMap;

/// What makes a cycle impossible to satisfy.
#[derive(Clone, Copy)]
pub(crate) enum Cycle {
    /// Each is started after the next.
    Order,
    /// Each can do nothing without the next.
    Need,
}

/// `from` comes after `to`, or needs it, because `owner` says so.
struct Edge<'u> {
    from: u32,
    to: u32,
    owner: usize,
    /// "`OWNER` VERB `OTHER`", in the key `unit.KEY`.
    key: &'static str,
    verb: &'static str,
    other: &'u UnitName,
}

impl Edge<'_> {
    fn place(&self) -> String {
        format!("unit.{}.{}", self.key, self.other)
    }
}

/// One cycle: what to say about it, and its members.
pub(crate) fn find(drafts: &[&Draft], kind: Cycle) -> Option<(Diagnostic, Vec<UnitName>)> {
    let edges = edges(drafts, kind);
    let mut forward: Vec<Vec<u32>> = vec![Vec::new(); drafts.len()];
    for edge in &edges {
        if let Some(list) = usize::try_from(edge.from)
            .ok()
            .and_then(|from| forward.get_mut(from))
        {
            list.push(edge.to);
        }
    }
    let cycle = graph::order(&forward).err()?;
    let way: Vec<&Edge<'_>> = cycle
        .iter()
        .zip(cycle.iter().cycle().skip(1))
        .filter_map(|(from, to)| {
            edges
                .iter()
                .find(|edge| (edge.from, edge.to) == (*from, *to))
        })
        .collect();
    let names: Vec<UnitName> = cycle
        .iter()
        .filter_map(|node| drafts.get(usize::try_from(*node).ok()?))
        .map(|draft| draft.name().clone())
        .collect();
    let shown: Vec<String> = names
        .iter()
        .chain(names.first())
        .map(|name| format!("`{name}`"))
        .collect();
    let meaning = match kind {
        Cycle::Order => "each is started after the next",
        Cycle::Need => "each needs the next",
    };
    let message = format!("cycle of dependencies: {}: {meaning}", shown.join(" → "));
    let first = way.first()?;
    let mut error = drafts.get(first.owner)?.error(&first.place(), message);
    for edge in way {
        if let Some(owner) = drafts.get(edge.owner) {
            let said = format!("`{}` {} `{}`", owner.name(), edge.verb, edge.other);
            error = owner.relate(error, &edge.place(), said);
        }
    }
    Some((error.hint("take one of these dependencies out"), names))
}

fn edges<'u>(drafts: &[&'u Draft], kind: Cycle) -> Vec<Edge<'u>> {
    let index: BTreeMap<&UnitName, u32> = drafts
        .iter()
        .map(|draft| draft.name())
        .zip(0u32..)
        .collect();
    let mut edges = Vec::new();
    for ((owner, draft), own) in drafts.iter().enumerate().zip(0u32..) {
        let dependencies = &draft.unit.dependencies;
        let keys: &[(&'static str, &'static str, &'u Vec<UnitName>)] = match kind {
            Cycle::Order => &[
                ("after", "is after", &dependencies.after),
                ("before", "is before", &dependencies.before),
            ],
            Cycle::Need => &[
                ("requires", "requires", &dependencies.requires),
                ("requisite", "has the requisite", &dependencies.requisite),
                ("binds_to", "binds to", &dependencies.binds_to),
            ],
        };
        for (key, verb, names) in keys {
            let turned = *key == "before";
            for other in names.iter() {
                // A unit that names itself is reported as that, and so is one in both `after` and `before`.
                let said = turned && dependencies.after.contains(other);
                let target = index.get(other).copied();
                let Some(target) = target.filter(|target| *target != own && !said) else {
                    continue;
                };
                let (from, to) = if turned { (target, own) } else { (own, target) };
                edges.push(Edge {
                    from,
                    to,
                    owner,
                    key,
                    verb,
                    other,
                });
            }
        }
    }
    edges
}
