//! One card, one fixed address: two messages to the kernel (rtnetlink(7)).

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use sys::netlink::{Protocol, open};

/// The only card.
const CARD: &str = "eth0";
/// What QEMU's user network gives to its first guest (qemu(1), -netdev user), so that forwarded ports lead to it.
const ADDRESS: [u8; 4] = [10, 0, 2, 15];
const PREFIX: u8 = 24;

// linux/rtnetlink.h, linux/netlink.h, linux/if_addr.h
const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const REQUEST_ACK: u16 = 1 | 4;
const CREATE_EXCLUSIVE: u16 = 0x400 | 0x200;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFF_UP: u32 = 1;
const AF_INET: u8 = 2;

/// Card up, address on it.
pub(crate) fn up() -> io::Result<()> {
    let index = nix::net::if_::if_nametoindex(CARD)?;
    let socket = open(Protocol::Route, 0)?;
    let mut address = vec![AF_INET, PREFIX, 0, 0];
    address.extend(index.to_ne_bytes());
    for kind in [IFA_LOCAL, IFA_ADDRESS] {
        address.extend(8u16.to_ne_bytes());
        address.extend(kind.to_ne_bytes());
        address.extend(ADDRESS);
    }
    ask(
        socket.as_fd(),
        RTM_NEWADDR,
        REQUEST_ACK | CREATE_EXCLUSIVE,
        &address,
    )?;
    // struct ifinfomsg: family, padding, type, index, flags, which of them are meant
    let mut link = vec![0; 4];
    for field in [index, IFF_UP, IFF_UP] {
        link.extend(field.to_ne_bytes());
    }
    ask(socket.as_fd(), RTM_NEWLINK, REQUEST_ACK, &link)
}

fn ask(socket: BorrowedFd<'_>, kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
    let length = u32::try_from(16 + body.len()).map_err(io::Error::other)?;
    let mut message = length.to_ne_bytes().to_vec();
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    // Number of the message and of the sender: there is one of each.
    message.extend([0; 8]);
    message.extend(body);
    nix::unistd::write(socket, &message)?;
    let mut answer = [0; 4096];
    let length = nix::unistd::read(socket, &mut answer)?;
    // struct nlmsgerr behind the header: 0, or an error number below it.
    let code = answer
        .get(16..20.min(length))
        .and_then(|bytes| bytes.try_into().ok());
    match code.map(i32::from_ne_bytes) {
        Some(0) => Ok(()),
        Some(code) => Err(io::Error::from_raw_os_error(-code)),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}
