//! Many units on one machine of 2 GiB: what they cost PID 1, and that it goes on answering. `KEELSON_LONG=1`: 500 of them.

use crate::apply::Folder;
use control::frame;
use control::reply::{Program, Reply, Top};
use control::request::Request;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use vm::{ACTOR, Checks, Guest, Setup, actor, actor_archive, progress, times, until};

const SCENARIO: &str = "scale";
/// Longer than any machine takes to start so many units.
const TIMEOUT: Duration = Duration::from_secs(900);
/// Of PID 1's memory, for a unit that runs: twice what was measured.
const UNIT_BYTES_MAX: u64 = 24 << 10;
/// And for what does not grow with them: answers on their way, the journal.
const OTHER_BYTES_MAX: u64 = 3 << 20;
/// Questions that may be under way when descriptors are counted.
const QUESTIONS: u64 = 3;
const LISTINGS: u64 = 100;
/// Of a unit in a listing.
const ROW_BYTES_MAX: usize = 160;
/// Between two questions of somebody who looks on.
const LOOK: Duration = Duration::from_millis(100);

pub(crate) fn hundreds_of_units_start_and_stop_in_2_gib_and_pid_1_goes_on_answering() {
    let count = times(100, 500);
    let mut checks = Checks::of(SCENARIO);
    let setup = Setup::named(SCENARIO).memory(2 << 30).own_disk(4 << 30);
    let folder = Folder::at(setup.file("units"));
    let guest = setup.boot();
    guest.ready();
    let names: Vec<String> = (1..=count).map(|number| format!("u{number:03}")).collect();
    let write = |version: &str| {
        for name in &names {
            folder.put(unit(name, version));
        }
    };
    checks.that("the image is loaded", || {
        let archive = actor_archive();
        guest.told(&["image", "load", &archive.display().to_string()]);
        assert!(guest.told(&["image", "ls"]).contains(ACTOR));
    });
    let idle = top(&guest);
    write("one");
    checks.that("all files are checked, and compared with what runs", || {
        watched(
            &guest,
            &format!("check of {count} files, on the host"),
            || {
                guest.told(&["check", folder.path()]);
            },
        );
        watched(&guest, &format!("diff of {count} new units"), || {
            let told = guest.told(&["diff", folder.path()]);
            assert!(told.ends_with(&format!("{count} new\n")), "{told}");
        });
    });
    checks.that("all are taken over", || {
        watched(&guest, &format!("apply of {count} new units"), || {
            guest.told(&["apply", folder.path()]);
        });
    });
    let all = |verb: &'static str| {
        let names = names.iter().map(String::as_str);
        let words: Vec<&str> = std::iter::once(verb).chain(names).collect();
        guest.told(&words);
    };
    checks.that("all start by one command", || {
        watched(&guest, &format!("start of {count} units"), || all("start"));
        are(&guest, &names, "running");
    });
    checks.that("what they cost, and that questions are answered", || {
        let top = top(&guest);
        progress(
            SCENARIO,
            &format!(
                "with {count} units running: {} MiB of {} MiB available, containers have {} MiB",
                top.memory_available >> 20,
                top.memory >> 20,
                top.containers_memory >> 20
            ),
        );
        for program in &top.programs {
            progress(SCENARIO, &text(program));
        }
        let ten = |what: &str, words: &[&str]| {
            watched(&guest, &format!("10 × {what}"), || {
                for _ in 0..10 {
                    guest.told(words);
                }
            });
        };
        ten("ps", &["ps"]);
        ten("ps --json", &["ps", "--json"]);
        a_listing_makes_no_process(&guest, &names);
        ten("status", &["status", &names[0]]);
        watched(&guest, "diff of the same", || {
            let told = guest.told(&["diff", folder.path()]);
            assert_eq!(told, "no unit differs\n");
        });
        let (before, now) = (init(&idle).pss, init(&top).pss);
        let most = before + count as u64 * UNIT_BYTES_MAX + OTHER_BYTES_MAX;
        assert!(now <= most, "PID 1: {} → {} KiB", before >> 10, now >> 10);
    });
    checks.that(
        "a new version of all is taken over, and all run again",
        || {
            write("two");
            watched(&guest, &format!("diff of {count} changed units"), || {
                let told = guest.told(&["diff", folder.path()]);
                assert!(told.ends_with(&format!("{count} changed\n")), "{told}");
            });
            watched(
                &guest,
                &format!("restart of {count} units by apply"),
                || {
                    guest.told(&["apply", "--wait", folder.path()]);
                },
            );
            are(&guest, &names, "running");
        },
    );
    checks.that("a re-execution carries them all", || {
        watched(&guest, "reexec", || {
            guest.told(&["reexec"]);
        });
        are(&guest, &names, "running");
    });
    checks.that("all stop by one command", || {
        watched(&guest, &format!("stop of {count} units"), || all("stop"));
        are(&guest, &names, "inactive");
        let (before, now) = (init(&idle).descriptors, init(&top(&guest)).descriptors);
        assert!(now <= before + QUESTIONS, "{before} → {now} descriptors");
    });
    checks.that(
        "all start again, and the machine switches off in order",
        || {
            watched(&guest, &format!("second start of {count} units"), || {
                all("start");
            });
            are(&guest, &names, "running");
            let took = guest.power_off();
            vm::measured(SCENARIO, &format!("power-off with {count} units"), took);
            guest.serial_log_is_clean(&[]);
        },
    );
    checks.end();
}

