//! Containers on the bridge: reaching each other, the outside, and being reached by published ports.

mod common;

use common::{
    Conversation, ask_tcp, ask_udp, rules, serve_tcp, serve_udp, tcp_is_closed, udp_client,
};
use netns::{Container, MACHINE, OUTSIDE, World, name, port, request};
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};
use unit::{NetworkMode, Port, Protocol};

const BRIDGE: Ipv4Addr = Ipv4Addr::new(10, 88, 0, 1);

fn tcp(host_port: u16, container_port: u16) -> Port {
    port(Protocol::Tcp, host_port, container_port)
}

/// A service on every address of a container.
fn serve(container: &Container, port: u16, name: &str) {
    serve_tcp(&container.namespace, Ipv4Addr::UNSPECIFIED, port, name);
}

#[test]
fn containers_reach_each_other_and_the_outside_by_nat() {
    needs_namespaces!();
    let (world, mut netd) = World::ready();
    let (a, b) = (netd.attach("a", 1, &[]), netd.attach("b", 2, &[]));
    assert_eq!(
        (a.address, b.address),
        (Ipv4Addr::new(10, 88, 0, 2), Ipv4Addr::new(10, 88, 0, 3))
    );
    serve(&b, 80, "b");
    assert_eq!(
        ask_tcp(&a.namespace, b.address, 80),
        format!("b {} hi", a.address)
    );
    serve_tcp(&world.outside, OUTSIDE, 80, "outside");
    assert_eq!(
        ask_tcp(&a.namespace, OUTSIDE, 80),
        format!("outside {MACHINE} hi")
    );
    // By UDP too, and the packets are no larger than the machine's link takes.
    serve_udp(&world.outside, 53, "outside");
    assert_eq!(
        ask_udp(&udp_client(&b.namespace), OUTSIDE, 53),
        format!("outside {MACHINE} hi")
    );
    assert!(a.namespace.ip("link show eth0").contains("mtu 1400"));
}

#[test]
fn a_container_can_talk_at_once() {
    needs_namespaces!();
    let (world, mut netd) = World::ready();
    serve_tcp(&world.outside, OUTSIDE, 80, "outside");
    let mut slowest = Duration::ZERO;
    for run in 1..=20 {
        let container = netd.attach(&format!("u{run}"), run, &[]);
        let start = Instant::now();
        ask_tcp(&container.namespace, OUTSIDE, 80);
        slowest = slowest.max(start.elapsed());
    }
    println!("first answer after Attached, slowest of 20: {slowest:?}");
    assert!(slowest < Duration::from_millis(500), "{slowest:?}");
}

#[test]
fn a_container_knows_its_name_its_resolvers_and_the_machine() {
    needs_namespaces!();
    let (_world, mut netd) = World::ready();
    let container = netd.attach("web@1", 1, &[]);
    assert!(
        container
            .hosts
            .contains("10.88.0.2\tweb-1\n10.88.0.1\tmachine\n"),
        "{}",
        container.hosts
    );
    assert_eq!(
        container.resolv_conf,
        format!("search example.test\nnameserver {OUTSIDE}\n")
    );
    let inside = container.namespace.ip("addr");
    assert!(inside.contains("02:42:0a:58:00:02"), "{inside}");
    assert!(
        !inside.contains("fe80"),
        "no IPv6 on its link, or it would test for duplicates: {inside}"
    );
    assert!(inside.contains("::1/128"), "IPv6 on loopback: {inside}");
    container.namespace.run(|| {
        let read = |path| std::fs::read_to_string(path).unwrap();
        assert_eq!(
            read("/proc/sys/net/ipv4/ip_unprivileged_port_start").trim(),
            "0"
        );
    });
}

