//! Which process of the machine has a port: /proc/net/tcp and its sisters give the socket's inode, /proc/PID/fd the
//! process (proc_pid_net(5), proc_pid_fd(5)). Only for a message, so it never fails.

use crate::plan::ports::{HostPort, Transport};
use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};

/// `TCP_LISTEN` of linux/net/tcp_states.h, as /proc/net/tcp writes it.
const LISTEN: &str = "0A";

/// `process nginx (pid 12)`, or that it isn't known.
pub(crate) fn find(port: &HostPort) -> String {
    let tables = match port.transport {
        Transport::Tcp => ["/proc/net/tcp", "/proc/net/tcp6"],
        Transport::Udp => ["/proc/net/udp", "/proc/net/udp6"],
    };
    let inode = tables
        .iter()
        .find_map(|table| inode(&fs::read_to_string(table).ok()?, port));
    inode
        .and_then(process)
        .unwrap_or_else(|| "a process of the machine that is not known".to_owned())
}

/// Of the socket that has the port: a listening one first.
fn inode(table: &str, port: &HostPort) -> Option<u64> {
    let mut found = None;
    for line in table.lines().skip(1) {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let (Some(local), Some(state), Some(inode)) = (fields.get(1), fields.get(3), fields.get(9))
        else {
            continue;
        };
        let Some((address, number)) = local.split_once(':') else {
            continue;
        };
        if u16::from_str_radix(number, 16) != Ok(port.port) || !meets(address, port.address) {
            continue;
        }
        let inode = inode.parse().ok().filter(|inode| *inode != 0);
        if *state == LISTEN {
            return inode;
        }
        found = found.or(inode);
    }
    found
}

/// Whether an address as these tables write it (words of four bytes, each in the machine's order) is, or covers,
/// the given one.
fn meets(text: &str, address: Ipv4Addr) -> bool {
    let words: Option<Vec<[u8; 4]>> = (0..text.len() / 8)
        .map(|word| {
            let word = text.get(word * 8..word * 8 + 8)?;
            u32::from_str_radix(word, 16).ok().map(u32::to_ne_bytes)
        })
        .collect();
    let found = match words.as_deref() {
        Some([word]) => Ipv4Addr::from(*word),
        Some(words @ [_, _, _, _]) => {
            let mut octets = [0; 16];
            for (place, word) in octets.chunks_exact_mut(4).zip(words) {
                place.copy_from_slice(word);
            }
            match Ipv6Addr::from(octets) {
                any if any.is_unspecified() => Ipv4Addr::UNSPECIFIED,
                other => match other.to_ipv4_mapped() {
                    Some(mapped) => mapped,
                    None => return false,
                },
            }
        }
        _ => return false,
    };
    found == address || found.is_unspecified() || address.is_unspecified()
}

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
";

    fn port(address: [u8; 4], port: u16) -> HostPort {
        HostPort {
            address: address.into(),
            transport: Transport::Tcp,
            port,
        }
    }

    #[test]
    fn the_listening_socket_of_the_address_is_found() {
        assert_eq!(inode(TABLE, &port([0, 0, 0, 0], 8080)), Some(12));
        assert_eq!(inode(TABLE, &port([10, 0, 0, 2], 80)), Some(13));
        assert_eq!(inode(TABLE, &port([10, 0, 0, 3], 80)), None);
        assert_eq!(inode("nonsense\nmore", &port([0, 0, 0, 0], 1)), None);
    }

    #[test]
    fn ipv6_sockets_that_take_ipv4_count() {
        let address = Ipv4Addr::new(10, 0, 0, 2);
        assert!(meets("00000000000000000000000000000000", address));
        assert!(meets("0000000000000000FFFF00000200000A", address));
        assert!(!meets("00000000000000000000000001000000", address), "::1");
    }
}
