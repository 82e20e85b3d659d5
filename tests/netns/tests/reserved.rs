//! Published ports of the ephemeral range, and connections of the machine's own that want a local port.

mod common;

use common::{Conversation, serve_tcp, udp_client};
use netns::{MACHINE, Namespace, Netd, OUTSIDE, World, port, request};
use std::fs::File;
use std::io::Read;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};
use unit::{Port, Protocol};

const LIST: &str = "/proc/sys/net/ipv4/ip_local_reserved_ports";
const RANGE: &str = "/proc/sys/net/ipv4/ip_local_port_range";
const PATIENCE: Duration = Duration::from_secs(5);

fn tcp(host_port: u16) -> Port {
    port(Protocol::Tcp, host_port, 80)
}

/// In one read(2): the kernel has nothing more to say at another place.
fn list(place: &Namespace) -> String {
    place.run(|| {
        let mut buffer = vec![0; 1 << 18];
        let bytes = File::open(LIST).unwrap().read(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..bytes]).trim().to_owned()
    })
}

fn wait_for(place: &Namespace, wanted: &str) {
    let start = Instant::now();
    while list(place) != wanted {
        let found = list(place);
        assert!(start.elapsed() < PATIENCE, "{found} is not {wanted}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Answers come in the order of the requests: whatever was said before has been heard.
fn heard(netd: &mut Netd) {
    let message = netd.flip("nobody", 1).unwrap_err();
    assert!(message.contains("nobody"), "{message}");
}

/// So few that a connection would hit each of them.
fn ephemeral(place: &Namespace, first: u16, last: u16) {
    place.run(|| std::fs::write(RANGE, format!("{first} {last}")).unwrap());
}

fn local_port(conversation: &TcpStream) -> u16 {
    conversation.local_addr().unwrap().port()
}

fn connect(place: &Namespace) -> std::io::Result<TcpStream> {
    place.run(|| TcpStream::connect((OUTSIDE, 80)))
}

#[test]
fn no_connection_of_the_machine_gets_a_declared_port() {
    needs_namespaces!();
    let (world, mut netd) = World::ready();
    serve_tcp(&world.outside, OUTSIDE, 80, "outside");
    ephemeral(&world.machine, 40_000, 40_009);
    netd.reserve(&[(40_000, 40_006), (40_008, 40_008)]);
    heard(&mut netd);
    let connections: Vec<_> = (0..2).map(|_| connect(&world.machine).unwrap()).collect();
    let mut ports: Vec<_> = connections.iter().map(local_port).collect();
    ports.sort_unstable();
    assert_eq!(ports, [40_007, 40_009]);
    assert!(connect(&world.machine).is_err(), "none is left");
    // By UDP as well.
    let local = udp_client(&world.machine).local_addr().unwrap().port();
    assert!([40_007, 40_009].contains(&local), "{local}");
    // The units get theirs.
    for (run, declared) in (40_000..=40_006).chain([40_008]).enumerate() {
        let run = run as u64 + 1;
        netd.attach(&format!("u{run}"), run, &[tcp(declared)]);
    }
}

#[test]
fn a_free_port_is_none_that_another_unit_declares() {
    needs_namespaces!();
    let (world, mut netd) = World::ready();
    ephemeral(&world.machine, 40_000, 40_003);
    netd.reserve(&[(40_000, 40_002)]);
    let any = Port {
        host_port: None,
        ..tcp(0)
    };
    let free = netd.attach("free", 1, std::slice::from_ref(&any));
    assert_eq!(free.ports, ["0.0.0.0:40003->80/tcp"]);
    // Held, and kept for the run should netd die.
    wait_for(&world.machine, "40000-40003");
    netd.detach("free", 1);
    wait_for(&world.machine, "40000-40002");
    // When every one is taken, that is what the message says.
    netd.reserve(&[(40_000, 40_003)]);
    let message = netd.try_attach(request("more", 2, &[any])).unwrap_err();
    assert!(message.contains("no port is free"), "{message}");
}

#[test]
fn the_list_outlives_netd_and_what_others_have_put_there_stays() {
    needs_namespaces!();
    let mut world = World::new();
    let say = |text: &str| world.machine.run(|| std::fs::write(LIST, text).unwrap());
    say("8080,33000");
    world.serve_dhcp(netns::Offer::default());
    let mut netd = world.start();
    netd.synced();
    netd.wait_ready();
    netd.reserve(&[(8080, 8080), (40_000, 40_001)]);
    wait_for(&world.machine, "8080,33000,40000-40001");
    let web = netd.attach("web", 1, &[tcp(41_000)]);
    wait_for(&world.machine, "8080,33000,40000-40001,41000");
    netd.kill();
    assert_eq!(list(&world.machine), "8080,33000,40000-40001,41000");

    let mut netd = world.start();
    netd.hold(&[&web]);
    netd.wait_ready();
    assert_eq!(list(&world.machine), "8080,33000,40000-40001,41000");
    // A new set of units.
    netd.reserve(&[(40_001, 40_001)]);
    wait_for(&world.machine, "8080,33000,40001,41000");
    netd.detach("web", 1);
    netd.reserve(&[]);
    wait_for(&world.machine, "8080,33000");
}

#[test]
fn a_list_longer_than_a_page_is_complete() {
    needs_namespaces!();
    let (world, mut netd) = World::ready();
    let ports: Vec<_> = (20_000..28_000)
        .step_by(2)
        .map(|port| (port, port))
        .collect();
    netd.reserve(&ports);
    heard(&mut netd);
    let found = list(&world.machine);
    assert!(found.len() > 5 * 4096, "{}", found.len());
    let wanted: Vec<_> = ports.iter().map(|(port, _)| port.to_string()).collect();
    assert_eq!(found, wanted.join(","));
    // Over the restart of netd, and back to nothing.
    netd.kill();
    let netd = world.start();
    netd.synced();
    netd.reserve(&[]);
    wait_for(&world.machine, "");
}

#[test]
fn a_connection_that_has_the_port_is_named_while_it_lives_and_after_its_end() {
    needs_namespaces!();
    let (world, mut netd) = World::ready();
    serve_tcp(&world.outside, OUTSIDE, 80, "outside");
    ephemeral(&world.machine, 40_000, 40_000);
    let connection = connect(&world.machine).unwrap();
    let message = netd
        .try_attach(request("web", 1, &[tcp(40_000)]))
        .unwrap_err();
    for part in [
        "0.0.0.0:40000/tcp",
        &format!("the connection {MACHINE}:40000 → {OUTSIDE}:80 (ESTABLISHED)"),
        &format!("(pid {})", std::process::id()),
        "when that connection ends",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }

    // The machine's end is closed first, and the other end too.
    drop(connection);
    let start = Instant::now();
    let message = loop {
        let message = netd
            .try_attach(request("web", 2, &[tcp(40_000)]))
            .unwrap_err();
        if message.contains("TIME_WAIT") || start.elapsed() > PATIENCE {
            break message;
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    for part in ["(TIME_WAIT)", "no process any more", "within a minute"] {
        assert!(message.contains(part), "{part}: {message}");
    }

    // Who listens is named before who is connected to it.
    ephemeral(&world.machine, 41_000, 41_999);
    let _listener = world
        .machine
        .run(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, 2222)).unwrap());
    let _client = Conversation::open(&world.machine, Ipv4Addr::LOCALHOST, 2222).unwrap();
    let message = netd
        .try_attach(request("ssh", 3, &[tcp(2222)]))
        .unwrap_err();
    assert!(
        message.contains("stop it") && !message.contains("connection"),
        "{message}"
    );
}