#[test]
fn a_published_tcp_port_is_reached_from_everywhere() {
    needs_namespaces!();
    let (world, mut netd) = World::ready();
    let web = netd.attach("web", 1, &[tcp(8080, 80)]);
    let other = netd.attach("other", 2, &[]);
    assert_eq!(web.ports, ["0.0.0.0:8080->80/tcp"]);
    serve(&web, 80, "web");
    // The outside's own address is seen; who comes from the machine's loopback or from a container is the bridge.
    assert_eq!(
        ask_tcp(&world.outside, MACHINE, 8080),
        format!("web {OUTSIDE} hi")
    );
    assert_eq!(
        ask_tcp(&world.machine, MACHINE, 8080),
        format!("web {MACHINE} hi")
    );
    assert_eq!(
        ask_tcp(&world.machine, Ipv4Addr::LOCALHOST, 8080),
        format!("web {BRIDGE} hi")
    );
    for place in [&other, &web] {
        for address in [MACHINE, BRIDGE] {
            assert_eq!(
                ask_tcp(&place.namespace, address, 8080),
                format!("web {BRIDGE} hi")
            );
        }
    }
    netd.detach("web", 1);
    netd.attach("next", 3, &[]);
    assert!(tcp_is_closed(&world.outside, MACHINE, 8080));
    assert!(tcp_is_closed(&world.machine, Ipv4Addr::LOCALHOST, 8080));
}

#[test]
fn a_published_udp_port_goes_to_the_new_run_at_once() {
    needs_namespaces!();
    let (world, mut netd) = World::ready();
    let dns = |container_port| port(Protocol::Udp, 53, container_port);
    let first = netd.attach("first", 1, &[dns(5353)]);
    serve_udp(&first.namespace, 5353, "first");
    let outside = udp_client(&world.outside);
    let host = udp_client(&world.machine);
    assert_eq!(
        ask_udp(&outside, MACHINE, 53),
        format!("first {OUTSIDE} hi")
    );
    assert_eq!(
        ask_udp(&host, Ipv4Addr::LOCALHOST, 53),
        format!("first {BRIDGE} hi")
    );
    netd.detach("first", 1);
    let second = netd.attach("second", 2, &[dns(53)]);
    serve_udp(&second.namespace, 53, "second");
    // The same flows: the same source ports.
    assert_eq!(
        ask_udp(&outside, MACHINE, 53),
        format!("second {OUTSIDE} hi")
    );
    assert_eq!(
        ask_udp(&host, Ipv4Addr::LOCALHOST, 53),
        format!("second {BRIDGE} hi")
    );
}

#[test]
fn ranges_free_ports_and_single_addresses_are_published() {
    needs_namespaces!();
    let (world, mut netd) = World::ready();
    let ports = [
        Port {
            count: 3,
            ..tcp(9000, 100)
        },
        Port {
            host_port: None,
            ..tcp(0, 80)
        },
        Port {
            host_ip: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            ..tcp(7000, 80)
        },
    ];
    let web = netd.attach("web", 1, &ports);
    serve(&web, 80, "web");
    serve(&web, 102, "last");
    assert_eq!(web.ports[0], "0.0.0.0:9000-9002->100-102/tcp");
    assert_eq!(
        ask_tcp(&world.outside, MACHINE, 9002),
        format!("last {OUTSIDE} hi")
    );
    let free: u16 = web.ports[1]
        .split([':', '-'])
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    assert_ne!(free, 0);
    assert_eq!(
        ask_tcp(&world.outside, MACHINE, free),
        format!("web {OUTSIDE} hi")
    );
    assert_eq!(
        ask_tcp(&world.machine, Ipv4Addr::LOCALHOST, 7000),
        format!("web {BRIDGE} hi")
    );
    assert!(
        tcp_is_closed(&world.outside, MACHINE, 7000),
        "only on loopback"
    );
}

#[test]
fn a_port_in_use_is_refused_and_both_owners_are_named() {
    needs_namespaces!();
    let (world, mut netd) = World::ready();
    let _web = netd.attach("web", 1, &[tcp(8080, 80)]);
    let message = netd
        .try_attach(request("blog", 2, &[tcp(8080, 80)]))
        .unwrap_err();
    assert!(
        message.contains("unit blog") && message.contains("unit web (run 1)"),
        "{message}"
    );

    let _listener = world
        .machine
        .run(|| TcpListener::bind("0.0.0.0:2222").unwrap());
    let message = netd
        .try_attach(request("ssh", 3, &[tcp(2222, 22)]))
        .unwrap_err();
    let owner = format!("(pid {})", std::process::id());
    assert!(
        message.contains("unit ssh") && message.contains(&owner),
        "{message}"
    );

    assert!(!netd.lasting, "it may be free later");
    let too_many = Port {
        count: 5000,
        ..tcp(20_000, 20_000)
    };
    let message = netd
        .try_attach(request("many", 9, &[too_many]))
        .unwrap_err();
    assert!(
        message.contains("the limit for one unit is 4096"),
        "{message}"
    );
    assert!(netd.lasting, "no later start will be better");

    // And the other way round: the machine's processes can't take a published port.
    let taken = world.machine.run(|| TcpListener::bind("0.0.0.0:8080"));
    assert_eq!(taken.unwrap_err().kind(), std::io::ErrorKind::AddrInUse);

    netd.detach("web", 1);
    assert!(
        netd.try_attach(request("blog", 4, &[tcp(8080, 80)]))
            .is_ok()
    );
}

