//! The operator's command line against a running machine.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;
use vm::{Checks, Guest, in_a_terminal};

const TIMEOUT: Duration = Duration::from_secs(60);

/// On the demo's machine.
pub(crate) fn rules(checks: &mut Checks, guest: &Guest) {
    checks.that("stop, start and restart return when it is so", || {
        let before = guest.status("redis@4");
        guest.told(&["stop", "redis@4"]);
        let status = guest.status("redis@4");
        assert_eq!(
            (status.state.as_str(), status.goal.as_str()),
            ("inactive", "down")
        );
        assert!(
            guest.redis(7004).ask("PING").is_err(),
            "a stopped Redis answers"
        );
        guest.told(&["start", "redis@4"]);
        assert_eq!(guest.status("redis@4").state, "running");
        guest.answers(7004);
        guest.told(&["restart", "redis@4"]);
        guest.answers(7004);
        let after = guest.status("redis@4");
        assert!(after.run > before.run && after.restarts == 0, "{after:?}");
    });
    checks.that("an unknown unit is refused with the nearest name", || {
        let finished = guest.keelctl(&["stop", "redis@44"]);
        assert_eq!(finished.status.code(), Some(3), "{finished:?}");
        assert!(finished.stderr.contains("redis@4"), "{finished:?}");
    });
    logs(checks, guest);
    exec(checks, guest);
    checks.that("image ls lists the demo's image", || {
        let images: serde_json::Value =
            serde_json::from_str(&guest.told(&["image", "ls", "--json"])).unwrap();
        let image = images
            .as_array()
            .unwrap()
            .iter()
            .find(|image| image["reference"] == vm::REDIS);
        let image = image.unwrap_or_else(|| panic!("{images}"));
        assert!(
            image["digest"].as_str().unwrap().starts_with("sha256:"),
            "{image}"
        );
    });
    checks.that(
        "the relay runs while somebody is there, and the first word is not lost",
        || {
            let relay = || {
                let top: serde_json::Value =
                    serde_json::from_str(&guest.told(&["top", "--json"])).unwrap();
                let programs = top["programs"].as_array().unwrap().iter();
                let mut relays = programs.filter(|program| program["name"] == "relay");
                relays.next().unwrap()["pid"].as_i64().unwrap()
            };
            let first = relay();
            assert_eq!(relay(), first);
            // It ends when nobody has been there for ten seconds.
            std::thread::sleep(std::time::Duration::from_secs(15));
            assert_ne!(relay(), first);
            guest.told(&["reexec"]);
            std::thread::sleep(std::time::Duration::from_secs(15));
            guest.told(&["ps"]);
        },
    );
    checks.that("the chart ends with the boot, whatever came since", || {
        let boot = guest.told(&["boot-chart"]);
        guest.told(&["restart", "redis@1"]);
        assert_eq!(guest.told(&["boot-chart"]), boot);
        let all = guest.told(&["boot-chart", "--until", "now"]);
        assert!(all.contains("redis@1: stopping at"), "{all}");
    });
    checks.that("boot-chart draws stages and units", || {
        let chart = guest.told(&["boot-chart"]);
        assert!(
            chart.trim_start().starts_with("<svg") || chart.trim_start().starts_with("<?xml"),
            "{chart}"
        );
        for word in ["state", "network", "redis@1", "</svg>"] {
            assert!(chart.contains(word), "no `{word}` in the chart");
        }
    });
    checks.that(
        "programs go by their names, all but PID 1 are one file, and what only the boot needed is gone",
        || {
            let top: serde_json::Value =
                serde_json::from_str(&guest.told(&["top", "--json"])).unwrap();
            let programs = top["programs"].as_array().unwrap();
            let called = |name: &str| programs.iter().any(|program| program["name"] == name);
            for name in ["init", "netd", "logd", "relay"] {
                assert!(called(name), "no {name} in {top}");
            }
            let files = guest.shell("probe", "cd /machine/bin; find . -type f | sort");
            assert_eq!(files, "./init\n./programs");
            let links = guest.shell("probe", "cd /machine/bin; for link in netd launcher keelctl; do readlink $link; done");
            assert_eq!(links, "programs\nprograms\nprograms");
        },
    );
    checks.that("keelctl on the machine does what it does here", || {
        let names = guest.shell("probe", "/machine/bin/keelctl ps -q");
        assert!(names.lines().any(|name| name == "redis@1"), "{names}");
    });
    checks.that("keelctl check on the machine finds mistakes", || {
        let script = "printf '[container]\\niamge = \"redis\"\\n' > /tmp/web.container.toml; \
                      /machine/bin/keelctl check /tmp/web.container.toml 2>&1; echo status $?";
        let told = guest.shell("probe", script);
        assert!(told.contains("web.container.toml:2:1"), "{told}");
        assert!(told.contains("`image`"), "{told}");
        assert!(told.ends_with("status 1"), "{told}");
    });
}

