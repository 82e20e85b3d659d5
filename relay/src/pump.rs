//! One port: its session with the host on one side, the client of PID 1 on the other, and everything that can move
//! between them without blocking.

use control::client::{Client, Taken};
use control::serial::{Channel, Event, Session, Streams};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::{Duration, Instant};
use sys::epoll::Interest;
use sys::terminal::WindowSize;

/// Rounds of one pump, after which the other ports have their turn: some MiB at full speed.
const ROUNDS_MAX: usize = 64;
/// After a host has left, so long may the next one's data be here before the port says that there is a host again: data
/// and the host's coming and going reach the kernel by different queues (virtio, "Console Device": receiveq, control
/// receiveq), and the kernel takes the latter up in a work queue. Before it is over, counted from the last byte, nobody
/// knows whether the data in hand is of the host that left.
const NEXT_HOST_GRACE: Duration = Duration::from_secs(1);
/// Bytes moved at once.
const BUFFER_BYTES: usize = 64 << 10;
/// What comes back from a client.
const OUTPUTS: [Channel; 3] = [Channel::Control, Channel::Stdout, Channel::Stderr];

/// A virtio-serial port and what goes on at it.
#[derive(Debug)]
pub struct Port {
    name: String,
    device: File,
    session: Session,
    client: Option<Client>,
    /// Outputs of the client that have ended.
    ended: Vec<Channel>,
    awake: bool,
    /// When a host was seen to leave.
    left: Option<Instant>,
    /// When the last bytes came, be they of the host that left or of the next one.
    heard: Option<Instant>,
}

impl Port {
    /// `device` does not block.
    #[must_use]
    pub fn new(name: String, device: File) -> Self {
        let session = Session::target();
        Self {
            name,
            device,
            session,
            client: None,
            ended: Vec::new(),
            awake: true,
            left: None,
            heard: None,
        }
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    #[must_use]
    pub fn device(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }

    #[must_use]
    pub fn is_awake(&self) -> bool {
        self.awake
    }

    pub fn wake(&mut self) {
        self.awake = true;
    }

    /// A host has left; maybe the next one is here already.
    pub fn host_left(&mut self) {
        self.left.get_or_insert_with(Instant::now);
    }

    /// When [`Self::settle`] has something to find out.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.left
            .map(|left| self.heard.map_or(left, |heard| heard.max(left)) + NEXT_HOST_GRACE)
    }

    /// Where a host has left and no other has come, whatever was under way is cancelled.
    pub fn settle(&mut self) {
        if self.deadline().is_some_and(|end| end <= Instant::now()) {
            self.left = None;
            if sys::poll::hung_up(&self.device) {
                self.cancel();
            }
        }
    }

    /// Somebody is there, or it is not known yet that nobody is.
    #[must_use]
    pub fn is_in_use(&self) -> bool {
        self.client.is_some() || self.left.is_some() || !sys::poll::hung_up(&self.device)
    }

    fn cancel(&mut self) {
        self.session.hung_up();
        self.drop_client();
    }

    fn drop_client(&mut self) {
        self.client = None;
        self.ended = Vec::new();
    }

    /// What the client waits for, where there is room to take it.
    #[must_use]
    pub fn descriptors(&self) -> Vec<(BorrowedFd<'_>, Interest)> {
        let Some(client) = &self.client else {
            return Vec::new();
        };
        client.descriptors(|channel| self.session.room(channel) > 0)
    }

    /// Move what can be moved; whether there is more.
    pub fn pump(&mut self, control_socket: &Path) -> bool {
        let mut buffer = vec![0; BUFFER_BYTES];
        for _ in 0..ROUNDS_MAX {
            let mut moved = self.write_port();
            moved |= self.read_port(&mut buffer, control_socket);
            moved |= self.feed_client();
            moved |= self.drain_client(&mut buffer);
            if !moved {
                self.awake = false;
                return false;
            }
        }
        true
    }

    fn write_port(&mut self) -> bool {
        if self.session.output().is_empty() {
            return false;
        }
        match self.device.write(self.session.output()) {
            Ok(bytes) => {
                self.session.wrote(bytes);
                bytes > 0
            }
            Err(error) => self.port_failed(&error),
        }
    }

