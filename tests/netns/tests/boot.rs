//! The first seconds: containers that are started before the machine's link has its address.

mod common;

use common::{ask_tcp, serve_tcp};
use control::net::{NetReply, NetRequest};
use netns::{Container, MACHINE, Netd, OUTSIDE, Offer, World, port, request};
use std::net::Ipv4Addr;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};
use unit::{Port, Protocol};

/// So long after the first word of PID 1 netd waits for the machine's network before it answers without.
const LIMIT: Duration = Duration::from_secs(2);
/// Attaching takes milliseconds: what isn't there after this isn't coming.
const A_MOMENT: Duration = Duration::from_millis(100);

fn tcp(host_port: u16, container_port: u16) -> Port {
    port(Protocol::Tcp, host_port, container_port)
}

/// A lease that asks for no other size of packets than the link has, so that nothing is attached twice.
fn ordinary() -> Offer {
    Offer {
        mtu: 1500,
        ..Offer::default()
    }
}

/// Ask for a container, and hear the answer later.
fn ask(netd: &Netd, unit: &str, run: u64, ports: &[Port]) -> control::net::AttachRequest {
    let request = request(unit, run, ports);
    netd.send(&NetRequest::Attach(request.clone()), &[]);
    request
}

/// Numbers of the links of containers, on the machine's side.
fn container_links(world: &World) -> Vec<String> {
    let links = world.machine.ip("-o link");
    let on_bridge = links
        .lines()
        .filter(|line| line.contains(" master keelson0 "));
    let number = |line: &str| line.split(':').next().unwrap_or_default().to_owned();
    on_bridge.map(number).collect()
}

/// The kernel ends namespaces one after the other, so those of tests beside this one are in the way.
fn wait_for_links(world: &World, count: usize) {
    let limit = Instant::now() + Duration::from_secs(10);
    while container_links(world).len() != count {
        assert!(Instant::now() < limit, "{:?}", container_links(world));
        thread::sleep(Duration::from_millis(2));
    }
}

fn mtu(container: &Container) -> String {
    let text = container.namespace.ip("-o link show eth0");
    let mtu = text.split_once("mtu ").map(|(_, rest)| rest);
    mtu.and_then(|rest| rest.split(' ').next())
        .unwrap_or_default()
        .to_owned()
}

#[test]
fn a_container_attached_before_the_first_lease_has_the_name_server_of_the_lease() {
    needs_namespaces!();
    let mut world = World::new();
    let mut netd = world.start();
    netd.synced();
    let first = ask(&netd, "first", 1, &[tcp(8080, 80)]);
    let second = ask(&netd, "second", 2, &[]);
    // The work is done meanwhile.
    thread::sleep(A_MOMENT);
    assert_eq!(container_links(&world).len(), 2);
    world.serve_dhcp(ordinary());
    for request in [first, second] {
        let container = netd.attached(request).unwrap();
        assert_eq!(
            container.resolv_conf,
            format!("search example.test\nnameserver {OUTSIDE}\n")
        );
        if container.request.unit == netns::name("first") {
            serve_tcp(&container.namespace, container.address, 80, "first");
        }
    }
    netd.wait_ready();
    assert_eq!(
        ask_tcp(&world.outside, MACHINE, 8080),
        format!("first {OUTSIDE} hi")
    );
}

#[test]
fn a_container_attached_before_the_first_lease_has_packets_as_large_as_the_lease_allows() {
    needs_namespaces!();
    let mut world = World::new();
    let mut netd = world.start();
    netd.synced();
    let request = ask(&netd, "a", 1, &[]);
    thread::sleep(A_MOMENT);
    world.serve_dhcp(Offer {
        mtu: 1300,
        ..Offer::default()
    });
    let container = netd.attached(request).unwrap();
    assert_eq!(mtu(&container), "1300");
    assert_eq!(container.address, Ipv4Addr::new(10, 88, 0, 2));
    wait_for_links(&world, 1);
}

#[test]
fn containers_attached_before_the_first_lease_move_away_from_the_machines_network() {
    needs_namespaces!();
    let mut world = World::new();
    world.outside.ip("addr add 10.88.0.1/24 dev wan0");
    let mut netd = world.start();
    netd.synced();
    let request = ask(&netd, "a", 1, &[tcp(8080, 80)]);
    thread::sleep(A_MOMENT);
    let (address, router) = (Ipv4Addr::new(10, 88, 0, 50), Ipv4Addr::new(10, 88, 0, 1));
    world.serve_dhcp(Offer {
        address,
        router,
        ..Offer::default()
    });
    let container = netd.attached(request).unwrap();
    netd.wait_ready();
    assert_eq!(container.address, Ipv4Addr::new(172, 29, 0, 2));
    serve_tcp(&world.outside, router, 80, "outside");
    assert_eq!(
        ask_tcp(&container.namespace, router, 80),
        format!("outside {address} hi")
    );
    serve_tcp(&container.namespace, container.address, 80, "a");
    assert_eq!(
        ask_tcp(&world.outside, address, 8080),
        format!("a {router} hi")
    );
}

