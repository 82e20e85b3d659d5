//! A system program: started by PID 1, spoken to over descriptor 3, started again when it dies.

use crate::carried;
use crate::limits;
use crate::source::HelperKind;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use sys::clone::{Spawn, spawn};

/// The first descriptor after those that every helper has.
const FIRST_MORE: i32 = control::serial::FIRST_PORT;

/// One helper and our end of its socket.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Helper {
    pub kind: HelperKind,
    pub pid: Option<i32>,
    #[serde(with = "carried")]
    pub socket: Option<OwnedFd>,
    pub token: u64,
    queue: VecDeque<Message>,
    /// When it is due to start, milliseconds since boot.
    pub start_at: Option<u64>,
    delay_ms: u64,
    pub started_ms: u64,
}

/// On its way to a helper.
#[derive(Debug, Serialize, Deserialize)]
struct Message {
    #[serde(with = "carried::bytes")]
    bytes: Vec<u8>,
    #[serde(with = "carried")]
    descriptors: Vec<OwnedFd>,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    Now,
    /// The socket is full: wait until it can be written.
    Later,
}

impl Helper {
    pub(crate) fn new(kind: HelperKind) -> Self {
        Self {
            kind,
            pid: None,
            socket: None,
            token: 0,
            queue: VecDeque::new(),
            start_at: None,
            delay_ms: limits::HELPER_DELAY_MS,
            started_ms: 0,
        }
    }

    /// Start the program. Its answer comes over the socket. `more` are its arguments, each with a descriptor of its own from
    /// [`FIRST_MORE`] on.
    ///
    /// # Errors
    /// What could not be made: socket, cgroup, process.
    pub(crate) fn start(
        &mut self,
        now_ms: u64,
        null: BorrowedFd<'_>,
        log: BorrowedFd<'_>,
        more: &[(&str, BorrowedFd<'_>)],
    ) -> io::Result<i32> {
        let name = self.kind.name();
        let group =
            sys::cgroup::Cgroup::create(format!("{}/{name}", sys::paths::CGROUP_SYSTEM).as_ref())
                .and_then(|group| group.descriptor())
                .map_err(|error| error.source)?;
        let program = CString::new(format!("{}/{name}", sys::paths::PROGRAMS))?;
        let names = more.iter().map(|(name, _)| *name);
        let arguments = std::iter::once(name).chain(names).map(CString::new);
        let arguments = arguments.collect::<Result<Vec<CString>, _>>()?;
        let arguments: Vec<&CStr> = arguments.iter().map(CString::as_c_str).collect();
        let (ours, theirs) = sys::socket::seqpacket_pair()?;
        sys::descriptor::set_nonblocking(ours.as_fd(), true)?;
        let mut descriptors = vec![(null, 0), (log, 1), (log, 2), (theirs.as_fd(), 3)];
        descriptors.extend(
            more.iter()
                .map(|(_, descriptor)| *descriptor)
                .zip(FIRST_MORE..),
        );
        let child = spawn(&Spawn {
            namespaces: 0,
            cgroup: Some(group.as_fd()),
            program: &program,
            arguments: &arguments,
            environment: &[],
            descriptors: &descriptors,
        })?;
        self.queue.clear();
        self.pid = Some(child.pid);
        self.socket = Some(ours);
        self.start_at = None;
        self.started_ms = now_ms;
        Ok(child.pid)
    }

    /// It has ended because there is nothing to do; it is started when there is.
    pub(crate) fn rests(&mut self) {
        self.pid = None;
        self.socket = None;
        self.queue.clear();
        self.start_at = None;
        self.delay_ms = limits::HELPER_DELAY_MS;
    }

    /// It has died, or could not be started: say when to try again.
    pub(crate) fn ended(&mut self, now_ms: u64) {
        self.pid = None;
        self.socket = None;
        self.queue.clear();
        if now_ms.saturating_sub(self.started_ms) >= limits::HELPER_STEADY_MS {
            self.delay_ms = limits::HELPER_DELAY_MS;
        }
        self.start_at = Some(now_ms.saturating_add(self.delay_ms));
        self.delay_ms = self
            .delay_ms
            .saturating_mul(2)
            .min(self.kind.delay_max_ms());
    }

    /// Send, or keep for later. Messages to a helper that is not there are dropped: at its start it is told everything.
    pub(crate) fn send(
        &mut self,
        bytes: Vec<u8>,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<Sent> {
        if self.socket.is_none() {
            return Ok(Sent::Now);
        }
        if self.queue.len() >= limits::HELPER_QUEUE_MAX {
            return Err(io::Error::other("does not read its messages"));
        }
        let descriptors = descriptors
            .iter()
            .map(BorrowedFd::try_clone_to_owned)
            .collect::<io::Result<Vec<_>>>()?;
        self.queue.push_back(Message { bytes, descriptors });
        self.flush()
    }

    /// Send what is waiting.
    pub(crate) fn flush(&mut self) -> io::Result<Sent> {
        let Some(socket) = &self.socket else {
            return Ok(Sent::Now);
        };
        while let Some(Message { bytes, descriptors }) = self.queue.front() {
            let borrowed: Vec<BorrowedFd<'_>> = descriptors.iter().map(AsFd::as_fd).collect();
            match sys::socket::send(socket.as_fd(), bytes, &borrowed) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Sent::Later),
                other => other?,
            };
            self.queue.pop_front();
        }
        Ok(Sent::Now)
    }
}
