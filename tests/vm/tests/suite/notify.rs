//! What containers say and what is done beside them, on one machine: notify sockets, the watchdog, steps, reload,
//! conditions, and containers that behave badly.

use crate::{steps, trouble};
use control::reply::UnitStatus;
use qemu::FindingKind;
use std::time::{Duration, Instant};
use vm::{ACTOR, Checks, Guest, Setup, actor, actor_archive, container, progress, until};

const SCENARIO: &str = "notify";
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);
/// Well below `stop_timeout`.
const CARELESS_STOP_MAX: Duration = Duration::from_secs(5);
/// Of a container's first process of ours, PSS: less than that of a launcher at its work.
const FIRST_PROCESS_KIB_MAX: u64 = 600;

/// Not started at boot: their image comes later.
pub(crate) const BY_HAND: &str = "[unit]\nwanted_by = []\n";

fn units() -> Vec<(String, String)> {
    let notify = "[service]\ntype = \"notify\"\n";
    let speaker = actor(
        "speaker",
        &[
            "await USR1",
            "env WATCHDOG_USEC",
            "env WATCHDOG_PID",
            "say STATUS=warm;READY=1",
            "await TERM",
        ],
        &format!("user = \"1234\"\n{notify}{BY_HAND}"),
    );
    let listener = container(
        "listener",
        "entrypoint = [\"sleep\", \"infinity\"]\nstop_signal = \"SIGKILL\"\n\
         [unit]\nwanted_by = []\nrequires = [\"speaker\"]\nafter = [\"speaker\"]\n",
    );
    let fed = actor(
        "fed",
        &[
            "say READY=1",
            "env WATCHDOG_USEC",
            "feed 500 6",
            "print fed for three seconds",
            "forever",
        ],
        &format!(
            "{notify}watchdog = \"2s\"\nrestart = \"on-watchdog\"\nrestart_delay = \"2s\"\nstop_timeout = \"1s\"\n{BY_HAND}"
        ),
    );
    let slow = actor(
        "slow",
        &[
            "say READY=1",
            "await TERM",
            "say STOPPING=1;EXTEND_TIMEOUT_USEC=30000000",
            "wait 3000",
            "print took its time",
        ],
        &format!("{notify}stop_timeout = \"1s\"\n{BY_HAND}"),
    );
    let stubborn = |name, mode: &str| {
        let rest = format!("{notify}stop_timeout = \"1s\"\nkill_mode = \"{mode}\"\n{BY_HAND}");
        actor(name, &["say READY=1", "forever"], &rest)
    };
    let waiting = actor(
        "waiting",
        &[
            "print up",
            "sigwait TERM",
            "wait 1000",
            "print all is written",
        ],
        BY_HAND,
    );
    // An entry script without a handler, in the midst of what must not be cut off.
    let making = container(
        "making",
        &format!(
            "entrypoint = [\"sh\", \"-c\", \"echo up; sleep 4; echo all is made; trap 'exit 0' TERM; sleep 100 & wait $!\"]\n\
             user = \"0\"\n[service]\nstop_timeout = \"6s\"\n{BY_HAND}"
        ),
    );
    let careless = container(
        "careless",
        &format!("entrypoint = [\"sleep\", \"infinity\"]\nuser = \"0\"\ninit = true\n{BY_HAND}"),
    );
    let redis = container(
        "real",
        &format!("command = [\"--supervised\", \"systemd\"]\n{notify}{BY_HAND}"),
    );
    let odd = actor(
        "odd",
        &["exit 7"],
        &format!("[service]\nrestart = \"on-failure\"\nsuccess_exit_codes = [0, 7]\n{BY_HAND}"),
    );
    let conditions = [
        (
            "elsewhere",
            "path_exists = [\"/proc/cpuinfo\", \"/no/such\"]",
        ),
        ("unnamed", "kernel_cmdline = [\"panic\", \"role=web\"]"),
        ("too-big", "memory_min = \"1T\""),
        ("wrong-place", "label = { zone = \"b\" }"),
        (
            "right-place",
            "path_exists = [\"/proc/cpuinfo\"], kernel_cmdline = [\"panic\", \"role=db\"], memory_min = \"1G\", label = { zone = \"a\" }",
        ),
    ];
    let conditions = conditions.map(|(name, condition)| {
        let unit = format!("[unit]\ncondition = {{ {condition} }}\n");
        container(
            name,
            &format!("entrypoint = [\"sleep\", \"infinity\"]\nstop_signal = \"SIGKILL\"\n{unit}"),
        )
    });
    let rest = [
        speaker,
        listener,
        fed,
        slow,
        stubborn("stubborn", "control-group"),
        stubborn("stubborn-alone", "process"),
        waiting,
        making,
        careless,
        redis,
        odd,
    ];
    rest.into_iter().chain(conditions).collect()
}

