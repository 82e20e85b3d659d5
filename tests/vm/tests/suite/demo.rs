//! The demo: five Redis from one template, with everything an operator does to them, over three boots of one disk.

use crate::{modules, operator};
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;
use vm::{Checks, Guest, Setup, StatePartition, container, demo_units, measured, until};

const SCENARIO: &str = "demo";
const GIB: u64 = 1 << 30;
/// Far more than the disk image has, so that growing is seen.
const DISK: u64 = 6 * GIB;
const KEEPER: u16 = 7101;
/// The name server of QEMU's user network, as its DHCP server names it.
const QEMU_RESOLVER: &str = "nameserver 10.0.2.3";

/// Five Redis of the demo; `keeper` keeps data in a volume, `forgotten` will be stopped by hand, and `probe` has the
/// machine's cgroups, programs and control socket in it: nothing else on this host could kill a process from outside of
/// its container.
fn setup() -> Setup {
    let keeper = container(
        "keeper",
        "command = [\"--protected-mode\", \"no\", \"--appendonly\", \"yes\"]\n\
         volumes = [\"keeper-data:/data\"]\n[[ports]]\npublish = \"7101:6379\"\n",
    );
    let forgotten = container("forgotten", "[service]\nrestart = \"unless-stopped\"\n");
    let probe = container(
        "probe",
        "entrypoint = [\"sleep\", \"infinity\"]\nuser = \"0\"\nstop_signal = \"SIGKILL\"\n\
         volumes = [\"/sys/fs/cgroup:/machine/cgroup\", \"/usr/lib/keelson/bin:/machine/bin:ro\", \
         \"/run/keelson:/run/keelson\", \"/usr/lib/modules:/machine/modules:ro\"]\n\
         [network]\nmode = \"host\"\n",
    );
    let ports = (7001..=7005).chain([KEEPER]);
    let setup = Setup::named(SCENARIO)
        .memory(4 * GIB)
        .own_disk(DISK)
        .hot_plug_slot()
        .units(demo_units())
        .units([keeper, forgotten, probe]);
    ports.fold(setup, Setup::port)
}

pub(crate) fn five_redis_do_what_their_operator_wants_and_keep_it_over_reboots() {
    let mut checks = Checks::of(SCENARIO);
    let guest = setup().boot();
    let ready = guest.ready();
    assert_eq!(ready.units, 8);
    for port in 7001..=7005 {
        guest.answers(port);
    }
    boot_rules(&mut checks, &guest);
    name_server_rule(&mut checks, &guest);
    workload_rules(&mut checks, &guest);
    limit_rules(&mut checks, &guest);
    kill_rules(&mut checks, &guest);
    operator::rules(&mut checks, &guest);
    modules::rules(&mut checks, &guest);
    helper_rules(&mut checks, &guest);
    let before = Before::remember(&guest);
    checks.that("Ctrl-Alt-Del reboots in order", || {
        guest.machine.ctrl_alt_del().unwrap();
        guest.ready();
    });
    name_server_rule(&mut checks, &guest);
    before.rules(&mut checks, &guest);
    checks.that("keelctl reboot reboots in order", || {
        guest.machine.reboot().unwrap();
        guest.ready();
    });
    before.rules(&mut checks, &guest);
    checks.that("the power button switches off in order", || {
        guest.machine.power_button().unwrap();
        guest.ends();
        guest.has_said(&["keelson: stage stop ok", "keelson: stage unmount ok"]);
    });
    checks.that("the serial log is clean", || guest.serial_log_is_clean(&[]));
    checks.that("the state partition is clean after power-off", || {
        StatePartition::of(guest.disk()).is_clean();
    });
    checks.end();
}

