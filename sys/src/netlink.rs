//! Netlink sockets (netlink(7)): opened and bound; what is said over them is the caller's.

use nix::sys::socket::{AddressFamily, NetlinkAddr, SockFlag, SockType, bind, socket};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// The two protocols that a container host speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Links, addresses, routes (rtnetlink(7)).
    Route,
    /// nftables and connection tracking.
    Netfilter,
}

/// Open a socket in the network namespace of the calling thread. `groups` is a bit mask of multicast groups to hear
/// (`RTMGRP_LINK` …), 0 for none. Errors come with the kernel's text (`NETLINK_EXT_ACK`) and without a copy of the
/// request (`NETLINK_CAP_ACK`) where the kernel knows these options.
///
/// # Errors
/// As socket(2), bind(2).
pub fn open(protocol: Protocol, groups: u32) -> io::Result<OwnedFd> {
    let protocol = match protocol {
        Protocol::Route => nix::sys::socket::SockProtocol::NetlinkRoute,
        Protocol::Netfilter => nix::sys::socket::SockProtocol::NetlinkNetFilter,
    };
    let socket = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        protocol,
    )?;
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
    for option in [libc::NETLINK_EXT_ACK, libc::NETLINK_CAP_ACK] {
        // A kernel without them (before 4.12) only says less in an error.
        let _ = switch_on(socket.as_fd(), option);
    }
    Ok(socket)
}

fn switch_on(socket: BorrowedFd<'_>, option: i32) -> io::Result<()> {
    let one: libc::c_int = 1;
    let length = libc::socklen_t::try_from(size_of_val(&one)).unwrap_or(4);
    // SAFETY: the kernel reads `length` bytes from `one`, which lives until the call returns.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_NETLINK,
            option,
            (&raw const one).cast(),
            length,
        )
    };
    if done < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_protocols_open_without_privileges() {
        for protocol in [Protocol::Route, Protocol::Netfilter] {
            open(protocol, 0).unwrap();
        }
    }
}
