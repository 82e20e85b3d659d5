//! Readiness, health and pause: one machine whose units say in each possible way how they are.

use crate::archives;
use control::reply::{UnitHealth, UnitStatus};
use std::time::{Duration, Instant};
use vm::{Checks, Guest, REDIS, Setup, container, demo_archive, progress, until};

const SCENARIO: &str = "health";
const GIB: u64 = 1 << 30;
const TIMEOUT: Duration = Duration::from_secs(60);
/// An image of the same layers, with a HEALTHCHECK.
const CHECKED: &str = "example.com/checked:1";
/// Units with an HTTP probe ten times a second each.
const LOAD: u32 = 3;
/// HTTP probes for which processes are counted.
const PROBES: u32 = 100;
const PROBER_KILLS: u32 = 5;

/// An HTTP server with one page, which every start writes anew.
fn server(port: u16) -> String {
    format!(
        "entrypoint = [\"sh\", \"-c\", \"mkdir -p /tmp/www; echo up > /tmp/www/page; exec busybox httpd -f -p {port} -h /tmp/www\"]\n\
         user = \"0\"\nstop_signal = \"SIGKILL\"\n"
    )
}

fn shell(script: &str) -> String {
    format!(
        "entrypoint = [\"sh\", \"-c\", \"{script}\"]\nuser = \"0\"\nstop_signal = \"SIGKILL\"\n"
    )
}

fn http(port: u16, rest: &str) -> String {
    // A server that does not listen yet is not ill.
    format!(
        "[health]\nhttp = {{ port = {port}, path = \"/page\" }}\ninterval = \"200ms\"\n\
         start_period = \"30s\"\nstart_interval = \"200ms\"\n{rest}"
    )
}

/// Of the image with a HEALTHCHECK, which is loaded when the machine runs.
fn checked(name: &str, rest: &str) -> (String, String) {
    let (file, text) = container(name, &shell("exec sleep 100000"));
    let text = text.replace(REDIS, CHECKED);
    (file, format!("{text}{rest}[unit]\nwanted_by = []\n"))
}

fn setup() -> Setup {
    let web = server(8080) + &http(8080, "timeout = \"5s\"\nretries = 2\n");
    let stops = server(8080) + &http(8080, "retries = 2\non_unhealthy = \"stop\"\n");
    let dies = server(8080)
        + &http(
            8080,
            "retries = 2\non_unhealthy = \"kill\"\n[service]\nrestart = \"no\"\n",
        );
    let careless = server(8080)
        + &http(
            8080,
            "timeout = \"300ms\"\nretries = 1\non_unhealthy = \"none\"\npause_aware = false\n",
        );
    let hosted = server(8099) + &http(8099, "[network]\nmode = \"host\"\n");
    let cache = shell("sleep 1; exec redis-server --protected-mode no")
        + "[readiness]\nmode = \"port\"\nport = \"tcp:6379\"\n\
           [health]\ntcp = { port = 6379 }\ninterval = \"500ms\"\n\
           start_period = \"30s\"\nstart_interval = \"200ms\"\n";
    let reader = shell("exec sleep 100000")
        + "[[unit.depends_on]]\nunit = \"cache\"\ncondition = \"healthy\"\n";
    let loud = shell("echo begin; sleep 0.3; echo listening on port 99; exec sleep 100000")
        + "[readiness]\nmode = \"log\"\nlog = '^listening on port \\d+$'\ntimeout = \"20s\"\n";
    let asker = shell("exec sleep 100000")
        + "[health]\nexec = [\"sh\", \"-c\", '''\n\
           if [ -e /tmp/hang ]; then echo about to hang; sleep 1234 & sleep 1234; fi\n\
           if [ -e /tmp/sick ]; then echo first; echo no response; exit 3; fi\n'''\n]\n\
           interval = \"200ms\"\ntimeout = \"2s\"\nretries = 1\non_unhealthy = \"none\"\n";
    let load = server(8080)
        + "[health]\nhttp = { port = 8080, path = \"/page\" }\ninterval = \"100ms\"\n\
           [replicas]\ncount = 3\n";
    // Takes a request without making a process for it, as busybox's server does, and hangs up: each probe goes all its
    // way, and fails.
    let deaf = "[health]\nhttp = { port = 6379 }\ninterval = \"100ms\"\nretries = 1000\non_unhealthy = \"none\"\n\
                [replicas]\ncount = 3\n";
    let probe = container(
        "probe",
        &(shell("exec sleep 100000")
            + "volumes = [\"/sys/fs/cgroup:/machine/cgroup\"]\n[network]\nmode = \"host\"\n"),
    );
    Setup::named(SCENARIO).memory(GIB).own_disk(GIB).units([
        container("web", &web),
        container("stops", &stops),
        container("dies", &dies),
        container("careless", &careless),
        container("hosted", &hosted),
        container("cache", &cache),
        container("reader", &reader),
        container("loud", &loud),
        container("asker", &asker),
        container("load@", &load),
        container("deaf@", deaf),
        checked("imaged", ""),
        checked("muted", "[health]\ndisable = true\n"),
        probe,
    ])
}

