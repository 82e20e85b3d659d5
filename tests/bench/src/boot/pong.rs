//! `PING` from outside until `PONG` comes back.
//!
//! A connection that QEMU takes before the guest has a network may hang for seconds after it has one. So there is a new
//! connection every few milliseconds, whatever became of the ones before; the first answer on any of them counts.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Between two attempts: the error of the time.
const PERIOD: Duration = Duration::from_millis(10);
/// Attempts that wait for an answer at a time; with the period, how long one may take.
const WAITING_MAX: usize = 30;
/// QEMU takes a connection when its main loop comes to it.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(200);
/// Of a machine whose network is up and whose processors are busy.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(500);
/// Ports asked at a time, of many.
const ASKERS: usize = 4;

/// When the first answer came on a port of loopback; none within the time.
pub(crate) fn first(port: u16, timeout: Duration) -> Option<Instant> {
    let deadline = Instant::now() + timeout;
    let mut waiting: Vec<TcpStream> = Vec::new();
    while Instant::now() < deadline {
        let next = Instant::now() + PERIOD;
        waiting.extend(attempt(port));
        let surplus = waiting.len().saturating_sub(WAITING_MAX);
        waiting.drain(..surplus);
        // Looked at more often than begun, for the sake of the time.
        while Instant::now() < next {
            let mut answered = false;
            waiting.retain_mut(|stream| match stream.read(&mut [0; 16]) {
                Ok(0) => false,
                Ok(_) => {
                    answered = true;
                    false
                }
                Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
            });
            if answered {
                return Some(Instant::now());
            }
            std::thread::sleep(PERIOD / 10);
        }
    }
    None
}

/// When the last of the ports had answered. The network is up by now, so a port is asked again only after its answer
/// was given up, and a few are asked at a time: asking must not be what slows the machine.
pub(crate) fn all(ports: &[u16], timeout: Duration) -> Option<Instant> {
    let deadline = Instant::now() + timeout;
    let silent: Mutex<VecDeque<u16>> = Mutex::new(ports.iter().copied().collect());
    let next = || lock(&silent).pop_front();
    let ask = || {
        let mut last = None;
        while let Some(port) = next() {
            if once(port).is_some() {
                last = Some(Instant::now());
            } else if Instant::now() < deadline {
                std::thread::sleep(PERIOD);
                lock(&silent).push_back(port);
            } else {
                return None;
            }
        }
        Some(last)
    };
    std::thread::scope(|scope| {
        let askers: Vec<_> = (0..ASKERS).map(|_| scope.spawn(ask)).collect();
        let answers = askers.into_iter().map(|asker| asker.join().ok()?);
        answers
            .collect::<Option<Vec<Option<Instant>>>>()?
            .into_iter()
            .flatten()
            .max()
    })
}

fn lock(silent: &Mutex<VecDeque<u16>>) -> MutexGuard<'_, VecDeque<u16>> {
    silent.lock().unwrap_or_else(PoisonError::into_inner)
}

fn once(port: u16) -> Option<()> {
    let mut stream = attempt(port)?;
    stream.set_nonblocking(false).ok()?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT)).ok()?;
    (stream.read(&mut [0; 16]).ok()? > 0).then_some(())
}

fn attempt(port: u16) -> Option<TcpStream> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT).ok()?;
    stream.write_all(b"PING\r\n").ok()?;
    stream.set_nonblocking(true).ok()?;
    Some(stream)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_connection_that_hangs_does_not_hold_up_the_next() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || {
            let silent = listener.accept().unwrap();
            let (mut second, _) = listener.accept().unwrap();
            second.write_all(b"+PONG\r\n").unwrap();
            drop(silent);
        });
        assert!(first(port, Duration::from_secs(10)).is_some());
        server.join().unwrap();
    }

    #[test]
    fn every_port_is_asked_until_it_answers() {
        let listeners: Vec<TcpListener> = (0..9)
            .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap())
            .collect();
        let ports: Vec<u16> = listeners
            .iter()
            .map(|listener| listener.local_addr().unwrap().port())
            .collect();
        let servers: Vec<_> = listeners
            .into_iter()
            .map(|listener| {
                std::thread::spawn(move || {
                    // As a port whose unit is not there yet: closed at once.
                    drop(listener.accept().unwrap());
                    let (mut stream, _) = listener.accept().unwrap();
                    stream.write_all(b"+PONG\r\n").unwrap();
                })
            })
            .collect();
        assert!(all(&ports, Duration::from_secs(10)).is_some());
        servers
            .into_iter()
            .for_each(|server| server.join().unwrap());
    }

    #[test]
    fn silence_ends_with_the_time() {
        assert_eq!(first(1, Duration::from_millis(30)), None);
        assert_eq!(all(&[1, 1], Duration::from_millis(30)), None);
    }
}
