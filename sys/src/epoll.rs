//! Readiness of many descriptors (epoll(7)), each known by a token.

use nix::sys::epoll::{Epoll as NixEpoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Events taken from the kernel at once.
const EVENTS: usize = 64;

/// What to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    Read,
    Write,
    ReadWrite,
    /// Both, told once per change (`EPOLLET`): for descriptors that stay hung up for long, as a virtio-serial port
    /// whose other side is not open. Whoever uses it reads and writes until it would block.
    Edges,
    /// A file of the kernel's has changed since it was last read (`EPOLLPRI`; cgroup-v2.rst: `cgroup.events`). Told as
    /// hung up.
    Change,
}

/// One descriptor is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    pub token: u64,
    pub readable: bool,
    pub writable: bool,
    /// The other end is gone (`EPOLLHUP`, `EPOLLERR`).
    pub hung_up: bool,
}

/// An epoll instance.
#[derive(Debug)]
pub struct Epoll(NixEpoll);

/// One that the program before this one has made, in this process: its entries stay, because they are about open files
/// and their numbers, which execve(2) keeps.
impl From<OwnedFd> for Epoll {
    fn from(descriptor: OwnedFd) -> Self {
        Self(NixEpoll(descriptor))
    }
}

impl Epoll {
    /// # Errors
    /// As epoll_create1(2).
    pub fn new() -> io::Result<Self> {
        Ok(Self(NixEpoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?))
    }

    /// # Errors
    /// As epoll_ctl(2).
    pub fn add(&self, descriptor: impl AsFd, interest: Interest, token: u64) -> io::Result<()> {
        Ok(self
            .0
            .add(descriptor, EpollEvent::new(flags(interest), token))?)
    }

    /// # Errors
    /// As epoll_ctl(2).
    pub fn change(&self, descriptor: impl AsFd, interest: Interest, token: u64) -> io::Result<()> {
        Ok(self
            .0
            .modify(descriptor, &mut EpollEvent::new(flags(interest), token))?)
    }

    /// # Errors
    /// As epoll_ctl(2).
    pub fn remove(&self, descriptor: impl AsFd) -> io::Result<()> {
        Ok(self.0.delete(descriptor)?)
    }

    /// Wait until something is ready or `timeout_ms` have passed (`None`: for ever). An interrupted wait is an empty one.
    ///
    /// # Errors
    /// As epoll_wait(2).
    pub fn wait(&self, timeout_ms: Option<u64>) -> io::Result<Vec<Ready>> {
        // A longer sleep is cut to about 24 days: the caller looks at its deadlines again and sleeps on.
        let timeout = match timeout_ms {
            None => EpollTimeout::NONE,
            Some(ms) => i32::try_from(ms.min(2_000_000_000))
                .ok()
                .and_then(|ms| EpollTimeout::try_from(ms).ok())
                .unwrap_or(EpollTimeout::ZERO),
        };
        let mut events = [EpollEvent::empty(); EVENTS];
        let count = match self.0.wait(&mut events, timeout) {
            Err(nix::errno::Errno::EINTR) => 0,
            other => other?,
        };
        Ok(events.iter().take(count).map(ready).collect())
    }
}

/// To wait for it in a poll(2) together with others: readable when an event is pending.
impl AsFd for Epoll {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.0.as_fd()
    }
}

fn flags(interest: Interest) -> EpollFlags {
    match interest {
        Interest::Read => EpollFlags::EPOLLIN,
        Interest::Write => EpollFlags::EPOLLOUT,
        Interest::ReadWrite => EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT,
        Interest::Edges => EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLET,
        Interest::Change => EpollFlags::EPOLLPRI,
    }
}

fn ready(event: &EpollEvent) -> Ready {
    let flags = event.events();
    Ready {
        token: event.data(),
        readable: flags.contains(EpollFlags::EPOLLIN),
        writable: flags.contains(EpollFlags::EPOLLOUT),
        hung_up: flags.intersects(EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR),
    }
}
