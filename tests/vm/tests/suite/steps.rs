//! Steps beside a run, and reload: on the machine of `notify`.

use crate::notify::{BY_HAND, log, logs};
use vm::{Checks, Guest, REDIS, actor, container};

/// Array of tables for one kind of step, each with these keys.
fn step(kind: &str, script: &str, rest: &str) -> String {
    format!("[[service.{kind}]]\ncommand = [\"sh\", \"-c\", '''{script}''']\n{rest}")
}

/// A shell that ends when it is asked to.
const MAIN: &str = "entrypoint = [\"sh\", \"-c\", '''trap 'exit 5' TERM; echo main; while true; do sleep 0.2; done''']\n\
                    user = \"0\"\n";

pub(crate) fn units() -> Vec<(String, String)> {
    let whole = [
        MAIN,
        "volumes = [\"steps:/shared\"]\n[env]\nWHO = \"steps\"\n[service]\nrestart = \"no\"\n",
        &step(
            "pre_start",
            "echo pre-start of $WHO; ifconfig eth0 | grep inet; touch /shared/made /gone",
            "",
        ),
        &step(
            "pre_start",
            "ls /gone; echo then $(ls /shared); echo for the log >&2",
            &format!("image = \"{REDIS}\"\n"),
        ),
        &step(
            "post_start",
            "echo post-start; hostname; ifconfig eth0 | grep inet; touch /kept",
            "",
        ),
        &step("pre_stop", "echo pre-stop; ls /kept", ""),
        &step(
            "post_stop",
            "echo post-stop after $EXIT_CODE $EXIT_STATUS; ls /kept",
            "on_failure = \"ignore\"\n",
        ),
        BY_HAND,
    ]
    .concat();
    let refused = [
        MAIN,
        "[service]\nrestart = \"no\"\n",
        &step(
            "pre_start",
            "echo first; echo the database is away; exit 3",
            "",
        ),
        &step("post_stop", "echo not to be cleaned up", ""),
        BY_HAND,
    ]
    .concat();
    let tolerant = [
        MAIN,
        "[service]\nrestart = \"no\"\n",
        &step("pre_start", "exit 4", "on_failure = \"ignore\"\n"),
        &step(
            "post_start",
            "sleep 1234 & sleep 1234",
            "timeout = \"1s\"\non_failure = \"ignore\"\n",
        ),
        BY_HAND,
    ]
    .concat();
    let hung = [
        MAIN,
        "[service]\nrestart = \"no\"\n",
        &step("pre_start", "sleep 1234 & sleep 1234", "timeout = \"1s\"\n"),
        BY_HAND,
    ]
    .concat();
    let missing = [
        MAIN,
        "[service]\nrestart = \"no\"\n",
        "[[service.pre_start]]\ncommand = [\"/no/such\"]\n",
        BY_HAND,
    ]
    .concat();
    let by_command = [
        MAIN,
        "[service]\nreload = { command = [\"sh\", \"-c\", \"echo checked; [ ! -e /bad ] || { echo the configuration is bad; exit 2; }\"] }\n",
        BY_HAND,
    ]
    .concat();
    let by_signal = "[service]\ntype = \"notify\"\nreload = { signal = \"SIGHUP\" }\n";
    vec![
        container("whole", &whole),
        container("refused", &refused),
        container("tolerant", &tolerant),
        container("hung", &hung),
        container("missing", &missing),
        container("by-command", &by_command),
        container(
            "down",
            &format!(
                "entrypoint = [\"sleep\", \"infinity\"]\nstop_signal = \"SIGKILL\"\n[service]\nreload = {{ signal = \"SIGHUP\" }}\n{BY_HAND}"
            ),
        ),
        actor(
            "by-signal",
            &[
                "say READY=1",
                "await HUP",
                "say RELOADING=1",
                "print read again",
                "say READY=1",
                "forever",
            ],
            &format!("stop_signal = \"SIGKILL\"\n{by_signal}{BY_HAND}"),
        ),
    ]
}

pub(crate) fn rules(checks: &mut Checks, guest: &Guest) {
    checks.that("steps are done in their order, where they belong", || {
        order(guest)
    });
    failure_rules(checks, guest);
    reload_rules(checks, guest);
}

