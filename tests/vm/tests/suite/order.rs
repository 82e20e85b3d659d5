//! Who is started before whom and because of whom, what the clock starts, and what the machine says about it; and that a
//! reboot and a power cut change nothing about that.

use crate::apply::Folder;
use crate::shop::{self, SHOP};
use crate::timers::{Times, history};
use control::explain::{PastRun, UnitGraph};
use control::reply::UnitStatus;
use qemu::FindingKind;
use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;
use vm::{Checks, Guest, Setup, container, until};

pub(crate) const SCENARIO: &str = "order";
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// A shell script as a container: with these keys of `[unit]` and of `[service]`.
pub(crate) fn script(name: &str, text: &str, unit: &str, service: &str) -> (String, String) {
    let rest = format!(
        "entrypoint = [\"sh\", \"-c\", \"{text}\"]\nuser = \"0\"\nstop_signal = \"SIGKILL\"\n\
         [unit]\n{unit}\n[service]\n{service}\n"
    );
    container(name, &rest)
}

/// It runs until it is stopped.
fn sleeper(name: &str, unit: &str) -> (String, String) {
    script(name, "exec sleep infinity", unit, "")
}

/// One that is started by hand or by others only.
pub(crate) fn aside(unit: &str) -> String {
    format!("wanted_by = []\n{unit}")
}

pub(crate) fn with(unit: (String, String), more: &str) -> (String, String) {
    (unit.0, format!("{}{more}", unit.1))
}

fn dependents() -> Vec<(String, String)> {
    let end_when_told = "while [ ! -e /tmp/end ]; do sleep 0.1; done";
    let probe = container(
        "probe",
        "entrypoint = [\"sleep\", \"infinity\"]\nuser = \"0\"\nstop_signal = \"SIGKILL\"\n\
         volumes = [\"/var/machine:/machine/state\"]\n",
    );
    vec![
        probe,
        sleeper("base", &aside("")),
        sleeper(
            "picky",
            &aside("requisite = [\"base\"]\nafter = [\"base\"]"),
        ),
        script("anchor", end_when_told, &aside(""), "restart = \"no\""),
        sleeper(
            "bound",
            &aside("binds_to = [\"anchor\"]\nafter = [\"anchor\"]"),
        ),
        sleeper("part", &aside("part_of = [\"base\"]")),
        sleeper("blue", &aside("")),
        sleeper("red", &aside("conflicts = [\"blue\"]")),
        script(
            "breaks",
            "exit 3",
            &aside("on_failure = [\"rescue\"]"),
            "restart = \"no\"",
        ),
        sleeper("rescue", &aside("")),
        script(
            "works",
            "exit 0",
            &aside("on_success = [\"cheer\"]"),
            "type = \"oneshot\"",
        ),
        sleeper("cheer", &aside("")),
        script("fill", "exit 3", &aside(""), "type = \"oneshot\""),
        script(
            "needy",
            "exec sleep infinity",
            &aside("requires = [\"fill\"]\nafter = [\"fill\"]"),
            "",
        ),
        script(
            "looper",
            "exit 1",
            &aside(""),
            "restart_delay = \"100ms\"\nstart_limit = { burst = 3, interval = \"1m\" }",
        ),
        script(
            "prevented",
            "exit 7",
            &aside(""),
            "restart_prevent_exit_codes = [7]",
        ),
        script(
            "limited",
            "exec sleep infinity",
            &aside(""),
            "restart = \"no\"\nruntime_max = \"1s\"",
        ),
        script(
            "abnormal",
            "exec sleep infinity",
            &aside(""),
            "restart = \"on-abnormal\"\nruntime_max = \"1s\"",
        ),
        script(
            "ordinary",
            "exit 1",
            &aside(""),
            "restart = \"on-abnormal\"",
        ),
    ]
}

