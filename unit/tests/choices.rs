//! What an operator decides about units beside their files.

use std::collections::BTreeSet;
use unit::{Choices, Enablement, Layer, Loaded, Source, UnitName, load_layers};

fn name(text: &str) -> UnitName {
    UnitName::new(text).unwrap()
}

fn loaded(units: &[(&str, &str)], choices: &Choices) -> Loaded {
    let source = |(name, head): &(&str, &str)| Source {
        file: format!("{name}.container.toml"),
        text: format!("[unit]\n{head}\n[container]\nimage = \"x\"\n"),
    };
    let sources = units.iter().map(source).collect();
    load_layers(vec![Layer::Sources(sources)], choices)
}

/// What default.target starts.
fn started(loaded: &Loaded) -> BTreeSet<String> {
    let set = &loaded.set;
    let wanted = set.wants(set.default_target().unwrap()).iter();
    wanted
        .map(|index| set.get(*index).unwrap().name.to_string())
        .collect()
}

fn names(list: &[&str]) -> BTreeSet<String> {
    list.iter().map(ToString::to_string).collect()
}

fn enablement(loaded: &Loaded, choices: &Choices, unit: &str) -> Enablement {
    let index = loaded.set.find(&name(unit)).unwrap();
    choices.enablement(loaded.set.get(index).unwrap())
}

const UNITS: [(&str, &str); 3] = [
    ("web", "wants = [\"cache\"]"),
    ("cache", "wanted_by = []"),
    ("batch", "wanted_by = []"),
];

#[test]
fn enable_and_disable_decide_what_the_boot_starts() {
    let mut choices = Choices::default();
    let plain = loaded(&UNITS, &choices);
    assert_eq!(started(&plain), names(&["web"]));
    choices.enable(name("batch"));
    choices.disable(name("web"));
    let chosen = loaded(&UNITS, &choices);
    assert_eq!(started(&chosen), names(&["batch"]));
    assert_eq!(
        ["web", "cache", "batch"].map(|unit| enablement(&chosen, &choices, unit)),
        [
            Enablement::Disabled,
            Enablement::Disabled,
            Enablement::Enabled
        ]
    );
    choices.enable(name("web"));
    choices.disable(name("batch"));
    assert_eq!(started(&loaded(&UNITS, &choices)), names(&["web"]));
}

#[test]
fn nothing_starts_a_masked_unit_and_whoever_needs_it_is_told_so() {
    let choices = Choices {
        masked: [name("cache"), name("web")].into(),
        ..Choices::default()
    };
    let units = [UNITS[0], UNITS[1], ("api", "requires = [\"cache\"]")];

    let loaded = loaded(&units, &choices);
    assert_eq!(started(&loaded), names(&[]));
    let web = loaded.set.find(&name("web")).expect("it stays in the set");
    assert!(loaded.set.wants(web).is_empty());
    assert_eq!(enablement(&loaded, &choices, "web"), Enablement::Masked);
    let said: Vec<String> = loaded.diagnostics.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "api.container.toml:2:13: error: unit `api` requires `cache`, which is masked; `keelctl unmask cache` first"
        ]
    );
}

#[test]
fn a_unit_with_profiles_is_left_alone_until_one_of_them_or_itself_is_enabled() {
    let units = [
        ("web", ""),
        ("debugger", "profiles = [\"debug\", \"dev\"]"),
        ("needy", "requires = [\"debugger\"]\nprofiles = [\"dev\"]"),
    ];
    let mut choices = Choices::default();
    assert_eq!(started(&loaded(&units, &choices)), names(&["web"]));
    assert!(!loaded(&units, &choices).has_errors());
    choices.profiles.insert("debug".into());
    assert_eq!(
        started(&loaded(&units, &choices)),
        names(&["debugger", "web"])
    );
    choices.profiles = ["dev".to_owned()].into();
    assert_eq!(
        started(&loaded(&units, &choices)),
        names(&["debugger", "needy", "web"])
    );
    choices.profiles.clear();
    choices.enable(name("needy"));
    let said: Vec<String> = loaded(&units, &choices)
        .diagnostics
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        said,
        [
            "needy.container.toml:2:13: error: unit `needy` requires `debugger`, which belongs to profiles debug, dev, none of which is enabled; `keelctl enable debugger` or `keelctl enable --profile debug` first"
        ]
    );
}
