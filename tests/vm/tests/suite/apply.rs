//! Another configuration while the machine runs: what is unchanged is not touched, and the new one outlives a power cut.

use control::reply::UnitStatus;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;
use vm::{Checks, Guest, Setup, container, progress, times};

const SCENARIO: &str = "apply";
/// Ends at once when it is told to: a shell that waits has no handler for SIGTERM.
const SLEEPER: &str =
    "entrypoint = [\"sleep\", \"infinity\"]\nuser = \"0\"\nstop_signal = \"SIGKILL\"\n";

/// A container that sleeps, with these keys of `[unit]` and what else it has.
fn sleeper(name: &str, unit: &str, rest: &str) -> (String, String) {
    container(name, &format!("{SLEEPER}{rest}\n[unit]\n{unit}\n"))
}

/// The operator's folder on the build host.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn at(path: PathBuf) -> Self {
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn put(&self, (name, text): (String, String)) {
        std::fs::write(self.0.join(name), text).unwrap();
    }

    fn remove(&self, name: &str) {
        std::fs::remove_file(self.0.join(format!("{name}.container.toml"))).unwrap();
    }

    pub(crate) fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

pub(crate) fn another_configuration_is_applied_without_touching_what_is_the_same() {
    let mut checks = Checks::of(SCENARIO);
    let setup = Setup::named(SCENARIO)
        .own_disk(2 << 30)
        .units([sleeper("given", "", "")]);
    let folder = Folder::at(setup.file("units"));
    let mut guest = setup.boot();
    guest.ready();
    change_rules(&mut checks, &guest, &folder);
    choice_rules(&mut checks, &guest);
    let before = names(&guest);
    guest.machine.cut_power().unwrap();
    guest = guest.boot_again();
    guest.ready();
    checks.that("what was applied and chosen outlives a power cut", || {
        assert_eq!(names(&guest), before);
        assert_eq!(guest.status("api").state, "running");
        assert_eq!(env(&guest, "db"), "two");
        for unit in ["cache", "later", "once"] {
            assert_eq!(guest.status(unit).state, "inactive", "{unit}");
        }
        assert_eq!(guest.status("extra").state, "running");
        guest.told(&["unmask", "cache"]);
        guest.told(&["start", "cache"]);
    });
    checks.that("a job that has succeeded does not run again", || {
        guest.gets("job", "finished");
        let log = guest.told(&["logs", "job"]);
        // The cut may have taken the line, which is not on the disk at once, but another run would add one.
        assert!(log.matches("done-once").count() <= 1, "{log}");
    });
    for number in 1..=times(1, 10) {
        guest = cut_while_applying(&mut checks, guest, &folder, number);
    }
    checks.that("it switches off in order, and the log is clean", || {
        guest.power_off();
        guest.serial_log_is_clean(&[]);
    });
    checks.end();
}

fn names(guest: &Guest) -> BTreeSet<String> {
    let units = guest.machine.ps().unwrap();
    units.into_iter().map(|unit| unit.name).collect()
}

fn env(guest: &Guest, unit: &str) -> String {
    guest.shell(unit, "echo $VERSION")
}

/// What must stay: its run and its process.
fn life(guest: &Guest, unit: &str) -> (u64, Option<i32>) {
    let UnitStatus { run, pid, .. } = guest.status(unit);
    (run, pid)
}

fn db(version: &str) -> (String, String) {
    sleeper("db", "", &format!("[env]\nVERSION = \"{version}\""))
}

