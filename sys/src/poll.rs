//! Readiness of a few descriptors that change from call to call (poll(2)); `epoll` is for many that stay.

use crate::epoll::{Interest, Ready};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// Wait until one of them is ready or the time is over (`None`: for ever); one answer for each that is ready, its token
/// the position in `watched`. An interrupted wait is an empty one.
///
/// # Errors
/// As poll(2).
pub fn wait(
    watched: &[(BorrowedFd<'_>, Interest)],
    timeout: Option<Duration>,
) -> io::Result<Vec<Ready>> {
    let mut polled: Vec<PollFd<'_>> = watched
        .iter()
        .map(|(descriptor, interest)| PollFd::new(*descriptor, flags(*interest)))
        .collect();
    // Rounded up, so that a caller with a deadline does not spin through its last millisecond.
    let timeout = timeout.map_or(PollTimeout::NONE, |time| {
        PollTimeout::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(PollTimeout::MAX)
    });
    match poll(&mut polled, timeout) {
        Err(nix::errno::Errno::EINTR) => return Ok(Vec::new()),
        other => other?,
    };
    let ready = |(token, polled): (u64, &PollFd<'_>)| {
        let flags = polled.revents().unwrap_or(PollFlags::empty());
        let ready = Ready {
            token,
            readable: flags.contains(PollFlags::POLLIN),
            writable: flags.contains(PollFlags::POLLOUT),
            hung_up: flags.intersects(PollFlags::POLLHUP | PollFlags::POLLERR),
        };
        (!flags.is_empty()).then_some(ready)
    };
    Ok((0..).zip(&polled).filter_map(ready).collect())
}

/// Is the other end gone? For a pipe's read end: nobody can write to it any more, whatever is still in it.
#[must_use]
pub fn hung_up(descriptor: impl std::os::fd::AsFd) -> bool {
    let watched = [(descriptor.as_fd(), Interest::Read)];
    wait(&watched, Some(Duration::ZERO)).is_ok_and(|ready| ready.iter().any(|ready| ready.hung_up))
}

fn flags(interest: Interest) -> PollFlags {
    match interest {
        Interest::Read => PollFlags::POLLIN,
        Interest::Write => PollFlags::POLLOUT,
        Interest::ReadWrite | Interest::Edges => PollFlags::POLLIN | PollFlags::POLLOUT,
        Interest::Change => PollFlags::POLLPRI,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn only_what_is_ready_is_named() {
        let (reader, writer) = std::io::pipe().unwrap();
        let watched = [
            (reader.as_fd(), Interest::Read),
            (writer.as_fd(), Interest::Write),
        ];
        let ready = wait(&watched, None).unwrap();
        assert_eq!(ready.iter().map(|r| r.token).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn a_wait_ends_with_its_time() {
        let (reader, _writer) = std::io::pipe().unwrap();
        let watched = [(reader.as_fd(), Interest::Read)];
        assert!(
            wait(&watched, Some(Duration::from_micros(10)))
                .unwrap()
                .is_empty()
        );
    }
}