fn boot_rules(checks: &mut Checks, guest: &Guest) {
    checks.that("the stages say so in their order", || {
        let console = guest.console();
        let stages: Vec<&str> = console
            .lines()
            .filter_map(|line| line.split_once("keelson: stage "))
            .map(|(_, rest)| rest.split_whitespace().next().unwrap_or_default())
            .collect();
        let first = [
            "early", "root", "modules", "netd", "state", "identity", "clock", "units",
        ];
        assert_eq!(stages.get(..first.len()), Some(&first[..]), "{stages:?}");
        guest.says("keelson: stage network ok");
        guest.says("keelson: stage images ok");
    });
    checks.that("the state partition fills a larger disk", || {
        let state = StatePartition::of(guest.disk());
        assert!(state.start + state.bytes > DISK - (2 << 20), "{state:?}");
        let free = guest.shell("redis@1", "df -k / | tail -1 | awk '{print $2}'");
        let bytes = free.parse::<u64>().unwrap() * 1024;
        assert!(bytes > DISK - GIB, "the file system has {bytes} bytes");
    });
    checks.that("over-commitment is said aloud", || {
        guest.says("memory limits add up to 5.0 GiB on a machine with 3.");
    });
}

/// Where the images are loaded already, which is at every boot but the first, the first containers are started before
/// there is a lease.
fn name_server_rule(checks: &mut Checks, guest: &Guest) {
    checks.that(
        "containers that the boot starts have the name server of its first lease",
        || {
            let units = guest.machine.ps().unwrap();
            let reached =
                |unit: &&control::reply::UnitStatus| unit.address.is_some() || unit.name == "probe";
            let running = units.iter().filter(reached);
            let mut asked = 0;
            for unit in running {
                let resolv_conf = guest.shell(&unit.name, "cat /etc/resolv.conf");
                let mut lines = resolv_conf.lines();
                assert!(
                    lines.any(|line| line == QEMU_RESOLVER),
                    "{}: {resolv_conf}",
                    unit.name
                );
                asked += 1;
            }
            assert!(asked >= 7, "{units:?}");
        },
    );
}

fn workload_rules(checks: &mut Checks, guest: &Guest) {
    checks.that("the five instances answer and share no state", || {
        let [first, second] = [7001, 7002].map(|port| guest.redis(port));
        assert_eq!(first.cli(&["SET", "docker", "awesome"]).unwrap(), "OK");
        assert_eq!(first.cli(&["GET", "docker"]).unwrap(), "awesome");
        assert_eq!(second.cli(&["GET", "docker"]).unwrap(), "");
        for port in 7003..=7005 {
            assert_eq!(guest.redis(port).cli(&["DBSIZE"]).unwrap(), "0");
        }
    });
    checks.that(
        "ps tells name, image, command, state, age, ports and limit",
        || {
            let text = guest.told(&["ps", "--json"]);
            let units: Vec<control::reply::UnitStatus> = serde_json::from_str(&text).unwrap();
            for number in 1..=5 {
                let name = format!("redis@{number}");
                let unit = units.iter().find(|unit| unit.name == name).unwrap();
                assert_eq!((unit.state.as_str(), unit.goal.as_str()), ("running", "up"));
                assert_eq!(unit.memory_max, Some(GIB));
                assert!(unit.memory.is_some_and(|bytes| bytes > 1 << 20), "{unit:?}");
                assert!(
                    unit.image.contains("redis") && !unit.command.is_empty(),
                    "{unit:?}"
                );
                assert!(unit.age_ms > 0 && unit.pid.is_some() && unit.address.is_some());
                let port = format!(":{}->6379/tcp", 7000 + number);
                assert!(
                    unit.ports.iter().any(|text| text.contains(&port)),
                    "{unit:?}"
                );
            }
            let table = guest.told(&["ps"]);
            assert!(
                table.contains("redis@5") && table.contains("7005"),
                "{table}"
            );
        },
    );
}

/// The runs of all units but one.
fn runs_but(guest: &Guest, unit: &str) -> Vec<(String, u64, Option<i32>)> {
    let units = guest.machine.ps().unwrap();
    let others = units.into_iter().filter(|status| status.name != unit);
    others
        .map(|status| (status.name, status.run, status.pid))
        .collect()
}