fn logs(checks: &mut Checks, guest: &Guest) {
    checks.that("logs show what a container wrote", || {
        let log = guest.told(&["logs", "redis@1"]);
        assert!(log.contains("Ready to accept connections"), "{log}");
        let last = guest.told(&["logs", "-n", "1", "redis@1"]);
        assert_eq!(last.lines().count(), 1, "{last}");
    });
    checks.that("logs -f follow over a restart of the unit", || {
        let mut command = guest.machine.keelctl_command();
        let mut following = command
            .args(["logs", "-f", "-n", "0", "redis@4"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
        let seen = std::thread::spawn(move || {
            lines.any(|line| line.unwrap_or_default().contains("after-the-restart"))
        });
        guest.told(&["restart", "redis@4"]);
        let start = std::time::Instant::now();
        while !seen.is_finished() && start.elapsed() < TIMEOUT {
            guest.shell("redis@4", "echo after-the-restart > /proc/1/fd/1");
            std::thread::sleep(Duration::from_millis(100));
        }
        following.kill().unwrap();
        following.wait().unwrap();
        assert!(seen.join().unwrap(), "the line did not come");
    });
}

fn exec(checks: &mut Checks, guest: &Guest) {
    checks.that("exec ends with the command's status", || {
        for status in [0, 1, 7, 255] {
            let finished =
                guest.keelctl(&["exec", "redis@1", "sh", "-c", &format!("exit {status}")]);
            assert_eq!(finished.status.code(), Some(status), "{finished:?}");
        }
        let killed = guest.keelctl(&["exec", "redis@1", "sh", "-c", "kill -TERM $$"]);
        assert_eq!(killed.status.code(), Some(143), "{killed:?}");
    });
    checks.that("exec of what can't be started ends as in a shell", || {
        for (command, status, why) in [
            ("/no/such", 127, "/no/such: command not found"),
            ("no-such-command", 127, "no-such-command: command not found"),
            ("/etc", 126, "/etc: is a folder"),
        ] {
            let finished = guest.keelctl(&["exec", "redis@1", command]);
            assert_eq!(finished.status.code(), Some(status), "{finished:?}");
            assert!(finished.stderr.contains(why), "{finished:?}");
        }
    });
    checks.that(
        "exec keeps stdout, stderr and stdin apart and whole",
        || {
            let input: Vec<u8> = (0..300_000_u32)
                .map(|number| b'a' + u8::try_from(number % 23).unwrap_or(0))
                .collect();
            let words = [
                "exec",
                "-i",
                "redis@1",
                "sh",
                "-c",
                "echo to-stderr >&2; cat",
            ];
            let finished = guest.machine.keelctl_with(&words, &input, TIMEOUT).unwrap();
            assert!(finished.success(), "{}", finished.stderr);
            assert_eq!(finished.stderr, "to-stderr\n");
            assert!(
                finished.stdout.as_bytes() == input,
                "{} bytes came back",
                finished.stdout.len()
            );
        },
    );
    checks.that("exec -it gives a terminal of our size", || {
        let mut command = guest.machine.keelctl_command();
        command.args(["exec", "-it", "redis@1", "sh"]);
        let talk = [
            ("$", "tty\n"),
            ("/dev/pts/", "stty size\n"),
            ("24 80", "exit 5\n"),
        ];
        let (screen, status) = in_a_terminal(&mut command, &talk, TIMEOUT);
        assert_eq!(status.code(), Some(5), "{screen}");
    });
}
