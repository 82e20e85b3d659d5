//! Hardware that comes and goes (netlink(7), `NETLINK_KOBJECT_UEVENT`).

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, setsockopt,
    socket, sockopt,
};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// Room for the events of a large machine's cold plug.
const RECEIVE_BUFFER_BYTES: usize = 1 << 20;
/// The kernel's `UEVENT_BUFFER_SIZE` is 2 KiB.
const EVENT_BYTES_MAX: usize = 4096;

/// One event: `ACTION`, `MODALIAS`, `SUBSYSTEM`, `DEVNAME`, … as the kernel sent them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uevent {
    fields: Vec<(String, String)>,
}

impl Uevent {
    /// The value of one field.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value.as_str())
    }

    /// `add@/devices/…` and then `KEY=VALUE`, each ended by a zero byte.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Self {
        let fields = bytes
            .split(|byte| *byte == 0)
            .filter_map(|part| std::str::from_utf8(part).ok()?.split_once('='))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        Self { fields }
    }
}

/// The kernel's event socket, non-blocking.
#[derive(Debug)]
pub struct UeventSocket(OwnedFd);

/// One that the program before this one has opened, in this process.
impl From<OwnedFd> for UeventSocket {
    fn from(socket: OwnedFd) -> Self {
        Self(socket)
    }
}

impl UeventSocket {
    /// # Errors
    /// As socket(2) and bind(2).
    pub fn open() -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let descriptor = socket(
            AddressFamily::Netlink,
            SockType::Datagram,
            flags,
            SockProtocol::NetlinkKObjectUEvent,
        )?;
        // Group 1 is the kernel's own; 2 would be udev's. More room needs CAP_NET_ADMIN, which PID 1 has.
        let _ = setsockopt(&descriptor, sockopt::RcvBufForce, &RECEIVE_BUFFER_BYTES);
        bind(descriptor.as_raw_fd(), &NetlinkAddr::new(0, 1))?;
        Ok(Self(descriptor))
    }

    /// The next event; `None` when there is none now.
    ///
    /// # Errors
    /// As recv(2); `ENOBUFS` when events were lost: look at sysfs again.
    pub fn next(&self) -> io::Result<Option<Uevent>> {
        let mut buffer = [0; EVENT_BYTES_MAX];
        match recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
            Ok(bytes) => Ok(Some(Uevent::parse(buffer.get(..bytes).unwrap_or_default()))),
            Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EINTR) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl AsFd for UeventSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_name() {
        let event =
            Uevent::parse(b"add@/devices/x\0ACTION=add\0MODALIAS=virtio:d00000002v00001AF4\0");
        assert_eq!(event.get("ACTION"), Some("add"));
        assert_eq!(event.get("MODALIAS"), Some("virtio:d00000002v00001AF4"));
        assert_eq!(event.get("DEVNAME"), None);
    }
}
