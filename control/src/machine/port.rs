//! The build host's end of a serial port: a unix socket of QEMU's, and the session on it.

use super::error::{CallError, io_error};
use super::happening::{Happening, Progress, READ_BYTES, passed, wait_for};
use crate::serial::{Channel, Event, Session, Streams, new_session_id};
use std::collections::VecDeque;
use std::fs::{File, TryLockError};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use sys::epoll::Interest;

/// Between two looks at taken ports.
const PORT_RETRY: Duration = Duration::from_millis(20);
/// The relay answers a farewell at once. One that does not is on a machine that has gone.
const PARTING_MAX: Duration = Duration::from_secs(2);
/// Ports that are looked for in a folder.
const PORTS_MAX: usize = 16;

/// A session on a serial port.
#[derive(Debug)]
pub(super) struct Port {
    place: PathBuf,
    socket: UnixStream,
    session: Session,
    /// What of the request is still to be sent.
    request: Vec<u8>,
    /// Until the relay has answered: since when we wait, and how long.
    reaching: Option<(Instant, Duration)>,
    over: bool,
    /// Told when what came before it has been taken.
    failure: Option<CallError>,
    /// Of [`READ_BYTES`], for whatever comes.
    buffer: Box<[u8]>,
    /// Held for as long as the port is ours.
    _lock: File,
}

impl Port {
    pub(super) fn open(
        folder: &Path,
        streams: Streams,
        request: Vec<u8>,
        reach: Duration,
    ) -> Result<Self, CallError> {
        let (place, lock) = free_port(folder, Instant::now() + reach)?;
        let no_machine = |source| CallError::NoMachine {
            place: folder.to_owned(),
            source: Some(source),
        };
        let socket = sys::socket::connect(&place).map_err(no_machine)?;
        socket.set_nonblocking(true).map_err(no_machine)?;
        Ok(Self {
            place,
            socket,
            session: Session::host(new_session_id(), streams),
            request,
            reaching: Some((Instant::now(), reach)),
            over: false,
            failure: None,
            buffer: vec![0; READ_BYTES].into(),
            _lock: lock,
        })
    }

    pub(super) fn wait(
        &mut self,
        others: &[BorrowedFd<'_>],
        deadline: Option<Instant>,
        replies: &mut Vec<u8>,
        happened: &mut VecDeque<Happening>,
    ) -> Result<Progress, CallError> {
        if let Some(failure) = self.failure.take() {
            self.over = true;
            return Err(failure);
        }
        if self.over {
            return Ok(Progress::Ended);
        }
        let reach_end = self.reaching.map(|(since, reach)| since + reach);
        let until = deadline.into_iter().chain(reach_end).min();
        let interest = if self.session.output().is_empty() {
            Interest::Read
        } else {
            Interest::ReadWrite
        };
        wait_for(&[(self.socket.as_fd(), interest)], others, until, happened)?;
        self.read(replies, happened)?;
        if !passed(until) || self.over {
            return Ok(Progress::Going);
        }
        match self.reaching {
            Some((since, _)) if happened.is_empty() => Err(CallError::Silent {
                place: self.place.clone(),
                // As long as we would have waited on a machine that runs us when it is time.
                waited: until.map_or_else(
                    || since.elapsed(),
                    |until| until.saturating_duration_since(since),
                ),
            }),
            _ => Ok(Progress::TimedOut),
        }
    }

    pub(super) fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// The request goes first: it opens what stdin flows into.
    pub(super) fn stdin_room(&self) -> usize {
        if self.request.is_empty() {
            self.session.room(Channel::Stdin)
        } else {
            0
        }
    }

    pub(super) fn flush(&mut self) -> Result<(), CallError> {
        if self.over {
            return Ok(());
        }
        loop {
            let sent = self.session.send(Channel::Control, &self.request);
            self.request.drain(..sent);
            if self.session.output().is_empty() {
                return Ok(());
            }
            match self.socket.write(self.session.output()) {
                Ok(bytes) => self.session.wrote(bytes),
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return Ok(()),
                    io::ErrorKind::Interrupted => {}
                    // What the machine has said before is still to be read.
                    io::ErrorKind::BrokenPipe => {
                        let waiting = self.session.output().len();
                        self.session.wrote(waiting);
                        return Ok(());
                    }
                    _ => return Err(io_error("serial port")(error)),
                },
            }
        }
    }