pub(crate) fn units_start_in_their_order_and_the_machine_says_why() {
    let mut checks = Checks::of(SCENARIO);
    let times = Times::now();
    let setup = Setup::named(SCENARIO)
        .memory(2 << 30)
        .own_disk(2 << 30)
        .units(dependents())
        .units(times.units());
    let folder = Folder::at(setup.file("units"));
    let guest = setup.boot();
    guest.ready();
    shop::units().into_iter().for_each(|unit| folder.put(unit));
    guest.told(&["apply", "--wait", folder.path()]);
    shop::rules(&mut checks, &guest, "after they were applied");
    dependency_rules(&mut checks, &guest);
    limit_rules(&mut checks, &guest);
    times.rules(&mut checks, &guest);
    explanation_rules(&mut checks, &guest);
    let past = past_of(&guest);
    times.set_forward_by_a_day(&guest);
    checks.that("it reboots when it is told to", || {
        guest.machine.begin_boot();
        guest.told(&["reboot"]);
        guest.ready();
    });
    shop::rules(&mut checks, &guest, "after a reboot");
    times.rules_a_day_later(&mut checks, &guest);
    checks.that("past runs outlive a reboot", || {
        assert_eq!(past_of(&guest), past);
    });
    for file in ["history/works.json", "timers.json"] {
        let path = format!("/machine/state/{file}");
        guest.shell("probe", &format!("echo '[{{' > {path}; sync {path}"));
    }
    guest.machine.cut_power().unwrap();
    let guest = guest.boot_again();
    checks.that("it comes back from a power cut, with nobody there", || {
        guest.ready();
    });
    shop::rules(&mut checks, &guest, "after a power cut");
    shop::who_is_ill_is_restarted(&mut checks, &guest);
    times.rules_back_in_time(&mut checks, &guest);
    checks.that(
        "past runs and timers that can't be read are named, and forgotten",
        || {
            let line = guest.says("/var/machine/timers.json: ");
            assert!(line.contains("makes up for none that it missed"), "{line}");
            let [works, schema] = past_of(&guest);
            assert_eq!((works, &schema), (Vec::new(), &past[1]));
            let line = guest.says("/var/machine/history/works.json: ");
            assert!(
                line.contains("the runs of works before this boot are forgotten"),
                "{line}"
            );
        },
    );
    checks.that("it switches off in order, and the log is clean", || {
        guest.power_off();
        guest.serial_log_is_clean(&[FindingKind::BootStage, FindingKind::Unit]);
    });
    checks.end();
}

/// Of a oneshot and of a job.
fn past_of(guest: &Guest) -> [Vec<PastRun>; 2] {
    ["works", "schema"].map(|unit| {
        let runs = history(guest, unit);
        assert!(unit == "works" || runs.len() == 1, "{unit}: {runs:?}");
        runs
    })
}

fn is(guest: &Guest, unit: &str, state: &str) {
    guest.gets(unit, state);
}

fn fails(guest: &Guest, words: &[&str], part: &str) {
    let finished = guest.keelctl(words);
    assert_eq!(finished.status.code(), Some(1), "{finished:?}");
    assert!(finished.stderr.contains(part), "{}", finished.stderr);
}

fn dependency_rules(checks: &mut Checks, guest: &Guest) {
    checks.that("a requisite is not started, but must be there", || {
        fails(
            guest,
            &["start", "picky"],
            "base, which must be active already, is not",
        );
        assert_eq!(guest.status("base").state, "inactive");
        guest.told(&["start", "base"]);
        guest.told(&["start", "picky"]);
        is(guest, "picky", "running");
    });
    checks.that(
        "what is bound ends with what it is bound to, however that ends",
        || {
            guest.told(&["start", "bound"]);
            is(guest, "anchor", "running");
            // Its container may end before it does, and takes it along.
            guest.keelctl(&["exec", "anchor", "touch", "/tmp/end"]);
            let stopped = until("bound has stopped", SOON, || {
                let status = guest.status("bound");
                match status.state.as_str() {
                    "inactive" | "failed" => Ok(status),
                    other => Err(other.to_owned()),
                }
            });
            assert!(stopped.0.reason.contains("anchor"), "{:?}", stopped.0);
        },
    );
    checks.that("a part restarts and stops with its whole", || {
        guest.told(&["start", "part"]);
        let before = guest.status("part").run;
        guest.told(&["restart", "base"]);
        until("part restarts", SOON, || {
            let status = guest.status("part");
            let again = status.run > before && status.state == "running";
            again.then_some(()).ok_or(status.state)
        });
        guest.told(&["stop", "base"]);
        is(guest, "part", "inactive");
    });
    checks.that(
        "of two that conflict, the one that was started last runs",
        || {
            guest.told(&["start", "blue"]);
            guest.told(&["start", "red"]);
            let blue = guest.gets("blue", "inactive");
            assert!(blue.reason.contains("conflicts with red"), "{blue:?}");
            guest.told(&["start", "blue"]);
            is(guest, "red", "inactive");
        },
    );
    checks.that(
        "a failure and a success start what they are to start",
        || {
            guest.told(&["start", "breaks"]);
            is(guest, "breaks", "failed");
            is(guest, "rescue", "running");
            guest.told(&["start", "works"]);
            is(guest, "cheer", "running");
        },
    );
}

