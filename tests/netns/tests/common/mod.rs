//! Services and clients in namespaces, for the tests beside this file.

#![allow(dead_code, reason = "each test file uses a part of it")]

use netns::Namespace;
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(3);
/// For what must not get through.
const SHORT: Duration = Duration::from_millis(300);

/// Leave the test, saying why, where it can't run.
#[macro_export]
macro_rules! needs_namespaces {
    () => {
        if let Some(reason) = netns::missing() {
            eprintln!("SKIPPED: {reason}");
            return;
        }
    };
}

/// A TCP service that answers each line with its name and the peer's address: `web 10.88.0.1 line`.
/// It ends with the test process; its socket keeps the namespace.
pub(crate) fn serve_tcp(place: &Namespace, address: Ipv4Addr, port: u16, name: &str) {
    let listener = place.run(|| TcpListener::bind((address, port)).expect("listen"));
    let name = name.to_owned();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let name = name.clone();
            thread::spawn(move || {
                let peer = stream.peer_addr().expect("peer").ip();
                let mut lines = BufReader::new(stream.try_clone().expect("stream"));
                let (mut line, mut stream) = (String::new(), stream);
                while lines.read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
                    let answer = format!("{name} {peer} {line}");
                    if stream.write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                    line.clear();
                }
            });
        }
    });
}

/// The same by UDP.
pub(crate) fn serve_udp(place: &Namespace, port: u16, name: &str) {
    let socket = place.run(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).expect("bind"));
    let name = name.to_owned();
    thread::spawn(move || {
        let mut buffer = [0; 100];
        while let Ok((bytes, peer)) = socket.recv_from(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..bytes]).into_owned();
            let _ = socket.send_to(format!("{name} {} {text}", peer.ip()).as_bytes(), peer);
        }
    });
}

/// An open connection.
pub(crate) struct Conversation(BufReader<TcpStream>);

impl Conversation {
    pub(crate) fn open(place: &Namespace, address: Ipv4Addr, port: u16) -> std::io::Result<Self> {
        Self::open_within(place, address, port, PATIENCE)
    }

    fn open_within(
        place: &Namespace,
        address: Ipv4Addr,
        port: u16,
        limit: Duration,
    ) -> std::io::Result<Self> {
        let to = SocketAddr::new(IpAddr::V4(address), port);
        let stream = place.run(|| TcpStream::connect_timeout(&to, limit))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Say a line, hear the answer.
    pub(crate) fn say(&mut self, line: &str) -> String {
        self.0
            .get_mut()
            .write_all(format!("{line}\n").as_bytes())
            .expect("say");
        let mut answer = String::new();
        self.0.read_line(&mut answer).expect("answer");
        answer.trim_end().to_owned()
    }
}

/// What a TCP service says to `hi`, from a place.
pub(crate) fn ask_tcp(place: &Namespace, address: Ipv4Addr, port: u16) -> String {
    Conversation::open(place, address, port)
        .unwrap_or_else(|error| panic!("{address}:{port}: {error}"))
        .say("hi")
}

pub(crate) fn tcp_is_closed(place: &Namespace, address: Ipv4Addr, port: u16) -> bool {
    Conversation::open_within(place, address, port, SHORT).is_err()
}

/// A UDP socket that keeps its port.
pub(crate) fn udp_client(place: &Namespace) -> UdpSocket {
    let socket = place.run(|| UdpSocket::bind("0.0.0.0:0").expect("bind"));
    socket.set_read_timeout(Some(PATIENCE)).expect("time limit");
    socket
}

pub(crate) fn ask_udp(socket: &UdpSocket, address: Ipv4Addr, port: u16) -> String {
    socket.send_to(b"hi", (address, port)).expect("send");
    let mut buffer = [0; 100];
    let (bytes, _) = socket
        .recv_from(&mut buffer)
        .unwrap_or_else(|error| panic!("{address}:{port}: {error}"));
    String::from_utf8_lossy(&buffer[..bytes]).into_owned()
}

/// Number of nftables rules in a namespace, asked of the kernel (`NFT_MSG_GETRULE`).
pub(crate) fn rules(place: &Namespace) -> usize {
    const NFT_MSG_NEWRULE: u8 = 6;
    const NFT_MSG_GETRULE: u8 = 7;
    nftables(place, NFT_MSG_GETRULE, NFT_MSG_NEWRULE).len()
}

/// The attributes of each nftables table in a namespace, among them its handle: one that is deleted and made again has
/// another (`NFT_MSG_GETTABLE`).
pub(crate) fn tables(place: &Namespace) -> Vec<Vec<u8>> {
    const NFT_MSG_NEWTABLE: u8 = 0;
    const NFT_MSG_GETTABLE: u8 = 1;
    nftables(place, NFT_MSG_GETTABLE, NFT_MSG_NEWTABLE)
}

/// Attributes of all objects of a kind, IPv4.
fn nftables(place: &Namespace, get: u8, new: u8) -> Vec<Vec<u8>> {
    const SUBSYSTEM: u8 = 10;
    const REQUEST_DUMP: u16 = 0x301;
    /// `struct nlmsghdr` and `struct nfgenmsg`.
    const HEADS_BYTES: usize = 20;
    use nix::sys::socket::{MsgFlags, recv, send};
    use std::os::fd::AsRawFd;
    let kind = |message| u16::from_be_bytes([SUBSYSTEM, message]);
    let socket =
        place.run(|| sys::netlink::open(sys::netlink::Protocol::Netfilter, 0).expect("netlink"));
    let mut request = Vec::new();
    request.extend_from_slice(&20_u32.to_ne_bytes());
    request.extend_from_slice(&kind(get).to_ne_bytes());
    request.extend_from_slice(&REQUEST_DUMP.to_ne_bytes());
    request.extend_from_slice(&[1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0]);
    send(socket.as_raw_fd(), &request, MsgFlags::empty()).expect("ask");
    let mut buffer = vec![0; 1 << 16];
    let mut found = Vec::new();
    while let Ok(bytes) = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
        let mut rest = &buffer[..bytes];
        while let Some(head) = rest.first_chunk::<6>() {
            let length = u32::from_ne_bytes([head[0], head[1], head[2], head[3]]) as usize;
            if u16::from_ne_bytes([head[4], head[5]]) == kind(new) {
                found.extend(rest.get(HEADS_BYTES..length).map(<[u8]>::to_vec));
            }
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
    }
    found
}