#[test]
fn the_outside_reaches_nothing_that_is_not_published() {
    needs_namespaces!();
    let (world, mut netd) = World::ready();
    let web = netd.attach("web", 1, &[tcp(8080, 80)]);
    serve(&web, 80, "web");
    serve(&web, 81, "inner");
    world
        .outside
        .ip(&format!("route add 10.88.0.0/16 via {MACHINE}"));
    assert!(tcp_is_closed(&world.outside, web.address, 80));
    assert!(tcp_is_closed(&world.outside, web.address, 81));
    assert_eq!(
        ask_tcp(&world.machine, web.address, 81),
        format!("inner {BRIDGE} hi")
    );
}

#[test]
fn a_container_does_not_reach_what_listens_on_the_machines_loopback() {
    needs_namespaces!();
    let (world, mut netd) = World::ready();
    let web = netd.attach("web", 1, &[]);
    serve_tcp(&world.machine, Ipv4Addr::LOCALHOST, 631, "machine");
    // As an attacker with the privilege to do so would (CVE-2020-8558).
    web.namespace
        .run(|| std::fs::write("/proc/sys/net/ipv4/conf/eth0/route_localnet", "1").unwrap());
    web.namespace.ip("addr del 127.0.0.1/8 dev lo");
    web.namespace.ip("route flush table local");
    web.namespace.ip(&format!(
        "route add local {} dev eth0 table local",
        web.address
    ));
    web.namespace.ip(&format!(
        "route add 127.0.0.0/8 via {BRIDGE} dev eth0 src {}",
        web.address
    ));
    assert!(tcp_is_closed(&web.namespace, Ipv4Addr::LOCALHOST, 631));
}

#[test]
fn a_new_netd_takes_over_and_no_container_notices() {
    needs_namespaces!();
    let (world, mut netd) = World::ready();
    let ports = [
        tcp(8080, 80),
        Port {
            host_port: None,
            ..tcp(0, 80)
        },
    ];
    let web = netd.attach("web", 1, &ports);
    let gone = netd.attach("gone", 2, &[tcp(8081, 80)]);
    serve(&web, 80, "web");
    let free: u16 = web.ports[1]
        .split([':', '-'])
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    let mut published = Conversation::open(&world.outside, MACHINE, 8080).unwrap();
    serve_tcp(&world.outside, OUTSIDE, 80, "outside");
    let mut masqueraded = Conversation::open(&web.namespace, OUTSIDE, 80).unwrap();
    assert_eq!(published.say("one"), format!("web {OUTSIDE} one"));

    netd.kill();
    assert_eq!(
        published.say("without netd"),
        format!("web {OUTSIDE} without netd")
    );
    assert_eq!(
        ask_tcp(&world.outside, MACHINE, 8080),
        format!("web {OUTSIDE} hi")
    );
    drop(gone);

    let mut netd = world.start();
    netd.hold(&[&web]);
    netd.wait_ready();
    assert_eq!(published.say("two"), format!("web {OUTSIDE} two"));
    assert_eq!(masqueraded.say("two"), format!("outside {MACHINE} two"));
    for port in [8080, free] {
        assert_eq!(
            ask_tcp(&world.outside, MACHINE, port),
            format!("web {OUTSIDE} hi")
        );
    }
    // What it holds is known again: ports and addresses.
    let message = netd
        .try_attach(request("blog", 3, &[tcp(8080, 80)]))
        .unwrap_err();
    assert!(message.contains("unit web (run 1)"), "{message}");
    let blog = netd.attach("blog", 4, &[tcp(8081, 80)]);
    assert_ne!(blog.address, web.address);
    netd.detach("web", 1);
    netd.attach("next", 5, &[tcp(8080, 80)]);
}

