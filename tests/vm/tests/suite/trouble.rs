//! Containers that behave badly: on the machine of `notify`. PID 1 and everybody else go on.

use crate::notify::{BY_HAND, TIMEOUT, log, logs, meanwhile};
use std::time::{Duration, Instant};
use vm::{Checks, Guest, actor, container, measured, progress, times, until};

const SCENARIO: &str = "notify";
/// What a flood can be heard of, by `NOTICES_MAX` in `NOTICES_MS` of init, and as much again for the time between.
const HEARD_PER_SECOND_MAX: u32 = 640;
/// Of PID 1, over all crash loops, in KiB: pages of its heap that were not used before.
const GROWTH_KIB_MAX: u64 = 1024;

pub(crate) fn units() -> Vec<(String, String)> {
    let notify = "[service]\ntype = \"notify\"\nwatchdog = \"1m\"\n";
    let watcher = container(
        "watcher",
        "entrypoint = [\"sleep\", \"infinity\"]\nuser = \"0\"\nstop_signal = \"SIGKILL\"\n\
         volumes = [\"/sys/fs/cgroup:/machine/cgroup\", \"/proc:/machine/proc\", \"/run/keelson:/machine/run\"]\n",
    );
    let flooder = actor(
        "flooder",
        &["say READY=1", "await USR1", "flood 3000", "forever"],
        &format!("stop_signal = \"SIGKILL\"\n{notify}{BY_HAND}"),
    );
    let lingerer = actor(
        "lingerer",
        &[
            "say READY=1",
            "linger",
            "print sent",
            "wait 500",
            "say STATUS=still heard",
            "print said",
            "forever",
        ],
        &format!("stop_signal = \"SIGKILL\"\n{notify}{BY_HAND}"),
    );
    let bomb = actor(
        "bomb",
        &["bomb", "forever"],
        &format!("stop_signal = \"SIGKILL\"\n[resources]\npids = 20\n{BY_HAND}"),
    );
    let crash = actor(
        "crash",
        &["say STATUS=as ever", "exit 1"],
        &format!("{notify}restart_delay = \"10ms\"\nrestart_delay_max = \"10ms\"\n{BY_HAND}"),
    );
    let crash_with_steps = format!(
        "entrypoint = [\"false\"]\n[service]\nrestart_delay = \"10ms\"\nrestart_delay_max = \"10ms\"\n\
         [[service.pre_start]]\ncommand = [\"true\"]\n[[service.post_stop]]\ncommand = [\"true\"]\n{BY_HAND}"
    );
    vec![
        watcher,
        flooder,
        lingerer,
        bomb,
        crash,
        container("crash-steps", &crash_with_steps),
    ]
}

/// What PID 1 has: open descriptors, KiB in memory, ticks of processor time.
#[derive(Debug)]
struct Init {
    descriptors: u64,
    kib: u64,
    ticks: u64,
}

impl Init {
    fn look(guest: &Guest) -> Self {
        let script = "ls /machine/proc/1/fd | wc -l; grep VmRSS /machine/proc/1/status | tr -dc 0-9; echo; \
                      awk '{print $14 + $15}' /machine/proc/1/stat";
        let seen = guest.shell("watcher", script);
        let mut numbers = seen.lines().map(|line| line.trim().parse::<u64>().unwrap());
        let mut next = || numbers.next().unwrap_or_else(|| panic!("{seen}"));
        Self {
            descriptors: next(),
            kib: next(),
            ticks: next(),
        }
    }
}

/// The machine answers; how long that took.
fn answers(guest: &Guest) -> Duration {
    let start = Instant::now();
    guest.told(&["--timeout", "20s", "ps"]);
    start.elapsed()
}