fn change_rules(checks: &mut Checks, guest: &Guest, folder: &Folder) {
    folder.put(db("one"));
    folder.put(sleeper("api", "requires = [\"db\"]\nafter = [\"db\"]", ""));
    folder.put(sleeper("cache", "", ""));
    folder.put(sleeper("later", "wanted_by = []", ""));
    let given = life(guest, "given");
    checks.that("diff says what would change, and changes nothing", || {
        let told = guest.told(&["diff", folder.path()]);
        assert!(told.contains("+ api: new; starts"), "{told}");
        assert!(told.contains("+ later: new\n"), "{told}");
        assert!(told.ends_with("4 new\n"), "{told}");
        assert!(!names(guest).contains("api"));
    });
    checks.that("new units start", || {
        guest.told(&["apply", "--wait", folder.path()]);
        for unit in ["db", "api", "cache"] {
            assert_eq!(guest.status(unit).state, "running", "{unit}");
        }
        assert_eq!(guest.status("later").state, "inactive");
        assert_eq!(env(guest, "db"), "one");
    });
    checks.that("what is the same is not touched", || {
        let before = ["db", "api", "cache"].map(|unit| life(guest, unit));
        let told = guest.told(&["apply", folder.path()]);
        assert_eq!(told, "no unit differs\n");
        assert_eq!(["db", "api", "cache"].map(|unit| life(guest, unit)), before);
        assert_eq!(life(guest, "given"), given);
    });
    checks.that(
        "a changed unit restarts once, and with it whoever requires it",
        || {
            let before = ["db", "api", "cache"].map(|unit| life(guest, unit));
            folder.put(db("two"));
            let told = guest.told(&["diff", folder.path()]);
            assert!(told.contains("~ db: changed; restarts"), "{told}");
            assert!(told.contains("env.VERSION: \"one\" → \"two\""), "{told}");
            assert!(
                told.contains("api: restarts, with what has changed"),
                "{told}"
            );
            guest.told(&["apply", "--wait", folder.path()]);
            assert_eq!(env(guest, "db"), "two");
            guest.gets("api", "running");
            let after = ["db", "api", "cache"].map(|unit| life(guest, unit));
            // Runs are numbered over all units: these two have started, and nothing else.
            let runs: BTreeSet<u64> = [after[0].0, after[1].0].into();
            let last = before.iter().map(|(run, _)| *run).max().unwrap();
            assert_eq!(runs, [last + 1, last + 2].into(), "{before:?} {after:?}");
            assert_eq!(after[2], before[2]);
            assert_eq!(life(guest, "given"), given);
        },
    );
    checks.that(
        "instances of a changed template restart one after the other",
        || {
            let many = |version: &str| {
                let rest = format!(
                    "[env]\nVERSION = \"{version}\"\n[replicas]\ncount = 3\nmax_parallel = 1\n"
                );
                sleeper("many@", "", &rest)
            };
            folder.put(many("one"));
            guest.told(&["apply", "--wait", folder.path()]);
            folder.put(many("two"));
            guest.told(&["apply", "--wait", folder.path()]);
            one_after_the_other(&guest.told(&["trace"]));
            assert_eq!(env(guest, "many@3"), "two");
            folder.remove("many@");
            guest.told(&["apply", "--wait", folder.path()]);
        },
    );
    checks.that("with one mistake, nothing at all is changed", || {
        let before = ["db", "api", "cache"].map(|unit| life(guest, unit));
        folder.put(db("three"));
        folder.put(container("bad", "iamge = \"x\"\n"));
        let refused = guest.keelctl(&["apply", "--wait", folder.path()]);
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        let place = folder.0.join("bad.container.toml");
        let said = &refused.stderr;
        assert!(said.contains(&format!("{}:3:1", place.display())), "{said}");
        assert!(said.contains("unknown key `iamge`"), "{said}");
        assert!(said.contains("nothing was changed"), "{said}");
        assert_eq!(["db", "api", "cache"].map(|unit| life(guest, unit)), before);
        assert!(!names(guest).contains("bad"));
        folder.remove("bad");
        folder.put(db("two"));
    });
    checks.that(
        "a file of this boot stands in for an applied one, and that is said",
        || {
            folder.put(sleeper("given", "", "[env]\nVERSION = \"ours\""));
            let told = guest.told(&["apply", folder.path()]);
            assert!(
                told.contains("given.container.toml: the file of the same name"),
                "{told}"
            );
            assert_eq!(life(guest, "given"), given);
            folder.remove("given");
        },
    );
    checks.that(
        "a removed unit stops and is gone, and only that one",
        || {
            folder.put(sleeper("short-lived", "", ""));
            guest.told(&["apply", "--wait", folder.path()]);
            assert_eq!(guest.status("short-lived").state, "running");
            let before = ["db", "api", "cache"].map(|unit| life(guest, unit));
            folder.remove("short-lived");
            let told = guest.told(&["apply", "--wait", folder.path()]);
            assert!(told.contains("- short-lived: removed; stops"), "{told}");
            assert!(!names(guest).contains("short-lived"));
            let unknown = guest.keelctl(&["status", "short-lived"]);
            assert_eq!(unknown.status.code(), Some(3), "{unknown:?}");
            assert_eq!(["db", "api", "cache"].map(|unit| life(guest, unit)), before);
        },
    );
}