fn limit_rules(checks: &mut Checks, guest: &Guest) {
    checks.that(
        "an instance that fills its memory dies and is restarted, alone",
        || {
            let others = runs_but(guest, "redis@5");
            let run = guest.status("redis@5").run;
            let full = guest.redis(7005);
            let piece = (100_u64 << 20).to_string();
            let refused = (0..12).find_map(|key| {
                full.cli(&["SETRANGE", &format!("k{key}"), &piece, "x"])
                    .err()
            });
            assert!(refused.is_some(), "1.2 GiB went into 1 GiB");
            let (status, _) = until("redis@5 runs again", Duration::from_secs(60), || {
                let status = guest.status("redis@5");
                if status.state == "running" && status.run > run {
                    Ok(status)
                } else {
                    Err(format!("{status:?}"))
                }
            });
            guest.answers(7005);
            assert!(
                status
                    .last_exit
                    .as_deref()
                    .is_some_and(|why| why.contains("out of memory")),
                "{status:?}"
            );
            let told = guest.told(&["status", "redis@5"]);
            assert!(told.contains("out of memory"), "{told}");
            assert_eq!(runs_but(guest, "redis@5"), others);
        },
    );
}

/// SIGKILL for every process of a group below the machine's cgroup root (cgroup-v2.rst, `cgroup.kill`).
fn kill_group(guest: &Guest, group: &str) {
    let script = format!("for f in /machine/cgroup/{group}/cgroup.kill; do echo 1 > $f; done");
    guest.shell("probe", &script);
}

fn kill_rules(checks: &mut Checks, guest: &Guest) {
    checks.that("a killed Redis answers again", || {
        let before = guest.status("redis@3");
        kill_group(guest, "containers/redis@3:*");
        let took = guest.answers(7003);
        measured(SCENARIO, "kill -9 to the next PONG, wall time", took);
        let after = guest.gets("redis@3", "running");
        assert_eq!(after.restarts, before.restarts + 1, "{after:?}");
        assert_ne!(after.pid, before.pid);
        assert_eq!(after.address, before.address);
    });
}

