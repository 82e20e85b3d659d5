//! What is said to differ between two sets of units.

use unit::{Change, KeyChange, Needs, Source, UnitChange, UnitSet};

const FULL: &str = include_str!("full.toml");
const FULL_LIFE: &str = include_str!("full_life.toml");
const SMALLEST: &str = "[container]\nimage = \"x\"\n";

fn set(files: &[(&str, &str)]) -> UnitSet {
    let sources = files.iter().map(|(file, text)| Source {
        file: (*file).to_owned(),
        text: (*text).to_owned(),
    });
    unit::load_sources(sources.collect()).set
}

/// `db` and the others that the full units need.
fn around(file: &str, text: &str) -> UnitSet {
    let job = "[container]\nimage = \"x\"\n[service]\ntype = \"job\"\n";
    let healthy = "[container]\nimage = \"x\"\n[health]\nexec = [\"true\"]\n";
    set(&[
        (file, text),
        ("db.container.toml", healthy),
        ("cache.container.toml", SMALLEST),
        ("migrate.container.toml", job),
    ])
}

fn keys(change: &UnitChange) -> &[KeyChange] {
    match &change.change {
        Change::Changed { keys } => keys,
        Change::Added | Change::Removed => &[],
    }
}

fn shown(changes: &[UnitChange]) -> Vec<String> {
    let of_unit = |change: &UnitChange| -> Vec<String> {
        let name = &change.unit;
        let lines = keys(change).iter().map(|key| {
            let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
            format!(
                "{name} {}: {} > {}",
                key.key,
                text(&key.old),
                text(&key.new)
            )
        });
        match change.change {
            Change::Added => vec![format!("{name} added")],
            Change::Removed => vec![format!("{name} removed")],
            Change::Changed { .. } => lines.collect(),
        }
    };
    changes.iter().flat_map(of_unit).collect()
}

#[test]
fn what_is_the_same_is_not_named_wherever_its_file_is() {
    let old = set(&[
        ("release/web.container.toml", SMALLEST),
        ("db.container.toml", SMALLEST),
    ]);
    let same = set(&[
        ("operator/web.container.toml", SMALLEST),
        (
            "db.container.toml",
            "[container]\nimage = \"docker.io/library/x:latest\"\n[service]\nrestart = \"always\"\n",
        ),
    ]);
    assert_eq!(unit::diff(&old, &same), []);
}

#[test]
fn units_that_come_and_go_are_named_in_order() {
    let old = set(&[
        (
            "b@.container.toml",
            "[container]\nimage = \"x\"\n[replicas]\ncount = 11\n",
        ),
        ("c.container.toml", SMALLEST),
    ]);
    let new = set(&[
        ("a.container.toml", SMALLEST),
        (
            "b@.container.toml",
            "[container]\nimage = \"x\"\n[replicas]\ncount = 1\n",
        ),
        ("c.container.toml", SMALLEST),
    ]);
    let said = shown(&unit::diff(&old, &new));
    assert_eq!(said.first().map(String::as_str), Some("a added"));
    assert_eq!(said.get(1).map(String::as_str), Some("b@2 removed"));
    assert_eq!(said.last().map(String::as_str), Some("b@11 removed"));
    assert_eq!(said.len(), 11);
}

#[test]
fn values_are_shown_as_they_are_written() {
    let old = set(&[("web.container.toml", SMALLEST)]);
    let new = set(&[(
        "web.container.toml",
        "[unit]\nafter = [\"default.target\"]\n[container]\nimage = \"x:2\"\ncommand = [\"say\", \"\\\"hi\\\"\"]\nvolumes = [\"data:/data:ro\"]\n[env]\nA = \"1\"\n[[ports]]\npublish = \"127.0.0.1:80-81:8080-8081/udp\"\n[[ports]]\npublish = \"127.0.0.1::9\"\n[resources]\nmemory = \"1.5G\"\ncpus = 0.25\n[service]\nrestart_delay = \"1m30s\"\n[health]\ntcp = { port = 9 }\n",
    )]);
    let expected = [
        "web container.command: - > [\"say\", \"\\\"hi\\\"\"]",
        "web container.image: \"docker.io/library/x:latest\" > \"docker.io/library/x:2\"",
        "web env.A: - > \"1\"",
        "web health.tcp: - > { port = 9 }",
        "web mounts.\"/data\": - > { type = \"volume\", source = \"data\", read_only = true }",
        "web ports: [] > [\"127.0.0.1:80-81:8080-8081/udp\", \"127.0.0.1::9\"]",
        "web resources.cpus: - > 0.25",
        "web resources.memory: - > \"1536M\"",
        "web service.restart_delay: \"100ms\" > \"1m30s\"",
        "web service.restart_delay_max: \"1m\" > \"1m30s\"",
        "web unit.after: [] > [\"default.target\"]",
    ];
    assert_eq!(shown(&unit::diff(&old, &new)), expected);
    let back: Vec<String> = shown(&unit::diff(&new, &old));
    assert!(back.contains(&"web env.A: \"1\" > -".to_owned()));
}

