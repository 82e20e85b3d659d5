//! Whether a UDP port is open: the kernel's tables of a network namespace (proc_pid_net(5), /proc/net/udp).
//!
//! A datagram would show it too, but would get to the service, which may well complain about it.

use crate::limits::TABLE_BYTES_MAX;
use std::fs::File;
use std::io::{self, Read};

const TABLES: [&str; 2] = ["/proc/thread-self/net/udp", "/proc/thread-self/net/udp6"];

/// Whether any socket has the port, in the namespace that the thread is in now.
pub(crate) fn is_open(port: u16) -> io::Result<bool> {
    for table in TABLES {
        let mut text = String::new();
        match File::open(table) {
            Ok(file) => file.take(TABLE_BYTES_MAX).read_to_string(&mut text)?,
            // No IPv6.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        if ports(&text).any(|known| known == port) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Local ports: the second column of all lines but the first, `ADDRESS:PORT` in hexadecimal digits.
fn ports(table: &str) -> impl Iterator<Item = u16> {
    table.lines().skip(1).filter_map(|line| {
        let local = line.split_ascii_whitespace().nth(1)?;
        let (_, port) = local.rsplit_once(':')?;
        u16::from_str_radix(port, 16).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_column_has_the_port() {
        let table = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
                     \x20 412: 00000000:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 8125 2 0 0\n\
                     \x20 413: 00000000000000000000000001000000:14E9 00000000000000000000000000000000:0000 07\n\
                     broken\n";
        assert_eq!(ports(table).collect::<Vec<_>>(), [53, 5353]);
    }
}