pub(crate) fn what_containers_say_is_heard_and_what_goes_beside_them_is_done() {
    let mut checks = Checks::of(SCENARIO);
    let guest = Setup::named(SCENARIO)
        .own_disk(2 << 30)
        .units(units())
        .units(steps::units())
        .units(trouble::units())
        .kernel_argument("role=db")
        .kernel_argument("keelson.label.zone=a")
        .boot();
    checks.that("the machine is ready, with what was skipped", || {
        guest.ready();
    });
    condition_rules(&mut checks, &guest);
    checks.that("the actor's image is loaded", || {
        let archive = actor_archive();
        guest.told(&["image", "load", &archive.display().to_string()]);
        assert!(guest.told(&["image", "ls"]).contains(ACTOR));
    });
    notify_rules(&mut checks, &guest);
    watchdog_rules(&mut checks, &guest);
    stop_rules(&mut checks, &guest);
    steps::rules(&mut checks, &guest);
    trouble::rules(&mut checks, &guest);
    checks.that("the end is in order, and the log is clean", || {
        guest.power_off();
        // Units fail here, and that is said.
        guest.serial_log_is_clean(&[FindingKind::Unit]);
    });
    checks.end();
}

fn condition_rules(checks: &mut Checks, guest: &Guest) {
    checks.that(
        "a unit whose condition is not met is skipped, and says which",
        || {
            for (unit, reason) in [
                (
                    "elsewhere",
                    "condition.path_exists: /no/such does not exist",
                ),
                (
                    "unnamed",
                    "condition.kernel_cmdline: `role=web` is not on the kernel command line",
                ),
                ("too-big", "condition.memory_min: the machine has"),
                (
                    "wrong-place",
                    "condition.label: the machine's label `zone` is `a`, not `b`",
                ),
            ] {
                let status = guest.status(unit);
                assert_eq!(status.state, "skipped", "{status:?}");
                assert!(status.reason.contains(reason), "{status:?}");
                let told = guest.told(&["status", unit]);
                assert!(told.contains(reason), "{told}");
            }
            assert_eq!(guest.status("right-place").state, "running");
        },
    );
}

/// Lines that the unit's container has written, and the system's about it.
pub(crate) fn log(guest: &Guest, unit: &str) -> String {
    guest.told(&["logs", unit])
}

pub(crate) fn logs(guest: &Guest, unit: &str, line: &str) {
    until(&format!("{unit} logs `{line}`"), TIMEOUT, || {
        let log = log(guest, unit);
        if log.contains(line) { Ok(()) } else { Err(log) }
    });
}

/// Do something while the unit is being started.
pub(crate) fn meanwhile<T>(guest: &Guest, unit: &str, act: impl FnOnce() -> T) -> T {
    std::thread::scope(|scope| {
        let start = scope.spawn(|| guest.keelctl(&["start", unit]));
        let outcome = act();
        start.join().unwrap();
        outcome
    })
}

fn notify_rules(checks: &mut Checks, guest: &Guest) {
    checks.that(
        "a dependant starts when READY=1 has come, and not before",
        || {
            let speaker = meanwhile(guest, "listener", || {
                let speaker = guest.gets("speaker", "started");
                assert_eq!(guest.status("listener").state, "waiting");
                guest.told(&["exec", "speaker", "/actor", "kill USR1"]);
                speaker
            });
            let speaker = UnitStatus {
                since_ms: guest.gets("speaker", "running").since_ms,
                ..speaker
            };
            let listener = guest.gets("listener", "running");
            assert!(
                listener.since_ms >= speaker.since_ms,
                "{listener:?} {speaker:?}"
            );
            let log = log(guest, "speaker");
            assert!(log.contains("WATCHDOG_USEC is unset"), "{log}");
        },
    );
    checks.that("a real program that knows sd_notify is understood", || {
        guest.told(&["start", "real"]);
        assert_eq!(guest.status("real").state, "running");
        assert_eq!(guest.shell("real", "redis-cli ping"), "PONG");
    });
    checks.that("a status that is declared a success is one", || {
        guest.told(&["start", "odd"]);
        let status = guest.gets("odd", "finished");
        assert_eq!(status.restarts, 0, "{status:?}");
    });
}

