//! Who may use whom: the table of `docs/architecture.md`, held against `cargo metadata`.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Package → packages of ours that each of its dependencies must be among.
pub type Table = BTreeMap<String, BTreeSet<String>>;

/// The rows below the heading "may use of ours": `| `package` | kind | what | `a`, `b` |` (a dash for none, `all` for every package).
///
/// # Panics
/// When a row has not four columns.
#[must_use]
pub fn parse_table(markdown: &str) -> Table {
    let mut table = Table::new();
    let rows = markdown
        .lines()
        .skip_while(|line| !line.contains("may use of ours"))
        .skip(2);
    for line in rows.take_while(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 4, "the row has not four columns: {line}");
        let words = |cell: &str| -> BTreeSet<String> {
            cell.split('`')
                .skip(1)
                .step_by(2)
                .map(str::to_owned)
                .collect()
        };
        let allowed = if cells[3] == "all" {
            BTreeSet::from(["*".to_owned()])
        } else {
            words(cells[3])
        };
        for package in words(cells[0]) {
            table.insert(package, allowed.clone());
        }
    }
    table
}

/// The dependencies (not those of tests alone) that each package of the workspace has among the others.
///
/// # Panics
/// When `cargo metadata` fails.
#[must_use]
pub fn actual() -> Table {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml");
    let output = Command::new(cargo)
        .args([
            "metadata",
            "--no-deps",
            "--format-version",
            "1",
            "--manifest-path",
            manifest,
        ])
        .output()
        .expect("cargo metadata");
    assert!(
        output.status.success(),
        "cargo metadata: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let name = |value: &Value| value["name"].as_str().unwrap_or_default().to_owned();
    let ours: BTreeSet<String> = packages.iter().map(name).collect();
    packages
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().expect("dependencies");
            let used = dependencies
                .iter()
                .filter(|dependency| dependency["kind"] != "dev")
                .map(name);
            (
                name(package),
                used.filter(|used| ours.contains(used)).collect(),
            )
        })
        .collect()
}

/// One line for each dependency that the table does not allow, and for each package that it does not know.
#[must_use]
pub fn violations(allowed: &Table, actual: &Table) -> Vec<String> {
    let mut found = Vec::new();
    for (package, used) in actual {
        match allowed.get(package) {
            None => found.push(format!("{package} is not in the table")),
            Some(allowed) if allowed.contains("*") => {}
            Some(allowed) => {
                found.extend(
                    used.difference(allowed)
                        .map(|other| format!("{package} may not use {other}")),
                );
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_package_uses_only_what_its_layer_may_use() {
        let table = parse_table(include_str!("../../../docs/architecture.md"));
        assert_eq!(violations(&table, &actual()), Vec::<String>::new());
    }

    #[test]
    fn a_dependency_upwards_is_found() {
        let table = parse_table(
            "| folder | kind | what | may use of ours |\n|---|---|---|---|\n| `sys` | lib | x | – |\n| `init` | bin | x | `sys` |\n| `t` | test | x | all |\n",
        );
        let row = |package: &str, used: &[&str]| {
            (
                package.to_owned(),
                used.iter().map(|used| (*used).to_owned()).collect(),
            )
        };
        let actual = Table::from([
            row("sys", &["init"]),
            row("init", &["sys"]),
            row("t", &["init"]),
            row("new", &[]),
        ]);
        assert_eq!(
            violations(&table, &actual),
            ["new is not in the table", "sys may not use init"]
        );
    }
}