pub(crate) fn rules(checks: &mut Checks, guest: &Guest) {
    checks.that(
        "a container that floods its notify socket is slowed down, and nobody else",
        || {
            guest.told(&["start", "flooder"]);
            let before = Init::look(guest);
            guest.told(&["exec", "flooder", "/actor", "kill USR1"]);
            measured(
                SCENARIO,
                "keelctl ps during a flood, wall time",
                answers(guest),
            );
            logs(guest, "flooder", "heard ");
            let text = log(guest, "flooder");
            let heard = text.lines().find_map(|line| line.strip_prefix("heard "));
            let heard: u32 = heard.unwrap().parse().unwrap();
            let ticks = Init::look(guest).ticks - before.ticks;
            progress(
                SCENARIO,
                &format!(
                    "{heard} messages of a flood of 3 s were heard, in {ticks} ticks of PID 1"
                ),
            );
            assert!(heard <= 3 * HEARD_PER_SECOND_MAX, "{heard}");
            assert_eq!(guest.status("flooder").state, "running");
            guest.told(&["stop", "flooder"]);
        },
    );
    checks.that(
        "a socket that lingers when it is closed keeps nobody waiting",
        || {
            guest.told(&["start", "lingerer"]);
            logs(guest, "lingerer", "sent");
            measured(SCENARIO, "keelctl ps after that, wall time", answers(guest));
            logs(guest, "lingerer", "said");
            let trace = guest.told(&["trace", "--dump"]);
            assert!(trace.contains("still heard"), "{trace}");
            guest.told(&["stop", "lingerer"]);
        },
    );
    checks.that(
        "a fork bomb ends at `pids`, and the machine and its units answer",
        || {
            guest.told(&["start", "bomb"]);
            logs(guest, "bomb", "forked ");
            let text = log(guest, "bomb");
            let forked = text.lines().find_map(|line| line.strip_prefix("forked "));
            assert!(forked.unwrap().parse::<u32>().unwrap() < 20, "{text}");
            answers(guest);
            assert_eq!(guest.shell("real", "redis-cli ping"), "PONG");
            guest.told(&["stop", "bomb"]);
            assert_eq!(guest.status("bomb").state, "inactive");
        },
    );
    checks.that("crash loops leave nothing behind in PID 1", || {
        // What is made once is made before it is counted.
        crash(guest, "crash", 10);
        crash(guest, "crash-steps", 3);
        let before = Init::look(guest);
        let start = Instant::now();
        let loops = crash(guest, "crash", times(100, 1_000));
        measured(
            SCENARIO,
            &format!("{loops} crash loops, wall time"),
            start.elapsed(),
        );
        let loops = crash(guest, "crash-steps", times(10, 100));
        let after = Init::look(guest);
        progress(
            SCENARIO,
            &format!("and {loops} with steps; PID 1 before: {before:?}, after: {after:?}"),
        );
        // The pipes of the last run go when logd has written what is in them.
        until("its descriptors are as before", TIMEOUT, || {
            let now = Init::look(guest).descriptors;
            let left = now.saturating_sub(before.descriptors);
            if left == 0 {
                Ok(())
            } else {
                Err(format!("{left} more"))
            }
        });
        assert!(after.kib <= before.kib + GROWTH_KIB_MAX);
        let left =
            "ls /machine/run/notify; ls -d /machine/cgroup/containers/crash* 2>/dev/null || true";
        let left = guest.shell("watcher", left);
        let sockets = guest.shell("watcher", "ls /machine/run/notify | wc -l");
        let listened: Vec<String> = guest
            .machine
            .ps()
            .unwrap()
            .into_iter()
            .filter(|unit| ["speaker", "real"].contains(&unit.name.as_str()))
            .map(|unit| unit.state)
            .collect();
        assert_eq!(listened, ["running"; 2]);
        assert_eq!(sockets, "2", "{left}");
        assert!(!left.contains("crash"), "{left}");
    });
}

/// Start it, let it crash so often, and stop it; answers how often it did.
fn crash(guest: &Guest, unit: &str, loops: usize) -> u64 {
    let patience = TIMEOUT + Duration::from_millis(500) * u32::try_from(loops).unwrap_or(u32::MAX);
    // It is never started, so that whoever waits for it waits until it is stopped.
    meanwhile(guest, unit, || {
        let what = format!("{unit} has crashed {loops} times");
        let (restarts, _) = until(&what, patience, || {
            let status = guest.status(unit);
            match usize::try_from(status.restarts) {
                Ok(restarts) if restarts >= loops => Ok(status.restarts),
                _ => Err(format!("{} restarts", status.restarts)),
            }
        });
        guest.told(&["stop", unit]);
        restarts
    })
}
