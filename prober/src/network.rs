//! Where a probe looks: sockets in another network namespace (setns(2), network_namespaces(7)).

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, connect, socket};
use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

const OWN_NAMESPACE: &str = "/proc/thread-self/ns/net";

/// The machine's own namespace, to come back to.
#[derive(Debug)]
pub(crate) struct Home(File);

/// The thread could not come back: nothing that it does from here on would be where it belongs.
#[derive(Debug)]
pub(crate) struct Lost(pub(crate) io::Error);

impl Home {
    pub(crate) fn open() -> io::Result<Self> {
        File::open(OWN_NAMESPACE).map(Self)
    }

    /// Do something short in a namespace; `None` is our own.
    ///
    /// # Errors
    /// `Lost` ends the program; the inner one is of entering or of `act`.
    pub(crate) fn within<T>(
        &self,
        namespace: Option<BorrowedFd<'_>>,
        act: impl FnOnce() -> io::Result<T>,
    ) -> Result<io::Result<T>, Lost> {
        let Some(namespace) = namespace else {
            return Ok(act());
        };
        if let Err(error) = sys::namespace::enter_network(namespace) {
            let message = format!("can't enter the container's network namespace: {error}");
            return Ok(Err(io::Error::new(error.kind(), message)));
        }
        let result = act();
        sys::namespace::enter_network(self.0.as_fd()).map_err(Lost)?;
        Ok(result)
    }
}

/// A TCP socket that waits for nothing.
pub(crate) fn tcp_socket(address: SocketAddr) -> io::Result<OwnedFd> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    Ok(socket(family, SockType::Stream, flags, None)?)
}

/// Whether it is connected now (connect(2)); to be asked again with the same address when it is `Pending`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Connected {
    Yes,
    Pending,
}

pub(crate) fn tcp_connect(socket: &TcpStream, address: SocketAddr) -> io::Result<Connected> {
    match connect(socket.as_raw_fd(), &SockaddrStorage::from(address)) {
        Ok(()) | Err(Errno::EISCONN) => Ok(Connected::Yes),
        Err(Errno::EINPROGRESS | Errno::EALREADY | Errno::EINTR) => Ok(Connected::Pending),
        Err(error) => Err(error.into()),
    }
}