pub(crate) fn units_say_when_they_are_ready_and_how_they_are() {
    let mut checks = Checks::of(SCENARIO);
    let guest = setup().boot();
    guest.ready();
    readiness_rules(&mut checks, &guest);
    probe_rules(&mut checks, &guest);
    consequence_rules(&mut checks, &guest);
    image_rules(&mut checks, &guest);
    pause_rules(&mut checks, &guest);
    prober_rules(&mut checks, &guest);
    checks.that("power-off is in order", || {
        guest.power_off();
        guest.serial_log_is_clean(&[qemu::FindingKind::Unit]);
    });
    checks.end();
}

fn health(guest: &Guest, unit: &str) -> UnitHealth {
    let status = guest.status(unit);
    let health = status.health.clone();
    health.unwrap_or_else(|| panic!("no health: {status:?}"))
}

/// Wait until its health is this.
fn becomes(guest: &Guest, unit: &str, status: &str) -> UnitHealth {
    let what = format!("{unit} becomes {status}");
    let (health, _) = until(&what, TIMEOUT, || {
        let found = guest.status(unit);
        match found.health {
            Some(health) if health.status == status => Ok(health),
            _ => Err(format!("{found:?}")),
        }
    });
    health
}

/// When the unit entered the state for the first time, in milliseconds of the guest's time.
fn entered(guest: &Guest, unit: &str, state: &str) -> u64 {
    let chart = guest.told(&["boot-chart", "--json"]);
    let chart: control::reply::BootChart = serde_json::from_str(&chart).unwrap();
    let unit = chart.units.iter().find(|known| known.name == unit).unwrap();
    let found = unit.states.iter().find(|(name, _)| name == state);
    found.unwrap_or_else(|| panic!("{unit:?}")).1
}

fn readiness_rules(checks: &mut Checks, guest: &Guest) {
    checks.that("a unit is ready when its port is open, not before", || {
        let started = entered(guest, "cache", "started");
        let ready = entered(guest, "cache", "running");
        assert!(ready >= started + 1_000, "{started} {ready}");
        progress(
            SCENARIO,
            &format!("port open and seen {} ms after the start", ready - started),
        );
    });
    checks.that("who depends on a healthy unit starts when it is", || {
        let ready = entered(guest, "cache", "running");
        let begun = entered(guest, "reader", "preparing");
        assert!(begun >= ready, "{ready} {begun}");
        assert_eq!(health(guest, "cache").status, "healthy");
    });
    checks.that("what readiness waits for is shown", || {
        guest.shell("probe", "true");
        std::thread::scope(|scope| {
            let restart = scope.spawn(|| guest.told(&["restart", "cache"]));
            until("cache waits for its port", TIMEOUT, || {
                let status = guest.status("cache");
                let waits = status.state == "started" && status.reason == "waits for port 6379";
                waits.then_some(()).ok_or(format!("{status:?}"))
            });
            let table = guest.told(&["ps"]);
            assert!(table.contains("started (waits for port 6379)"), "{table}");
            restart.join().unwrap();
        });
    });
    checks.that(
        "a unit is ready when its line comes, however often logd dies",
        || {
            assert!(entered(guest, "loud", "running") >= entered(guest, "loud", "started"));
            for round in 0..3 {
                std::thread::scope(|scope| {
                    let restart = scope.spawn(|| guest.told(&["restart", "loud"]));
                    std::thread::sleep(Duration::from_millis(100 * round));
                    kill_group(guest, "logd");
                    restart.join().unwrap();
                });
                assert_eq!(guest.status("loud").state, "running");
            }
        },
    );
}

