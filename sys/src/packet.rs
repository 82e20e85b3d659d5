//! Packet sockets (packet(7)): IPv4 packets of one link before the link has an address, which is what DHCP needs.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// `ETH_P_IP` in network byte order, as sockaddr_ll wants it.
const IPV4: u16 = 0x0800_u16.to_be();
const BROADCAST: [u8; 8] = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0];

/// Hear the UDP datagrams for `port` that arrive on `interface` (its index), each with its IPv4 header and without its
/// link header. Everything else is left out by a filter in the kernel (classic BPF, socket(7) `SO_ATTACH_FILTER`).
/// Non-blocking.
///
/// # Errors
/// As socket(2), setsockopt(2), bind(2).
pub fn udp_listener(interface: u32, port: u16) -> io::Result<OwnedFd> {
    let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // Protocol 0: nothing is queued until the filter is there and bind(2) names the protocol.
    // SAFETY: socket(2) has no memory effects.
    let number = unsafe { libc::socket(libc::AF_PACKET, kind, 0) };
    if number < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us, and nobody else knows its number.
    let socket = unsafe { OwnedFd::from_raw_fd(number) };

    let op = |code: u32, jt: u8, jf: u8, k: u32| libc::sock_filter {
        code: u16::try_from(code).unwrap_or(0),
        jt,
        jf,
        k,
    };
    // Protocol is UDP (17), not a later fragment, destination port as asked; else drop.
    let mut program = [
        op(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 0, 0, 9),
        op(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 6, 17),
        op(libc::BPF_LD | libc::BPF_H | libc::BPF_ABS, 0, 0, 6),
        op(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K, 4, 0, 0x1fff),
        op(libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH, 0, 0, 0),
        op(libc::BPF_LD | libc::BPF_H | libc::BPF_IND, 0, 0, 2),
        op(
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            0,
            1,
            u32::from(port),
        ),
        op(libc::BPF_RET | libc::BPF_K, 0, 0, 0xffff),
        op(libc::BPF_RET | libc::BPF_K, 0, 0, 0),
    ];
    let filter = libc::sock_fprog {
        len: u16::try_from(program.len()).unwrap_or(0),
        filter: program.as_mut_ptr(),
    };
    // SAFETY: `filter` points at `program` with its right length; the kernel copies both before the call returns.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const filter).cast(),
            length_of(&filter),
        )
    };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }

    let address = link_address(interface)?;
    // SAFETY: `address` is a sockaddr_ll of the given length and lives until the call returns.
    let done = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            length_of(&address),
        )
    };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(socket)
}

/// Send an IPv4 packet (header included) to everyone on the link.
///
/// # Errors
/// As sendto(2); `ENETDOWN` when the link is down.
pub fn broadcast(socket: &OwnedFd, interface: u32, packet: &[u8]) -> io::Result<()> {
    let address = link_address(interface)?;
    // SAFETY: the kernel reads `packet` and `address`, both borrowed for the length of the call.
    let sent = unsafe {
        libc::sendto(
            socket.as_raw_fd(),
            packet.as_ptr().cast(),
            packet.len(),
            libc::MSG_NOSIGNAL,
            (&raw const address).cast(),
            length_of(&address),
        )
    };
    if sent < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

fn link_address(interface: u32) -> io::Result<libc::sockaddr_ll> {
    let family = u16::try_from(libc::AF_PACKET).unwrap_or(17);
    let index =
        i32::try_from(interface).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    Ok(libc::sockaddr_ll {
        sll_family: family,
        sll_protocol: IPV4,
        sll_ifindex: index,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 6,
        sll_addr: BROADCAST,
    })
}

fn length_of<T>(value: &T) -> libc::socklen_t {
    libc::socklen_t::try_from(size_of_val(value)).unwrap_or(0)
}
