//! Whether the published ports lead to somebody: a unit is ready when its program was started, which is some moments
//! before the program listens, and a script that goes on then would be refused.
//!
//! QEMU takes every connection, and ends it when the machine has refused it; that it was not ended yet proves nothing on a
//! busy host. Its monitor tells how far the machine's side has come (`info usernet`).

use qemu::{Forward, Machine};
use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};
use unit::Protocol;

/// A program that has not begun to listen by then may never do so: that is its unit's matter.
const TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT: Duration = Duration::from_secs(1);
/// Between two looks.
const AGAIN: Duration = Duration::from_millis(50);

/// Wait until no TCP port is refused, or for a while.
pub(crate) fn wait(machine: &Machine) {
    let deadline = Instant::now() + TIMEOUT;
    let connections = || machine.monitor("info usernet").unwrap_or_default();
    let forwards = machine.forwards();
    let tcp = forwards
        .iter()
        .filter(|forward| forward.protocol == Protocol::Tcp);
    for forward in tcp {
        while !answers(forward, deadline, &connections) && Instant::now() < deadline {
            std::thread::sleep(AGAIN);
        }
    }
}

/// Somebody speaks, or has taken the connection.
fn answers(forward: &Forward, deadline: Instant, connections: &dyn Fn() -> String) -> bool {
    let address = SocketAddr::from((forward.host_address, forward.host_port));
    let Ok(mut stream) = TcpStream::connect_timeout(&address, CONNECT) else {
        return false;
    };
    if stream.set_read_timeout(Some(AGAIN)).is_err() {
        return false;
    }
    while Instant::now() < deadline {
        match stream.read(&mut [0; 1]) {
            Ok(bytes) => return bytes > 0,
            Err(error) if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return false;
            }
            Err(_) if is_established(&connections(), forward.host_port) => return true,
            Err(_) => {}
        }
    }
    false
}

/// Whether a connection to this port of the host has reached a program of the machine. A line of `info usernet`:
/// `TCP[ESTABLISHED] 15 127.0.0.1 7001 10.0.2.15 7001 0 0`.
fn is_established(connections: &str, host_port: u16) -> bool {
    connections.lines().any(|line| {
        let mut words = line.split_whitespace();
        words.next() == Some("TCP[ESTABLISHED]")
            && words.nth(2).and_then(|port| port.parse().ok()) == Some(host_port)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, TcpListener};

    fn to(host_port: u16) -> Forward {
        Forward {
            protocol: Protocol::Tcp,
            host_address: Ipv4Addr::LOCALHOST,
            host_port,
            guest_port: 7001,
            unit: None,
        }
    }

    #[test]
    fn a_connection_counts_when_the_machine_has_taken_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let line =
            |state: &str| format!("  TCP[{state}]   15  127.0.0.1 {port}  10.0.2.15  7001  0  0\n");
        let now = Instant::now();
        let taken = || line("ESTABLISHED");
        assert!(
            answers(&to(port), now + TIMEOUT, &taken),
            "nobody speaks first"
        );
        let on_its_way = || line("SYN_SENT");
        assert!(!answers(&to(port), Instant::now() + 4 * AGAIN, &on_its_way));
    }

    #[test]
    fn who_hangs_up_or_does_not_listen_does_not_answer() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let hangs_up = std::thread::spawn(move || drop(listener.accept()));
        let none = String::new;
        assert!(!answers(&to(port), Instant::now() + TIMEOUT, &none));
        hangs_up.join().unwrap();
        assert!(!answers(&to(port), Instant::now() + TIMEOUT, &none));
    }
}
