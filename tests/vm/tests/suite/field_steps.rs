//! What hooks, probes and execs leave behind, and what they use up: nothing of it is ever the service's trouble.

use crate::order::{aside, script, with};
use std::time::Duration;
use vm::{Checks, Guest, Setup, container, until};

const SCENARIO: &str = "field-steps";
const SOON: Duration = Duration::from_secs(60);
/// Some seconds of probing, twice a second.
const PROBED: Duration = Duration::from_secs(8);

/// More than the limit of the units below, in one buffer.
const EATS: &str = "dd if=/dev/zero of=/dev/null bs=200M count=1";
/// A daemon as of old: two generations, each in a session of its own, and one that has ended before anyone looks.
const LEAVES: &str = "(busybox setsid sh -c \"sleep 1234 & sleep 0.1\" &); (sleep 0.1 &); true";

/// Its first process never waits for a child that it does not know.
fn deaf(name: &str, more: &str) -> (String, String) {
    let rest = "entrypoint = [\"sleep\", \"1d\"]\nuser = \"0\"\nstop_signal = \"SIGKILL\"\n";
    container(name, &format!("{rest}{more}"))
}

fn health(command: &str, timeout: &str) -> String {
    format!(
        "[health]\nexec = [\"sh\", \"-c\", '''{command}''']\ninterval = \"500ms\"\ntimeout = \"{timeout}\"\nretries = 1000\n"
    )
}

fn hook(kind: &str, command: &str) -> String {
    format!(
        "[[service.{kind}]]\ncommand = [\"sh\", \"-c\", '''{command}''']\non_failure = \"ignore\"\n"
    )
}

fn setup() -> Setup {
    let pids = |pids: u64| format!("[resources]\npids = {pids}\n");
    let full = "i=0; while [ $i -lt 11 ]; do sleep 1d & i=$((i+1)); done; echo full; wait";
    let small = "[resources]\nmemory = \"64M\"\n";
    Setup::named(SCENARIO).units([
        deaf("zombies", &(pids(40) + &health(LEAVES, "5s"))),
        deaf(
            "hangs",
            &(pids(40) + &health("sleep 1234 & sleep 1234", "1s")),
        ),
        deaf(
            "hooked",
            &(hook("post_start", LEAVES) + "[unit]\nwanted_by = []\n"),
        ),
        with(
            script("full", full, "", ""),
            &(pids(12) + &health("true", "5s")),
        ),
        with(
            script("one", "sleep 0.1; true", &aside(""), "restart = \"no\""),
            &pids(1),
        ),
        script(
            "comes-back",
            "readlink /proc/self/ns/net; sleep 0.3; exit 1",
            &aside(""),
            "restart = \"always\"\nrestart_delay = \"100ms\"\nrestart_delay_max = \"100ms\"\nstart_limit = { burst = 3, interval = \"1m\" }",
        ),
        deaf("small", small),
        deaf("eaten-by-probe", &(small.to_owned() + &health(EATS, "30s"))),
        deaf(
            "eaten-by-hook",
            &(small.to_owned() + &hook("post_start", EATS) + "[unit]\nwanted_by = []\n"),
        ),
        with(
            script("eats-itself", EATS, &aside(""), "restart = \"no\""),
            small,
        ),
    ])
}

pub(crate) fn what_runs_beside_a_service_is_never_its_end() {
    let mut checks = Checks::of(SCENARIO);
    let guest = setup().boot();
    guest.booted();
    leftovers(&mut checks, &guest);
    processes(&mut checks, &guest);
    memory(&mut checks, &guest);
    checks.that(
        "who comes back by itself has the network that it had",
        || {
            guest.told(&["start", "comes-back"]);
            guest.gets("comes-back", "failed");
            let log = guest.told(&["logs", "comes-back"]);
            let networks: Vec<&str> = log
                .lines()
                .filter_map(|line| line.split_once("net:["))
                .map(|(_, number)| number)
                .collect();
            assert_eq!(networks.len(), 3, "{log}");
            assert!(networks.iter().all(|one| *one == networks[0]), "{log}");
        },
    );
    checks.that("power-off is in order", || {
        guest.power_off();
    });
    checks.end();
}

/// Processes in the container but its first and those that look.
fn others(guest: &Guest, unit: &str) -> String {
    let script = "cat /proc/[0-9]*/stat 2>/dev/null | grep -v '^1 ' | grep -E '\\((sleep|dd)\\)|\\) Z ' || true";
    guest.shell(unit, script)
}

fn soon<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    until(what, SOON, || look().ok_or_else(|| "not yet".to_owned())).0
}

