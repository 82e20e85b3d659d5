//! UDP over IPv4 by hand (RFC 768, RFC 791), for a link that has no address yet.

use std::net::Ipv4Addr;

pub(crate) const CLIENT_PORT: u16 = 68;
pub(crate) const SERVER_PORT: u16 = 67;
const IP_HEADER_BYTES: usize = 20;
const UDP_HEADER_BYTES: usize = 8;
const UDP: u8 = 17;
const TIME_TO_LIVE: u8 = 64;
const DONT_FRAGMENT: u8 = 0x40;

/// A datagram from this client, which has no address, to every server on the link.
pub(crate) fn to_everyone(payload: &[u8]) -> Vec<u8> {
    let udp_length = u16::try_from(UDP_HEADER_BYTES + payload.len()).unwrap_or(u16::MAX);
    let total = udp_length.saturating_add(20);
    let [total_high, total_low] = total.to_be_bytes();
    let mut ip = [0; IP_HEADER_BYTES];
    ip[..10].copy_from_slice(&[
        0x45,
        0,
        total_high,
        total_low,
        0,
        0,
        DONT_FRAGMENT,
        0,
        TIME_TO_LIVE,
        UDP,
    ]);
    ip[12..16].copy_from_slice(&Ipv4Addr::UNSPECIFIED.octets());
    ip[16..20].copy_from_slice(&Ipv4Addr::BROADCAST.octets());
    let sum = checksum(&ip, 0);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());

    let mut udp = Vec::with_capacity(usize::from(total));
    udp.extend_from_slice(&CLIENT_PORT.to_be_bytes());
    udp.extend_from_slice(&SERVER_PORT.to_be_bytes());
    udp.extend_from_slice(&udp_length.to_be_bytes());
    udp.extend_from_slice(&[0, 0]);
    udp.extend_from_slice(payload);
    // The pseudo header: both addresses, protocol, length.
    let pseudo = word_sum(&ip[12..20]) + u32::from(UDP) + u32::from(udp_length);
    let sum = match checksum(&udp, pseudo) {
        // Zero means "none" (RFC 768).
        0 => u16::MAX,
        sum => sum,
    };
    udp[6..8].copy_from_slice(&sum.to_be_bytes());
    [&ip[..], &udp].concat()
}

/// What is in a datagram for the client's port; None when it is not one, or cut short.
///
/// The UDP checksum is not looked at: a packet from the same host (a VM's bridge) arrives without one, to be filled in
/// by hardware that is not there, and the message's transaction id says more than 16 bits of sum.
pub(crate) fn payload(packet: &[u8]) -> Option<&[u8]> {
    let first = *packet.first()?;
    let header = usize::from(first & 0xf) * 4;
    if first >> 4 != 4 || header < IP_HEADER_BYTES || *packet.get(9)? != UDP {
        return None;
    }
    let total = usize::from(u16::from_be_bytes([*packet.get(2)?, *packet.get(3)?]));
    let udp = packet.get(header..total)?;
    let (head, rest) = udp.split_first_chunk::<UDP_HEADER_BYTES>()?;
    let length = usize::from(u16::from_be_bytes([head[4], head[5]]));
    let to_client = u16::from_be_bytes([head[2], head[3]]) == CLIENT_PORT;
    to_client
        .then(|| rest.get(..length.checked_sub(UDP_HEADER_BYTES)?))
        .flatten()
}

/// RFC 1071.
fn checksum(bytes: &[u8], start: u32) -> u16 {
    let mut sum = start + word_sum(bytes);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

fn word_sum(bytes: &[u8]) -> u32 {
    bytes
        .chunks(2)
        .map(|word| {
            u32::from(u16::from_be_bytes([
                word[0],
                word.get(1).copied().unwrap_or(0),
            ]))
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sums_of_header_and_datagram_come_out_right() {
        let packet = to_everyone(b"hello");
        assert_eq!(packet.len(), IP_HEADER_BYTES + UDP_HEADER_BYTES + 5);
        assert_eq!(checksum(&packet[..IP_HEADER_BYTES], 0), 0);
        let udp = &packet[IP_HEADER_BYTES..];
        let pseudo = word_sum(&packet[12..20]) + 17 + u32::try_from(udp.len()).unwrap();
        assert_eq!(checksum(udp, pseudo), 0);
    }

    #[test]
    fn only_a_whole_datagram_for_the_client_has_a_payload() {
        let mut packet = to_everyone(b"hello");
        assert_eq!(payload(&packet), None, "to the server's port");
        packet[IP_HEADER_BYTES + 3] = 68;
        assert_eq!(payload(&packet), Some(&b"hello"[..]));
        packet.extend_from_slice(&[0; 18]);
        assert_eq!(payload(&packet), Some(&b"hello"[..]), "padded by the link");
        for end in 0..IP_HEADER_BYTES + UDP_HEADER_BYTES + 5 {
            assert_eq!(payload(&packet[..end]), None);
        }
    }
}
