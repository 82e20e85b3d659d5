//! Whether the published ports lead to somebody: a unit is ready when its program was started, which is some moments
//! before the program listens, and a script that goes on then would be refused.

use qemu::Forward;
use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};
use unit::Protocol;

/// A program that has not begun to listen by then may never do so: that is its unit's matter.
const TIMEOUT: Duration = Duration::from_secs(10);
/// QEMU takes every connection, and ends it as soon as the machine has refused it.
const REFUSAL: Duration = Duration::from_millis(100);
const AGAIN: Duration = Duration::from_millis(50);

/// Wait until no TCP port is refused, or for a while.
pub(crate) fn wait(forwards: &[Forward]) {
    let start = Instant::now();
    let tcp = forwards
        .iter()
        .filter(|forward| forward.protocol == Protocol::Tcp);
    for forward in tcp {
        let address = SocketAddr::from((forward.host_address, forward.host_port));
        while !answers(address) && start.elapsed() < TIMEOUT {
            std::thread::sleep(AGAIN);
        }
    }
}

/// Somebody speaks, or waits for us to speak.
fn answers(address: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect_timeout(&address, REFUSAL) else {
        return false;
    };
    if stream.set_read_timeout(Some(REFUSAL)).is_err() {
        return false;
    }
    match stream.read(&mut [0; 1]) {
        Ok(bytes) => bytes > 0,
        Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn who_listens_answers_and_who_hangs_up_does_not() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert!(answers(address), "nobody speaks first");
        // The first connection is still in the queue.
        let hangs_up = std::thread::spawn(move || {
            drop(listener.accept());
            drop(listener.accept());
        });
        assert!(!answers(address));
        hangs_up.join().unwrap();
        assert!(!answers(address), "nobody listens");
    }
}