fn leftovers(checks: &mut Checks, guest: &Guest) {
    checks.that(
        "probes that leave processes behind leave no zombies, nor any process",
        || {
            std::thread::sleep(PROBED);
            let status = guest.gets("zombies", "running");
            assert_eq!(status.restarts, 0, "{status:?}");
            let health = status.health.unwrap_or_default();
            assert_eq!(health.status, "healthy", "{health:?}");
            assert!(
                status.pids.is_some_and(|pids| pids < 10),
                "{:?}",
                status.pids
            );
        },
    );
    checks.that("a probe that hangs is reaped as well", || {
        let status = guest.gets("hangs", "running");
        let reason = status.health.unwrap_or_default().reason;
        assert!(reason.contains("took longer"), "{reason}");
        assert!(
            status.pids.is_some_and(|pids| pids < 10),
            "{:?}",
            status.pids
        );
        // One that has just ended is one until its parent has waited for it.
        soon("there is no zombie", || {
            let zombies = guest.shell(
                "hangs",
                "cat /proc/[0-9]*/stat 2>/dev/null | grep -c ') Z ' || true",
            );
            (zombies == "0").then_some(())
        });
        assert_eq!(status.restarts, 0);
    });
    checks.that("so are those of an exec and of a hook", || {
        guest.shell("small", LEAVES);
        assert_eq!(others(guest, "small"), "");
        guest.told(&["start", "hooked"]);
        soon("the hook has ended", || {
            others(guest, "hooked").is_empty().then_some(())
        });
    });
    checks.that("an exec whose client has gone takes all along", || {
        let gone = guest.keelctl(&[
            "--timeout",
            "2s",
            "exec",
            "small",
            "sh",
            "-c",
            "sleep 1234 & sleep 1234",
        ]);
        assert!(!gone.success(), "{gone:?}");
        soon("its processes are gone", || {
            others(guest, "small").is_empty().then_some(())
        });
    });
}

fn processes(checks: &mut Checks, guest: &Guest) {
    checks.that("used up processes are named by the key", || {
        soon("all processes are there", || {
            (guest.status("full").pids == Some(12)).then_some(())
        });
        let exec = guest.keelctl(&["exec", "full", "true"]);
        assert!(exec.stderr.contains("resources.pids = 12"), "{exec:?}");
        let status = soon("a probe has failed", || {
            let status = guest.status("full");
            let reason = status.health.clone().unwrap_or_default().reason;
            reason.contains("resources.pids = 12").then_some(status)
        });
        assert_eq!((status.pids, status.pids_max), (Some(12), Some(12)));
        let told = guest.told(&["status", "full"]);
        assert!(told.contains("12 of 12"), "{told}");
    });
    checks.that("so they are when the container ends for it", || {
        guest.keelctl(&["start", "one"]);
        let status = guest.gets("one", "failed");
        assert!(status.reason.contains("resources.pids = 1"), "{status:?}");
    });
    checks.that("and when a command can start but no child of it", || {
        let script = "i=0; while [ $i -lt 60 ]; do sleep 60 & i=$((i+1)); done; wait";
        let exec = guest.keelctl(&["exec", "zombies", "sh", "-c", script]);
        assert!(exec.stderr.contains("resources.pids = 40"), "{exec:?}");
        let status = guest.gets("zombies", "running");
        assert_eq!(status.restarts, 0, "{status:?}");
    });
}

fn memory(checks: &mut Checks, guest: &Guest) {
    checks.that(
        "an exec that eats the memory ends, and the service goes on",
        || {
            let run = guest.status("small").run;
            for _ in 0..3 {
                let exec = guest.keelctl(&["exec", "small", "sh", "-c", EATS]);
                assert!(!exec.success(), "{exec:?}");
                assert!(exec.stderr.contains("resources.memory"), "{exec:?}");
            }
            let status = guest.gets("small", "running");
            assert_eq!((status.run, status.restarts), (run, 0), "{status:?}");
        },
    );
    checks.that("nobody in a command can make itself the last to go", || {
        let script = "cat /proc/self/oom_score_adj; echo 0 > /proc/self/oom_score_adj || true; cat /proc/1/oom_score_adj";
        assert_eq!(guest.shell("small", script), "1000\n0");
        assert_eq!(guest.shell("small", "cat /proc/1/cgroup; cat /sys/fs/cgroup/memory.max; ls /sys/fs/cgroup | grep -c step- || true"), "0::/\n67108864\n0");
    });
    checks.that("so does a probe", || {
        let status = soon("it has failed", || {
            let status = guest.status("eaten-by-probe");
            let reason = status.health.clone().unwrap_or_default().reason;
            reason.contains("resources.memory").then_some(status)
        });
        assert_eq!((status.state.as_str(), status.restarts), ("running", 0));
    });
    checks.that("and a hook", || {
        guest.told(&["start", "eaten-by-hook"]);
        let status = guest.gets("eaten-by-hook", "running");
        assert_eq!(status.restarts, 0, "{status:?}");
        let log = guest.told(&["logs", "eaten-by-hook"]);
        assert!(log.contains("resources.memory"), "{log}");
    });
    checks.that("a container that eats it itself is said to", || {
        guest.keelctl(&["start", "eats-itself"]);
        let status = guest.gets("eats-itself", "failed");
        assert!(status.reason.contains("resources.memory"), "{status:?}");
        assert_eq!(status.limit.as_deref(), Some("resources.memory"));
    });
    checks.that(
        "a unit with commands under way is frozen and stopped as a whole",
        || {
            guest.told(&["pause", "zombies"]);
            guest.told(&["unpause", "zombies"]);
            guest.told(&["stop", "zombies"]);
            guest.gets("zombies", "inactive");
        },
    );
}
