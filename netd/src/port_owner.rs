//! What has a port of the machine: /proc/net/tcp and its sisters give the socket's inode and state, /proc/PID/fd the
//! process (proc_pid_net(5), proc_pid_fd(5)). Only for a message, so it never fails.
//!
//! Not only who listens has a port: a connection of the machine's own has its local one, and keeps it for a minute after
//! its end (`TIME_WAIT`), when there is no process any more.

use crate::plan::ports::{HostPort, Transport};
use std::fmt;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// `TCP_LISTEN` of linux/net/tcp_states.h, as /proc/net/tcp writes it.
const LISTEN: &str = "0A";

/// States of linux/net/tcp_states.h, from 1 on.
const STATES: [&str; 12] = [
    "ESTABLISHED",
    "SYN_SENT",
    "SYN_RECV",
    "FIN_WAIT1",
    "FIN_WAIT2",
    "TIME_WAIT",
    "CLOSE",
    "CLOSE_WAIT",
    "LAST_ACK",
    "LISTEN",
    "CLOSING",
    "NEW_SYN_RECV",
];

/// What has a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// One that listens, or may receive from anywhere.
    Process(String),
    /// One with a connection from that port.
    Client { process: String, connection: String },
    /// The end of a connection is not quite over.
    Ended { connection: String },
    /// One that can't be looked at, or that is bound and does not listen: the kernel doesn't list that.
    Unknown,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process(process) => f.write_str(process),
            Self::Client {
                process,
                connection,
            } => write!(f, "the connection {connection} of {process}"),
            Self::Ended { connection } => {
                write!(
                    f,
                    "the connection {connection}, which has no process any more,"
                )
            }
            Self::Unknown => f.write_str("a process of the machine that is not known"),
        }
    }
}

impl Owner {
    /// What to do about it.
    pub(crate) fn advice(&self) -> &'static str {
        match self {
            Self::Process(_) | Self::Unknown => "stop it or give the unit another host port",
            Self::Client { .. } => {
                "the port is free when that connection ends: wait, stop the process, or give the unit another host port"
            }
            Self::Ended { .. } => {
                "the kernel frees the port within a minute or so: wait, or give the unit another host port"
            }
        }
    }
}

/// What has this port.
pub(crate) fn find(port: &HostPort) -> Owner {
    let tables = match port.transport {
        Transport::Tcp => ["/proc/net/tcp", "/proc/net/tcp6"],
        Transport::Udp => ["/proc/net/udp", "/proc/net/udp6"],
    };
    let sockets = tables.iter().flat_map(|table| {
        let text = fs::read_to_string(table).unwrap_or_default();
        sockets(&text, port)
    });
    match sockets.min_by_key(Socket::rank) {
        Some(socket) => socket.owner(port.transport),
        None => Owner::Unknown,
    }
}

/// A line of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Socket {
    local: SocketAddr,
    remote: SocketAddr,
    state: String,
    inode: Option<u64>,
}

impl Socket {
    fn parse(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let inode = fields.get(9)?.parse().ok();
        Some(Self {
            local: address(fields.get(1)?)?,
            remote: address(fields.get(2)?)?,
            state: (*fields.get(3)?).to_owned(),
            inode: inode.filter(|inode| *inode != 0),
        })
    }

    /// Who listens is told of before who has a connection, and that before what is left of one.
    fn rank(&self) -> u8 {
        match (self.is_open(), self.inode) {
            (true, _) => 0,
            (false, Some(_)) => 1,
            (false, None) => 2,
        }
    }

    /// To whoever comes.
    fn is_open(&self) -> bool {
        self.state == LISTEN || self.remote.port() == 0
    }

    fn owner(&self, transport: Transport) -> Owner {
        let process = self.inode.and_then(process);
        if self.is_open() {
            return process.map_or(Owner::Unknown, Owner::Process);
        }
        let number = usize::from_str_radix(&self.state, 16).unwrap_or(0);
        let state = number.checked_sub(1).and_then(|at| STATES.get(at));
        let state = match transport {
            Transport::Tcp => *state.unwrap_or(&"state not known"),
            Transport::Udp => "UDP",
        };
        let connection = format!("{} → {} ({state})", self.local, self.remote);
        match (self.inode, process) {
            (None, _) => Owner::Ended { connection },
            (Some(_), process) => Owner::Client {
                process: process.unwrap_or_else(|| "a process that is not known".to_owned()),
                connection,
            },
        }
    }
}

