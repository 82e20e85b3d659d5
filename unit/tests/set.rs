//! The set as the supervisor sees it, built from units without files.

use std::path::Path;
use unit::{Conditions, Dependencies, Unit, UnitKind, UnitName, UnitSet};

fn name(text: &str) -> UnitName {
    UnitName::new(text).expect("a unit name")
}

fn names(list: &[&str]) -> Vec<UnitName> {
    list.iter().map(|text| name(text)).collect()
}

fn unit(text: &str, dependencies: Dependencies) -> Unit {
    let source = Path::new(text)
        .with_extension("target.toml")
        .display()
        .to_string();
    let wanted_by = vec![UnitName::default_target()];
    Unit {
        name: name(text),
        source,
        drop_ins: Vec::new(),
        description: String::new(),
        dependencies,
        wanted_by,
        conditions: Conditions::default(),
        profiles: Vec::new(),
        replica: None,
        kind: UnitKind::Target,
    }
}

fn after(list: &[&str]) -> Dependencies {
    Dependencies {
        after: names(list),
        ..Dependencies::default()
    }
}

fn requires(list: &[&str]) -> Dependencies {
    Dependencies {
        requires: names(list),
        ..Dependencies::default()
    }
}

fn index(set: &UnitSet, text: &str) -> u32 {
    set.find(&name(text)).expect("in the set")
}

#[test]
fn before_and_after_are_the_same_edge() {
    let before = Dependencies {
        before: names(&["b"]),
        ..Dependencies::default()
    };
    let (set, diagnostics) = UnitSet::resolve(vec![
        unit("b", after(&["c"])),
        unit("a", before),
        unit("c", after(&[])),
    ]);
    assert_eq!(diagnostics, []);
    let (a, b, c) = (index(&set, "a"), index(&set, "b"), index(&set, "c"));
    assert_eq!(set.after(b), [a, c]);
    assert_eq!(set.before(a).first(), Some(&b));
    let place = |unit| set.start_order().iter().position(|other| *other == unit);
    assert!(place(a) < place(b) && place(c) < place(b));
}

#[test]
fn default_target_exists_wants_what_says_so_and_comes_after_it() {
    let (set, _) = UnitSet::resolve(vec![unit("a", after(&[]))]);
    let default = set.default_target().expect("implicit");
    assert_eq!(set.wants(default), [index(&set, "a")]);
    assert_eq!(set.after(default), [index(&set, "a")]);
    assert_eq!(set.wanted_by(index(&set, "a")), [default]);
}

#[test]
fn a_unit_after_the_target_that_wants_it_makes_no_cycle() {
    let (set, diagnostics) = UnitSet::resolve(vec![unit("late", after(&["default.target"]))]);
    assert_eq!(diagnostics, []);
    assert_eq!(set.after(index(&set, "default.target")), []);
    assert_eq!(set.start_order().len(), 2);
}

#[test]
fn requires_gives_no_order() {
    let (set, _) = UnitSet::resolve(vec![
        unit("web", requires(&["db"])),
        unit("db", after(&["web"])),
    ]);
    let (web, db) = (index(&set, "web"), index(&set, "db"));
    assert_eq!(
        (set.requires(web), set.required_by(db)),
        ([db].as_slice(), [web].as_slice())
    );
    assert_eq!(set.after(db), [web]);
}

#[test]
fn whoever_requires_a_bad_unit_is_bad_and_the_others_stay() {
    let units = vec![
        unit("a", requires(&["missing"])),
        unit("b", requires(&["a"])),
        unit("c", requires(&["b"])),
        unit("d", after(&["a"])),
    ];
    let (set, diagnostics) = UnitSet::resolve(units);
    let left: Vec<&str> = set.units().iter().map(|unit| unit.name.as_str()).collect();
    assert_eq!(left, ["d", "default.target"]);
    assert_eq!(
        diagnostics
            .iter()
            .filter(|diagnostic| diagnostic.is_error())
            .count(),
        3
    );
}

#[test]
fn a_cycle_takes_its_members_out_and_nobody_else() {
    let (set, diagnostics) = UnitSet::resolve(vec![
        unit("a", after(&["b"])),
        unit("b", after(&["a"])),
        unit("c", after(&["a"])),
    ]);
    assert_eq!(set.len(), 2);
    assert!(
        diagnostics
            .iter()
            .any(|diagnostic| diagnostic.message.contains("`a` → `b` → `a`")),
        "{diagnostics:?}"
    );
}

#[test]
fn instances_are_in_the_order_of_their_numbers() {
    let units = ["redis@10", "redis@2", "web"]
        .map(|text| unit(text, after(&[])))
        .to_vec();
    let (set, _) = UnitSet::resolve(units);
    let order: Vec<&str> = set.units().iter().map(|unit| unit.name.as_str()).collect();
    assert_eq!(order, ["default.target", "redis@2", "redis@10", "web"]);
    assert_eq!(set.nearest("wbe").map(UnitName::as_str), Some("web"));
}

#[test]
fn the_limit_of_units_is_said() {
    let units = (0..5000)
        .map(|number| unit(&format!("u{number}"), after(&[])))
        .collect();
    let (set, diagnostics) = UnitSet::resolve(units);
    assert_eq!(set.len(), 4097);
    assert!(
        diagnostics
            .iter()
            .all(|diagnostic| diagnostic.message.contains("one too many"))
    );
}
