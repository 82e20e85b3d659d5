//! HTTP probes.

use crate::support::{
    Prober, answers, container, get, listen, local, read_all, read_head, reason, serve,
};
use control::probe::{HttpProbe, ProbeKind, ProbeNetwork, ProbeOutcome};
use netns::Namespace;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// What the prober says of a service that answers so.
fn outcome_of(answer: &'static str) -> String {
    let (machine, container) = (Namespace::new(), container());
    let (listener, port) = local(&container);
    serve(listener, answers(answer));
    let outcome = Prober::start(&machine).probe(&container, get(port, "/healthz"));
    reason(&outcome).replace(&port.to_string(), "PORT")
}

#[test]
fn a_status_within_the_ranges_is_a_success() {
    assert_eq!(
        outcome_of("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        "success"
    );
    assert_eq!(outcome_of("HTTP/1.0 204 No Content\r\n\r\n"), "success");
}

#[test]
fn a_status_outside_of_them_is_named_with_its_path() {
    let outcome = outcome_of("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(outcome, "HTTP 503 from /healthz");
}

#[test]
fn another_protocol_is_shown_by_its_first_line() {
    let outcome = outcome_of("SSH-2.0-OpenSSH_10.0p2 Debian-7\r\n");
    assert_eq!(outcome, "not HTTP: \"SSH-2.0-OpenSSH_10.0p2 Debian-7\"");
}

#[test]
fn a_service_that_closes_early_is_said_to() {
    assert_eq!(
        outcome_of(""),
        "127.0.0.1:PORT closed the connection without an answer"
    );
    let outcome = outcome_of("HTTP/1.1 200 OK\r\nContent-");
    assert_eq!(
        outcome,
        "127.0.0.1:PORT closed the connection after \"HTTP/1.1 200 OK\""
    );
}

#[test]
fn a_redirect_counts_by_its_status_and_is_not_followed() {
    let (machine, container) = (Namespace::new(), container());
    let target = listen(&container, "127.0.0.1:81");
    target.set_nonblocking(true).unwrap();
    let (listener, port) = local(&container);
    serve(
        listener,
        answers("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:81/\r\n\r\n"),
    );
    let mut prober = Prober::start(&machine);
    let mut strict = get(port, "/");
    assert_eq!(
        prober.probe(&container, strict.clone()),
        ProbeOutcome::Success
    );
    if let ProbeKind::Http(probe) = &mut strict {
        probe.status = vec![(200, 299), (304, 304)];
    }
    assert_eq!(reason(&prober.probe(&container, strict)), "HTTP 302 from /");
    let untouched = target.accept().unwrap_err();
    assert_eq!(untouched.kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn the_request_has_the_units_path_host_and_headers() {
    let (machine, container) = (Namespace::new(), container());
    let (listener, port) = local(&container);
    let (heads, requests) = mpsc::channel();
    serve(listener, move |mut stream| {
        heads.send(read_head(&mut stream)).unwrap();
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
    });
    let probe = ProbeKind::Http(HttpProbe {
        port,
        path: "/ready?deep=1".into(),
        host: Some("shop.example".into()),
        status: vec![(200, 200)],
        headers: vec![("X-Token".into(), "secret".into())],
    });
    assert_eq!(
        Prober::start(&machine).probe(&container, probe),
        ProbeOutcome::Success
    );
    let head = requests.recv_timeout(Duration::from_secs(2)).unwrap();
    let lines: Vec<&str> = head.trim_end().lines().collect();
    assert_eq!(
        lines[..2],
        ["GET /ready?deep=1 HTTP/1.1", "Host: shop.example"]
    );
    assert!(lines.contains(&"Connection: close") && lines.contains(&"X-Token: secret"));
}

#[test]
fn a_silent_service_is_too_late_and_not_much_later() {
    let (machine, container) = (Namespace::new(), container());
    let (_silent, port) = local(&container);
    let mut prober = Prober::start(&machine);
    let begun = Instant::now();
    let outcome = prober.probe_for(&container, get(port, "/"), None, 300);
    assert_eq!(reason(&outcome), "no answer within 300 ms");
    let took = begun.elapsed();
    assert!((300..2_000).contains(&took.as_millis()), "{took:?}");
}

#[test]
fn an_answer_byte_by_byte_is_read_and_one_without_end_is_too_late() {
    let (machine, container) = (Namespace::new(), container());
    let (listener, port) = local(&container);
    serve(listener, |mut stream| {
        let head = read_head(&mut stream);
        let endless = head.starts_with("GET /endless");
        stream.set_nodelay(true).unwrap();
        for byte in b"HTTP/1.1 200 OK\r\nX: " {
            let _ = stream.write_all(&[*byte]);
            thread::sleep(Duration::from_millis(2));
        }
        while endless && stream.write_all(b"x").is_ok() {
            thread::sleep(Duration::from_millis(20));
        }
        let _ = stream.write_all(b"\r\n\r\n");
    });
    let mut prober = Prober::start(&machine);
    assert_eq!(
        prober.probe(&container, get(port, "/")),
        ProbeOutcome::Success
    );
    let outcome = prober.probe_for(&container, get(port, "/endless"), None, 400);
    assert_eq!(
        reason(&outcome),
        "no complete answer within 400 ms, only \"HTTP/1.1 200 OK\""
    );
}

#[test]
fn the_service_may_finish_its_answer() {
    let (machine, container) = (Namespace::new(), container());
    let (listener, port) = local(&container);
    let (ends, end) = mpsc::channel();
    serve(listener, move |mut stream| {
        read_head(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        thread::sleep(Duration::from_millis(300));
        let body = stream.write_all(&[b'x'; 50 << 10]);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        ends.send(body.and_then(|()| read_all(&mut stream)))
            .unwrap();
    });
    let mut prober = Prober::start(&machine);
    let begun = Instant::now();
    assert_eq!(
        prober.probe(&container, get(port, "/")),
        ProbeOutcome::Success
    );
    assert!(
        begun.elapsed() < Duration::from_millis(250),
        "told at the head, not at the end"
    );
    let rest = end
        .recv_timeout(Duration::from_secs(2))
        .expect("the service lives");
    assert_eq!(rest.unwrap(), b"");
}

#[test]
fn an_endless_body_is_not_read_for_ever() {
    let (machine, container) = (Namespace::new(), container());
    let (listener, port) = local(&container);
    let (ends, end) = mpsc::channel();
    serve(listener, move |mut stream| {
        read_head(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while stream.write_all(&[b'x'; 4096]).is_ok() {}
        ends.send(()).unwrap();
    });
    let mut prober = Prober::start(&machine);
    assert_eq!(
        prober.probe_for(&container, get(port, "/"), None, 15_000),
        ProbeOutcome::Success
    );
    end.recv_timeout(Duration::from_secs(5))
        .expect("the connection is closed");
}

#[test]
fn an_answer_of_any_address_is_the_answer() {
    let (machine, container) = (Namespace::new(), container());
    container.ip("addr add 10.9.8.7/32 dev lo");
    let own = IpAddr::from(Ipv4Addr::new(10, 9, 8, 7));
    for (address, answer) in [
        ("127.0.0.1:80", "HTTP/1.1 500 Loopback\r\n\r\n"),
        ("10.9.8.7:80", "HTTP/1.1 200 Own\r\n\r\n"),
        ("10.9.8.7:82", "HTTP/1.1 200 Own\r\n\r\n"),
        ("[::1]:83", "HTTP/1.1 200 Six\r\n\r\n"),
        ("0.0.0.0:84", "HTTP/1.1 200 All\r\n\r\n"),
        ("[::]:85", "HTTP/1.1 200 All\r\n\r\n"),
    ] {
        serve(listen(&container, address), answers(answer));
    }
    let mut prober = Prober::start(&machine);
    let mut on = |port, own| {
        let outcome = prober.probe_for(&container, get(port, "/"), own, 2_000);
        reason(&outcome).to_owned()
    };
    assert_eq!(on(80, Some(own)), "HTTP 500 from /");
    for port in [82, 83, 84, 85] {
        assert_eq!(on(port, Some(own)), "success", "{port}");
    }
    assert_eq!(
        on(82, None),
        "connection refused on 127.0.0.1:82 and [::1]:82"
    );
    assert_eq!(
        on(86, Some(own)),
        "connection refused on 127.0.0.1:86, [::1]:86 and 10.9.8.7:86"
    );
}

#[test]
fn a_request_that_cant_be_sent_is_refused_at_once() {
    let (machine, container) = (Namespace::new(), container());
    let mut prober = Prober::start(&machine);
    let outcome = prober.probe(&container, get(80, "/a b"));
    assert_eq!(
        reason(&outcome),
        "\"/a b\" is no path: it begins with / and has no blanks"
    );
}

#[test]
fn a_unit_on_the_machines_network_is_probed_there() {
    let (machine, container) = (container(), container());
    serve(
        listen(&machine, "127.0.0.1:80"),
        answers("HTTP/1.1 200 OK\r\n\r\n"),
    );
    let mut prober = Prober::start(&machine);
    prober.begin(None, get(80, "/"), ProbeNetwork::Machine, 2_000);
    assert_eq!(prober.receive().outcome, ProbeOutcome::Success);
    let outcome = prober.probe(&container, get(80, "/"));
    assert_eq!(
        reason(&outcome),
        "connection refused on 127.0.0.1:80 and [::1]:80"
    );
    // And back again.
    prober.begin(None, get(80, "/"), ProbeNetwork::Machine, 2_000);
    assert_eq!(prober.receive().outcome, ProbeOutcome::Success);
}

#[test]
fn two_requests_on_one_connection_are_never_made() {
    let (machine, container) = (Namespace::new(), container());
    let (listener, port) = local(&container);
    let (ends, end) = mpsc::channel();
    serve(listener, move |mut stream| {
        read_head(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        let mut rest = [0; 1];
        ends.send(stream.read(&mut rest).unwrap()).unwrap();
    });
    // A service that keeps the connection open all the same is left by the probe's time.
    let mut prober = Prober::start(&machine);
    assert_eq!(
        prober.probe_for(&container, get(port, "/"), None, 200),
        ProbeOutcome::Success
    );
    assert_eq!(end.recv_timeout(Duration::from_secs(2)), Ok(0));
    assert!(
        !prober.has_reply_within(Duration::from_millis(50)),
        "one answer only"
    );
}
