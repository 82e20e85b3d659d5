//! A unit's kin: what it needs, whatever way, and who needs it; for that nobody has to be told of all units.

use std::collections::BTreeSet;
use unit::UnitSet;

type Edges = for<'s> fn(&'s UnitSet, u32) -> &'s [u32];

/// Key of the unit file → what it needs by it, and who needs it.
const NEEDS: &[(&str, Edges, Edges)] = &[
    ("requires", UnitSet::requires, UnitSet::required_by),
    ("binds_to", UnitSet::binds_to, UnitSet::bound_by),
    ("requisite", UnitSet::requisite, UnitSet::requisite_of),
    ("wants", UnitSet::wants, UnitSet::wanted_by),
];

/// From, to, and the key of the unit file; by indices of the set.
pub(crate) type Edge = (u32, u32, &'static str);

/// All on the ways down from `start` to what it needs, and up to those that need it.
pub(crate) fn edges(set: &UnitSet, start: u32) -> BTreeSet<Edge> {
    let mut edges = BTreeSet::new();
    walk(start, |at, found| {
        for (kind, needed, _) in NEEDS {
            for other in needed(set, at) {
                edges.insert((at, *other, *kind));
                found(*other);
            }
        }
    });
    walk(start, |at, found| {
        for (kind, _, needed_by) in NEEDS {
            for other in needed_by(set, at) {
                edges.insert((*other, at, *kind));
                found(*other);
            }
        }
    });
    // `binds_to` is in `requires` too.
    let bound =
        |(from, to, kind): &Edge| *kind == "requires" && edges.contains(&(*from, *to, "binds_to"));
    let twice: Vec<Edge> = edges.iter().filter(|edge| bound(edge)).copied().collect();
    for edge in twice {
        edges.remove(&edge);
    }
    edges
}

/// Visit `start` and all that is found from it, each once.
fn walk(start: u32, mut visit: impl FnMut(u32, &mut dyn FnMut(u32))) {
    let (mut seen, mut queue) = (BTreeSet::from([start]), vec![start]);
    while let Some(at) = queue.pop() {
        visit(at, &mut |other| {
            if seen.insert(other) {
                queue.push(other);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use unit::{Source, UnitName, load_sources};

    fn set(units: &[(&str, &str)]) -> UnitSet {
        let source = |(name, keys): &(&str, &str)| Source {
            file: format!("{name}.container.toml"),
            text: format!("[container]\nimage = \"x\"\n[unit]\n{keys}\n"),
        };
        let loaded = load_sources(units.iter().map(source).collect());
        assert!(!loaded.has_errors(), "{:?}", loaded.diagnostics);
        loaded.set
    }

    #[test]
    fn only_what_is_on_the_way_down_or_up_is_kin() {
        let set = set(&[
            ("disk", ""),
            ("db", "requires = [\"disk\"]\nafter = [\"disk\"]"),
            ("web", "binds_to = [\"db\"]\nafter = [\"db\", \"other\"]"),
            ("shop", "wants = [\"web\"]"),
            ("other", "requires = [\"disk\"]"),
        ]);
        let index = |name: &str| set.find(&UnitName::new(name).unwrap()).unwrap();
        let kin = |name: &str| {
            let edges = edges(&set, index(name)).into_iter();
            let name = |index| set.get(index).unwrap().name.to_string();
            let text = edges.map(|(from, to, kind)| format!("{} {kind} {}", name(from), name(to)));
            let targets = ["default.target"];
            let mut text: Vec<String> = text
                .filter(|edge| !targets.iter().any(|target| edge.contains(target)))
                .collect();
            text.sort();
            text
        };
        let all = ["db requires disk", "shop wants web", "web binds_to db"];
        assert_eq!(kin("web"), all);
        assert_eq!(kin("db"), all);
        assert_eq!(kin("other"), ["other requires disk"]);
        let below = [&["db requires disk", "other requires disk"], &all[1..]].concat();
        assert_eq!(kin("disk"), below);
    }
}
