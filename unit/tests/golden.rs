//! What operators see for each mistake: `tests/cases/NAME.toml` against `tests/cases/NAME.expected`.
//!
//! A case holds one file or several, each after a line `# file: NAME`. To accept new output: `BLESS=1 cargo test -p unit`,
//! then read the difference.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use unit::{Colour, Loaded, Source};

const MARK: &str = "# file: ";

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let entries = std::fs::read_dir(folder).expect("folder of cases");
    let mut cases: Vec<PathBuf> = entries.map(|entry| entry.expect("entry").path()).collect();
    cases.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "toml")
    });
    cases.sort();
    cases
}

/// The mark belongs to the file it names, so line numbers are those after the mark, from 1.
fn sources(text: &str) -> Vec<Source> {
    let mut sources: Vec<Source> = Vec::new();
    for line in text.split_inclusive('\n') {
        match (line.strip_prefix(MARK), sources.last_mut()) {
            (Some(name), _) => sources.push(Source {
                file: name.trim().to_owned(),
                text: String::new(),
            }),
            (None, Some(source)) => source.text.push_str(line),
            (None, None) => panic!("a case starts with `{MARK}NAME`"),
        }
    }
    sources
}

/// With the keys that the machine does not perform yet: their mistakes are found all the same.
fn load(sources: Vec<Source>) -> Loaded {
    unit::load_sources(sources)
}

/// Units, then the one-line forms that PID 1 prints, then the pictures.
fn show(loaded: &Loaded) -> String {
    let mut out = String::new();
    let good: Vec<&str> = loaded
        .set
        .units()
        .iter()
        .map(|unit| unit.name.as_str())
        .collect();
    let bad: Vec<&str> = loaded.bad.iter().map(|bad| bad.name.as_str()).collect();
    writeln!(out, "loaded: {}\nbad: {}\n", good.join(" "), bad.join(" ")).expect("string");
    for diagnostic in &loaded.diagnostics {
        writeln!(out, "{diagnostic}").expect("string");
    }
    for diagnostic in &loaded.diagnostics {
        writeln!(out, "\n{}", unit::render(diagnostic, Colour::Never)).expect("string");
    }
    out
}

#[test]
fn every_mistake_is_shown_as_expected() {
    let bless = std::env::var_os("BLESS").is_some();
    let mut differing = Vec::new();
    for case in cases() {
        let text = std::fs::read_to_string(&case).expect("a case");
        let shown = show(&load(sources(&text)));
        let path = case.with_extension("expected");
        if bless {
            std::fs::write(&path, &shown).expect("written");
        } else if std::fs::read_to_string(&path).unwrap_or_default() != shown {
            differing.push(format!("{}:\n{shown}", path.display()));
        }
    }
    assert!(
        differing.is_empty(),
        "{}\nBLESS=1 accepts the new output",
        differing.join("\n")
    );
}

#[test]
fn every_case_finds_something_and_every_expectation_has_a_case() {
    let cases = cases();
    assert!(cases.len() >= 160, "{} cases", cases.len());
    for case in &cases {
        let text = std::fs::read_to_string(case).expect("a case");
        assert!(
            !load(sources(&text)).diagnostics.is_empty(),
            "{} finds nothing",
            case.display()
        );
    }
    let folder = cases
        .first()
        .and_then(|case| case.parent())
        .expect("folder of cases");
    for entry in std::fs::read_dir(folder).expect("folder of cases") {
        let path = entry.expect("entry").path();
        assert!(
            path.with_extension("toml").is_file(),
            "{} has no case",
            path.display()
        );
    }
}

#[test]
fn a_good_neighbour_is_never_removed() {
    let neighbour = Source {
        file: "good.container.toml".to_owned(),
        text: "[container]\nimage = \"good\"\n".to_owned(),
    };
    for case in cases() {
        let text = std::fs::read_to_string(&case).expect("a case");
        let mut sources = sources(&text);
        sources.push(neighbour.clone());
        let loaded = load(sources);
        assert!(
            loaded
                .set
                .units()
                .iter()
                .any(|unit| unit.name.as_str() == "good"),
            "{}",
            case.display()
        );
    }
}