/// Those that keep others from binding the port.
fn sockets(table: &str, port: &HostPort) -> Vec<Socket> {
    let lines = table.lines().skip(1).filter_map(Socket::parse);
    lines
        .filter(|socket| socket.local.port() == port.port && meets(socket.local.ip(), port.address))
        .collect()
}

/// `0100007F:1F90`, or the same with an IPv6 address: words of four bytes, each in the machine's order. An IPv4 address in
/// IPv6's clothes is one.
fn address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let words: Option<Vec<[u8; 4]>> = (0..address.len() / 8)
        .map(|word| {
            let word = address.get(word * 8..word * 8 + 8)?;
            u32::from_str_radix(word, 16).ok().map(u32::to_ne_bytes)
        })
        .collect();
    let ip = match words?.as_slice() {
        [word] => IpAddr::V4(Ipv4Addr::from(*word)),
        words @ [_, _, _, _] => {
            let mut octets = [0; 16];
            for (place, word) in octets.chunks_exact_mut(4).zip(words) {
                place.copy_from_slice(word);
            }
            IpAddr::V6(Ipv6Addr::from(octets)).to_canonical()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

/// Whether the address of a socket is, or covers, the given one. (Of an IPv6 socket, only every address and mapped ones.)
fn meets(found: IpAddr, address: Ipv4Addr) -> bool {
    let found = match found {
        IpAddr::V4(found) => found,
        IpAddr::V6(found) if found.is_unspecified() => Ipv4Addr::UNSPECIFIED,
        IpAddr::V6(_) => return false,
    };
    found == address || found.is_unspecified() || address.is_unspecified()
}

/// `process nginx (pid 12)`
fn process(inode: u64) -> Option<String> {
    let target = format!("socket:[{inode}]");
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let name = entry.file_name();
        let Some(pid) = name
            .to_str()
            .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
        else {
            continue;
        };
        // A process that ends meanwhile is not the one.
        let Ok(descriptors) = fs::read_dir(entry.path().join("fd")) else {
            continue;
        };
        let has = descriptors.flatten().any(|descriptor| {
            fs::read_link(descriptor.path()).is_ok_and(|link| link.as_os_str() == target.as_str())
        });
        if has {
            let command = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            return Some(format!("process {} (pid {pid})", command.trim_end()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 0200007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 11 1
   1: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12 1
   2: 0200000A:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 13 1
   3: 0F02000A:9C40 0202000A:01BB 06 00000000:00000000 03:00001770 00000000     0        0 0 3
   4: 0F02000A:9C41 0202000A:01BB 01 00000000:00000000 00:00000000 00000000     0        0 4294967295 1
";

    fn port(address: [u8; 4], port: u16) -> HostPort {
        HostPort {
            address: address.into(),
            transport: Transport::Tcp,
            port,
        }
    }

    fn inode(port: &HostPort) -> Option<u64> {
        sockets(TABLE, port)
            .into_iter()
            .min_by_key(Socket::rank)?
            .inode
    }

    fn owner(port: &HostPort) -> Owner {
        sockets(TABLE, port)[0].owner(Transport::Tcp)
    }

    #[test]
    fn the_listening_socket_of_the_address_is_found() {
        assert_eq!(inode(&port([0, 0, 0, 0], 8080)), Some(12));
        assert_eq!(inode(&port([10, 0, 0, 2], 80)), Some(13));
        assert_eq!(inode(&port([10, 0, 0, 3], 80)), None);
        assert_eq!(sockets("nonsense\nmore", &port([0, 0, 0, 0], 1)), []);
    }

    #[test]
    fn a_connection_is_named_with_both_ends_and_its_state() {
        let ended = owner(&port([0, 0, 0, 0], 40_000));
        assert_eq!(
            ended.to_string(),
            "the connection 10.0.2.15:40000 → 10.0.2.2:443 (TIME_WAIT), which has no process any more,"
        );
        assert!(ended.advice().contains("within a minute"));
        let client = owner(&port([10, 0, 2, 15], 40_001));
        assert_eq!(
            client.to_string(),
            "the connection 10.0.2.15:40001 → 10.0.2.2:443 (ESTABLISHED) of a process that is not known"
        );
        assert!(client.advice().contains("when that connection ends"));
    }

    #[test]
    fn ipv6_sockets_that_take_ipv4_count() {
        let wanted = Ipv4Addr::new(10, 0, 0, 2);
        let meets = |text| meets(address(text).unwrap().ip(), wanted);
        assert!(meets("00000000000000000000000000000000:0050"));
        assert!(meets("0000000000000000FFFF00000200000A:0050"));
        assert!(!meets("00000000000000000000000001000000:0050"), "::1");
    }
}
