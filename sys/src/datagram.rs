//! Unix datagram sockets with a name (unix(7)): anybody who reaches the name can send.

use nix::cmsg_space;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr, bind, recvmsg,
    socket,
};
use std::fs::{self, Permissions};
use std::io::{self, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// `SCM_MAX_FD` of net/scm.h: the kernel accepts no message with more. With room for all, none is ever closed by the
/// kernel on our behalf.
const DESCRIPTORS_MAX: usize = 253;

/// One message.
#[derive(Debug)]
pub struct Datagram {
    pub bytes: usize,
    /// It was longer than the buffer, and the rest is lost.
    pub cut: bool,
    /// Of whatever kind the sender likes. To close the last one of a socket or of a file can block: see
    /// [`crate::closer`].
    pub descriptors: Vec<OwnedFd>,
}

/// Make a socket at `path` that every user who reaches the path can send to. It does not block.
///
/// # Errors
/// As bind(2); `AddrInUse` when something is there.
pub fn listen(path: &Path) -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let made = socket(AddressFamily::Unix, SockType::Datagram, flags, None)?;
    bind(made.as_raw_fd(), &UnixAddr::new(path)?)?;
    // connect(2) asks for the permission to write, which umask(2) has taken from others.
    fs::set_permissions(path, Permissions::from_mode(0o666))?;
    Ok(made)
}

/// Take the next message.
///
/// # Errors
/// As recvmsg(2); `WouldBlock` when there is none.
pub fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Datagram> {
    let mut space = cmsg_space!([RawFd; DESCRIPTORS_MAX]);
    let mut parts = [IoSliceMut::new(buffer)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_DONTWAIT;
    let message = loop {
        match recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut space), flags) {
            Err(nix::errno::Errno::EINTR) => {}
            other => break other?,
        }
    };
    let mut descriptors = Vec::new();
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(raw) = control {
            for descriptor in raw {
                // SAFETY: the kernel has just installed this descriptor for us, and nobody else knows its number.
                descriptors.push(unsafe { OwnedFd::from_raw_fd(descriptor) });
            }
        }
    }
    Ok(Datagram {
        bytes: message.bytes,
        cut: message.flags.contains(MsgFlags::MSG_TRUNC),
        descriptors,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixDatagram;

    fn place(name: &str) -> std::path::PathBuf {
        let name = format!("keelson-datagram-{name}-{}", std::process::id());
        let place = std::env::temp_dir().join(name);
        let _ = fs::remove_file(&place);
        place
    }

    #[test]
    fn messages_arrive_one_by_one_with_their_descriptors() {
        let path = place("order");
        let ours = listen(&path).unwrap();
        let sender = UnixDatagram::unbound().unwrap();
        sender.connect(&path).unwrap();
        let (_, writer) = io::pipe().unwrap();
        let raw = [writer.as_fd(); 3];
        crate::socket::send(sender.as_fd(), b"one", &raw).unwrap();
        sender.send(b"twenty-two").unwrap();
        let mut buffer = [0; 4];
        let first = receive(ours.as_fd(), &mut buffer).unwrap();
        assert_eq!((first.bytes, first.cut), (3, false));
        assert_eq!(first.descriptors.len(), 3);
        let second = receive(ours.as_fd(), &mut buffer).unwrap();
        assert_eq!((second.bytes, second.cut), (4, true));
        let none = receive(ours.as_fd(), &mut buffer).unwrap_err();
        assert_eq!(none.kind(), io::ErrorKind::WouldBlock);
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o666, "another user may send");
        fs::remove_file(path).unwrap();
    }
}
