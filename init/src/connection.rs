//! One client of the control socket: a request in, replies out, never blocking.

use crate::carried;
use crate::limits;
use control::frame::{self, REQUEST_BYTES_MAX};
use control::reply::{Denial, Reply};
use control::request::{Request, RequestFrame};
use serde::{Deserialize, Serialize};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// A connection, from accept(2) to the last byte of the last reply.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Connection {
    #[serde(with = "carried")]
    pub socket: OwnedFd,
    pub token: u64,
    /// Until when the request must have come.
    pub deadline_ms: Option<u64>,
    #[serde(with = "carried::bytes")]
    input: Vec<u8>,
    #[serde(with = "carried")]
    pub descriptors: Vec<OwnedFd>,
    #[serde(with = "carried::bytes")]
    output: Vec<u8>,
    written: usize,
    /// Close as soon as everything is written.
    pub finished: bool,
    pub waits: Waits,
}

/// What a connection waits for, beyond its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Waits {
    Request,
    /// The supervisor's reply.
    Outcome,
    /// logd's `QueryDone`.
    Logs,
    /// The end of an exec.
    Exec,
    Job,
    /// Its own unit files, to the last byte.
    Upload,
    /// The trace, to the last byte.
    Dump,
    Ready,
    /// PID 1's next program.
    Reexec,
    /// The machine's end.
    Shutdown,
    Nothing,
}

/// What came in.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// Not yet a whole request.
    More,
    Request(Request),
    Denied(Denial),
    /// The client is gone.
    Closed,
}

impl Connection {
    pub(crate) fn new(socket: OwnedFd, token: u64, now_ms: u64) -> Self {
        Self {
            socket,
            token,
            deadline_ms: Some(now_ms.saturating_add(limits::REQUEST_TIMEOUT_MS)),
            input: Vec::new(),
            descriptors: Vec::new(),
            output: Vec::new(),
            written: 0,
            finished: false,
            waits: Waits::Request,
        }
    }

    /// Read what there is, up to a bound: a client that goes on writing is heard again after others.
    pub(crate) fn read(&mut self) -> Incoming {
        let mut buffer = [0; 4096];
        for _ in 0..limits::CONNECTION_ROUNDS_MAX {
            match sys::socket::receive(self.socket.as_fd(), &mut buffer) {
                Ok((0, _)) => return Incoming::Closed,
                Ok((bytes, descriptors)) => {
                    if self.waits != Waits::Request {
                        // One request per connection: what comes after it is nothing that we know.
                        continue;
                    }
                    self.input
                        .extend_from_slice(buffer.get(..bytes).unwrap_or_default());
                    self.descriptors.extend(descriptors);
                    if self.descriptors.len() > sys::socket::DESCRIPTORS_MAX {
                        return Incoming::Denied(Denial::Malformed {
                            message: "too many descriptors".into(),
                        });
                    }
                    match self.request() {
                        Incoming::More => {}
                        other => return other,
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Incoming::More,
                Err(_) => return Incoming::Closed,
            }
        }
        Incoming::More
    }

    fn request(&self) -> Incoming {
        /// The version is read first, whatever else is in the frame.
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let malformed = |message: String| Incoming::Denied(Denial::Malformed { message });
        match frame::decode::<Version>(&self.input, REQUEST_BYTES_MAX) {
            Ok(None) => return Incoming::More,
            Err(error) => return malformed(error.to_string()),
            Ok(Some((Version { version }, _))) if version != control::VERSION => {
                return Incoming::Denied(Denial::VersionMismatch {
                    ours: control::VERSION,
                    theirs: version,
                });
            }
            Ok(Some(_)) => {}
        }
        match frame::decode::<RequestFrame>(&self.input, REQUEST_BYTES_MAX) {
            Ok(None) => Incoming::More,
            Ok(Some((frame, _))) => Incoming::Request(frame.request),
            Err(error) => malformed(error.to_string()),
        }
    }

    /// Queue a reply. `last`: the connection closes behind it.
    pub(crate) fn reply(&mut self, reply: &Reply, last: Last) {
        if self.finished {
            return;
        }
        match reply.frame() {
            Ok(bytes) => self.queue(bytes, last),
            Err(error) => log::error!("control: {error}"),
        }
        if last == Last::Yes {
            self.finished = true;
        }
    }

    /// Queue the last reply, which is a frame already.
    pub(crate) fn reply_frame(&mut self, frame: Vec<u8>) {
        if !self.finished {
            self.queue(frame, Last::Yes);
            self.finished = true;
        }
    }

    /// A client that does not read gets no more progress. What it has asked for it gets, or why not.
    fn queue(&mut self, frame: Vec<u8>, last: Last) {
        if self.output.len().saturating_add(frame.len()) <= limits::REPLY_BYTES_MAX {
            if self.output.is_empty() {
                self.output = frame;
            } else {
                self.output.extend(frame);
            }
        } else if last == Last::Yes {
            let message = format!(
                "the answer has {} KiB, more than the {} that are kept for a client: ask for less",
                frame.len() >> 10,
                limits::REPLY_BYTES_MAX >> 10
            );
            self.output
                .extend(frame::encode(&Reply::Failed { message }).unwrap_or_default());
        }
    }

    /// Write what the socket takes. `Ok(true)`: nothing is left.
    ///
    /// # Errors
    /// The client is gone.
    pub(crate) fn flush(&mut self) -> io::Result<bool> {
        while let Some(rest) = self
            .output
            .get(self.written..)
            .filter(|rest| !rest.is_empty())
        {
            match sys::socket::send(self.socket.as_fd(), rest, &[]) {
                Ok(bytes) => self.written = self.written.saturating_add(bytes),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        self.output.clear();
        self.written = 0;
        Ok(true)
    }
}

/// Is a reply the last of its connection?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Last {
    Yes,
    No,
}
