//! One port, driven by hand: what its host does is what its client sees.

use control::frame;
use control::reply::Reply;
use control::serial::{Channel, Event, Session, Streams, new_session_id};
use relay::Port;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

struct Bench {
    host: UnixStream,
    port: Port,
    pid1: UnixListener,
    socket: PathBuf,
}

impl Bench {
    fn new(name: &str) -> Self {
        let socket = std::env::temp_dir().join(format!("relay-{name}-{}.sock", std::process::id()));
        let _ = std::fs::remove_file(&socket);
        let pid1 = UnixListener::bind(&socket).unwrap();
        let (host, device) = UnixStream::pair().unwrap();
        host.set_nonblocking(true).unwrap();
        device.set_nonblocking(true).unwrap();
        let port = Port::new(
            "keelson.control.0".into(),
            File::from(OwnedFd::from(device)),
        );
        Self {
            host,
            port,
            pid1,
            socket,
        }
    }

    /// Carry both ways until nothing moves, and collect what the host learns.
    fn settle(&mut self, session: &mut Session) -> Vec<Event> {
        let mut events = Vec::new();
        let mut buffer = vec![0; 1 << 16];
        for _ in 0..20 {
            if let Ok(bytes) = self.host.write(session.output()) {
                session.wrote(bytes);
            }
            self.port.pump(&self.socket);
            match self.host.read(&mut buffer) {
                Ok(bytes) => session.receive(&buffer[..bytes]),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
            events.extend(std::iter::from_fn(|| session.next_event()));
        }
        events
    }

    /// The kernel says that a host has left, and the relay has found out what that means.
    fn settle_departure(&mut self) {
        self.port.host_left();
        while let Some(end) = self.port.deadline() {
            std::thread::sleep(end.saturating_duration_since(Instant::now()));
            self.port.settle();
        }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.socket);
    }
}

#[test]
fn a_host_that_hangs_up_takes_its_client_with_it() {
    let mut bench = Bench::new("hangup");
    let mut session = Session::host(new_session_id(), Streams::None);
    session.send(Channel::Control, b"half a requ");
    assert_eq!(
        bench.settle(&mut session).first(),
        Some(&Event::Established)
    );
    let (mut client, _) = bench.pid1.accept().unwrap();
    bench.host.shutdown(std::net::Shutdown::Both).unwrap();
    bench.settle_departure();
    let mut request = Vec::new();
    client.read_to_end(&mut request).unwrap();
    assert_eq!(request, b"half a requ");
    assert!(bench.port.descriptors().is_empty());
}

#[test]
fn a_departure_that_is_told_late_does_not_harm_the_next_host() {
    let mut bench = Bench::new("late");
    let mut last = Session::host(new_session_id(), Streams::None);
    last.send(Channel::Control, b"x");
    bench.settle(&mut last);
    last.close("");
    bench.settle(&mut last);
    let mut next = Session::host(new_session_id(), Streams::None);
    next.send(Channel::Control, b"y");
    assert_eq!(bench.settle(&mut next).first(), Some(&Event::Established));
    bench.settle_departure();
    let (_, mut client) = (bench.pid1.accept().unwrap(), bench.pid1.accept().unwrap().0);
    client.write_all(b"answer").unwrap();
    let answer = Event::Data(Channel::Control, b"answer".to_vec());
    assert!(bench.settle(&mut next).contains(&answer));
}

/// Hosts that come and go faster than the relay finds out: one has left, and while that is found out the next but one
/// is here with its first bytes, of which the port does not say yet that they have a host.
#[test]
fn a_host_whose_coming_is_told_late_is_not_taken_for_the_one_that_left() {
    let mut bench = Bench::new("early");
    bench.port.host_left();
    let found_out = bench.port.deadline().unwrap();
    let mut pieces = Session::host(new_session_id(), Streams::None);
    while Instant::now() < found_out {
        std::thread::sleep(Duration::from_millis(50));
        let half = pieces.output().len().min(2000);
        bench.host.write_all(&pieces.output()[..half]).unwrap();
        pieces.wrote(half);
        bench.port.pump(&bench.socket);
        bench.port.settle();
    }
    let end = bench.port.deadline();
    assert!(
        end.is_some_and(|end| end > found_out),
        "it was decided while bytes came: {end:?}"
    );
}