/// Its rows are short, and PID 1 writes them itself.
fn a_listing_makes_no_process(guest: &Guest, names: &[String]) {
    let made = || -> u64 {
        let told = guest.told(&["exec", &names[0], "--", "/actor", "processes"]);
        told.trim().parse().unwrap()
    };
    let list = || match guest.machine.ask(&Request::List { memory: true }) {
        Ok(reply @ Reply::Rows(_)) => reply,
        other => panic!("{other:?}"),
    };
    let (first, second) = (made(), made());
    let cpu = init(&top(guest)).cpu_ms;
    for _ in 0..LISTINGS {
        list();
    }
    let cpu = init(&top(guest)).cpu_ms - cpu;
    let third = made();
    let of_itself = second - first;
    assert!(
        third - second < of_itself + LISTINGS / 2,
        "{first}, {second}, and {third} behind {LISTINGS} listings"
    );
    let bytes = frame::encode(&list()).unwrap().len();
    assert!(bytes <= ROW_BYTES_MAX * (names.len() + 20), "{bytes} bytes");
    let us = cpu * 1000 / LISTINGS;
    progress(
        SCENARIO,
        &format!("a listing: {bytes} bytes, {us} µs of PID 1's"),
    );
}

/// As small as they come: one process, two lines of output.
fn unit(name: &str, version: &str) -> (String, String) {
    let rest = format!("[env]\nVERSION = \"{version}\"\n[unit]\nwanted_by = []\n");
    actor(name, &["print up", "await TERM"], &rest)
}

fn are(guest: &Guest, names: &[String], state: &str) {
    until(&format!("all are {state}"), TIMEOUT, || {
        let units = guest.machine.ps().map_err(|error| error.to_string())?;
        let others: Vec<String> = units
            .into_iter()
            .filter(|unit| names.contains(&unit.name) && unit.state != state)
            .map(|unit| format!("{}: {} ({})", unit.name, unit.state, unit.reason))
            .take(3)
            .collect();
        if others.is_empty() {
            Ok(())
        } else {
            Err(others.join(", "))
        }
    });
}

fn top(guest: &Guest) -> Top {
    match guest.machine.ask(&Request::Top) {
        Ok(Reply::Top(top)) => *top,
        other => panic!("{other:?}"),
    }
}

fn init(top: &Top) -> &Program {
    let mut programs = top.programs.iter();
    programs.find(|program| program.pid == 1).unwrap()
}

fn text(program: &Program) -> String {
    format!(
        "{}: {} KiB, {} descriptors, {} ms of processor time",
        program.name,
        program.pss >> 10,
        program.descriptors,
        program.cpu_ms
    )
}

/// Do something; somebody else asks all the while. What PID 1 had to do for both of them is printed.
fn watched(guest: &Guest, what: &str, act: impl FnOnce()) {
    let before = top(guest);
    let done = AtomicBool::new(false);
    let start = Instant::now();
    let (took, longest) = thread::scope(|scope| {
        let looks = scope.spawn(|| {
            let mut longest = Duration::ZERO;
            while !done.load(Ordering::Relaxed) {
                let asked = Instant::now();
                // The cheapest question that there is.
                guest.machine.ask(&Request::Timers).unwrap();
                longest = longest.max(asked.elapsed());
                thread::sleep(LOOK);
            }
            longest
        });
        let acted = std::panic::catch_unwind(std::panic::AssertUnwindSafe(act));
        let took = start.elapsed();
        done.store(true, Ordering::Relaxed);
        let longest = looks.join().unwrap();
        if let Err(panic) = acted {
            std::panic::resume_unwind(panic);
        }
        (took, longest)
    });
    let after = top(guest);
    progress(
        SCENARIO,
        &format!(
            "{what}: {} ms; PID 1: {} → {} KiB, {} → {} descriptors, {} ms of processor time, turns by length {:?}; \
             an answer took {} ms at most",
            took.as_millis(),
            init(&before).pss >> 10,
            init(&after).pss >> 10,
            init(&before).descriptors,
            init(&after).descriptors,
            init(&after).cpu_ms - init(&before).cpu_ms,
            turns(&before, &after),
            longest.as_millis()
        ),
    );
}

/// What has been added: turns of less than 1 ms, 2, 4, 8 …, up to the longest.
fn turns(before: &Top, after: &Top) -> Vec<u64> {
    let (old, new) = (&before.turns.by_length, &after.turns.by_length);
    let mut more: Vec<u64> = new.iter().zip(old).map(|(new, old)| new - old).collect();
    while more.last() == Some(&0) {
        more.pop();
    }
    more
}