#[test]
fn without_a_dhcp_server_the_answer_comes_at_the_limit_and_says_that_there_is_no_name_server() {
    needs_namespaces!();
    let world = World::new();
    let mut netd = world.start();
    netd.synced();
    let early = netd.attach("early", 1, &[]);
    let waited = netd.started.elapsed();
    assert!(
        waited >= LIMIT && waited < LIMIT + Duration::from_secs(1),
        "{waited:?}"
    );
    assert!(
        early.resolv_conf.starts_with("# no name server is known")
            && early.resolv_conf.ends_with('\n'),
        "{}",
        early.resolv_conf
    );
    assert!(!early.resolv_conf.contains("\nnameserver"));
    let start = Instant::now();
    let late = netd.attach("late", 2, &[]);
    assert!(start.elapsed() < Duration::from_secs(1), "at once");
    assert_eq!(late.resolv_conf, early.resolv_conf);
}

#[test]
fn the_link_is_configured_before_the_first_word_and_patience_begins_with_it() {
    needs_namespaces!();
    let mut world = World::new();
    world.serve_dhcp(ordinary());
    let mut netd = world.start();
    assert!(matches!(netd.next_news(), NetReply::Ready { .. }));
    assert!(!world.machine.ip("-o link").contains("keelson0"));
    assert_eq!(netd.hang_up(), Some(0));

    let mut slow = World::new();
    let mut netd = slow.start();
    // So long do the drivers take, and there is no card yet.
    thread::sleep(LIMIT + A_MOMENT);
    netd.synced();
    let request = ask(&netd, "a", 1, &[]);
    thread::sleep(A_MOMENT);
    slow.serve_dhcp(ordinary());
    let container = netd.attached(request).unwrap();
    assert!(container.resolv_conf.contains("nameserver"));
    assert!(matches!(netd.next_news(), NetReply::Ready { .. }));
}

#[test]
fn a_machine_without_a_network_by_wish_answers_at_once() {
    needs_namespaces!();
    let world = World::new();
    world.command_line("ip=off");
    let mut netd = world.start();
    netd.synced();
    netd.attach("a", 1, &[]);
    assert!(netd.started.elapsed() < Duration::from_secs(1));
}

#[test]
fn a_container_without_a_network_does_not_wait_for_the_machines() {
    needs_namespaces!();
    let world = World::new();
    let mut netd = world.start();
    netd.synced();
    let request = control::net::AttachRequest {
        mode: unit::NetworkMode::None,
        ..request("a", 1, &[])
    };
    netd.try_attach(request).unwrap();
    assert!(netd.started.elapsed() < Duration::from_secs(1));
}

#[test]
fn a_container_detached_before_the_first_lease_is_gone_and_never_answered() {
    needs_namespaces!();
    let mut world = World::new();
    let mut netd = world.start();
    netd.synced();
    ask(&netd, "gone", 1, &[tcp(8080, 80)]);
    let stays = ask(&netd, "stays", 2, &[]);
    thread::sleep(A_MOMENT);
    assert_eq!(container_links(&world).len(), 2);
    netd.detach("gone", 1);
    // Its link goes although nobody has had its namespace.
    wait_for_links(&world, 1);
    // The same unit again, and another with its port.
    let again = ask(&netd, "gone", 3, &[]);
    let heir = ask(&netd, "heir", 4, &[tcp(8080, 80)]);
    thread::sleep(A_MOMENT);
    world.serve_dhcp(ordinary());
    for request in [stays, again, heir] {
        let container = netd.attached(request).unwrap();
        assert!(container.resolv_conf.contains("nameserver"));
    }
    netd.wait_ready();
}

#[test]
fn a_run_that_replaces_one_not_answered_yet_is_the_only_one_answered() {
    needs_namespaces!();
    let mut world = World::new();
    let mut netd = world.start();
    netd.synced();
    ask(&netd, "a", 1, &[tcp(8080, 80)]);
    let second = ask(&netd, "a", 2, &[tcp(8080, 80)]);
    thread::sleep(A_MOMENT);
    world.serve_dhcp(ordinary());
    let _second = netd.attached(second).unwrap();
    netd.wait_ready();
    wait_for_links(&world, 1);
}