fn watchdog_rules(checks: &mut Checks, guest: &Guest) {
    checks.that(
        "who feeds the watchdog lives, who does not is restarted",
        || {
            guest.told(&["start", "fed"]);
            logs(guest, "fed", "fed for three seconds");
            let log = log(guest, "fed");
            assert!(log.contains("WATCHDOG_USEC=2000000"), "{log}");
            assert_eq!(guest.status("fed").restarts, 0, "{log}");
            let (status, _) = until("fed is restarted", TIMEOUT, || {
                let status = guest.status("fed");
                if status.restarts > 0 {
                    Ok(status)
                } else {
                    Err(format!("{status:?}"))
                }
            });
            logs(guest, "fed", "watchdog");
            assert_eq!(
                status.last_exit.as_deref(),
                Some("killed by SIGKILL"),
                "{status:?}"
            );
            guest.told(&["stop", "fed"]);
        },
    );
}

fn stop_rules(checks: &mut Checks, guest: &Guest) {
    checks.that("EXTEND_TIMEOUT_USEC puts the kill off", || {
        guest.told(&["start", "slow"]);
        guest.told(&["stop", "slow"]);
        let status = guest.status("slow");
        assert_eq!(
            status.last_exit.as_deref(),
            Some("exited with code 0"),
            "{status:?}"
        );
        logs(guest, "slow", "took its time");
    });
    for unit in ["stubborn", "stubborn-alone"] {
        checks.that(
            &format!("{unit} ignores SIGTERM and is killed after stop_timeout"),
            || {
                guest.told(&["start", unit]);
                guest.told(&["stop", unit]);
                let status = guest.status(unit);
                assert_eq!(status.state, "inactive", "{status:?}");
                assert_eq!(
                    status.last_exit.as_deref(),
                    Some("killed by SIGKILL"),
                    "{status:?}"
                );
            },
        );
    }
    checks.that("who waits for its stop signal by sigwait gets it", || {
        guest.told(&["start", "waiting"]);
        logs(guest, "waiting", "up");
        guest.told(&["stop", "waiting"]);
        let log = log(guest, "waiting");
        assert!(log.contains("all is written"), "{log}");
    });
    checks.that(
        "who has no handler for its stop signal is given stop_timeout",
        || {
            guest.told(&["start", "making"]);
            logs(guest, "making", "up");
            guest.told(&["stop", "making"]);
            let log = log(guest, "making");
            assert!(log.contains("all is made"), "{log}");
        },
    );
    checks.that("a first process of ours ends such a one at once", || {
        guest.told(&["start", "careless"]);
        let first = guest.shell("careless", "cat /proc/1/comm; ps -o pid,args");
        assert!(
            first.starts_with("init") && first.contains("sleep infinity"),
            "{first}"
        );
        let memory = guest.shell(
            "careless",
            "grep -E '^(Rss|Pss|Private)' /proc/1/smaps_rollup",
        );
        progress(
            SCENARIO,
            &format!("the first process: {}", memory.replace('\n', ", ")),
        );
        let pss = memory.lines().find_map(|line| line.strip_prefix("Pss:"));
        let pss: u64 = pss
            .and_then(|line| line.split_whitespace().next())
            .unwrap()
            .parse()
            .unwrap();
        assert!(pss <= FIRST_PROCESS_KIB_MAX, "{memory}");
        // Not to be written because it runs, nor changed because the machine's root is read-only.
        for change in ["(: >> /proc/1/exe)", "chmod 777 /proc/1/exe"] {
            let told = guest.shell("careless", &format!("{change} 2>&1 && echo done || true"));
            let refused = ["Text file busy", "Read-only file system"];
            assert!(refused.iter().any(|text| told.ends_with(text)), "{told}");
        }
        let start = Instant::now();
        guest.told(&["stop", "careless"]);
        assert!(start.elapsed() < CARELESS_STOP_MAX);
        let status = guest.status("careless");
        assert_eq!(
            status.last_exit.as_deref(),
            Some("exited with code 143"),
            "{status:?}"
        );
    });
}
