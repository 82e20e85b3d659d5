//! What probes cost.

use crate::support::{Prober, answers, container, get, local, serve};
use control::probe::{ProbeNetwork, ProbeOutcome};
use netns::Namespace;
use std::thread;
use std::time::{Duration, Instant};

const PER_SECOND: u32 = 500;
/// In every run, and with `KEELSON_LONG=1`.
const SECONDS: u32 = 1;
const SECONDS_LONG: u32 = 10;
/// Of anonymous memory, after all of them.
const GROWTH_KIB_MAX: u64 = 512;

/// A line of proc_pid_status(5): `RssAnon:`, or with its program file's pages `VmRSS:`.
fn kib(pid: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// User and system time in milliseconds (proc_pid_stat(5), fields 14 and 15; 100 ticks a second).
pub(crate) fn processor_ms(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields = stat.rsplit(") ").next().unwrap().split(' ');
    fields
        .skip(11)
        .take(2)
        .map(|ticks| ticks.parse::<u64>().unwrap() * 10)
        .sum()
}

/// Prints what it measures: `KEELSON_LONG=1 cargo test --release -p prober load -- --nocapture`
#[test]
fn five_hundred_probes_a_second_leave_no_memory_behind() {
    let long = std::env::var_os("KEELSON_LONG").is_some_and(|value| !value.is_empty());
    let seconds = if long { SECONDS_LONG } else { SECONDS };
    let machine = Namespace::new();
    let containers: Vec<Namespace> = (0..10).map(|_| container()).collect();
    let ports: Vec<u16> = containers
        .iter()
        .map(|container| {
            let (listener, port) = local(container);
            serve(
                listener,
                answers("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
            );
            port
        })
        .collect();
    let mut prober = Prober::start(&machine);
    let network = ProbeNetwork::Container { address: None };
    for (container, port) in containers.iter().zip(&ports) {
        assert_eq!(
            prober.probe(container, get(*port, "/")),
            ProbeOutcome::Success
        );
    }
    let before_kib = kib(prober.pid(), "RssAnon:");
    let (begun, before_ms) = (Instant::now(), processor_ms(prober.pid()));
    let mut slowest = Duration::ZERO;
    for round in 0..PER_SECOND * seconds / 10 {
        let due = begun + Duration::from_secs(1) * 10 * round / PER_SECOND;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let asked = Instant::now();
        for (container, port) in containers.iter().zip(&ports) {
            prober.begin(Some(container), get(*port, "/"), network.clone(), 2_000);
        }
        for _ in &containers {
            assert_eq!(prober.receive().outcome, ProbeOutcome::Success);
        }
        slowest = slowest.max(asked.elapsed());
    }
    let probes = u64::from(PER_SECOND * seconds);
    let spent_ms = processor_ms(prober.pid()) - before_ms;
    let after_kib = kib(prober.pid(), "RssAnon:");
    println!(
        "{probes} probes in {:?}: {} µs of processor time each, ten at once in at most {slowest:?}; \
         anonymous memory {before_kib} KiB before, {after_kib} KiB after, \
         {} KiB with the program",
        begun.elapsed(),
        spent_ms * 1_000 / probes,
        kib(prober.pid(), "VmRSS:")
    );
    assert!(after_kib <= before_kib + GROWTH_KIB_MAX);
    assert_eq!(prober.hang_up(), Some(0));
}
