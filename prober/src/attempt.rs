//! One connection to one address: connect, ask, read the answer's head, let the rest go by.
//!
//! ```text
//! Connecting ─▶ Sending ─▶ Receiving ─▶ Draining ─▶ closed
//!     │                        └─ the answer is known here; draining only spares the service a reset
//!     └─ a bare connect is answered here
//! ```
//!
//! Each step goes as far as it can without waiting: on loopback the connection and often the answer are there at once.

use crate::http::{self, Head};
use crate::limits::{BODY_BYTES_MAX, READ_BYTES};
use crate::network::{Connected, tcp_connect};
use crate::reason;
use control::probe::ProbeOutcome;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use sys::epoll::Interest;

/// What a probe wants to know of whoever listens.
#[derive(Debug)]
pub(crate) enum Question {
    /// That somebody does.
    Connect,
    Http {
        request: String,
        path: String,
        status: Vec<(u16, u16)>,
    },
}

#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) address: SocketAddr,
    socket: TcpStream,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Connecting,
    Sending { sent: usize },
    Receiving { head: Vec<u8> },
    Draining { left: usize },
}

/// How far it has come.
#[derive(Debug)]
pub(crate) enum Progress {
    Wait(Interest),
    /// Nobody listens there, as far as one can tell.
    NoConnection(io::Error),
    /// This is the outcome; go on.
    Answered(ProbeOutcome),
    /// This is the outcome, if it was not told before; nothing is left to do.
    Ended(Option<ProbeOutcome>),
}

impl Attempt {
    pub(crate) fn new(address: SocketAddr, socket: OwnedFd) -> Self {
        Self {
            address,
            socket: socket.into(),
            stage: Stage::Connecting,
        }
    }

    /// Whether somebody has answered the call.
    pub(crate) fn is_connected(&self) -> bool {
        !matches!(self.stage, Stage::Connecting)
    }

    pub(crate) fn advance(&mut self, question: &Question) -> Progress {
        match self.try_advance(question) {
            Ok(progress) => progress,
            Err(error) => match &self.stage {
                Stage::Connecting => Progress::NoConnection(error),
                Stage::Sending { .. } | Stage::Receiving { .. } => {
                    Progress::Ended(Some(failure(format!(
                        "connection to {} lost: {}",
                        self.address,
                        reason::plain(&error)
                    ))))
                }
                Stage::Draining { .. } => Progress::Ended(None),
            },
        }
    }

    fn try_advance(&mut self, question: &Question) -> io::Result<Progress> {
        loop {
            match (&mut self.stage, question) {
                (Stage::Connecting, question) => {
                    // The first call begins; on loopback the second finds it done.
                    if self.connect()? == Connected::Pending
                        && self.connect()? == Connected::Pending
                    {
                        return Ok(Progress::Wait(Interest::Write));
                    }
                    if matches!(question, Question::Connect) {
                        return Ok(Progress::Ended(Some(ProbeOutcome::Success)));
                    }
                    self.stage = Stage::Sending { sent: 0 };
                }
                (Stage::Sending { sent }, Question::Http { request, .. }) => {
                    let rest = request.as_bytes().get(*sent..).unwrap_or_default();
                    match unless_waiting(self.socket.write(rest))? {
                        None => return Ok(Progress::Wait(Interest::Write)),
                        Some(bytes) => *sent += bytes,
                    }
                    if *sent >= request.len() {
                        self.stage = Stage::Receiving { head: Vec::new() };
                    }
                }
                (Stage::Receiving { head }, Question::Http { path, status, .. }) => {
                    let mut buffer = [0; READ_BYTES];
                    match unless_waiting(self.socket.read(&mut buffer))? {
                        None => return Ok(Progress::Wait(Interest::Read)),
                        Some(0) => return Ok(Progress::Ended(Some(self.closed_early()))),
                        Some(bytes) => head.extend_from_slice(&buffer[..bytes]),
                    }
                    match http::head(head) {
                        Head::Incomplete => {}
                        Head::Wrong(text) => return Ok(Progress::Ended(Some(failure(text)))),
                        Head::Status(code) => {
                            self.stage = Stage::Draining {
                                left: BODY_BYTES_MAX,
                            };
                            return Ok(Progress::Answered(judgement(code, path, status)));
                        }
                    }
                }
                (Stage::Draining { left }, Question::Http { .. }) => {
                    let mut buffer = [0; READ_BYTES];
                    match unless_waiting(self.socket.read(&mut buffer))? {
                        None => return Ok(Progress::Wait(Interest::Read)),
                        Some(bytes) if bytes > 0 && bytes < *left => *left -= bytes,
                        Some(_) => return Ok(Progress::Ended(None)),
                    }
                }
                (_, Question::Connect) => return Ok(Progress::Ended(None)),
            }
        }
    }

    /// A socket whose own port happens to be the one it calls connects to itself, with nobody listening (RFC 9293,
    /// "simultaneous open").
    fn connect(&self) -> io::Result<Connected> {
        let connected = tcp_connect(&self.socket, self.address)?;
        if connected == Connected::Yes && self.socket.local_addr()? == self.address {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        Ok(connected)
    }

    fn closed_early(&self) -> ProbeOutcome {
        let address = self.address;
        failure(match &self.stage {
            Stage::Receiving { head } if !head.is_empty() => format!(
                "{address} closed the connection after {}",
                reason::shown(head)
            ),
            _ => format!("{address} closed the connection without an answer"),
        })
    }

    /// Nothing more is waited for.
    pub(crate) fn too_late(&self, timeout_ms: u64) -> Option<ProbeOutcome> {
        let (address, time) = (self.address, reason::duration(timeout_ms));
        let text = match &self.stage {
            Stage::Connecting => format!("no connection to {address} within {time}"),
            Stage::Receiving { head } if !head.is_empty() => {
                format!(
                    "no complete answer within {time}, only {}",
                    reason::shown(head)
                )
            }
            Stage::Sending { .. } | Stage::Receiving { .. } => format!("no answer within {time}"),
            Stage::Draining { .. } => return None,
        };
        Some(failure(text))
    }
}

impl AsFd for Attempt {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

pub(crate) fn failure(reason: String) -> ProbeOutcome {
    ProbeOutcome::Failure { reason }
}

fn judgement(code: u16, path: &str, status: &[(u16, u16)]) -> ProbeOutcome {
    if status
        .iter()
        .any(|(first, last)| (*first..=*last).contains(&code))
    {
        ProbeOutcome::Success
    } else {
        failure(format!("HTTP {code} from {path}"))
    }
}

/// `None`: it would block. An interrupted call is begun anew by whoever waits for the socket.
fn unless_waiting(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) => match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(None),
            _ => Err(error),
        },
    }
}