fn probe_rules(checks: &mut Checks, guest: &Guest) {
    checks.that(
        "HTTP, TCP and exec probes find healthy units healthy",
        || {
            for (unit, probe) in [
                ("web", "http port 8080 path /page"),
                ("hosted", "http port 8099 path /page"),
                ("cache", "tcp port 6379"),
                ("asker", "exec sh"),
            ] {
                let health = becomes(guest, unit, "healthy");
                assert!(health.probe.starts_with(probe), "{unit}: {health:?}");
                let table = guest.told(&["ps"]);
                let line = table.lines().find(|line| line.starts_with(unit)).unwrap();
                assert!(line.contains("running (healthy)"), "{line}");
            }
        },
    );
    checks.that("a failed exec probe tells its last line", || {
        guest.shell("asker", "touch /tmp/sick");
        let ill = becomes(guest, "asker", "unhealthy");
        assert_eq!(ill.reason, "exited with code 3: no response");
        let told = guest.told(&["status", "asker"]);
        assert!(
            told.contains("unhealthy") && told.contains("no response"),
            "{told}"
        );
        let told = guest.told(&["status"]);
        assert!(told.contains("asker running: unhealthy"), "{told}");
        guest.shell("asker", "rm /tmp/sick");
        becomes(guest, "asker", "healthy");
    });
    checks.that(
        "an exec probe that hangs is killed with its children",
        || {
            let run = guest.status("asker").run;
            guest.shell("asker", "touch /tmp/hang");
            // On a busy host the first may not come as far as its words.
            until("the hanging probe is killed", TIMEOUT, || {
                let reason = health(guest, "asker").reason;
                let is_told = reason == "took longer than 2s: about to hang";
                is_told.then_some(()).ok_or(reason)
            });
            guest.shell("asker", "rm /tmp/hang");
            becomes(guest, "asker", "healthy");
            let left = guest.shell("asker", "ps | grep -c '[s]leep 1234' || true");
            assert_eq!(left, "0", "{}", guest.shell("asker", "ps"));
            assert_eq!(guest.status("asker").run, run);
        },
    );
}

fn consequence_rules(checks: &mut Checks, guest: &Guest) {
    let remove = |unit: &str| guest.shell(unit, "rm /tmp/www/page");
    checks.that(
        "on_unhealthy = restart: the page is gone, the unit restarts",
        || {
            let before = guest.status("web");
            let start = Instant::now();
            remove("web");
            until("web runs anew", TIMEOUT, || {
                let status = guest.status("web");
                let anew = status.run > before.run && status.state == "running";
                anew.then_some(()).ok_or(format!("{status:?}"))
            });
            vm::measured(
                SCENARIO,
                "page gone to the new run, wall time",
                start.elapsed(),
            );
            becomes(guest, "web", "healthy");
            let log = guest.told(&["logs", "web"]);
            assert!(log.contains("unhealthy: HTTP 404 from /page"), "{log}");
        },
    );
    checks.that("on_unhealthy = stop: it has failed and stays down", || {
        remove("stops");
        let status = guest.gets("stops", "failed");
        assert_eq!(status.reason, "unhealthy: HTTP 404 from /page");
        assert_eq!(status.health, None);
    });
    checks.that(
        "on_unhealthy = kill: it is killed, and the policy decides",
        || {
            remove("dies");
            let status = guest.gets("dies", "failed");
            assert_eq!(status.reason, "unhealthy: HTTP 404 from /page");
            let exit = status.last_exit.unwrap_or_default();
            assert!(exit.contains("SIGKILL"), "{exit}");
        },
    );
}

