//! One request at the control socket, as a local client makes it: the connection, and our ends of the pipes or of the
//! terminal that ride with it. Nothing here blocks; `machine` (keelctl) and the relay wait and carry.
//!
//! ```text
//! Control ──▶ socket ──▶ PID 1          with the first byte: the other ends of
//! Stdin   ──▶ pipe ─────▶ ┐
//! Stdout  ◀── pipe ◀───── ├ exec, logs, image load
//! Stderr  ◀── pipe ◀───── ┘             or one socket, over which a terminal comes back: stdin and stdout at once
//! ```
//!
//! Invariants: a program in a container never gets a descriptor of ours but one end of a fresh pipe or terminal (it
//! could read, rewrite or re-open a file or terminal of the operator's). An output ends with its pipe, or when the
//! connection has ended and the pipe is empty: a process left behind can't hold up the end.

use crate::serial::{Channel, Streams};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use sys::epoll::Interest;
use sys::terminal::{WindowSize, set_window_size};

/// End of input for a program that reads a terminal (`VEOF`, termios(3)).
const END_OF_TRANSMISSION: u8 = 0x04;

/// What a look at an output brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    Bytes(usize),
    /// Nothing now.
    Nothing,
    Ended,
}

/// Bytes handed on by [`Client::flush`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flushed {
    pub control: usize,
    pub stdin: usize,
    /// Nobody reads stdin any more; told once.
    pub stdin_gone: bool,
}

/// Data on its way to PID 1 or to a program.
#[derive(Debug, Default)]
struct Waiting {
    bytes: VecDeque<u8>,
    /// Close it behind the last byte.
    ending: bool,
}

#[derive(Debug)]
pub struct Client {
    /// `None`: ended.
    socket: Option<UnixStream>,
    /// Ride with the first byte.
    riders: Vec<OwnedFd>,
    request: Waiting,
    stdin: Option<File>,
    input: Waiting,
    stdout: Option<File>,
    stderr: Option<File>,
    /// Until the terminal has come.
    console: Option<OwnedFd>,
    window: Option<WindowSize>,
    is_terminal: bool,
}

impl Client {
    /// Connect; nothing is sent yet.
    ///
    /// # Errors
    /// As connect(2), pipe2(2), socketpair(2).
    pub fn connect(path: &Path, streams: Streams) -> io::Result<Self> {
        let mut client = Self::with_riders(path, Vec::new())?;
        match streams {
            Streams::None => {}
            Streams::Input => client.stdin = Some(client.pipe_in()?),
            Streams::Output => client.stdout = Some(client.pipe_out()?),
            Streams::Pipes => {
                client.stdin = Some(client.pipe_in()?);
                client.stdout = Some(client.pipe_out()?);
                client.stderr = Some(client.pipe_out()?);
            }
            Streams::Terminal => {
                let (ours, theirs) = sys::socket::stream_pair()?;
                sys::descriptor::set_nonblocking(ours.as_fd(), true)?;
                client.riders.push(theirs);
                client.console = Some(ours);
                client.is_terminal = true;
            }
        }
        Ok(client)
    }