/// By the trace since the last `apply`: none ends before the one before it runs again.
fn one_after_the_other(trace: &str) {
    let applied = trace.rfind("apply: ").unwrap();
    let mut down: Option<String> = None;
    let mut order = Vec::new();
    for line in trace[applied..].lines() {
        let (cause, actions) = line.split_once(" -> ").unwrap_or((line, ""));
        let mut words = cause.split_whitespace().skip(1);
        if words.next() == Some("started") && words.next() == down.as_deref() {
            down = None;
        }
        for action in actions.split(", ") {
            if let Some(unit) = action.strip_prefix("terminate ") {
                let unit = unit.split(' ').next().unwrap().to_owned();
                assert_eq!(down, None, "{unit} ends before: {trace}");
                order.push(unit.clone());
                down = Some(unit);
            }
        }
    }
    order.sort();
    assert_eq!(order, ["many@1", "many@2", "many@3"], "{trace}");
}

fn choice_rules(checks: &mut Checks, guest: &Guest) {
    checks.that(
        "a masked unit is started by nobody, and goes on as long as it runs",
        || {
            let before = life(guest, "cache");
            guest.told(&["mask", "cache"]);
            assert_eq!(life(guest, "cache"), before);
            guest.told(&["mask", "--now", "cache"]);
            let refused = guest.keelctl(&["start", "cache"]);
            assert_eq!(refused.status.code(), Some(1), "{refused:?}");
            assert!(
                refused.stderr.contains("keelctl unmask cache"),
                "{refused:?}"
            );
        },
    );
    checks.that("what another unit can't do without is not masked", || {
        let refused = guest.keelctl(&["mask", "db"]);
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        let said = &refused.stderr;
        assert!(said.contains("requires `db`, which is masked"), "{said}");
        assert_eq!(guest.status("api").state, "running");
    });
    checks.that(
        "units are enabled and disabled, by name and by profile",
        || {
            let folder = Folder::at(Path::new(guest.machine.folder().path()).join("choices"));
            for (name, text) in [
                db("two"),
                sleeper("api", "requires = [\"db\"]\nafter = [\"db\"]", ""),
                sleeper("cache", "", ""),
                sleeper("later", "wanted_by = []", ""),
                sleeper("once", "", ""),
                sleeper("extra", "profiles = [\"debug\"]", ""),
                container(
                    "job",
                    "entrypoint = [\"sh\", \"-c\", \"echo done-once\"]\n[service]\ntype = \"job\"\n",
                ),
            ] {
                folder.put((name, text));
            }
            guest.told(&["apply", "--wait", folder.path()]);
            assert_eq!(guest.status("extra").state, "inactive");
            let refused = guest.keelctl(&["start", "extra"]);
            assert!(refused.stderr.contains("--profile debug"), "{refused:?}");
            guest.told(&["enable", "--profile", "debug"]);
            guest.told(&["enable", "--now", "extra"]);
            assert_eq!(guest.status("extra").state, "running");
            guest.told(&["disable", "--now", "once"]);
            assert_eq!(guest.status("once").state, "inactive");
        },
    );
}

/// Twenty units that nothing starts, all of this version.
fn crowd(folder: &Folder, version: &str) {
    for number in 1..=20 {
        let description = format!("wanted_by = []\ndescription = \"{version}\"");
        folder.put(sleeper(&format!("crowd-{number}"), &description, ""));
    }
}

fn cut_while_applying(checks: &mut Checks, guest: Guest, folder: &Folder, number: usize) -> Guest {
    crowd(folder, "old");
    guest.told(&["apply", folder.path()]);
    crowd(folder, "new");
    // The writer is at work for a few milliseconds only.
    let moment = Duration::from_millis(u64::try_from(number).unwrap_or(0) * 37 % 400 + 20);
    let mut applying = guest.machine.keelctl_command();
    let mut applying = applying.args(["apply", folder.path()]).spawn().unwrap();
    std::thread::sleep(moment);
    guest.machine.cut_power().unwrap();
    let _ = applying.wait();
    let guest = guest.boot_again();
    guest.ready();
    checks.that(
        "after a power cut the configuration is the old one or the new one",
        || {
            let units = guest.machine.ps().unwrap();
            let crowd = units.iter().filter(|unit| unit.name.starts_with("crowd-"));
            let versions: Vec<&str> = crowd.map(|unit| unit.description.as_str()).collect();
            assert_eq!(versions.len(), 20);
            progress(SCENARIO, &format!("cut after {moment:?}: {}", versions[0]));
            assert!(
                versions.iter().all(|version| *version == versions[0]),
                "{versions:?}"
            );
            assert!(units.iter().all(|unit| unit.diagnostics.is_empty()));
        },
    );
    guest
}
