//! Life and death of the program, and of probes that are not waited for.

use crate::load::processor_ms;
use crate::support::{Prober, answers, container, get, local, read_head, reason, serve};
use control::probe::{Probe, ProbeKind, ProbeNetwork, ProbeOutcome, ProbeRequest};
use netns::Namespace;
use std::collections::BTreeSet;
use std::io::Read;
use std::sync::mpsc;
use std::time::{Duration, Instant};

const CONTAINER: ProbeNetwork = ProbeNetwork::Container { address: None };

#[test]
fn when_pid_1_is_gone_so_is_the_prober_even_in_the_middle_of_a_probe() {
    let (machine, container) = (Namespace::new(), container());
    let (_silent, port) = local(&container);
    let mut prober = Prober::start(&machine);
    prober.begin(Some(&container), get(port, "/"), CONTAINER, 60_000);
    assert_eq!(prober.hang_up(), Some(0));
}

#[test]
fn a_killed_prober_is_followed_by_one_that_answers() {
    let (machine, container) = (Namespace::new(), container());
    let (listener, port) = local(&container);
    serve(listener, answers("HTTP/1.1 200 OK\r\n\r\n"));
    let mut prober = Prober::start(&machine);
    assert_eq!(
        prober.probe(&container, get(port, "/")),
        ProbeOutcome::Success
    );
    prober.kill();
    let mut next = Prober::start(&machine);
    next.send(&ProbeRequest::Cancel { id: 1 }, None);
    assert_eq!(
        next.probe(&container, get(port, "/")),
        ProbeOutcome::Success
    );
}

#[test]
fn a_cancelled_probe_is_not_answered_and_its_connection_is_closed() {
    let (machine, container) = (Namespace::new(), container());
    let (listener, port) = local(&container);
    let (ends, end) = mpsc::channel();
    serve(listener, move |mut stream| {
        read_head(&mut stream);
        ends.send(None).unwrap();
        ends.send(stream.read(&mut [0; 1]).ok()).unwrap();
    });
    let mut prober = Prober::start(&machine);
    let id = prober.begin(Some(&container), get(port, "/"), CONTAINER, 60_000);
    assert_eq!(end.recv_timeout(Duration::from_secs(2)), Ok(None), "asked");
    prober.send(&ProbeRequest::Cancel { id }, None);
    assert_eq!(
        end.recv_timeout(Duration::from_secs(2)),
        Ok(Some(0)),
        "closed"
    );
    assert!(!prober.has_reply_within(Duration::from_millis(100)));
}

#[test]
fn a_probe_of_the_same_number_replaces_the_first() {
    let (machine, container) = (Namespace::new(), container());
    let (_silent, silent_port) = local(&container);
    let (listener, port) = local(&container);
    serve(listener, answers("HTTP/1.1 200 OK\r\n\r\n"));
    let prober = Prober::start(&machine);
    for port in [silent_port, port] {
        let probe = Probe {
            id: 7,
            kind: get(port, "/"),
            network: CONTAINER,
            timeout_ms: 300,
        };
        prober.send(&ProbeRequest::Probe(probe), Some(&container));
    }
    assert_eq!(prober.receive().outcome, ProbeOutcome::Success);
    assert!(!prober.has_reply_within(Duration::from_millis(500)));
}

#[test]
fn what_is_no_request_is_passed_over() {
    let (machine, container) = (Namespace::new(), container());
    let (_listener, port) = local(&container);
    let mut prober = Prober::start(&machine);
    let open = |prober: &Prober| {
        std::fs::read_dir(format!("/proc/{}/fd", prober.pid()))
            .unwrap()
            .count()
    };
    let probe = ProbeKind::Tcp { port };
    assert_eq!(
        prober.probe(&container, probe.clone()),
        ProbeOutcome::Success
    );
    let before = open(&prober);
    for bytes in [
        &b"{"[..],
        b"null",
        b"\xff\xfe",
        b"{\"probe\":{}}",
        &[b' '; 100 << 10],
    ] {
        prober.send_bytes(bytes, Some(&container));
    }
    assert_eq!(prober.probe(&container, probe), ProbeOutcome::Success);
    assert_eq!(open(&prober), before, "what came with them is closed");
}

#[test]
fn more_probes_than_there_is_room_for_wait_their_turn() {
    const PROBES: u64 = 3_000;
    let (machine, container) = (Namespace::new(), container());
    let (listener, port) = local(&container);
    nix::sys::socket::listen(&listener, nix::sys::socket::Backlog::new(4_000).unwrap()).unwrap();
    let mut prober = Prober::start(&machine);
    let begun = Instant::now();
    let mut waiting: BTreeSet<u64> = BTreeSet::new();
    let take = |prober: &Prober, waiting: &mut BTreeSet<u64>| {
        let reply = prober.receive();
        let text = reason(&reply.outcome);
        assert!(text.ends_with("within 300 ms"), "{text}");
        assert!(waiting.remove(&reply.id), "answered twice");
    };
    for _ in 0..PROBES {
        waiting.insert(prober.begin(Some(&container), get(port, "/"), CONTAINER, 300));
        while prober.has_reply_within(Duration::ZERO) {
            take(&prober, &mut waiting);
        }
    }
    while !waiting.is_empty() {
        take(&prober, &mut waiting);
    }
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[test]
fn while_there_is_no_room_it_sleeps() {
    let (machine, container) = (Namespace::new(), container());
    let (listener, port) = local(&container);
    nix::sys::socket::listen(&listener, nix::sys::socket::Backlog::new(4_000).unwrap()).unwrap();
    let mut prober = Prober::start(&machine);
    // Some are left in the socket.
    for _ in 0..1_024 + 50 {
        prober.begin(Some(&container), get(port, "/"), CONTAINER, 60_000);
    }
    std::thread::sleep(Duration::from_millis(300));
    let before_ms = processor_ms(prober.pid());
    std::thread::sleep(Duration::from_millis(500));
    let spent_ms = processor_ms(prober.pid()) - before_ms;
    assert!(spent_ms <= 50, "{spent_ms} ms of processor time");
    assert_eq!(prober.hang_up(), Some(0));
}