fn answered(world: &World) -> u32 {
    let server = world.dhcp.as_ref().expect("a server");
    server.answered.load(Ordering::Relaxed)
}

/// The kernel has forgotten everything, the disk has not.
fn reboot(world: &World) -> World {
    let rebooted = World::new();
    // The same network card.
    let mac = world.machine.ip("-o link show eth0");
    let mac = mac.split_once("link/ether ").expect("a card").1;
    let mac = &mac[..17];
    rebooted.machine.ip(&format!("link set eth0 address {mac}"));
    for file in std::fs::read_dir(world.root.join("var/network"))
        .unwrap()
        .flatten()
    {
        let to = rebooted.root.join("var/network").join(file.file_name());
        std::fs::copy(file.path(), to).unwrap();
    }
    rebooted
}

#[test]
fn the_first_lease_takes_two_round_trips_and_after_a_reboot_it_takes_one() {
    needs_namespaces!();
    let (world, netd) = World::ready();
    assert_eq!(answered(&world), 2);
    assert_eq!(netd.hang_up(), Some(0));
    let mut rebooted = reboot(&world);
    rebooted.serve_dhcp(Offer::default());
    let mut netd = rebooted.start();
    netd.synced();
    netd.wait_ready();
    assert_eq!(answered(&rebooted), 1);
}

#[test]
fn a_remembered_lease_says_early_what_containers_need() {
    needs_namespaces!();
    let mut world = World::new();
    let (address, router) = (Ipv4Addr::new(10, 88, 0, 50), Ipv4Addr::new(10, 88, 0, 1));
    let offer = Offer {
        address,
        router,
        mtu: 1300,
        ..Offer::default()
    };
    world.serve_dhcp(offer.clone());
    let mut netd = world.start();
    netd.synced();
    netd.wait_ready();
    assert_eq!(netd.hang_up(), Some(0));
    let mut rebooted = reboot(&world);
    let mut netd = rebooted.start();
    netd.synced();
    let request = ask(&netd, "a", 1, &[]);
    wait_for_links(&rebooted, 1);
    let links = container_links(&rebooted);
    rebooted.serve_dhcp(offer);
    let container = netd.attached(request).unwrap();
    assert_eq!(container.address, Ipv4Addr::new(172, 29, 0, 2));
    assert_eq!(mtu(&container), "1300");
    assert_eq!(container_links(&rebooted), links, "the first one did");
}

#[test]
fn a_remembered_address_that_the_server_refuses_is_given_up_at_once() {
    needs_namespaces!();
    let (world, netd) = World::ready();
    assert_eq!(netd.hang_up(), Some(0));
    let mut rebooted = reboot(&world);
    let address = Ipv4Addr::new(192, 168, 77, 99);
    rebooted.serve_dhcp(Offer {
        address,
        ..Offer::default()
    });
    let mut netd = rebooted.start();
    netd.synced();
    let NetReply::Ready { address: ready, .. } = netd.wait_ready() else {
        panic!()
    };
    assert_eq!(ready, format!("{address}/24"));
    assert_eq!(answered(&rebooted), 3, "refused, offered, acknowledged");
}

#[test]
fn a_remembered_lease_that_can_not_be_read_is_no_obstacle() {
    needs_namespaces!();
    let mut world = World::new();
    std::fs::write(world.root.join("var/network/lease.json"), "{").unwrap();
    world.serve_dhcp(Offer::default());
    let mut netd = world.start();
    netd.synced();
    netd.wait_ready();
    assert_eq!(netd.hang_up(), Some(0));
    assert!(
        world
            .file("var/network/lease.json")
            .contains(&MACHINE.to_string())
    );
}

#[test]
fn requests_are_not_held_up_by_the_end_of_the_dhcp_exchange() {
    needs_namespaces!();
    let first_answer = || {
        let mut world = World::new();
        world.serve_dhcp(Offer::default());
        let mut netd = world.start();
        netd.synced();
        netd.wait_ready();
        let start = Instant::now();
        let request = control::net::AttachRequest {
            mode: unit::NetworkMode::Host,
            ..request("a", 1, &[])
        };
        netd.try_attach(request).unwrap();
        start.elapsed()
    };
    let fastest = (0..10).map(|_| first_answer()).min().unwrap();
    println!("an answer after Ready: {fastest:?}");
    // The kernel takes longer to close a packet socket: it waits for a grace period of RCU.
    assert!(fastest < Duration::from_millis(5), "{fastest:?}");
}