fn image_rules(checks: &mut Checks, guest: &Guest) {
    checks.that(
        "an image's HEALTHCHECK counts, and has no consequence",
        || {
            let archive = std::fs::read(demo_archive()).unwrap();
            let archive = archives::with_config(&archive, CHECKED, |config| {
                config["Healthcheck"] = serde_json::json!({
                    "Test": ["CMD-SHELL", "test ! -e /tmp/sick || { echo I am sick; exit 1; }"],
                    "Interval": 300_000_000_u64, "Timeout": 5_000_000_000_u64, "Retries": 2
                });
            });
            let file = std::env::temp_dir().join(format!("keelson-checked-{}", std::process::id()));
            std::fs::write(&file, archive).unwrap();
            guest.told(&["image", "load", file.to_str().unwrap()]);
            std::fs::remove_file(&file).unwrap();
            guest.told(&["start", "imaged", "muted"]);
            let healthy = becomes(guest, "imaged", "healthy");
            assert!(
                healthy.probe.starts_with("exec /bin/sh -c test"),
                "{healthy:?}"
            );
            assert_eq!(healthy.retries, 2);
            guest.shell("imaged", "touch /tmp/sick");
            let ill = becomes(guest, "imaged", "unhealthy");
            assert_eq!(ill.reason, "exited with code 1: I am sick");
            let status = guest.status("imaged");
            assert_eq!((status.state.as_str(), status.restarts), ("running", 0));
        },
    );
    checks.that("health.disable switches an image's HEALTHCHECK off", || {
        let status = guest.status("muted");
        assert_eq!(status.state, "running", "{status:?}");
        assert_eq!(status.health, None);
    });
}

fn pause_rules(checks: &mut Checks, guest: &Guest) {
    checks.that("a paused container stands still and is not probed", || {
        let before = guest.status("web");
        guest.told(&["pause", "web", "careless"]);
        let frozen = guest.shell(
            "probe",
            "cat /machine/cgroup/containers/web:*/cgroup.events | tr '\\n' ' '",
        );
        assert!(frozen.contains("frozen 1"), "{frozen}");
        let table = guest.told(&["ps"]);
        assert!(table.contains("running (paused)"), "{table}");
        let refused = guest.keelctl(&["exec", "web", "true"]);
        assert!(refused.stderr.contains("web is paused"), "{refused:?}");
        // One that is probed all the same has failed by now, and so would the other have.
        becomes(guest, "careless", "unhealthy");
        std::thread::sleep(Duration::from_secs(3));
        let status = guest.status("web");
        let health = status.health.clone().unwrap();
        assert!(status.paused, "{status:?}");
        assert_eq!((status.run, health.failures), (before.run, 0), "{status:?}");
        guest.told(&["unpause", "web", "careless"]);
        becomes(guest, "careless", "healthy");
        becomes(guest, "web", "healthy");
        let status = guest.status("web");
        assert!(!status.paused && status.run == before.run, "{status:?}");
        assert_eq!(guest.shell("web", "echo alive"), "alive");
    });
    checks.that("a paused container can be stopped", || {
        guest.told(&["pause", "web"]);
        guest.told(&["stop", "web"]);
        guest.told(&["start", "web"]);
        becomes(guest, "web", "healthy");
    });
}

/// SIGKILL for every process of a helper's group (cgroup-v2.rst, `cgroup.kill`).
fn kill_group(guest: &Guest, helper: &str) {
    let script = format!("echo 1 > /machine/cgroup/system/{helper}/cgroup.kill");
    guest.shell("probe", &script);
}