    /// One step of the way out.
    fn part(&mut self, until: Instant) -> Result<(), CallError> {
        let interest = if self.session.output().is_empty() {
            Interest::Read
        } else {
            Interest::ReadWrite
        };
        let watched = [(self.socket.as_fd(), interest)];
        wait_for(&watched, &[], Some(until), &mut VecDeque::new())?;
        self.read(&mut Vec::new(), &mut VecDeque::new())?;
        self.flush()
    }

    fn read(
        &mut self,
        replies: &mut Vec<u8>,
        happened: &mut VecDeque<Happening>,
    ) -> Result<(), CallError> {
        let bytes = match self.socket.read(&mut self.buffer) {
            Ok(0) => return Err(gone()),
            Ok(bytes) => bytes,
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => return Ok(()),
                io::ErrorKind::ConnectionReset => return Err(gone()),
                _ => return Err(io_error("serial port")(error)),
            },
        };
        self.session.receive(&self.buffer[..bytes]);
        while let Some(event) = self.session.next_event() {
            match event {
                Event::Established => self.reaching = None,
                Event::Data(channel, data) => {
                    // The caller takes everything before the next wait.
                    self.session.taken(channel, data.len());
                    if channel == Channel::Control {
                        replies.extend_from_slice(&data);
                    } else {
                        happened.push_back(Happening::Output(channel, data));
                    }
                }
                Event::End(Channel::Stdin) => happened.push_back(Happening::StdinGone),
                Event::End(_) | Event::Open(_) | Event::Resize { .. } => {}
                Event::Closed(message) if message.is_empty() => self.over = true,
                Event::Closed(why) | Event::Lost(why) => {
                    self.failure = Some(CallError::Lost { why });
                }
            }
        }
        Ok(())
    }
}

/// The first port nobody has, waiting for one until `deadline`.
fn free_port(folder: &Path, deadline: Instant) -> Result<(PathBuf, File), CallError> {
    loop {
        let mut ports = 0;
        for number in 0..PORTS_MAX {
            let socket = folder.join(format!("control.{number}.sock"));
            if !socket.exists() {
                continue;
            }
            ports += 1;
            let lock = folder.join(format!("control.{number}.lock"));
            let named = |source| CallError::Io {
                what: lock.display().to_string(),
                source,
            };
            let file = File::options()
                .create(true)
                .append(true)
                .open(&lock)
                .map_err(named)?;
            match file.try_lock() {
                Ok(()) => return Ok((socket, file)),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(named(error)),
            }
        }
        if ports == 0 {
            return Err(CallError::NoMachine {
                place: folder.to_owned(),
                source: None,
            });
        }
        if Instant::now() >= deadline {
            return Err(CallError::Busy {
                folder: folder.to_owned(),
                ports,
            });
        }
        std::thread::sleep(PORT_RETRY);
    }
}

/// Tells the relay that nobody listens any more, and waits until it says nothing more: see [`crate::serial`].
impl Drop for Port {
    fn drop(&mut self) {
        let is_known = self.reaching.is_none();
        self.session.close("");
        let until = Instant::now() + PARTING_MAX;
        let mut going = self.flush().is_ok() && is_known;
        while going && !self.session.is_over() && !passed(Some(until)) {
            going = self.part(until).is_ok();
        }
    }
}

fn gone() -> CallError {
    CallError::Lost {
        why: "the machine has gone".to_owned(),
    }
}
