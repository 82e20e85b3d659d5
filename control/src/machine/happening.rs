//! What a call waits for, and what happens meanwhile: the same by either way.

use super::error::{CallError, io_error};
use crate::reply::Reply;
use crate::serial::Channel;
use std::collections::VecDeque;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};
use sys::epoll::Interest;

/// Bytes read at once.
pub(super) const READ_BYTES: usize = 64 << 10;

/// What happened during a call.
#[derive(Debug)]
pub enum Happening {
    Reply(Reply),
    /// Output of a program or log text, on `Stdout` or `Stderr`.
    Output(Channel, Vec<u8>),
    /// Nobody reads stdin any more.
    StdinGone,
    /// There was no room for stdin, and now there is.
    StdinRoom,
    /// One of the caller's own descriptors is ready: its position.
    Ready(usize),
    /// Every stream has ended.
    Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Going,
    TimedOut,
    Ended,
}

fn left(deadline: Option<Instant>) -> Option<Duration> {
    deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
}

pub(super) fn passed(deadline: Option<Instant>) -> bool {
    left(deadline) == Some(Duration::ZERO)
}

/// Wait for our descriptors and the caller's; the latter become `Ready`.
pub(super) fn wait_for(
    ours: &[(BorrowedFd<'_>, Interest)],
    others: &[BorrowedFd<'_>],
    deadline: Option<Instant>,
    happened: &mut VecDeque<Happening>,
) -> Result<(), CallError> {
    let mut watched = ours.to_vec();
    watched.extend(others.iter().map(|other| (*other, Interest::Read)));
    let ready = sys::poll::wait(&watched, left(deadline)).map_err(io_error("poll"))?;
    for ready in ready {
        let position = usize::try_from(ready.token).unwrap_or(usize::MAX);
        if let Some(other) = position.checked_sub(ours.len()) {
            happened.push_back(Happening::Ready(other));
        }
    }
    Ok(())
}