#[test]
fn a_unit_keeps_its_address_over_restarts_and_reboots() {
    needs_namespaces!();
    let (world, mut netd) = World::ready();
    let mut run = 0;
    let mut attach = |netd: &mut netns::Netd, unit: &str| {
        run += 1;
        (netd.attach(unit, run, &[tcp(8080, 80)]), run)
    };
    let (first, first_run) = attach(&mut netd, "a");
    let address = first.address;
    drop(first);
    netd.detach("a", first_run);
    let other = netd.attach("b", 100, &[]);
    for _ in 0..5 {
        let (again, run) = attach(&mut netd, "a");
        assert_eq!(again.address, address);
        serve(&again, 80, "a");
        assert_eq!(
            ask_tcp(&world.outside, MACHINE, 8080),
            format!("a {OUTSIDE} hi")
        );
        // The service's socket would keep the namespace: end it as the kernel ends a container.
        again.namespace.ip("link del eth0");
        netd.detach("a", run);
    }
    assert_eq!(netd.hang_up(), Some(0));
    assert!(
        world
            .file("var/network/addresses.json")
            .contains("\"10.88.0.2\"")
    );
    drop(other);

    // A reboot: the kernel has forgotten everything, the disk has not.
    let mut rebooted = World::new();
    std::fs::copy(
        world.root.join("var/network/addresses.json"),
        rebooted.root.join("var/network/addresses.json"),
    )
    .unwrap();
    rebooted.serve_dhcp(netns::Offer::default());
    let mut netd = rebooted.start();
    netd.synced();
    assert_eq!(
        netd.attach("c", 1, &[]).address,
        Ipv4Addr::new(10, 88, 0, 4)
    );
    assert_eq!(
        netd.attach("b", 2, &[]).address,
        Ipv4Addr::new(10, 88, 0, 3)
    );
    assert_eq!(netd.attach("a", 3, &[]).address, address);
}

#[test]
fn an_address_whose_link_does_not_go_is_not_given_to_the_next_run() {
    needs_namespaces!();
    let (_world, mut netd) = World::ready();
    let first = netd.attach("a", 1, &[]);
    netd.detach("a", 1);
    let start = Instant::now();
    // Its namespace is kept, so its link is still there.
    let second = netd.attach("a", 2, &[]);
    assert!(start.elapsed() >= Duration::from_secs(1));
    assert_ne!(second.address, first.address);
}

#[test]
fn a_file_of_addresses_that_is_broken_is_put_aside() {
    needs_namespaces!();
    let mut world = World::new();
    std::fs::write(world.root.join("var/network/addresses.json"), "{").unwrap();
    world.serve_dhcp(netns::Offer::default());
    let mut netd = world.start();
    netd.synced();
    netd.attach("a", 1, &[]);
    assert_eq!(netd.hang_up(), Some(0));
    assert_eq!(world.file("var/network/addresses.bad"), "{");
    assert!(
        world
            .file("var/network/addresses.json")
            .contains("10.88.0.2")
    );
}

#[test]
fn no_end_of_a_containers_link_has_an_ipv6_address() {
    needs_namespaces!();
    let (world, mut netd) = World::ready();
    let container = netd.attach("a", 1, &[]);
    let outer = world.machine.ip("-o link show type veth");
    let outer = outer
        .lines()
        .find_map(|line| line.split_once("kv").filter(|_| line.contains("keelson0")))
        .map(|(_, rest)| format!("kv{}", rest.split('@').next().unwrap()))
        .expect("its link");
    // Made in the background, if at all.
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(container.namespace.ip("-6 addr show dev eth0"), "");
    assert_eq!(world.machine.ip(&format!("-6 addr show dev {outer}")), "");
    let alias = world.machine.ip(&format!("link show dev {outer}"));
    assert!(alias.contains("alias a run 1"), "{alias}");
}

