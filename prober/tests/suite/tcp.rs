//! Probes that only connect, and ports for readiness.

use crate::support::{Prober, container, listen, local, read_all, reason, serve, socket_address};
use control::probe::{ProbeKind, ProbeNetwork, ProbeOutcome};
use netns::Namespace;
use std::net::{TcpStream, UdpSocket};
use std::sync::mpsc;
use std::time::Duration;
use unit::Protocol;

fn port_open(protocol: Protocol, port: u16) -> ProbeKind {
    ProbeKind::PortOpen { protocol, port }
}

#[test]
fn who_listens_is_connected_to_and_left_in_peace() {
    let (machine, container) = (Namespace::new(), container());
    let (listener, port) = local(&container);
    let (ends, end) = mpsc::channel();
    serve(listener, move |mut stream| {
        ends.send(read_all(&mut stream).unwrap()).unwrap()
    });
    let mut prober = Prober::start(&machine);
    assert_eq!(
        prober.probe(&container, ProbeKind::Tcp { port }),
        ProbeOutcome::Success
    );
    // An orderly end, no reset: nothing for the service to complain about.
    assert_eq!(end.recv_timeout(Duration::from_secs(2)).unwrap(), b"");
    assert_eq!(
        prober.probe(&container, port_open(Protocol::Tcp, port)),
        ProbeOutcome::Success
    );
}

#[test]
fn nobody_there_is_a_refusal_and_later_a_success() {
    let (machine, container) = (Namespace::new(), container());
    let mut prober = Prober::start(&machine);
    let outcome = prober.probe(&container, port_open(Protocol::Tcp, 7001));
    assert_eq!(
        reason(&outcome),
        "connection refused on 127.0.0.1:7001 and [::1]:7001"
    );
    let _listener = listen(&container, "0.0.0.0:7001");
    assert_eq!(
        prober.probe(&container, port_open(Protocol::Tcp, 7001)),
        ProbeOutcome::Success
    );
}

#[test]
fn without_ipv6_only_what_was_tried_is_named() {
    let (machine, container) = (Namespace::new(), container());
    container.ip("addr del ::1/128 dev lo");
    let outcome = Prober::start(&machine).probe(&container, ProbeKind::Tcp { port: 7001 });
    assert_eq!(reason(&outcome), "connection refused on 127.0.0.1:7001");
}

#[test]
fn a_namespace_with_loopback_down_says_so() {
    let (machine, container) = (Namespace::new(), Namespace::new());
    let outcome = Prober::start(&machine).probe(&container, ProbeKind::Tcp { port: 7001 });
    assert_eq!(
        reason(&outcome),
        "no connection to 127.0.0.1:7001: network is unreachable"
    );
}

#[test]
fn a_port_does_not_answer_itself() {
    let (machine, container) = (Namespace::new(), container());
    // Each socket gets this port, so that it calls itself.
    let only_port = |port: u16| {
        let range = format!("{port} {port}");
        std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", range).unwrap();
    };
    container.run(|| {
        only_port(40_001);
        let oneself = TcpStream::connect("127.0.0.1:40001").expect("the kernel allows it");
        assert_eq!(
            oneself.local_addr().unwrap(),
            socket_address("127.0.0.1:40001")
        );
        only_port(40_000);
    });
    let outcome = Prober::start(&machine).probe(&container, ProbeKind::Tcp { port: 40_000 });
    assert_eq!(
        reason(&outcome),
        "connection refused on 127.0.0.1:40000 and [::1]:40000"
    );
}

#[test]
fn who_does_not_accept_is_not_there_in_time() {
    let (machine, container) = (Namespace::new(), container());
    let (listener, port) = local(&container);
    // The queue of those not yet accepted is full (listen(2)).
    nix::sys::socket::listen(&listener, nix::sys::socket::Backlog::new(0).unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let _first = container.run(|| TcpStream::connect(address).unwrap());
    let mut prober = Prober::start(&machine);
    let outcome = prober.probe_for(&container, ProbeKind::Tcp { port }, None, 300);
    assert_eq!(
        reason(&outcome),
        format!("no connection to {address} within 300 ms")
    );
}

#[test]
fn a_udp_port_is_open_when_a_socket_has_it() {
    let (machine, container) = (Namespace::new(), container());
    let mut prober = Prober::start(&machine);
    let outcome = prober.probe(&container, port_open(Protocol::Udp, 53));
    assert_eq!(reason(&outcome), "no socket on UDP port 53");
    for address in ["127.0.0.1:53", "[::]:53"] {
        let socket = container.run(|| UdpSocket::bind(address).unwrap());
        let outcome = prober.probe(&container, port_open(Protocol::Udp, 53));
        assert_eq!(outcome, ProbeOutcome::Success, "{address}");
        socket.set_nonblocking(true).unwrap();
        assert!(socket.recv(&mut [0; 1]).is_err(), "nothing was sent to it");
    }
}

#[test]
fn containers_with_the_same_port_are_told_apart() {
    let (machine, up, down) = (container(), container(), container());
    let _listener = listen(&up, "127.0.0.1:80");
    let _machines = listen(&machine, "127.0.0.1:81");
    let mut prober = Prober::start(&machine);
    for _ in 0..3 {
        assert_eq!(
            prober.probe(&up, ProbeKind::Tcp { port: 80 }),
            ProbeOutcome::Success
        );
        let outcome = prober.probe(&down, ProbeKind::Tcp { port: 80 });
        assert!(reason(&outcome).starts_with("connection refused"));
    }
    // A request that lost its namespace is never answered by the machine.
    let network = ProbeNetwork::Container { address: None };
    prober.begin(None, ProbeKind::Tcp { port: 81 }, network, 2_000);
    let outcome = prober.receive().outcome;
    assert_eq!(
        reason(&outcome),
        "no network namespace of the container came with the request"
    );
}

#[test]
fn a_descriptor_that_is_no_network_is_a_failure() {
    let machine = Namespace::new();
    let file = Namespace::from_descriptor(std::fs::File::open("/dev/null").unwrap().into());
    let outcome = Prober::start(&machine).probe(&file, ProbeKind::Tcp { port: 80 });
    let text = reason(&outcome);
    assert!(
        text.contains("can't enter the container's network namespace: "),
        "{text}"
    );
}
