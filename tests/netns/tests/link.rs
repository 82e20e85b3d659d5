//! The machine's own link.

mod common;

use common::{ask_tcp, serve_tcp};
use control::net::NetReply;
use netns::{MACHINE, OUTSIDE, Offer, World, request};
use std::net::Ipv4Addr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

fn degraded(news: &NetReply) -> &str {
    match news {
        NetReply::Degraded { message } => message,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_machine_gets_its_address_by_dhcp_within_milliseconds() {
    needs_namespaces!();
    let mut world = World::new();
    world.serve_dhcp(Offer::default());
    let mut netd = world.start();
    netd.synced();
    let ready = netd.wait_ready();
    let time = netd.started.elapsed();
    println!("start of netd to Ready: {time:?}");
    assert_eq!(
        ready,
        NetReply::Ready {
            link: "eth0".into(),
            address: format!("{MACHINE}/24"),
            gateway: Some(OUTSIDE),
            how: "dhcp".into()
        }
    );
    assert!(time < Duration::from_secs(2), "{time:?}");
    let routes = world.machine.ip("route");
    assert!(
        routes.contains(&format!("default via {OUTSIDE} dev eth0")),
        "{routes}"
    );
    assert!(world.machine.ip("link show eth0").contains("mtu 1400"));
    let resolvers = format!("search example.test\nnameserver {OUTSIDE}\n");
    assert_eq!(world.file("run/keelson/resolv.conf"), resolvers);
    serve_tcp(&world.outside, OUTSIDE, 80, "outside");
    assert_eq!(
        ask_tcp(&world.machine, OUTSIDE, 80),
        format!("outside {MACHINE} hi")
    );
}

#[test]
fn a_static_address_of_the_command_line_needs_no_server() {
    needs_namespaces!();
    let world = World::new();
    world.command_line("ip=192.168.77.9::192.168.77.1:255.255.255.0::eth0:off:9.9.9.9");
    let mut netd = world.start();
    netd.synced();
    let NetReply::Ready { address, how, .. } = netd.wait_ready() else {
        panic!()
    };
    assert_eq!(
        (address.as_str(), how.as_str()),
        ("192.168.77.9/24", "static")
    );
    assert_eq!(
        world.file("run/keelson/resolv.conf"),
        "nameserver 9.9.9.9\n"
    );
}

#[test]
fn a_machine_without_a_link_is_degraded_and_still_attaches_containers() {
    needs_namespaces!();
    let world = World::new();
    world.command_line("ip=eth7:dhcp");
    let mut netd = world.start();
    netd.synced();
    let (a, b) = (netd.attach("a", 1, &[]), netd.attach("b", 2, &[]));
    serve_tcp(&b.namespace, b.address, 80, "b");
    assert_eq!(
        ask_tcp(&a.namespace, b.address, 80),
        format!("b {} hi", a.address)
    );
    assert!(!a.resolv_conf.contains("nameserver"), "{}", a.resolv_conf);
    let news = netd.next_news();
    assert!(degraded(&news).contains("no link named eth7"), "{news:?}");
}

#[test]
fn a_lease_that_comes_late_makes_a_degraded_machine_ready() {
    needs_namespaces!();
    let mut world = World::new();
    let mut netd = world.start();
    netd.synced();
    let news = netd.next_news();
    assert!(netd.started.elapsed() >= Duration::from_secs(10));
    assert!(
        degraded(&news).contains("no answer from a DHCP server on link eth0"),
        "{news:?}"
    );
    world.serve_dhcp(Offer::default());
    netd.wait_ready();
}

#[test]
fn a_cable_pulled_and_put_back_renews_the_lease() {
    needs_namespaces!();
    let (world, mut netd) = World::ready();
    let answered = |world: &World| {
        world
            .dhcp
            .as_ref()
            .unwrap()
            .answered
            .load(Ordering::Relaxed)
    };
    let before = answered(&world);
    world.outside.ip("link set wan0 down");
    let news = netd.next_news();
    assert!(degraded(&news).contains("no carrier on eth0"), "{news:?}");
    world.outside.ip("link set wan0 up");
    netd.wait_ready();
    let limit = Instant::now() + Duration::from_secs(5);
    while answered(&world) == before {
        assert!(Instant::now() < limit, "the lease was not asked for again");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn another_network_behind_the_cable_gives_another_address() {
    needs_namespaces!();
    let (mut world, mut netd) = World::ready();
    world.outside.ip("link set wan0 down");
    degraded(&netd.next_news());
    world.dhcp = None;
    let address = Ipv4Addr::new(192, 168, 77, 99);
    world.serve_dhcp(Offer {
        address,
        ..Offer::default()
    });
    world.outside.ip("link set wan0 up");
    loop {
        if let NetReply::Ready { address: ready, .. } = netd.next_news()
            && ready == format!("{address}/24")
        {
            break;
        }
    }
    let addresses = world.machine.ip("-4 addr show eth0");
    assert!(!addresses.contains(&MACHINE.to_string()), "{addresses}");
}

#[test]
fn a_link_that_appears_later_is_taken_up() {
    needs_namespaces!();
    let mut world = World::new();
    world.machine.ip("link set eth0 name eth5");
    let mut netd = world.start();
    netd.synced();
    std::thread::sleep(Duration::from_millis(100));
    world.outside.ip("link del wan0");
    world.outside.ip(&format!(
        "link add wan0 type veth peer name eth0 netns {}",
        world.machine.path()
    ));
    world.outside.ip(&format!("addr add {OUTSIDE}/24 dev wan0"));
    world.outside.ip("link set wan0 up");
    world.serve_dhcp(Offer::default());
    netd.wait_ready();
}

#[test]
fn containers_move_away_from_the_machines_network() {
    needs_namespaces!();
    let mut world = World::new();
    world.outside.ip("addr add 10.88.0.1/24 dev wan0");
    let (address, router) = (Ipv4Addr::new(10, 88, 0, 50), Ipv4Addr::new(10, 88, 0, 1));
    world.serve_dhcp(Offer {
        address,
        router,
        ..Offer::default()
    });
    let mut netd = world.start();
    netd.synced();
    netd.wait_ready();
    let container = netd.attach("a", 1, &[]);
    assert_eq!(container.address, Ipv4Addr::new(172, 29, 0, 2));
    serve_tcp(&world.outside, router, 80, "outside");
    assert_eq!(
        ask_tcp(&container.namespace, router, 80),
        format!("outside {address} hi")
    );
}

#[test]
fn a_second_netd_asks_for_the_address_that_is_there_and_disturbs_nothing() {
    needs_namespaces!();
    let (world, netd) = World::ready();
    serve_tcp(&world.outside, OUTSIDE, 80, "outside");
    let mut conversation = common::Conversation::open(&world.machine, OUTSIDE, 80).unwrap();
    assert_eq!(netd.hang_up(), Some(0), "it ends when PID 1 goes");
    let mut netd = world.start();
    netd.synced();
    netd.wait_ready();
    assert_eq!(
        conversation.say("still"),
        format!("outside {MACHINE} still")
    );
    assert!(netd.try_attach(request("a", 1, &[])).is_ok());
}
