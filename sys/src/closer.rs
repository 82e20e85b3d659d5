//! Closing what others have sent, without waiting for it.
//!
//! close(2) of the last descriptor may block: a socket waits as long as its `SO_LINGER` says, a deleted file until its
//! blocks are freed. A process that must not wait, and takes descriptors from strangers, lets a child be the last who has
//! them.

use nix::fcntl::{FcntlArg, fcntl};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};

/// Close these. Pipes are closed at once; for anything else the process id of the child that closes it comes back, which
/// is to be reaped.
///
/// The caller must be single-threaded (PID 1 is).
///
/// # Errors
/// As pipe(2) and fork(2): then they are closed here after all.
pub fn close(descriptors: Vec<OwnedFd>) -> io::Result<Option<i32>> {
    let rest: Vec<OwnedFd> = descriptors
        .into_iter()
        .filter(|descriptor| !is_pipe(descriptor.as_fd()))
        .collect();
    if rest.is_empty() {
        return Ok(None);
    }
    let (reader, writer) = io::pipe()?;
    // SAFETY: by the contract above there is no other thread that could hold a lock which the child then needs.
    match unsafe { nix::unistd::fork() }? {
        nix::unistd::ForkResult::Child => hold(reader.as_fd(), &rest),
        nix::unistd::ForkResult::Parent { child } => {
            drop(rest);
            // Only now may the child go.
            drop(writer);
            Ok(Some(child.as_raw()))
        }
    }
}

/// Asked without looking at the file itself, which might block as well (fcntl(2), `F_GETPIPE_SZ`).
fn is_pipe(descriptor: BorrowedFd<'_>) -> bool {
    fcntl(descriptor, FcntlArg::F_GETPIPE_SZ).is_ok()
}

/// In the child: hold them, and nothing else, until the parent has closed its own. The exit closes them, and it does not
/// wait for `SO_LINGER`.
fn hold(reader: BorrowedFd<'_>, descriptors: &[OwnedFd]) -> ! {
    let numbers = 1..;
    let mut plan: Vec<(BorrowedFd<'_>, RawFd)> = vec![(reader, 0)];
    plan.extend(descriptors.iter().map(AsFd::as_fd).zip(numbers));
    let first_free = u32::try_from(plan.len()).unwrap_or(u32::MAX);
    if crate::descriptor::place(&plan).is_ok()
        && crate::descriptor::close_range(first_free, 0).is_ok()
    {
        let mut byte = [0_u8; 1];
        // SAFETY: descriptor 0 is the pipe, and the buffer is one byte long. Only the end of the pipe comes.
        while unsafe { libc::read(0, byte.as_mut_ptr().cast(), 1) } < 0 {}
    }
    // SAFETY: ends this child at once, without running the parent's exit handlers a second time.
    unsafe { libc::_exit(0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::time::{Duration, Instant};

    #[test]
    fn a_socket_that_lingers_keeps_nobody_waiting() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        let linger = libc::linger {
            l_onoff: 1,
            l_linger: 30,
        };
        nix::sys::socket::setsockopt(&client, nix::sys::socket::sockopt::Linger, &linger).unwrap();
        // More than fits into both buffers, and nobody reads it.
        client.set_nonblocking(true).unwrap();
        while client.write(&[7; 65_536]).is_ok() {}
        let started = Instant::now();
        let child = close(vec![client.into()]).unwrap();
        assert!(started.elapsed() < Duration::from_secs(5));
        assert!(child.is_some());
        // It is closed: the other side comes to the end once it has read everything.
        server
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        std::io::copy(&mut server, &mut std::io::sink()).unwrap();
    }

    #[test]
    fn a_pipe_is_closed_at_once() {
        let (mut reader, writer) = io::pipe().unwrap();
        assert_eq!(close(vec![writer.into()]).unwrap(), None);
        assert_eq!(reader.read(&mut [0; 1]).unwrap(), 0);
    }
}
