//! What operators see for each mistake: `tests/cases/NAME.toml` against `tests/cases/NAME.expected`.
//!
//! A case holds one file or several, each after a line `# file: NAME`. When its first line is `# folder`, they are written to
//! a folder (`NAME/` is an empty one in it) and that is checked: what lies there and is no unit is named too. To accept new output: `BLESS=1 cargo test -p unit`,
//! then read the difference.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use unit::{Colour, Loaded, Source};

const MARK: &str = "# file: ";
const FOLDER: &str = "# folder\n";

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

/// The units of a case, and of this neighbour beside them.
fn load(text: &str, neighbour: Option<&Source>) -> Loaded {
    let Some(text) = text.strip_prefix(FOLDER) else {
        let sources = sources(text).into_iter();
        return unit::load_sources(sources.chain(neighbour.cloned()).collect());
    };
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let root = std::env::temp_dir().join(format!("unit-golden-{}-{count}", std::process::id()));
    let folder = root.join("units");
    std::fs::create_dir_all(&folder).expect("a folder");
    for Source { file, text } in sources(text).iter().chain(neighbour) {
        let path = folder.join(file);
        let parent = path.parent().expect("a folder around it");
        std::fs::create_dir_all(parent).expect("a folder");
        match file.strip_suffix('/') {
            Some(_) => std::fs::create_dir_all(&path).expect("a folder"),
            None => std::fs::write(&path, text).expect("written"),
        }
    }
    let loaded = unit::check(&[folder]);
    std::fs::remove_dir_all(&root).expect("removed");
    shortened(&loaded, &format!("{}/", root.display()))
}

/// As if checked in the folder around.
fn shortened(loaded: &Loaded, root: &str) -> Loaded {
    let text = serde_json::to_string(loaded).expect("written");
    serde_json::from_str(&text.replace(root, "")).expect("read")
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
        let shown = show(&load(&text, None));
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
            !load(&text, None).diagnostics.is_empty(),
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
        let loaded = load(&text, Some(&neighbour));
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
