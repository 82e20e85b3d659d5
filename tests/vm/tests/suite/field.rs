//! What people's containers do, from public reports: each of these units was one that ended badly somewhere.
//!
//! A container that can judge itself prints `CASE NAME OK` or `CASE NAME BAD …`; the rest is judged from outside.

use crate::field_archives;
use crate::field_images::{self, BASE, FILECAP, FIRST, NESTED, SCRIPTS, SPARING};
use qemu::FindingKind;
use std::time::{Duration, Instant};
use vm::{Checks, Guest, Setup, measured, until};

const SCENARIO: &str = "field";
const TIMEOUT: Duration = Duration::from_secs(60);
const BY_HAND: &str = "[unit]\nwanted_by = []\n";
const ONCE: &str = "[service]\nrestart = \"no\"\n";

/// What an entry script does that has work to finish.
const LAST_WORK: &str = "trap 'sleep 2; echo last work is done; exit 0' TERM; echo begun; while :; do sleep 1 & wait $!; done";

fn unit(name: &str, image: &str, rest: &str) -> (String, String) {
    (
        format!("{name}.container.toml"),
        format!("{BY_HAND}[container]\nimage = \"{image}\"\n{rest}"),
    )
}

fn units() -> Vec<(String, String)> {
    let entrypoint = |words: &str| format!("entrypoint = [{words}]\n");
    let wait = |first: &str| {
        let text = format!("{first}, \"sh\", \"-c\", \"{LAST_WORK}\"");
        unit_of_first(&text)
    };
    let mut units = vec![
        ("tini".to_owned(), wait("\"tini-static\", \"--\"")),
        ("dumb-init".to_owned(), wait("\"dumb-init\", \"--\"")),
        (
            "s6".to_owned(),
            format!(
                "{}tmpfs = [\"/run:exec,size=16M,mode=755\"]\n",
                entrypoint("\"/s6-init\"")
            ),
        ),
        (
            "s6-read-only".to_owned(),
            format!(
                "{}[security]\nread_only = true\n",
                entrypoint("\"/s6-init\"")
            ),
        ),
    ]
    .into_iter()
    .map(|(name, rest)| unit(&name, FIRST, &rest))
    .collect::<Vec<_>>();
    let initialising = r#"command = ["sh", "-c", '''
if [ -e /data/begun ] && [ ! -e /data/complete ]; then echo "CASE initialising BAD the data folder is half made"; exec sleep 1d; fi
sh -c 'touch /data/begun; sleep 5; touch /data/complete'
echo made
trap "exit 0" TERM
while :; do sleep 1 & wait $!; done
''']
volumes = ["field-data:/data"]
[service]
stop_timeout = "12s"
"#;
    let orphans = "init = true\ncommand = [\"sh\", \"-c\", \"for i in 1 2 3 4 5; do sh -c 'sleep 0.1 &' ; done; exec sleep 1d\"]\n\
                   [service]\nstop_timeout = \"60s\"\n";
    let status = "init = true\ncommand = [\"sh\", \"-c\", \"exit 7\"]\n";
    let streams = r#"command = ["sh", "-c", '''
for stream in stdout stderr; do
    if su -s /bin/sh app -c "echo through /dev/$stream > /dev/$stream"; then echo "CASE streams OK $stream"
    else echo "CASE streams BAD $stream: $(ls -ln /proc/1/fd | grep pipe | head -1)"; fi
done
exec sleep 1d
''']
"#;
    let write_home = r#"volumes = ["field-home:/home/app"]
command = ["sh", "-c", "echo written > /home/app/.state/database && echo \"CASE nested OK\"; exec sleep 1d"]
"#;
    let look_home = r#"volumes = ["field-home:/look"]
command = ["sh", "-c", "test -f /look/.state/database && echo \"CASE look OK\" || echo \"CASE look BAD $(ls -aR /look | tr '\n' ' ')\"; exec sleep 1d"]
"#;
    let full = "command = [\"sh\", \"-c\", \"i=0; while [ $i -lt 11 ]; do sleep 1d & i=$((i+1)); done; echo full; wait\"]\n\
                [resources]\npids = 12\n";
    units.extend([
        unit("initialising", BASE, initialising),
        unit("orphans", BASE, orphans),
        unit("status", BASE, &format!("{status}{ONCE}")),
        unit("streams", BASE, streams),
        unit("nested", NESTED, write_home),
        unit("look", BASE, look_home),
        unit("full", BASE, full),
        unit(
            "filecap",
            FILECAP,
            &format!("command = [\"/bin/vault\", \"server\"]\n{ONCE}"),
        ),
        unit("sparing", SPARING, "command = [\"sleep\", \"1d\"]\n"),
    ]);
    units.extend(
        [
            ("no-x", "/entry-no-x.sh"),
            ("no-line", "/entry-no-line.sh"),
            ("crlf", "/entry-crlf.sh"),
            ("lost", "/entry-lost.sh"),
        ]
        .map(|(name, path)| {
            unit(
                name,
                SCRIPTS,
                &format!("{}{ONCE}", entrypoint(&format!("\"{path}\""))),
            )
        }),
    );
    units
}

fn unit_of_first(entrypoint: &str) -> String {
    format!("entrypoint = [{entrypoint}]\n[service]\nstop_timeout = \"60s\"\n")
}

pub(crate) fn what_ended_badly_elsewhere_ends_well_here() {
    let mut checks = Checks::of(SCENARIO);
    let guest = Setup::named(SCENARIO)
        .own_disk(2 << 30)
        .units(
            units()
                .into_iter()
                .chain(field_archives::units())
                .collect::<Vec<_>>(),
        )
        .boot();
    guest.ready();
    for archive in field_images::archives() {
        let path = archive.display().to_string();
        checks.that(&format!("{path} is loaded"), || {
            guest.told(&["image", "load", &path]);
        });
    }
    stop_rules(&mut checks, &guest);
    first_process_rules(&mut checks, &guest);
    file_rules(&mut checks, &guest);
    message_rules(&mut checks, &guest);
    field_archives::archive_rules(&mut checks, &guest, reason);
    field_archives::neighbour_rules(&mut checks, &guest);
    checks.that("the end is in order, and the log is clean", || {
        guest.power_off();
        // Units fail here, and that is said.
        guest.serial_log_is_clean(&[FindingKind::Unit]);
    });
    checks.end();
}

/// Wait for a line of the unit's log that has this text.
fn logs(guest: &Guest, unit: &str, text: &str) {
    until(&format!("{unit} logs {text:?}"), TIMEOUT, || {
        let log = guest.told(&["logs", unit]);
        if log.contains(text) { Ok(()) } else { Err(log) }
    });
}

/// It has judged itself well, and of nothing badly.
fn judges_well(guest: &Guest, unit: &str, cases: &[&str]) {
    for case in cases {
        logs(guest, unit, case);
    }
    let log = guest.told(&["logs", unit]);
    assert!(!log.contains(" BAD "), "{log}");
}

/// Its last exit, once it has failed or finished.
fn reason(guest: &Guest, unit: &str) -> String {
    guest.keelctl(&["start", unit]);
    let (text, _) = until(&format!("{unit} has ended"), TIMEOUT, || {
        let status = guest.status(unit);
        if matches!(status.state.as_str(), "failed" | "finished" | "inactive") {
            Ok(format!(
                "{} {}",
                status.reason,
                status.last_exit.unwrap_or_default()
            ))
        } else {
            Err(format!("{status:?}"))
        }
    });
    text
}

fn stop_rules(checks: &mut Checks, guest: &Guest) {
    for unit in ["tini", "dumb-init"] {
        checks.that(
            &format!("what {unit} waits for comes through, and is waited for"),
            || {
                guest.told(&["start", unit]);
                logs(guest, unit, "begun");
                let start = Instant::now();
                guest.told(&["stop", unit]);
                measured(SCENARIO, &format!("stop of {unit}"), start.elapsed());
                logs(guest, unit, "last work is done");
                let status = guest.status(unit);
                assert!(!status.last_exit.unwrap_or_default().contains("SIGKILL"));
            },
        );
    }
    checks.that(
        "an entry script without a handler finishes what it is making",
        || {
            guest.told(&["start", "initialising"]);
            until("it has begun", TIMEOUT, || {
                let looked = guest.keelctl(&["exec", "initialising", "test", "-e", "/data/begun"]);
                if looked.success() {
                    Ok(())
                } else {
                    Err(looked.stderr)
                }
            });
            guest.told(&["stop", "initialising"]);
            guest.told(&["start", "initialising"]);
            until("it is made a second time", TIMEOUT, || {
                let log = guest.told(&["logs", "initialising"]);
                let times = log.lines().filter(|line| line.ends_with("made")).count();
                if times == 2 { Ok(()) } else { Err(log) }
            });
            judges_well(guest, "initialising", &[]);
            guest.told(&["stop", "initialising"]);
        },
    );
    checks.that(
        "with `init = true` a program that does not care ends at once, by the signal",
        || {
            guest.told(&["start", "orphans"]);
            until("the orphans are reaped", TIMEOUT, || {
                let ps = guest.shell("orphans", "ps -o stat,comm | grep -E 'Z|sleep' || true");
                if ps.lines().count() == 1 {
                    Ok(())
                } else {
                    Err(ps)
                }
            });
            let start = Instant::now();
            guest.told(&["stop", "orphans"]);
            measured(SCENARIO, "stop with init = true", start.elapsed());
            let exit = guest.status("orphans").last_exit.unwrap_or_default();
            assert!(!exit.contains("SIGKILL"), "{exit}");
        },
    );
    checks.that("with `init = true` the status is the program's", || {
        let told = reason(guest, "status");
        assert!(told.contains("exited with code 7"), "{told}");
    });
}

fn first_process_rules(checks: &mut Checks, guest: &Guest) {
    for unit in ["s6", "s6-read-only"] {
        checks.that(&format!("{unit}: services are executed from /run"), || {
            guest.told(&["start", unit]);
            logs(guest, unit, "the service runs from /run");
            guest.told(&["stop", unit]);
            logs(guest, unit, "services are down");
        });
    }
    checks.that("who dropped root opens /dev/stdout and /dev/stderr", || {
        guest.told(&["start", "streams"]);
        judges_well(
            guest,
            "streams",
            &["CASE streams OK stdout", "CASE streams OK stderr"],
        );
    });
    checks.that(
        "where all processes are used up, the key is named, and the use is told",
        || {
            guest.told(&["start", "full"]);
            logs(guest, "full", "full");
            let finished = guest.keelctl(&["exec", "full", "true"]);
            assert!(!finished.success());
            assert!(finished.stderr.contains("resources.pids"), "{finished:?}");
            let told = guest.told(&["status", "full"]);
            assert!(told.contains("12 of 12"), "{told}");
        },
    );
}

fn file_rules(checks: &mut Checks, guest: &Guest) {
    checks.that(
        "the unit's volume has what the image's would have taken",
        || {
            guest.told(&["start", "nested"]);
            logs(guest, "nested", "CASE nested OK");
            guest.told(&["start", "look"]);
            judges_well(guest, "look", &["CASE look OK"]);
            let told = guest.told(&["status", "nested"]);
            assert_eq!(told.matches("is not made").count(), 1, "{told}");
        },
    );
    checks.that("folders that a layer does not mention keep mode and owner", || {
        guest.told(&["start", "sparing"]);
        let script = "stat -c '%n %a %u:%g' / /tmp /srv/app /srv/app/new /srv/app/kept /srv/gone; ls -A /srv/gone | wc -l; \
                      stat -c %h /srv/app/linked; cat /srv/app/linked";
        let told = guest.shell("sparing", script);
        let right = "/ 555 0:0\n/tmp 1777 0:0\n/srv/app 750 1000:1000\n/srv/app/new 644 1000:1000\n/srv/app/kept 640 1000:1000\n\
                     /srv/gone 711 1000:1000\n0\n2\nkept";
        assert_eq!(told, right);
    });
}

fn message_rules(checks: &mut Checks, guest: &Guest) {
    for (unit, words) in [
        ("filecap", &["/bin/vault", "cap_ipc_lock"][..]),
        ("no-x", &["/entry-no-x.sh", "not executable"]),
        ("no-line", &["/entry-no-line.sh", "#!"]),
        ("crlf", &["/entry-crlf.sh", "carriage return"]),
        ("lost", &["/entry-lost.sh", "/usr/bin/python9"]),
    ] {
        checks.that(&format!("{unit}: the reason says what to mend"), || {
            let told = reason(guest, unit).to_lowercase();
            for word in words {
                assert!(told.contains(&word.to_lowercase()), "{word}: {told}");
            }
        });
    }
}