fn order(guest: &Guest) {
    guest.told(&["start", "whole"]);
    logs(guest, "whole", "post-start");
    guest.told(&["stop", "whole"]);
    logs(guest, "whole", "post-stop");
    logs(guest, "whole", "No such file or directory");
    let log = log(guest, "whole");
    let lines = [
        "pre-start of steps",
        "then made",
        "main",
        "post-start",
        "pre-stop",
        "post-stop after exited 5",
    ];
    let mut from = 0;
    for line in lines {
        let at = log.get(from..).and_then(|rest| rest.find(line));
        from += at.unwrap_or_else(|| panic!("`{line}` is missing, or out of order:\n{log}"));
    }
    assert!(log.contains("for the log"), "standard error too: {log}");
    assert!(log.contains("\nwhole\n"), "the host name: {log}");
    let addresses: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("inet addr"))
        .collect();
    assert_eq!(addresses.len(), 2, "{log}");
    assert_eq!(addresses[0], addresses[1], "steps have the run's network");
    let gone = log.matches("/gone: No such file").count();
    assert_eq!(gone, 1, "the root of a step is its own: {log}");
    assert_eq!(
        log.matches("\n/kept\n").count(),
        1,
        "pre_stop is in the container, post_stop is not: {log}"
    );
}

fn failure_rules(checks: &mut Checks, guest: &Guest) {
    checks.that(
        "a failing pre_start keeps the container from starting, and says why",
        || {
            let refused = guest.keelctl(&["start", "refused"]);
            assert!(
                !refused.success() && refused.stderr.contains("the database is away"),
                "{refused:?}"
            );
            let status = guest.gets("refused", "failed");
            for word in ["pre_start", "code 3", "the database is away"] {
                assert!(status.reason.contains(word), "{status:?}");
            }
            let log = log(guest, "refused");
            assert!(!log.contains("main"), "{log}");
        },
    );
    checks.that(
        "a failing step can be ignored, and one that hangs is killed with all it has started",
        || {
            guest.told(&["start", "tolerant"]);
            assert_eq!(guest.gets("tolerant", "running").restarts, 0);
            logs(guest, "tolerant", "post_start 0 failed");
            let processes = guest.shell("tolerant", "ps");
            assert!(!processes.contains("1234"), "{processes}");
            let groups = guest.shell("tolerant", "ls /sys/fs/cgroup | grep -c step- || true");
            assert_eq!(groups, "0");
            guest.told(&["stop", "tolerant"]);
        },
    );
    checks.that(
        "a pre_start that hangs fails the start, and nothing of it is left",
        || {
            assert!(!guest.keelctl(&["start", "hung"]).success());
            let status = guest.gets("hung", "failed");
            assert!(
                status.reason.contains("took longer than its timeout"),
                "{status:?}"
            );
            let groups = guest.shell("watcher", "ls /machine/cgroup/containers");
            assert!(!groups.contains("hung"), "{groups}");
        },
    );
    checks.that("a step that cannot be executed says so", || {
        assert!(!guest.keelctl(&["start", "missing"]).success());
        let status = guest.gets("missing", "failed");
        assert!(status.reason.contains("/no/such"), "{status:?}");
    });
}

fn reload_rules(checks: &mut Checks, guest: &Guest) {
    checks.that("a reload by signal reaches the container", || {
        guest.told(&["start", "by-signal"]);
        let run = guest.status("by-signal").run;
        guest.told(&["reload", "by-signal"]);
        logs(guest, "by-signal", "read again");
        assert_eq!(guest.status("by-signal").run, run);
        guest.told(&["stop", "by-signal"]);
    });
    checks.that("a reload by command says whether it went well", || {
        guest.told(&["start", "by-command"]);
        guest.told(&["reload", "by-command"]);
        guest.shell("by-command", "touch /bad");
        let failed = guest.keelctl(&["reload", "by-command"]);
        assert!(!failed.success(), "{failed:?}");
        assert!(
            failed.stderr.contains("the configuration is bad"),
            "{failed:?}"
        );
        assert_eq!(guest.status("by-command").state, "running");
        logs(guest, "by-command", "checked");
        guest.told(&["stop", "by-command"]);
    });
    checks.that("a reload that cannot be is refused with the reason", || {
        let down = guest.keelctl(&["reload", "down"]);
        assert!(down.stderr.contains("not running"), "{down:?}");
        let none = guest.keelctl(&["reload", "watcher"]);
        assert!(none.stderr.contains("service.reload"), "{none:?}");
    });
}
