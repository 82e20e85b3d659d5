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
struct Edge {
    from: u32,
    to: u32,
    owner: usize,
    place: String,
    said: String,
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
    let way: Vec<&Edge> = cycle
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
    let mut error = drafts.get(first.owner)?.error(&first.place, message);
    for edge in way {
        if let Some(owner) = drafts.get(edge.owner) {
            error = owner.relate(error, &edge.place, edge.said.clone());
        }
    }
    Some((error.hint("take one of these dependencies out"), names))
}

fn edges(drafts: &[&Draft], kind: Cycle) -> Vec<Edge> {
    let index: BTreeMap<&UnitName, u32> = drafts
        .iter()
        .map(|draft| draft.name())
        .zip(0u32..)
        .collect();
    let mut edges = Vec::new();
    for ((owner, draft), own) in drafts.iter().enumerate().zip(0u32..) {
        let name = draft.name();
        let dependencies = &draft.unit.dependencies;
        let mut add = |key: &str, verb: &str, names: &[UnitName], turned: bool| {
            for other in names {
                // A unit that names itself is reported as that.
                let Some(target) = index.get(other).copied().filter(|other| *other != own) else {
                    continue;
                };
                let (from, to) = if turned { (target, own) } else { (own, target) };
                edges.push(Edge {
                    from,
                    to,
                    owner,
                    place: format!("unit.{key}.{other}"),
                    said: format!("`{name}` {verb} `{other}`"),
                });
            }
        };
        match kind {
            Cycle::Order => {
                add("after", "is after", &dependencies.after, false);
                // One in both is reported as that.
                let before = dependencies.before.iter();
                let before = before.filter(|name| !dependencies.after.contains(name));
                let before: Vec<UnitName> = before.cloned().collect();
                add("before", "is before", &before, true);
            }
            Cycle::Need => {
                add("requires", "requires", &dependencies.requires, false);
                add(
                    "requisite",
                    "has the requisite",
                    &dependencies.requisite,
                    false,
                );
                add("binds_to", "binds to", &dependencies.binds_to, false);
            }
        }
    }
    edges
}