fn helper_rules(checks: &mut Checks, guest: &Guest) {
    checks.that(
        "a start is told in the unit's log, though logd starts after the units",
        || {
            let lines = guest.told(&["--json", "logs", "redis@1"]);
            let starts = lines.matches("\"message\":\"started\"").count();
            assert!(starts > 0, "{lines}");
        },
    );
    checks.that(
        "a killed logd loses no line and disturbs no container",
        || {
            let runs = runs_but(guest, "");
            let writer =
                "i=0; while [ $i -lt 600 ]; do echo logd-line-$i.; i=$((i+1)); done > /proc/1/fd/1";
            std::thread::scope(|scope| {
                let lines = scope.spawn(|| guest.shell("redis@1", writer));
                for _ in 0..2 {
                    kill_group(guest, "system/logd");
                    std::thread::sleep(Duration::from_millis(300));
                }
                lines.join().unwrap();
            });
            until("all lines are in the log", Duration::from_secs(60), || {
                let log = guest.told(&["logs", "redis@1"]);
                let missing = (0..600).find(|line| !log.contains(&format!("logd-line-{line}.")));
                missing.map_or(Ok(()), |line| Err(format!("line {line} is missing")))
            });
            assert_eq!(runs_but(guest, ""), runs);
            guest.says("logd was killed by SIGKILL");
        },
    );
    checks.that(
        "who asks when logd was killed is answered, and who follows sees every line once",
        || {
            let say = |text: &str| {
                guest.shell("redis@1", &format!("echo {text} > /proc/1/fd/1"));
            };
            // It is told what is in the log, so that it is known to have begun.
            say("follow-0.");
            let mut command = guest.machine.keelctl_command();
            let mut following = command
                .args(["--timeout", "200s", "logs", "-f", "-n", "1", "redis@1"])
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
            let mut line = || {
                let ours = |line: &String| line.contains("follow-");
                lines.by_ref().map(Result::unwrap).find(ours).unwrap()
            };
            assert_eq!(line(), "follow-0.");
            for round in 1..=3 {
                if round == 2 {
                    // What is known of the follower is handed over.
                    guest.told(&["reexec"]);
                }
                // Killed, and at once something is said: by an exec, which needs no logd.
                let script = format!(
                    "echo 1 > /machine/cgroup/system/logd/cgroup.kill; echo killed-{round}"
                );
                guest.shell("probe", &script);
                // Those who ask find what was written before, without asking again.
                let log = guest.told(&["logs", "redis@1"]);
                assert!(log.contains("logd-line-599."), "{log}");
                assert!(log.contains(&format!("follow-{}.", round - 1)), "{log}");
                let last = guest.told(&["logs", "-n", "2", "redis@1"]);
                assert_eq!(last.lines().count(), 2, "{last}");
                say(&format!("follow-{round}."));
                assert_eq!(line(), format!("follow-{round}."));
            }
            following.kill().unwrap();
            following.wait().unwrap();
        },
    );
    checks.that("a killed netd disturbs no connection", || {
        let mut connection = guest.redis(7001).connect().unwrap();
        assert_eq!(connection.ask("PING").unwrap(), "+PONG");
        kill_group(guest, "system/netd");
        guest.says("netd was killed by SIGKILL");
        assert_eq!(connection.ask("PING").unwrap(), "+PONG");
        let address = guest.status("redis@4").address;
        guest.told(&["restart", "redis@4"]);
        guest.answers(7004);
        assert_eq!(guest.status("redis@4").address, address);
        assert_eq!(connection.ask("PING").unwrap(), "+PONG");
    });
    checks.that("a killed relay is back for the next request", || {
        let runs = runs_but(guest, "");
        // The request that kills it loses its answer.
        let script = "echo 1 > /machine/cgroup/system/relay/cgroup.kill";
        drop(
            guest
                .machine
                .keelctl(&["--timeout", "20s", "exec", "probe", "sh", "-c", script]),
        );
        guest.says("relay was killed by SIGKILL");
        assert_eq!(runs_but(guest, ""), runs);
    });
}

/// What must be the same after a reboot.
struct Before {
    addresses: Vec<(String, Option<String>)>,
}

impl Before {
    fn remember(guest: &Guest) -> Self {
        let keeper = guest.redis(KEEPER);
        keeper.cli(&["SET", "kept", "over-reboots"]).unwrap();
        guest.shell("redis@2", "echo said-before-the-reboot > /proc/1/fd/1");
        guest.told(&["stop", "forgotten"]);
        Self {
            addresses: Self::addresses(guest),
        }
    }

    /// Of all that have run.
    fn addresses(guest: &Guest) -> Vec<(String, Option<String>)> {
        let units = guest.machine.ps().unwrap();
        let running = units.into_iter().filter(|unit| unit.name != "forgotten");
        running.map(|unit| (unit.name, unit.address)).collect()
    }

    fn rules(&self, checks: &mut Checks, guest: &Guest) {
        checks.that("volumes are kept over a reboot", || {
            guest.answers(KEEPER);
            let kept = guest.redis(KEEPER).cli(&["GET", "kept"]).unwrap();
            assert_eq!(kept, "over-reboots");
        });
        checks.that("logs are kept over a reboot", || {
            let log = guest.told(&["logs", "redis@2"]);
            assert!(log.contains("said-before-the-reboot"), "{log}");
        });
        checks.that("addresses are kept over a reboot", || {
            assert_eq!(Self::addresses(guest), self.addresses);
        });
        checks.that("a stop by hand is remembered over a reboot", || {
            let status = guest.status("forgotten");
            assert_eq!(
                (status.state.as_str(), status.goal.as_str()),
                ("inactive", "down"),
                "{status:?}"
            );
        });
        checks.that("published ports answer after a reboot", || {
            for port in 7001..=7005 {
                guest.answers(port);
            }
        });
    }
}
