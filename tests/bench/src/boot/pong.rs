//! `PING` from outside until `PONG` comes back.
//!
//! Asked only once the guest has a network: before that, QEMU takes connections that then hang. A port that nobody
//! listens on refuses at once, and is asked again; one that is slow to answer is asked beside that, but never more than a
//! few times at once, so that asking is not what keeps a busy machine from answering.

use crate::Failure;
use qemu::Machine;
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Between two attempts: the error of the time.
const PERIOD: Duration = Duration::from_millis(10);
/// Attempts that wait for an answer at a time.
const WAITING_MAX: usize = 8;
/// An attempt that was lost on its way (the container's link was not up yet) makes room for another.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(1);
/// QEMU takes a connection when its main loop comes to it.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(200);
/// Ports asked at a time, of many.
const ASKERS: usize = 4;

/// Nobody has answered in time on these ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Silent {
    pub(crate) ports: Vec<u16>,
}

/// Since the start of QEMU.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pongs {
    pub(crate) first: Duration,
    pub(crate) all: Duration,
}

/// Ports of a guest: the first is asked from now on, the others from its answer on. `None`: there is none to ask. What is
/// known of a machine that is silent, `no_answer` says.
pub(crate) fn of(
    machine: &Machine,
    ports: &[u16],
    timeout: Duration,
    no_answer: impl Fn(&Silent) -> Failure,
) -> Result<Option<Pongs>, Failure> {
    let host_ports: Option<Vec<u16>> = ports.iter().map(|port| machine.host_port(*port)).collect();
    let host_ports = host_ports.ok_or("a port is not forwarded")?;
    let times = answers(&host_ports, timeout).map_err(|silent| no_answer(&silent))?;
    Ok(times.map(|(first, all)| Pongs {
        first: first - machine.started(),
        all: all - machine.started(),
    }))
}

fn answers(ports: &[u16], timeout: Duration) -> Result<Option<(Instant, Instant)>, Silent> {
    let Some((first, others)) = ports.split_first() else {
        return Ok(None);
    };
    let first = self::first(*first, timeout)?;
    let all = if others.is_empty() {
        first
    } else {
        all(others, timeout)?
    };
    Ok(Some((first, all)))
}

/// When the first answer came on a port of loopback.
fn first(port: u16, timeout: Duration) -> Result<Instant, Silent> {
    let deadline = Instant::now() + timeout;
    let mut waiting: Vec<(TcpStream, Instant)> = Vec::new();
    while Instant::now() < deadline {
        let next = Instant::now() + PERIOD;
        if waiting.len() < WAITING_MAX {
            waiting.extend(attempt(port).map(|stream| (stream, Instant::now())));
        }
        // Looked at more often than begun, for the sake of the time.
        while Instant::now() < next {
            let mut answered = false;
            waiting.retain_mut(|(stream, begun)| match stream.read(&mut [0; 16]) {
                Ok(0) => false,
                Ok(_) => {
                    answered = true;
                    false
                }
                Err(error) => {
                    error.kind() == std::io::ErrorKind::WouldBlock
                        && begun.elapsed() < ATTEMPT_TIMEOUT
                }
            });
            if answered {
                return Ok(Instant::now());
            }
            std::thread::sleep(PERIOD / 10);
        }
    }
    Err(Silent { ports: vec![port] })
}

/// When the last of the ports had answered; a few are asked at a time.
fn all(ports: &[u16], timeout: Duration) -> Result<Instant, Silent> {
    let deadline = Instant::now() + timeout;
    let silent: Mutex<VecDeque<u16>> = Mutex::new(ports.iter().copied().collect());
    let lock = || silent.lock().unwrap_or_else(PoisonError::into_inner);
    let ask = || {
        let mut last = None;
        while Instant::now() < deadline {
            let next = lock().pop_front();
            let Some(port) = next else {
                break;
            };
            if once(port).is_some() {
                last = Some(Instant::now());
            } else {
                lock().push_back(port);
                std::thread::sleep(PERIOD);
            }
        }
        last
    };
    let last = std::thread::scope(|scope| {
        let askers: Vec<_> = (0..ASKERS).map(|_| scope.spawn(ask)).collect();
        let answers = askers.into_iter().filter_map(|asker| asker.join().ok()?);
        answers.max()
    });
    let ports: Vec<u16> = lock().iter().copied().collect();
    match last {
        Some(last) if ports.is_empty() => Ok(last),
        _ => Err(Silent { ports }),
    }
}

fn once(port: u16) -> Option<()> {
    let mut stream = attempt(port)?;
    stream.set_nonblocking(false).ok()?;
    stream.set_read_timeout(Some(ATTEMPT_TIMEOUT)).ok()?;
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
        assert!(first(port, Duration::from_secs(10)).is_ok());
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
        assert!(all(&ports, Duration::from_secs(10)).is_ok());
        servers
            .into_iter()
            .for_each(|server| server.join().unwrap());
    }

    #[test]
    fn silence_ends_with_the_time() {
        let silent = |ports: &[u16]| {
            Err(Silent {
                ports: ports.to_vec(),
            })
        };
        assert_eq!(first(1, Duration::from_millis(30)), silent(&[1]));
        assert_eq!(
            all(&[1, 2], Duration::from_millis(30)).map_err(|silent| silent.ports.len()),
            Err(2)
        );
    }
}