#[test]
fn only_what_the_running_container_was_made_with_needs_a_restart() {
    let base = "[container]\nimage = \"x\"\n";
    let needs = |extra: &str| {
        let old = set(&[("web.container.toml", base), ("db.container.toml", base)]);
        let new = format!("{base}{extra}");
        let new = set(&[("web.container.toml", &new), ("db.container.toml", base)]);
        let changes = unit::diff(&old, &new);
        assert_eq!(changes.len(), 1, "{extra}");
        changes.first().map(UnitChange::needs)
    };
    for extra in [
        "[unit]\ndescription = \"d\"\n",
        "[unit]\nafter = [\"db\"]\n",
        "[unit]\nwanted_by = []\n",
        "[unit.condition]\nmemory_min = \"1G\"\n",
        "[[unit.depends_on]]\nunit = \"db\"\n",
        "[service]\nrestart = \"no\"\n",
        "[service]\nstart_limit = { burst = 1, interval = \"1s\" }\n",
        "[[service.pre_stop]]\ncommand = [\"x\"]\n",
        "[health]\ninterval = \"1s\"\n",
        "[health]\nhttp = { port = 80 }\n",
        "[update]\norder = \"start-first\"\n",
        "[readiness]\ntimeout = \"1s\"\n",
    ] {
        assert_eq!(needs(extra), Some(Needs::Nothing), "{extra}");
    }
    for extra in [
        "user = \"1\"\n",
        "volumes = [\"data:/data\"]\n",
        "[env]\nA = \"1\"\n",
        "[[ports]]\npublish = \"80\"\n",
        "[network]\nmode = \"none\"\n",
        "[resources]\npids = 9\n",
        "[security]\nread_only = true\n",
        "[logging]\nmax_files = 1\n",
        "[service]\ntype = \"notify\"\n",
        "[service]\nwatchdog = \"1s\"\nrestart = \"no\"\n",
        "[readiness]\nmode = \"log\"\nlog = \"x\"\n",
    ] {
        assert_eq!(needs(extra), Some(Needs::Restart), "{extra}");
    }
}

/// Each value of a file that has every key is changed in turn, and the difference is never overlooked.
fn every_change_is_found(file: &str, whole: &str, changed: &mut u32) {
    let old = around(file, whole);
    for (number, line) in whole.lines().enumerate() {
        let Some((key, _)) = line.split_once(" = ") else {
            continue;
        };
        // For readers, or written as it is by default.
        if ["documentation", "schema", "max_parallel", "scheme"].contains(&key) {
            continue;
        }
        let mut lines: Vec<&str> = whole.lines().collect();
        lines.remove(number);
        let new = around(file, &lines.join("\n"));
        let said = unit::diff(&old, &new);
        let gone = said.iter().any(|change| change.change == Change::Removed);
        if gone {
            // Nothing is left without it: `image`, the times of a timer, the unit of a dependency.
            continue;
        }
        assert!(
            !said.is_empty(),
            "line {} of {file} can go unnoticed: {line}",
            number + 1
        );
        *changed += 1;
    }
}

#[test]
fn no_key_is_overlooked() {
    let mut changed = 0;
    every_change_is_found("app@.container.toml", FULL, &mut changed);
    every_change_is_found("web@.container.toml", FULL_LIFE, &mut changed);
    let timer = "[timer]\non_calendar = [\"@daily\"]\non_boot = \"1m\"\non_unit_active = \"1h\"\ntimezone = \"Asia/Tokyo\"\npersistent = false\nrandomized_delay = \"1s\"\nconcurrency = \"allow\"\nhistory = { success = 1, failed = 2 }\nunit = \"db\"\n";
    every_change_is_found(
        "db.timer.toml",
        &timer.replace("\"db\"", "\"cache\""),
        &mut changed,
    );
    assert!(changed >= 70, "{changed}");
}

#[test]
fn a_change_survives_json() {
    let old = set(&[
        ("web.container.toml", SMALLEST),
        ("db.container.toml", SMALLEST),
    ]);
    let new = set(&[
        ("web.container.toml", "[container]\nimage = \"y\"\n"),
        ("new.container.toml", SMALLEST),
    ]);
    let changes = unit::diff(&old, &new);
    assert_eq!(changes.len(), 3);
    let text = serde_json::to_string(&changes).expect("written");
    assert_eq!(
        serde_json::from_str::<Vec<UnitChange>>(&text).expect("read"),
        changes
    );
}