#[test]
fn units_on_the_machines_network_or_on_none_get_what_they_ask_for() {
    needs_namespaces!();
    let (_world, mut netd) = World::ready();
    let mode = |mode, run| netns::request("a", run, &[]).into_mode(mode);
    let host = netd.try_attach(mode(NetworkMode::Host, 1)).unwrap();
    assert!(host.address.is_unspecified() && host.ports.is_empty());
    assert!(host.hosts.contains("127.0.1.1\ta\n"), "{}", host.hosts);
    let none = netd.try_attach(mode(NetworkMode::None, 2)).unwrap();
    let links = none.namespace.ip("-o link");
    assert_eq!(links.lines().count(), 1, "only loopback: {links}");
    assert!(links.contains("LOOPBACK,UP"), "{links}");
}

trait IntoMode {
    fn into_mode(self, mode: NetworkMode) -> Self;
}

impl IntoMode for control::net::AttachRequest {
    fn into_mode(self, mode: NetworkMode) -> Self {
        Self { mode, ..self }
    }
}

#[test]
fn a_hundred_containers_need_no_more_rules_than_one() {
    needs_namespaces!();
    let (world, mut netd) = World::ready();
    let descriptors = |netd: &netns::Netd| {
        let all = std::fs::read_dir(format!("/proc/{}/fd", netd.pid()))
            .unwrap()
            .flatten();
        let kind = |fd: &std::fs::DirEntry| std::fs::read_link(fd.path()).unwrap_or_default();
        all.filter(|fd| kind(fd).to_string_lossy().starts_with("socket:"))
            .count()
    };
    // A moment for the namespaces that it makes for later.
    let settle = || std::thread::sleep(Duration::from_millis(100));
    let first = netd.attach("u0", 1, &[tcp(10_000, 80)]);
    settle();
    let (rules_of_one, descriptors_of_one) = (rules(&world.machine), descriptors(&netd));
    let mut times = Vec::new();
    let mut containers = vec![first];
    for number in 1..100_u16 {
        let ports = [tcp(10_000 + number, 80)];
        let start = Instant::now();
        let container = netd.attach(&format!("u{number}"), u64::from(number) + 1, &ports);
        times.push(start.elapsed());
        containers.push(container);
    }
    times.sort();
    println!(
        "attach, 99 in a row: median {:?}, slowest {:?}",
        times[49], times[98]
    );
    settle();
    assert_eq!(rules(&world.machine), rules_of_one);
    assert_eq!(
        descriptors(&netd),
        descriptors_of_one + 99,
        "a socket for each port, and nothing else"
    );
    for number in [0_usize, 42, 99] {
        serve(&containers[number], 80, &format!("u{number}"));
        let port = 10_000 + u16::try_from(number).unwrap();
        assert_eq!(
            ask_tcp(&world.outside, MACHINE, port),
            format!("u{number} {OUTSIDE} hi")
        );
    }
    println!("memory of netd, PSS: {}", proportional_memory(netd.pid()));
    let start = Instant::now();
    for number in 0..100 {
        netd.detach(&format!("u{number}"), number + 1);
    }
    netd.attach("last", 1000, &[]);
    println!("100 detaches and one attach: {:?}", start.elapsed());
    settle();
    assert!(descriptors(&netd) <= descriptors_of_one);
}

/// `1234 kB`, of /proc/PID/smaps_rollup.
fn proportional_memory(pid: u32) -> String {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    line.unwrap().trim().to_owned()
}

#[test]
fn requests_that_come_twice_late_or_broken_do_no_harm() {
    needs_namespaces!();
    let (world, mut netd) = World::ready();
    netd.detach("never", 7);
    let first = netd.attach("a", 1, &[tcp(8080, 80)]);
    drop(first);
    // PID 1 asks for the next run without having told of the former one's end.
    let second = netd.attach("a", 2, &[tcp(8080, 80)]);
    serve(&second, 80, "second");
    netd.detach("a", 1);
    assert_eq!(
        ask_tcp(&world.outside, MACHINE, 8080),
        format!("second {OUTSIDE} hi")
    );
    netd.synced();
    assert_eq!(
        ask_tcp(&world.outside, MACHINE, 8080),
        format!("second {OUTSIDE} hi")
    );
    netd.send_bytes(b"{\"nonsense\":1}");
    assert_eq!(netd.attach("b", 3, &[]).request.unit, name("b"));
}