    fn read_port(&mut self, buffer: &mut [u8], control_socket: &Path) -> bool {
        if !self.session.wants_input() {
            return false;
        }
        // The driver gives a page at a time: a whole frame is gathered before anything is done about it.
        let mut filled = 0;
        let end = loop {
            match self.device.read(&mut buffer[filled..]) {
                Ok(0) if filled == buffer.len() => break None,
                Ok(0) => break Some(None),
                Ok(bytes) => filled += bytes,
                Err(error) => break Some(Some(error)),
            }
        };
        if filled > 0 {
            self.heard = Some(Instant::now());
        }
        self.session.receive(&buffer[..filled]);
        while let Some(event) = self.session.next_event() {
            self.handle(event, control_socket);
        }
        match end {
            None => {}
            // What a port without a host reads (virtio_console: `port_fops_read`).
            Some(None) => self.host_left(),
            Some(Some(error)) => return self.port_failed(&error) || filled > 0,
        }
        filled > 0
    }

    fn port_failed(&mut self, error: &io::Error) -> bool {
        match error.kind() {
            io::ErrorKind::WouldBlock => false,
            io::ErrorKind::Interrupted => true,
            _ => {
                log::warn!("{}: {error}; waiting for the next host", self.name);
                self.cancel();
                false
            }
        }
    }

    fn handle(&mut self, event: Event, control_socket: &Path) {
        match event {
            Event::Open(streams) => self.open(streams, control_socket),
            Event::Data(channel, data) => match &mut self.client {
                Some(client) => client.send(channel, &data),
                None => self.session.taken(channel, data.len()),
            },
            Event::End(channel) => {
                if let Some(client) = &mut self.client {
                    client.end(channel);
                }
            }
            Event::Resize { rows, columns } => {
                if let Some(client) = &mut self.client {
                    client.resize(WindowSize { rows, columns });
                }
            }
            Event::Closed(_) | Event::Lost(_) => self.drop_client(),
            Event::Established => {}
        }
    }

    fn open(&mut self, streams: Streams, control_socket: &Path) {
        self.drop_client();
        match Client::connect(control_socket, streams) {
            Ok(client) => self.client = Some(client),
            Err(error) => self.fail(&format!("{}: {error}", control_socket.display())),
        }
    }

    /// End the session with a reason for the operator.
    fn fail(&mut self, why: &str) {
        log::warn!("{}: {why}", self.name);
        self.session.close(why);
        self.drop_client();
    }

    fn feed_client(&mut self) -> bool {
        let Some(client) = &mut self.client else {
            return false;
        };
        match client.flush() {
            Ok(flushed) => {
                self.session.taken(Channel::Control, flushed.control);
                self.session.taken(Channel::Stdin, flushed.stdin);
                if flushed.stdin_gone {
                    self.session.send_end(Channel::Stdin);
                }
                flushed.control + flushed.stdin > 0
            }
            Err(error) => {
                self.fail(&format!("control socket: {error}"));
                true
            }
        }
    }

    fn drain_client(&mut self, buffer: &mut [u8]) -> bool {
        let mut moved = false;
        for channel in OUTPUTS {
            let Some(client) = &mut self.client else {
                return moved;
            };
            let room = self.session.room(channel).min(buffer.len());
            if room == 0 || self.ended.contains(&channel) {
                continue;
            }
            match client.take(channel, &mut buffer[..room]) {
                Ok(Taken::Bytes(bytes)) => {
                    self.session.send(channel, &buffer[..bytes]);
                    moved = true;
                }
                Ok(Taken::Nothing) => {}
                Ok(Taken::Ended) => {
                    self.ended.push(channel);
                    self.session.send_end(channel);
                    moved = true;
                }
                Err(error) => self.fail(&format!("control socket: {error}")),
            }
        }
        if self.client.is_some() && self.ended.len() == OUTPUTS.len() {
            self.session.close("");
            self.drop_client();
            moved = true;
        }
        moved
    }
}
