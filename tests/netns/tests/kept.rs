//! The network of a run that restarts by itself, and what of it the next run may have.

mod common;

use common::{ask_tcp, serve_tcp};
use netns::{Container, MACHINE, World, port};
use std::io::Read;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use unit::{Port, Protocol};

fn tcp(host_port: u16) -> Port {
    port(Protocol::Tcp, host_port, 80)
}

/// Which namespace it is.
fn identity(container: &Container) -> PathBuf {
    let read = || std::fs::read_link("/proc/thread-self/ns/net").unwrap();
    container.namespace.run(read)
}

fn serve(container: &Container) {
    serve_tcp(&container.namespace, Ipv4Addr::UNSPECIFIED, 80, "web");
}

#[test]
fn the_next_run_has_it_as_it_was_and_is_reached_by_its_port() {
    needs_namespaces!();
    let (world, mut netd) = World::ready();
    let first = netd.attach("web", 1, &[tcp(8080)]);
    netd.detach_and_keep(&first);
    let second = netd.attach("web", 2, &[tcp(8080)]);
    assert_eq!(identity(&first), identity(&second));
    assert_eq!(first.address, second.address);
    assert_eq!(first.ports, second.ports);
    assert!(world.machine.ip("link").contains("alias web run 2"));
    serve(&second);
    assert!(ask_tcp(&world.outside, MACHINE, 8080).starts_with("web "));
    // And it is that run's alone: its end frees everything.
    netd.detach("web", 2);
    netd.attach("other", 3, &[tcp(8080)]);
}

#[test]
fn what_was_left_in_it_is_not_the_next_runs() {
    needs_namespaces!();
    let (_world, mut netd) = World::ready();
    let first = netd.attach("web", 1, &[]);
    // Who closes first has the port in TIME_WAIT for a minute.
    first.namespace.run(|| {
        let listener = TcpListener::bind("127.0.0.1:81").unwrap();
        let mut client = TcpStream::connect("127.0.0.1:81").unwrap();
        drop(listener.accept().unwrap());
        assert_eq!(client.read(&mut [0; 1]).unwrap(), 0);
    });
    netd.detach_and_keep(&first);
    let second = netd.attach("web", 2, &[]);
    assert_ne!(identity(&first), identity(&second));
    // Nor while somebody listens there.
    serve(&second);
    netd.detach_and_keep(&second);
    let third = netd.attach("web", 3, &[]);
    assert_ne!(identity(&second), identity(&third));
}

#[test]
fn a_run_that_asks_for_other_ports_has_a_new_one() {
    needs_namespaces!();
    let (_world, mut netd) = World::ready();
    let first = netd.attach("web", 1, &[tcp(8080)]);
    netd.detach_and_keep(&first);
    let second = netd.attach("web", 2, &[tcp(8081)]);
    assert_ne!(identity(&first), identity(&second));
    assert_eq!(second.ports, ["0.0.0.0:8081->80/tcp"]);
    netd.attach("other", 3, &[tcp(8080)]);
}

#[test]
fn it_gives_way_to_another_unit_and_is_given_up_after_a_while() {
    needs_namespaces!();
    let (world, mut netd) = World::ready();
    let first = netd.attach("web", 1, &[tcp(8080)]);
    netd.detach_and_keep(&first);
    let other = netd.attach("other", 2, &[tcp(8080)]);
    assert_eq!(other.ports, ["0.0.0.0:8080->80/tcp"]);
    let second = netd.attach("second", 3, &[]);
    netd.detach_and_keep(&second);
    // The last descriptor is netd's.
    drop(second);
    let until = Instant::now() + Duration::from_secs(15);
    while world.machine.ip("link").contains("alias second run 3") {
        assert!(Instant::now() < until, "it is kept for ever");
        std::thread::sleep(Duration::from_millis(50));
    }
}
