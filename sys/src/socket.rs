//! Unix sockets that carry descriptors (unix(7), `SCM_RIGHTS`).

use nix::cmsg_space;
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg,
    sendmsg, socketpair,
};
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// Most descriptors that one message carries here: stdin, stdout, stderr and a few to spare.
pub const DESCRIPTORS_MAX: usize = 8;

/// `sun_path` without its NUL (unix(7)).
const ADDRESS_PATH_MAX: usize = 107;

/// A connected pair that keeps message boundaries; both ends are close-on-exec.
///
/// # Errors
/// As socketpair(2).
pub fn seqpacket_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        SockFlag::SOCK_CLOEXEC,
    )?)
}

/// A connected pair of byte streams; both ends are close-on-exec.
///
/// # Errors
/// As socketpair(2).
pub fn stream_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(
        AddressFamily::Unix,
        SockType::Stream,
        None,
        SockFlag::SOCK_CLOEXEC,
    )?)
}

/// Connect to a unix stream socket, however long its path is: an address holds 107 bytes (`sun_path`, unix(7)), so one
/// with a longer path is reached through its folder.
///
/// # Errors
/// As connect(2), and open(2) of the folder.
pub fn connect(path: &Path) -> io::Result<UnixStream> {
    if path.as_os_str().len() <= ADDRESS_PATH_MAX {
        return UnixStream::connect(path);
    }
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let folder = File::open(folder)?;
    let through = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string());
    UnixStream::connect(through.join(name))
}

/// Send bytes, descriptors riding with the first of them. A closed peer is `EPIPE`, never a signal.
/// On a stream it may send fewer bytes than given: the rest is sent without descriptors.
///
/// # Errors
/// As sendmsg(2); `WouldBlock` on a full non-blocking socket.
pub fn send(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<usize> {
    let raw: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let control: &[ControlMessage<'_>] = if raw.is_empty() { &[] } else { &rights };
    loop {
        let flags = MsgFlags::MSG_NOSIGNAL;
        match sendmsg::<()>(
            socket.as_raw_fd(),
            &[IoSlice::new(bytes)],
            control,
            flags,
            None,
        ) {
            Err(nix::errno::Errno::EINTR) => {}
            other => return Ok(other?),
        }
    }
}

/// Receive into `buffer`; 0 bytes is the end. Descriptors arrive close-on-exec.
///
/// # Errors
/// As recvmsg(2); `InvalidData` when a message was longer than the buffer or carried more than [`DESCRIPTORS_MAX`]
/// descriptors (the kernel closes those that do not fit).
pub fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = cmsg_space!([RawFd; DESCRIPTORS_MAX]);
    let mut parts = [IoSliceMut::new(buffer)];
    let message = loop {
        match recvmsg::<()>(
            socket.as_raw_fd(),
            &mut parts,
            Some(&mut space),
            MsgFlags::MSG_CMSG_CLOEXEC,
        ) {
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
    if message
        .flags
        .intersects(MsgFlags::MSG_TRUNC | MsgFlags::MSG_CTRUNC)
    {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "message or its descriptors longer than the limit",
        ));
    }
    Ok((message.bytes, descriptors))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::fd::AsFd;

    #[test]
    fn a_descriptor_arrives_with_its_message() {
        let (left, right) = seqpacket_pair().unwrap();
        let (mut reader, writer) = std::io::pipe().unwrap();
        send(left.as_fd(), b"hello", &[writer.as_fd()]).unwrap();
        drop(writer);
        let mut buffer = [0; 16];
        let (bytes, mut descriptors) = receive(right.as_fd(), &mut buffer).unwrap();
        assert_eq!((&buffer[..bytes], descriptors.len()), (&b"hello"[..], 1));
        std::io::Write::write_all(&mut std::fs::File::from(descriptors.remove(0)), b"x").unwrap();
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "x");
    }

    #[test]
    fn a_socket_with_a_path_longer_than_an_address_is_reached() {
        let parent = std::env::temp_dir().join(format!("keelson-socket-{}", std::process::id()));
        let folder = parent.join("x".repeat(150));
        std::fs::create_dir_all(&folder).unwrap();
        let opened = File::open(&folder).unwrap();
        let short = format!("/proc/self/fd/{}/a.sock", opened.as_raw_fd());
        let _listener = std::os::unix::net::UnixListener::bind(short).unwrap();
        connect(&folder.join("a.sock")).unwrap();
        assert!(connect(&folder.join("b.sock")).is_err());
        std::fs::remove_dir_all(parent).unwrap();
    }

    #[test]
    fn a_message_longer_than_the_buffer_is_an_error() {
        let (left, right) = seqpacket_pair().unwrap();
        send(left.as_fd(), &[7; 64], &[]).unwrap();
        assert_eq!(
            receive(right.as_fd(), &mut [0; 8]).unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
    }
}
