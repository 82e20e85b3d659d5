//! One netlink socket: send a batch, read every answer.

use super::wire::{Batch, HEADER_BYTES, attributes};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv, send, setsockopt, sockopt};
use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use sys::netlink::Protocol;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// `NLM_F_CAPPED`, `NLM_F_ACK_TLVS`: the error message holds attributes after the capped header.
const ACK_HAS_ATTRIBUTES: u16 = 0x200;
const NLMSGERR_ATTR_MSG: u16 = 1;
/// The kernel fills parts of a dump up to the size of the reader's buffer, 8 KiB at least (af_netlink.c).
const BUFFER_BYTES: usize = 16 << 10;
/// A transaction with some ten thousand map elements fits; the default (208 KiB) holds three thousand.
const SEND_BUFFER_BYTES: usize = 4 << 20;
/// A burst of a hundred new links fits without a lost notice.
const EVENT_BUFFER_BYTES: usize = 1 << 20;

/// What was to be done, and why the kernel didn't.
#[derive(Debug)]
pub(crate) struct NetlinkError {
    pub(crate) purpose: String,
    pub(crate) errno: Errno,
    /// The kernel's own words, when it has any.
    pub(crate) detail: Option<String>,
}

impl fmt::Display for NetlinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "can't {}: {}", self.purpose, self.errno.desc())?;
        match &self.detail {
            Some(detail) => write!(f, " ({detail})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for NetlinkError {}

/// A socket of the network namespace in which it was opened, whatever namespace the program is in later.
#[derive(Debug)]
pub(crate) struct Socket {
    descriptor: OwnedFd,
    buffer: Vec<u8>,
}

impl Socket {
    pub(crate) fn route() -> Result<Self, NetlinkError> {
        Self::open(Protocol::Route, 0)
    }

    pub(crate) fn netfilter() -> Result<Self, NetlinkError> {
        let socket = Self::open(Protocol::Netfilter, 0)?;
        // Without the privilege the default stays, and only a very large transaction fails by name.
        let _ = setsockopt(&socket.descriptor, sockopt::SndBufForce, &SEND_BUFFER_BYTES);
        Ok(socket)
    }

    /// Hears the multicast `groups` of rtnetlink(7); non-blocking by its use with poll(2) and [`Self::events`].
    pub(crate) fn listener(groups: u32) -> Result<Self, NetlinkError> {
        let socket = Self::open(Protocol::Route, groups)?;
        // As above: too small a buffer means an overrun, which `events` reports.
        let _ = setsockopt(
            &socket.descriptor,
            sockopt::RcvBufForce,
            &EVENT_BUFFER_BYTES,
        );
        Ok(socket)
    }

    fn open(protocol: Protocol, groups: u32) -> Result<Self, NetlinkError> {
        let failed = |error: std::io::Error| NetlinkError {
            purpose: format!("open a netlink socket ({protocol:?})"),
            errno: Errno::from_raw(error.raw_os_error().unwrap_or(0)),
            detail: None,
        };
        let descriptor = sys::netlink::open(protocol, groups).map_err(failed)?;
        Ok(Self {
            descriptor,
            buffer: vec![0; BUFFER_BYTES],
        })
    }

    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }

    /// Do everything in the batch. The first error is returned; for rtnetlink the messages after it were done all the
    /// same, for nftables none was.
    pub(crate) fn run(&mut self, batch: &Batch) -> Result<(), NetlinkError> {
        self.ask(batch, |_, _| {})
    }

    /// As [`Self::run`], handing each message of the answer, its type and what follows its header, to `each`.
    pub(crate) fn ask(
        &mut self,
        batch: &Batch,
        mut each: impl FnMut(u16, &[u8]),
    ) -> Result<(), NetlinkError> {
        if batch.is_empty() {
            return Ok(());
        }
        let failed = |errno| NetlinkError {
            purpose: batch.purpose(1).to_owned(),
            errno,
            detail: None,
        };
        send(
            self.descriptor.as_raw_fd(),
            batch.bytes(),
            MsgFlags::empty(),
        )
        .map_err(failed)?;
        let mut first_error = None;
        loop {
            let flags = MsgFlags::MSG_DONTWAIT;
            let bytes = match recv(self.descriptor.as_raw_fd(), &mut self.buffer, flags) {
                Ok(bytes) => bytes,
                Err(Errno::EAGAIN) => break,
                Err(Errno::EINTR) => continue,
                Err(errno) => return Err(first_error.unwrap_or_else(|| failed(errno))),
            };
            for message in messages(&self.buffer[..bytes]) {
                match message.kind {
                    NLMSG_ERROR => {
                        if let Some(error) = message.error(batch) {
                            first_error.get_or_insert(error);
                        }
                    }
                    NLMSG_DONE => {}
                    kind => each(kind, message.body),
                }
            }
        }
        first_error.map_or(Ok(()), Err)
    }

    /// Whatever has been heard since, without waiting. False when notices were lost (`ENOBUFS`): list again.
    pub(crate) fn events(&mut self, mut each: impl FnMut(u16, &[u8])) -> bool {
        loop {
            let flags = MsgFlags::MSG_DONTWAIT;
            match recv(self.descriptor.as_raw_fd(), &mut self.buffer, flags) {
                Ok(bytes) => {
                    for message in messages(&self.buffer[..bytes]) {
                        each(message.kind, message.body);
                    }
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return true,
                Err(_) => return false,
            }
        }
    }
}

/// One message as received.
#[derive(Debug)]
pub(crate) struct Received<'a> {
    pub(crate) kind: u16,
    flags: u16,
    sequence: u32,
    /// What follows the header.
    pub(crate) body: &'a [u8],
}

impl Received<'_> {
    /// `struct nlmsgerr`: the error, then the header of the request. None for an acknowledgement.
    fn error(&self, batch: &Batch) -> Option<NetlinkError> {
        let code = i32::from_ne_bytes(*self.body.first_chunk::<4>()?);
        if code == 0 {
            return None;
        }
        let text = |value: &[u8]| {
            let text = value.split(|byte| *byte == 0).next().unwrap_or_default();
            String::from_utf8_lossy(text).into_owned()
        };
        let detail = (self.flags & ACK_HAS_ATTRIBUTES != 0)
            .then(|| self.body.get(4 + HEADER_BYTES..))
            .flatten()
            .and_then(|bytes| attributes(bytes).find(|(kind, _)| *kind == NLMSGERR_ATTR_MSG))
            .map(|(_, value)| text(value));
        Some(NetlinkError {
            purpose: batch.purpose(self.sequence).to_owned(),
            errno: Errno::from_raw(-code),
            detail,
        })
    }
}