#[test]
fn a_reply_comes_back_and_the_session_closes_with_the_connection() {
    let mut bench = Bench::new("reply");
    let mut session = Session::host(new_session_id(), Streams::None);
    session.send(Channel::Control, b"x");
    bench.settle(&mut session);
    let (mut client, _) = bench.pid1.accept().unwrap();
    let reply = frame::encode(&Reply::Done).unwrap();
    client.write_all(&reply).unwrap();
    drop(client);
    let events = bench.settle(&mut session);
    assert_eq!(events.first(), Some(&Event::Data(Channel::Control, reply)));
    assert_eq!(events.last(), Some(&Event::Closed(String::new())));
}

#[test]
fn a_client_that_does_not_read_holds_no_more_than_a_window() {
    let mut bench = Bench::new("window");
    let mut session = Session::host(new_session_id(), Streams::Input);
    session.send(Channel::Control, b"x");
    bench.settle(&mut session);
    let _client = bench.pid1.accept().unwrap();
    let mut sent = 0;
    for _ in 0..50 {
        sent += session.send(Channel::Stdin, &[7; 1 << 16]);
        bench.settle(&mut session);
    }
    let pipe_bytes = 64 << 10;
    assert!(
        sent <= control::serial::WINDOW_BYTES + 2 * pipe_bytes,
        "{sent}"
    );
    assert!(session.room(Channel::Control) > 0);
}

#[test]
fn without_a_control_socket_the_host_is_told() {
    let mut bench = Bench::new("nobody");
    std::fs::remove_file(&bench.socket).unwrap();
    let mut session = Session::host(new_session_id(), Streams::Pipes);
    let events = bench.settle(&mut session);
    let Some(Event::Closed(why)) = events.last() else {
        panic!("{events:?}")
    };
    assert!(why.contains("No such file"), "{why}");
}

/// It ends by itself, but not as long as a host is there or may have been there a moment ago.
#[test]
fn a_relay_without_hosts_ends() {
    const IDLE: Duration = Duration::from_millis(300);
    let mut bench = Bench::new("idle");
    let (device, other) = UnixStream::pair().unwrap();
    device.set_nonblocking(true).unwrap();
    drop(other);
    let socket = bench.socket.clone();
    let empty = Port::new(
        "keelson.control.1".into(),
        File::from(OwnedFd::from(device)),
    );
    let used = std::mem::replace(
        &mut bench.port,
        Port::new("none".into(), File::open("/dev/null").unwrap()),
    );
    let relay = std::thread::spawn(move || relay::serve(vec![empty, used], &socket, Some(IDLE)));
    std::thread::sleep(3 * IDLE);
    assert!(!relay.is_finished(), "a host is there");
    let mut session = Session::host(new_session_id(), Streams::None);
    session.send(Channel::Control, b"late");
    bench.pid1.set_nonblocking(true).unwrap();
    let mut buffer = [0; 4096];
    let mut client = loop {
        if let Ok(bytes) = bench.host.write(session.output()) {
            session.wrote(bytes);
        }
        if let Ok(bytes) = bench.host.read(&mut buffer) {
            session.receive(&buffer[..bytes]);
        }
        while session.next_event().is_some() {}
        if let Ok((client, _)) = bench.pid1.accept() {
            break client;
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    bench.host.write_all(session.output()).unwrap();
    client.set_nonblocking(false).unwrap();
    let mut request = [0; 4];
    client.read_exact(&mut request).unwrap();
    assert_eq!(&request, b"late");
    let left = Instant::now();
    drop(std::mem::replace(
        &mut bench.host,
        UnixStream::pair().unwrap().0,
    ));
    relay.join().unwrap().unwrap();
    assert!(left.elapsed() >= IDLE, "{:?}", left.elapsed());
}