fn runs(guest: &Guest) -> Vec<(String, u64, u64)> {
    let units = guest.machine.ps().unwrap();
    let run = |unit: UnitStatus| (unit.name, unit.run, unit.restarts);
    units.into_iter().map(run).collect()
}

/// Probes in a row with the same outcome, of all instances of a template.
fn probes(guest: &Guest, template: &str) -> u32 {
    let units = guest.machine.ps().unwrap();
    let units = units.iter().filter(|unit| unit.name.starts_with(template));
    let health = units.filter_map(|unit| unit.health.as_ref());
    health
        .map(|health| health.successes + health.failures)
        .sum()
}

/// Processes and threads that the whole machine has made since its boot (proc_stat(5)), without making one but for the
/// exec itself.
fn forks(guest: &Guest) -> u64 {
    let script =
        "while read key value; do if [ $key = processes ]; then echo $value; fi; done < /proc/stat";
    guest.shell("probe", script).parse().unwrap()
}

fn prober_rules(checks: &mut Checks, guest: &Guest) {
    checks.that("a killed prober disturbs no unit", || {
        for number in 1..=LOAD {
            becomes(guest, &format!("load@{number}"), "healthy");
        }
        let before = runs(guest);
        for _ in 0..PROBER_KILLS {
            kill_group(guest, "prober");
            std::thread::sleep(Duration::from_millis(250));
            let units = guest.machine.ps().unwrap();
            let load = units.iter().filter(|unit| unit.name.starts_with("load@"));
            for unit in load {
                let health = unit.health.as_ref().unwrap();
                assert_eq!((health.status.as_str(), health.failures), ("healthy", 0));
            }
        }
        let probed = probes(guest, "load@");
        until("probes are answered again", TIMEOUT, || {
            let now = probes(guest, "load@");
            (now > probed + LOAD).then_some(()).ok_or(format!("{now}"))
        });
        assert_eq!(runs(guest), before);
        guest.says("prober was killed by SIGKILL");
    });
    checks.that("HTTP probes make no process", || {
        // What probes by exec, and restarts, is not to be counted.
        guest.told(&["stop", "asker", "imaged", "web", "careless", "hosted"]);
        let load: Vec<String> = (1..=LOAD).map(|number| format!("load@{number}")).collect();
        let stop: Vec<&str> = ["stop"]
            .into_iter()
            .chain(load.iter().map(String::as_str))
            .collect();
        guest.told(&stop);
        let deaf = health(guest, "deaf@1");
        assert!(deaf.reason.contains("closed the connection"), "{deaf:?}");
        let exec = forks(guest);
        let before = forks(guest);
        let exec = before - exec;
        let (first, start) = (probes(guest, "deaf@"), Instant::now());
        while probes(guest, "deaf@") < first + PROBES {
            assert!(start.elapsed() < TIMEOUT, "no probes");
            std::thread::sleep(Duration::from_millis(100));
        }
        let made_probes = u64::from(probes(guest, "deaf@") - first);
        let made = forks(guest).saturating_sub(before + exec);
        // The kernel makes threads of its own now and then, the more the busier the host is; what made a process for each probe,
        // or for each ten, would be far above.
        assert!(
            made * 20 < made_probes,
            "{made} processes while {made_probes} probes were made"
        );
        let top = guest.told(&["top", "--json"]);
        let top: control::reply::Top = serde_json::from_str(&top).unwrap();
        for program in &top.programs {
            if ["init", "prober"].contains(&program.name.as_str()) {
                let (name, pss, cpu_ms) = (&program.name, program.pss >> 10, program.cpu_ms);
                progress(
                    SCENARIO,
                    &format!("{name}: {pss} KiB, {cpu_ms} ms of processor time"),
                );
            }
        }
        progress(
            SCENARIO,
            &format!("processes while {made_probes} HTTP probes were made: {made}"),
        );
    });
}