    /// Connect, with descriptors of the caller's own (an archive to be loaded, which the store of the same machine reads).
    ///
    /// # Errors
    /// As connect(2).
    pub fn with_riders(path: &Path, riders: Vec<OwnedFd>) -> io::Result<Self> {
        let socket = UnixStream::connect(path)?;
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket: Some(socket),
            riders,
            request: Waiting::default(),
            stdin: None,
            input: Waiting::default(),
            stdout: None,
            stderr: None,
            console: None,
            window: None,
            is_terminal: false,
        })
    }

    fn pipe_in(&mut self) -> io::Result<File> {
        let (reader, writer) = io::pipe()?;
        sys::descriptor::set_nonblocking(writer.as_fd(), true)?;
        self.riders.push(reader.into());
        Ok(File::from(OwnedFd::from(writer)))
    }

    fn pipe_out(&mut self) -> io::Result<File> {
        let (reader, writer) = io::pipe()?;
        sys::descriptor::set_nonblocking(reader.as_fd(), true)?;
        self.riders.push(writer.into());
        Ok(File::from(OwnedFd::from(reader)))
    }

    /// PID 1 has closed the connection, or nothing more is wanted from it.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.socket.is_none()
    }

    /// Take bytes for `Control` or `Stdin`; [`Self::flush`] hands them on. The caller bounds them by [`Self::waiting`].
    pub fn send(&mut self, channel: Channel, bytes: &[u8]) {
        match channel {
            Channel::Control => self.request.bytes.extend(bytes),
            Channel::Stdin => self.input.bytes.extend(bytes),
            Channel::Stdout | Channel::Stderr => {}
        }
    }

    /// Bytes of `Control` or `Stdin` that are not handed on yet.
    #[must_use]
    pub fn waiting(&self, channel: Channel) -> usize {
        match channel {
            Channel::Control => self.request.bytes.len(),
            Channel::Stdin => self.input.bytes.len(),
            Channel::Stdout | Channel::Stderr => 0,
        }
    }

    /// `Stdin` ends behind its last byte; `Control`: nothing more is wanted from PID 1 but what is in the pipes.
    pub fn end(&mut self, channel: Channel) {
        match channel {
            Channel::Control => self.socket = None,
            Channel::Stdin if !self.input.ending => {
                self.input.ending = true;
                if self.is_terminal {
                    self.input.bytes.push_back(END_OF_TRANSMISSION);
                }
            }
            Channel::Stdin | Channel::Stdout | Channel::Stderr => {}
        }
    }

    /// The window has a new size; kept until there is a terminal.
    pub fn resize(&mut self, size: WindowSize) {
        self.window = Some(size);
        self.apply_window();
    }

    fn apply_window(&mut self) {
        if let (Some(size), true, Some(terminal)) = (self.window, self.is_terminal, &self.stdout) {
            // A terminal whose program has ended has no window any more.
            let _ = set_window_size(terminal.as_fd(), size);
        }
    }

    /// Hand on what waits, as far as it goes without blocking.
    ///
    /// # Errors
    /// When the control socket can't be written.
    pub fn flush(&mut self) -> io::Result<Flushed> {
        self.take_terminal();
        let mut flushed = Flushed {
            control: self.flush_request()?,
            ..Flushed::default()
        };
        while let Some(stdin) = &mut self.stdin {
            let (head, _) = self.input.bytes.as_slices();
            if head.is_empty() {
                break;
            }
            match stdin.write(head) {
                Ok(bytes) => {
                    self.input.bytes.drain(..bytes);
                    flushed.stdin += bytes;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // EPIPE of a pipe, EIO of a terminal: the reader is gone, which is its right.
                Err(_) => {
                    flushed.stdin_gone = true;
                    self.stdin = None;
                }
            }
        }
        if self.input.bytes.is_empty() && self.input.ending {
            self.stdin = None;
        }
        if self.stdin.is_none() && self.console.is_none() {
            flushed.stdin += self.input.bytes.len();
            self.input.bytes = VecDeque::new();
        }
        Ok(flushed)
    }

    fn flush_request(&mut self) -> io::Result<usize> {
        let mut flushed = 0;
        while let Some(socket) = &self.socket {
            let (head, _) = self.request.bytes.as_slices();
            if head.is_empty() {
                break;
            }
            let riders: Vec<BorrowedFd<'_>> = self.riders.iter().map(AsFd::as_fd).collect();
            match sys::socket::send(socket.as_fd(), head, &riders) {
                Ok(bytes) => {
                    self.request.bytes.drain(..bytes);
                    self.riders.clear();
                    flushed += bytes;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // PID 1 has answered and closed before it read everything: the answer is what counts.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                    self.request.bytes.clear();
                    self.riders.clear();
                }
                Err(error) => return Err(error),
            }
        }
        Ok(flushed)
    }

    /// The launcher sends the terminal's master as soon as there is one.
    fn take_terminal(&mut self) {
        let Some(console) = &self.console else { return };
        let mut buffer = [0; 256];
        match sys::socket::receive(console.as_fd(), &mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Ok((_, descriptors)) => {
                let terminal = descriptors.into_iter().next().and_then(|terminal| {
                    sys::descriptor::set_nonblocking(terminal.as_fd(), true).ok()?;
                    Some((terminal.try_clone().ok()?, terminal))
                });
                if let Some((copy, terminal)) = terminal {
                    self.stdin = Some(File::from(copy));
                    self.stdout = Some(File::from(terminal));
                }
            }
            Err(_) => {}
        }
        self.console = None;
        self.apply_window();
    }

    /// Take bytes that came on `Control`, `Stdout` or `Stderr`.
    ///
    /// # Errors
    /// As read(2) of the control socket; an output that can't be read has ended.
    pub fn take(&mut self, channel: Channel, buffer: &mut [u8]) -> io::Result<Taken> {
        match channel {
            Channel::Control => self.take_control(buffer),
            Channel::Stdin => Ok(Taken::Ended),
            Channel::Stdout => {
                self.take_terminal();
                let waits_for_terminal = self.console.is_some();
                let over = self.socket.is_none();
                Ok(match take_output(&mut self.stdout, buffer, over) {
                    Taken::Ended if waits_for_terminal && !over => Taken::Nothing,
                    taken => taken,
                })
            }
            Channel::Stderr => Ok(take_output(&mut self.stderr, buffer, self.socket.is_none())),
        }
    }

    fn take_control(&mut self, buffer: &mut [u8]) -> io::Result<Taken> {
        let Some(socket) = &mut self.socket else {
            return Ok(Taken::Ended);
        };
        loop {
            match socket.read(buffer) {
                Ok(0) => {
                    self.socket = None;
                    return Ok(Taken::Ended);
                }
                Ok(bytes) => return Ok(Taken::Bytes(bytes)),
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return Ok(Taken::Nothing),
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::ConnectionReset => {
                        self.socket = None;
                        return Ok(Taken::Ended);
                    }
                    _ => return Err(error),
                },
            }
        }
    }

    /// What to wait for, given which channels may be taken from.
    pub fn descriptors(&self, wanted: impl Fn(Channel) -> bool) -> Vec<(BorrowedFd<'_>, Interest)> {
        let mut all = Vec::new();
        let mut add = |descriptor: Option<_>, read: bool, write: bool| {
            let Some(descriptor) = descriptor else { return };
            match (read, write) {
                (true, true) => all.push((descriptor, Interest::ReadWrite)),
                (true, false) => all.push((descriptor, Interest::Read)),
                (false, true) => all.push((descriptor, Interest::Write)),
                (false, false) => {}
            }
        };
        add(
            self.socket.as_ref().map(AsFd::as_fd),
            wanted(Channel::Control),
            !self.request.bytes.is_empty(),
        );
        add(
            self.stdin.as_ref().map(AsFd::as_fd),
            false,
            !self.input.bytes.is_empty(),
        );
        add(
            self.stdout.as_ref().map(AsFd::as_fd),
            wanted(Channel::Stdout),
            false,
        );
        add(
            self.stderr.as_ref().map(AsFd::as_fd),
            wanted(Channel::Stderr),
            false,
        );
        add(self.console.as_ref().map(AsFd::as_fd), true, false);
        all
    }
}

fn take_output(output: &mut Option<File>, buffer: &mut [u8], over: bool) -> Taken {
    let Some(file) = output else {
        return Taken::Ended;
    };
    loop {
        match file.read(buffer) {
            Ok(0) => break,
            Ok(bytes) => return Taken::Bytes(bytes),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && !over => {
                return Taken::Nothing;
            }
            // EIO: the last program has closed the terminal.
            Err(_) => break,
        }
    }
    *output = None;
    Taken::Ended
}