/// The messages in what one recv(2) gave; ends at the first that is cut short.
pub(crate) fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Received<'_>> {
    std::iter::from_fn(move || {
        let head = bytes.first_chunk::<HEADER_BYTES>()?;
        let word =
            |at: usize| u32::from_ne_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let length = usize::try_from(word(0)).ok()?;
        let body = bytes.get(HEADER_BYTES..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Received {
            kind: u16::from_ne_bytes([head[4], head[5]]),
            flags: u16::from_ne_bytes([head[6], head[7]]),
            sequence: word(8),
            body,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::route;

    #[test]
    fn an_error_says_what_was_to_be_done_and_why_not() {
        let error = NetlinkError {
            purpose: "create link kv1".into(),
            errno: Errno::EEXIST,
            detail: Some("taken".into()),
        };
        assert_eq!(
            error.to_string(),
            "can't create link kv1: File exists (taken)"
        );
    }

    #[test]
    fn loopback_is_listed_and_an_unknown_link_is_an_error_by_name() {
        let mut socket = Socket::route().unwrap();
        let links = route::links(&mut socket).unwrap();
        assert!(links.iter().any(|link| link.name == "lo" && link.loopback));
        let error = route::link_named(&mut socket, "no-such-link").unwrap_err();
        assert_eq!(error.errno, Errno::ENODEV);
    }

    #[test]
    fn a_message_cut_short_ends_the_list() {
        assert_eq!(
            messages(&[20, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).count(),
            0
        );
        assert_eq!(
            messages(&[4, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).count(),
            0
        );
    }
}