fn limit_rules(checks: &mut Checks, guest: &Guest) {
    // All at once: they take their time.
    guest.told(&["start", "limited", "abnormal"]);
    checks.that(
        "a start limit ends a crash loop, and reset-failed lets it start anew",
        || {
            guest.told(&["start", "looper"]);
            let status = guest.gets("looper", "failed");
            assert_eq!(status.limit.as_deref(), Some("start_limit"), "{status:?}");
            let told = guest.told(&["status", "looper"]);
            assert!(told.contains("Limit hit: start_limit"), "{told}");
            guest.told(&["reset-failed", "looper"]);
            let status = guest.gets("looper", "inactive");
            assert_eq!(status.limit, None, "{status:?}");
        },
    );
    checks.that("an exit code prevents the restart", || {
        guest.told(&["start", "prevented"]);
        let status = guest.gets("prevented", "failed");
        assert_eq!(
            (status.restarts, status.last_exit.as_deref()),
            (0, Some("exited with code 7"))
        );
    });
    checks.that(
        "a run longer than runtime_max ends, which is abnormal",
        || {
            let status = guest.gets("limited", "failed");
            assert_eq!(status.limit.as_deref(), Some("runtime_max"), "{status:?}");
            until("abnormal restarts", SOON, || {
                let status = guest.status("abnormal");
                (status.restarts > 0).then_some(()).ok_or(status.state)
            });
            guest.told(&["stop", "abnormal"]);
            guest.told(&["start", "ordinary"]);
            assert_eq!(guest.gets("ordinary", "failed").restarts, 0);
        },
    );
}

fn explanation_rules(checks: &mut Checks, guest: &Guest) {
    checks.that("why leads to the unit whose failure it was", || {
        fails(guest, &["start", "needy"], "fill");
        let told = guest.told(&["why", "needy"]);
        let lines: Vec<&str> = told.lines().skip(1).collect();
        assert!(
            lines
                .iter()
                .any(|line| line.contains("exited fill") && line.contains("code 3")),
            "{told}"
        );
        assert!(
            lines
                .last()
                .unwrap()
                .contains("failed: fill, which it requires"),
            "{told}"
        );
    });
    checks.that("status says what a unit needs and who needs it", || {
        let told = guest.told(&["status", "movie"]);
        let needs =
            "Needs\n├─ discovery (running)\n│  └─ configserver (running)\n└─ schema (finished)\n";
        assert!(told.contains(needs), "{told}");
        let needed = "└─ recommendation (running)\n   ├─ default.target (running), wanted\n";
        assert!(
            told.contains("Needed by\n") && told.contains(needed),
            "{told}"
        );
        let status: UnitStatus =
            serde_json::from_str(&guest.told(&["status", "needy", "--json"])).unwrap();
        assert_eq!(status.state, "failed");
        assert!(
            status.reason.contains("fill, which it requires, failed"),
            "{status:?}"
        );
        assert_eq!(status.enablement, "disabled");
    });
    checks.that("the graph has every unit and every edge", || {
        let text = guest.told(&["graph", "--json"]);
        let graph: UnitGraph = serde_json::from_str(&text).unwrap();
        assert_eq!(graph.units.len(), guest.machine.ps().unwrap().len());
        let mut edges: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
        for edge in &graph.edges {
            edges
                .entry((&edge.from, &edge.to))
                .or_default()
                .push(&edge.kind);
        }
        for (name, needs) in SHOP {
            for (other, _) in needs {
                assert_eq!(
                    edges[&(name, *other)],
                    ["requires", "after"],
                    "{name} {other}"
                );
            }
        }
        assert_eq!(edges[&("sweep.timer", "sweep")], ["starts"]);
        let dot = guest.told(&["graph", "--dot", "ui"]);
        assert!(
            dot.contains("\"ui\" -> \"gateway\"") && !dot.contains("looper"),
            "{dot}"
        );
        let svg = guest.told(&["graph", "--svg"]);
        assert!(
            svg.starts_with("<svg") && svg.contains(">configserver</text>"),
            "{svg}"
        );
    });
    checks.that("the simulator decides what the machine has decided", || {
        let dump = guest.told(&["trace", "--dump"]);
        let file = guest.machine.folder().path().join("dump.json");
        std::fs::write(&file, dump).unwrap();
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
        let replayed = Command::new(cargo)
            .args(["run", "-q", "-p", "sim", "--", "--replay"])
            .arg(&file)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&replayed.stdout);
        assert!(replayed.status.success(), "{replayed:?}");
        assert!(
            said.contains("the same decisions, and the same end"),
            "{said}"
        );
        let turns: u64 = said.split_whitespace().nth(1).unwrap().parse().unwrap();
        assert!(turns > 20, "{said}");
    });
}
