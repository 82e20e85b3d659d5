//! PID 1 executes itself anew, under load, again and again.

use crate::outlive::{SCENARIO, WEB, kill_group, lives};
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};
use vm::{Checks, Guest, Load, measured, progress, times, until};

/// By then whatever was begun aside is done.
const STILL: Duration = Duration::from_secs(20);
/// Between two looks at them.
const LOOK: Duration = Duration::from_millis(500);

fn descriptors(guest: &Guest) -> u64 {
    let top: control::reply::Top = serde_json::from_str(&guest.told(&["top", "--json"])).unwrap();
    let own = top.programs.iter().find(|program| program.pid == 1);
    own.expect("PID 1 is in `top`").descriptors
}

/// When the last drivers are loaded, and what PID 1 has opened for them: a watchdog, a power button.
fn descriptors_at_rest(guest: &Guest) -> u64 {
    const LOOKS: usize = 6;
    guest.says("keelson: stage more-drivers ok");
    let mut last = Vec::new();
    until("PID 1 opens nothing more", STILL, || {
        std::thread::sleep(LOOK);
        last.push(descriptors(guest));
        let latest = last.iter().rev().take(LOOKS);
        let same = latest.clone().all(|count| Some(count) == last.last());
        match last.last() {
            Some(count) if same && last.len() >= LOOKS => Ok(*count),
            _ => Err(format!("{last:?}")),
        }
    })
    .0
}

/// The numbers that the writer has said, as they are in the log, from the first on.
fn written(guest: &Guest) -> Vec<u64> {
    let log = guest.told(&["logs", "writer"]);
    numbers(log.lines())
}

fn numbers<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<u64> {
    lines
        .filter_map(|line| line.split_once("line-")?.1.strip_suffix('.')?.parse().ok())
        .collect()
}

/// Each once, in order.
fn without_gap(numbers: &[u64]) {
    let gap = numbers.windows(2).find(|pair| pair[1] != pair[0] + 1);
    assert_eq!(gap, None, "of {} lines", numbers.len());
}

pub(crate) fn rules(checks: &mut Checks, guest: &Guest) {
    let rounds = times(20, 200);
    checks.that(
        "re-executions under load lose no request, no line, no process",
        || {
            let before = lives(guest);
            let first = descriptors_at_rest(guest);
            let (times, outcome) = Load::during(guest.redis(WEB), |load| {
                let round = |_| {
                    let start = Instant::now();
                    guest.told(&["reexec"]);
                    let took = start.elapsed();
                    load.more();
                    took
                };
                (0..rounds).map(round).collect::<Vec<_>>()
            });
            progress(SCENARIO, &format!("{rounds} re-executions: {outcome:?}"));
            let total: Duration = times.iter().sum();
            measured(
                SCENARIO,
                "keelctl reexec, mean",
                total / times.len().try_into().unwrap(),
            );
            outcome.is_flawless();
            assert_eq!(lives(guest), before);
            // What is worked out aside at this moment has one more; what each re-execution leaves would be many.
            until(
                "PID 1 has the descriptors it had",
                STILL,
                || match descriptors(guest) {
                    now if now <= first + 1 => Ok(()),
                    now => Err(format!("{now}, not {first}")),
                },
            );
            without_gap(&written(guest));
            guest.says("re-executed in");
        },
    );
    checks.that(
        "a command, a follower of logs and a start under way go on",
        || {
            let mut following = guest.machine.keelctl_command();
            let mut following = following
                .args(["logs", "-f", "-n", "0", "writer"])
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
            lines.next().unwrap().unwrap();
            let said = std::thread::scope(|scope| {
                let command = "for i in 1 2 3 4 5 6; do echo step-$i; sleep 0.3; done; exit 7";
                let exec = scope.spawn(|| guest.keelctl(&["exec", "probe", "sh", "-c", command]));
                let restart = scope.spawn(|| guest.keelctl(&["restart", "writer"]));
                for _ in 0..3 {
                    guest.told(&["reexec"]);
                }
                assert!(restart.join().unwrap().success());
                exec.join().unwrap()
            });
            assert_eq!(said.status.code(), Some(7), "{said:?}");
            assert_eq!(said.stdout.lines().count(), 6, "{said:?}");
            let seen: Vec<String> = lines.by_ref().take(60).map(Result::unwrap).collect();
            following.kill().unwrap();
            following.wait().unwrap();
            let seen = numbers(seen.iter().map(String::as_str));
            let begins = seen.iter().position(|number| *number == 0).unwrap_or(0);
            without_gap(&seen[..begins]);
            without_gap(&seen[begins..]);
            assert!(seen.len() >= 50, "{}", seen.len());
        },
    );
    checks.that("who ends at that moment is restarted, exactly once", || {
        for round in 0..times(5, 50) {
            let before = guest.gets("ender", "running");
            let all = guest.machine.ps().unwrap();
            let last = all.iter().map(|unit| unit.run).max().unwrap();
            std::thread::scope(|scope| {
                scope.spawn(|| kill_group(guest, "containers/ender:*"));
                // The request takes its time; where in it the end falls is different each time.
                std::thread::sleep(Duration::from_millis(
                    u64::try_from(round).unwrap() % 5 * 10,
                ));
                guest.told(&["reexec"]);
            });
            let (after, _) = until("ender runs again", Duration::from_secs(60), || {
                let status = guest.status("ender");
                if status.state == "running" && status.run != before.run {
                    Ok(status)
                } else {
                    Err(format!("{status:?}"))
                }
            });
            assert_eq!(after.restarts, before.restarts + 1);
            assert_eq!(after.run, last + 1, "runs are numbered over all units");
        }
    });
}
