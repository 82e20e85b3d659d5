//! The sockets of a DHCP exchange: a packet socket until there is an address, a UDP socket to extend it.

use super::frame;
use nix::sys::socket::{MsgFlags, recv, setsockopt, sockopt};
use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// Longer than any DHCP message that this client allows (its option 57).
const MESSAGE_BYTES_MAX: usize = 1500;

#[derive(Debug)]
pub(crate) enum DhcpPort {
    /// The link has no address: whole IPv4 packets.
    Packet { socket: OwnedFd, link: u32 },
    /// From the address in use.
    Udp(UdpSocket),
}

impl DhcpPort {
    pub(crate) fn packet(link: u32) -> io::Result<Self> {
        let socket = sys::packet::udp_listener(link, frame::CLIENT_PORT)?;
        Ok(Self::Packet { socket, link })
    }

    /// Bound to the link by its name, so that its server is not looked for elsewhere.
    pub(crate) fn udp(link_name: &str) -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, frame::CLIENT_PORT))?;
        socket.set_nonblocking(true)?;
        socket.set_broadcast(true)?;
        setsockopt(&socket, sockopt::BindToDevice, &link_name.into())?;
        Ok(Self::Udp(socket))
    }

    pub(crate) fn broadcast(&self, message: &[u8]) -> io::Result<()> {
        match self {
            Self::Packet { socket, link } => {
                sys::packet::broadcast(socket, *link, &frame::to_everyone(message))
            }
            Self::Udp(_) => self.unicast(Ipv4Addr::BROADCAST, message),
        }
    }

    pub(crate) fn unicast(&self, server: Ipv4Addr, message: &[u8]) -> io::Result<()> {
        match self {
            // Without an address there is no sending to one server: say it to all.
            Self::Packet { .. } => self.broadcast(message),
            Self::Udp(socket) => socket
                .send_to(message, (server, frame::SERVER_PORT))
                .map(|_| ()),
        }
    }

    /// The next message that has come in, or none.
    pub(crate) fn receive(&self) -> Option<Vec<u8>> {
        let mut buffer = vec![0; MESSAGE_BYTES_MAX];
        match self {
            Self::Packet { socket, .. } => {
                let flags = MsgFlags::MSG_DONTWAIT;
                let bytes = recv(socket.as_raw_fd(), &mut buffer, flags).ok()?;
                // Not for us: an empty message, which no client understands, rather than the end of the queue.
                Some(
                    frame::payload(&buffer[..bytes])
                        .unwrap_or_default()
                        .to_vec(),
                )
            }
            Self::Udp(socket) => {
                let bytes = socket.recv(&mut buffer).ok()?;
                buffer.truncate(bytes);
                Some(buffer)
            }
        }
    }

    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        match self {
            Self::Packet { socket, .. } => socket.as_fd(),
            Self::Udp(socket) => socket.as_fd(),
        }
    }
}
