//! Every helper of PID 1 is killed while requests are answered: nobody notices, and what was under way has one end.

use crate::outlive::{SCENARIO, WEB, kill_group, lives};
use std::time::Duration;
use vm::{Checks, Guest, Load, demo_archive, progress, until};

const SOON: Duration = Duration::from_secs(60);

pub(crate) fn rules(checks: &mut Checks, guest: &Guest) {
    checks.that(
        "netd, logd and relay, killed under load, are missed by nobody",
        || {
            let before = lives(guest);
            let (_, outcome) = Load::during(guest.redis(WEB), |load| {
                for round in 0..3 {
                    for helper in ["netd", "logd", "relay"] {
                        kill(guest, helper);
                        guest.says(&format!("{helper} was killed by SIGKILL"));
                        load.more();
                        assert_eq!(lives(guest), before, "{helper}, round {round}");
                    }
                    // Each of them does its work again.
                    let births = born(guest);
                    guest.told(&["restart", "ender"]);
                    until("its word is in the log", SOON, || match born(guest) {
                        count if count == births + 1 => Ok(()),
                        count => Err(format!("{count} after {births}")),
                    });
                }
            });
            progress(SCENARIO, &format!("nine helpers killed: {outcome:?}"));
            outcome.is_flawless();
        },
    );
    checks.that(
        "a store that is killed as it loads leaves the images as they were",
        || {
            let (before, images) = (lives(guest), guest.told(&["image", "ls"]));
            let archive = demo_archive();
            let load = ["image", "load", archive.to_str().unwrap()];
            let (_, outcome) = Load::during(guest.redis(WEB), |_| {
                std::thread::scope(|scope| {
                    let loading = scope.spawn(|| guest.keelctl(&load));
                    until("the store is at work", SOON, || {
                        let procs =
                            guest.shell("probe", "cat /machine/cgroup/system/store/cgroup.procs");
                        if procs.is_empty() {
                            Err("no process".to_owned())
                        } else {
                            Ok(())
                        }
                    });
                    kill_group(guest, "system/store");
                    let loaded = loading.join().unwrap();
                    assert_eq!(loaded.status.code(), Some(1), "{loaded:?}");
                    assert!(loaded.stderr.contains("SIGKILL"), "{loaded:?}");
                });
                assert_eq!(guest.told(&["image", "ls"]), images);
                guest.told(&load);
            });
            outcome.is_flawless();
            assert_eq!(lives(guest), before);
        },
    );
    checks.that(
        "a launcher that is killed as it stands by is a failed start, and no more",
        || {
            let (before, ender) = (lives(guest), guest.status("ender"));
            // Nobody makes its network, so it waits.
            freeze(guest, "netd", true);
            let restart = std::thread::scope(|scope| {
                let restart = scope.spawn(|| guest.keelctl(&["restart", "ender"]));
                until("a launcher stands by", SOON, || {
                    let status = guest.status("ender");
                    let group = format!("ls -d /machine/cgroup/containers/ender:{}", ender.run + 1);
                    let there = guest
                        .keelctl(&["exec", "probe", "sh", "-c", &group])
                        .success();
                    if status.state == "preparing" && there {
                        Ok(())
                    } else {
                        Err(status.state)
                    }
                });
                kill_group(guest, "containers/ender:*");
                let restart = restart.join().unwrap();
                freeze(guest, "netd", false);
                restart
            });
            assert_eq!(restart.status.code(), Some(1), "{restart:?}");
            assert!(restart.stderr.contains("killed by SIGKILL"), "{restart:?}");
            guest.gets("ender", "running");
            assert_eq!(lives(guest), before);
        },
    );
}

/// How often the log has what a run says first.
fn born(guest: &Guest) -> usize {
    let log = guest.told(&["logs", "ender"]);
    log.lines().filter(|line| line.ends_with("born")).count()
}

/// The request that kills the relay loses its answer.
fn kill(guest: &Guest, helper: &str) {
    let script = format!("echo 1 > /machine/cgroup/system/{helper}/cgroup.kill");
    let words = ["--timeout", "20s", "exec", "probe", "sh", "-c", &script];
    drop(guest.machine.keelctl(&words));
}

fn freeze(guest: &Guest, helper: &str, yes: bool) {
    let yes = u8::from(yes);
    guest.shell(
        "probe",
        &format!("echo {yes} > /machine/cgroup/system/{helper}/cgroup.freeze"),
    );
}
