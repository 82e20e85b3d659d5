//! A new version takes over from the old one, and no client notices; one that does not get ready changes nothing.

use crate::apply::Folder;
use crate::outlive::{SCENARIO, WEB};
use std::time::Duration;
use vm::{Checks, Guest, Load, REDIS, container, progress, times, until};

/// A Redis that counts as ready when it answers.
pub(crate) fn web(version: &str) -> (String, String) {
    version_of(REDIS, version, "redis-cli ping | grep -q PONG", "20s")
}

fn version_of(image: &str, version: &str, ready: &str, wait: &str) -> (String, String) {
    let (name, text) = container(
        "web",
        &format!(
            "command = [\"--protected-mode\", \"no\"]\n\
             [[ports]]\npublish = \"{WEB}:6379\"\n[env]\nVERSION = \"{version}\"\n\
             [[service.post_start]]\ncommand = [\"sh\", \"-c\", \"until {ready}; do sleep 0.1; done\"]\n\
             [update]\norder = \"start-first\"\nhealth_wait = \"{wait}\"\n"
        ),
    );
    (name, text.replace(REDIS, image))
}

pub(crate) fn rules(checks: &mut Checks, guest: &Guest, folder: &Folder) {
    checks.that("a new version takes over without a failed request", || {
        let rounds = times(3, 100);
        let (_, outcome) = Load::during(guest.redis(WEB), |load| {
            for round in 0..rounds {
                let before = guest.status("web");
                let version = format!("2.{round}");
                folder.put(web(&version));
                let told = guest.told(&["apply", "--wait", folder.path()]);
                assert!(told.contains("is replaced without a gap"), "{told}");
                let after = guest.status("web");
                assert_ne!(after.pid, before.pid);
                assert_eq!(after.state, "running");
                assert_eq!(guest.shell("web", "echo $VERSION"), version);
                assert_eq!(after.ports, before.ports);
                load.more();
                old_is_gone(guest, before.run);
            }
        });
        progress(SCENARIO, &format!("{rounds} replacements: {outcome:?}"));
        outcome.is_flawless();
    });
    checks.that(
        "what the new version writes is the unit's, over its restart",
        || {
            guest.shell("web", "echo kept > /tmp/kept");
            guest.told(&["restart", "web"]);
            guest.answers(WEB);
            assert_eq!(guest.shell("web", "cat /tmp/kept"), "kept");
        },
    );
    let bad = [
        (
            "one that has no image",
            version_of("docker.io/library/missing:1", "3", "true", "20s"),
            "missing",
        ),
        (
            "one that never gets ready",
            version_of(REDIS, "4", "false", "3s"),
            "health_wait",
        ),
    ];
    for (what, version, why) in bad {
        checks.that(
            &format!("{what} changes nothing, and it is said why"),
            || {
                let before = guest.status("web");
                let (finished, outcome) = Load::during(guest.redis(WEB), |_| {
                    folder.put(version);
                    guest.keelctl(&["apply", "--wait", folder.path()])
                });
                outcome.is_flawless();
                assert_eq!(finished.status.code(), Some(1), "{finished:?}");
                assert!(finished.stderr.contains(why), "{finished:?}");
                assert!(
                    finished.stderr.contains("the old one goes on"),
                    "{finished:?}"
                );
                let after = guest.status("web");
                assert_eq!((after.pid, after.run), (before.pid, before.run));
                let told = guest.told(&["status", "web"]);
                let line = told.lines().find(|line| line.contains("Not replaced: "));
                assert!(line.is_some_and(|line| line.contains(why)), "{told}");
            },
        );
    }
    short_lived(checks, guest, folder);
}

fn short_lived(checks: &mut Checks, guest: &Guest, folder: &Folder) {
    checks.that(
        "one that ends as it takes over gives the ports back",
        || {
            let before = guest.status("web");
            let (name, text) = version_of(REDIS, "5", "true", "20s");
            let command = "command = [\"--protected-mode\", \"no\"]";
            let ends = text.replace(
                command,
                "entrypoint = [\"sh\", \"-c\", \"sleep 0.3; exit 1\"]",
            );
            assert_ne!(ends, text);
            folder.put((name, ends));
            let finished = guest.keelctl(&["apply", "--wait", folder.path()]);
            assert_eq!(finished.status.code(), Some(1), "{finished:?}");
            assert!(
                finished.stderr.contains("the old one goes on"),
                "{finished:?}"
            );
            guest.answers(WEB);
            let after = guest.status("web");
            assert_eq!((after.pid, after.run), (before.pid, before.run));
            assert_eq!(after.ports, before.ports);
        },
    );
}

fn old_is_gone(guest: &Guest, run: u64) {
    let group = format!("ls -d /machine/cgroup/containers/web:{run} 2>/dev/null | wc -l");
    until(
        "the old version is gone",
        Duration::from_secs(60),
        || match guest.shell("probe", &group).as_str() {
            "0" => Ok(()),
            other => Err(other.to_owned()),
        },
    );
}
