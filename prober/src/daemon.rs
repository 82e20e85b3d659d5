//! The event loop: PID 1's requests in, sockets ready or late, replies out.

use crate::limits::{PROBES_MAX, REPLIES_MAX, REQUEST_BYTES_MAX};
use crate::network::{Home, Lost};
use crate::probe::{Begun, Probe, Step};
use control::probe::{Probe as Request, ProbeOutcome, ProbeReply, ProbeRequest};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use sys::clock::since_boot_ms;
use sys::epoll::{Epoll, Interest, Ready};

const INIT: u64 = 0;

#[derive(Debug)]
pub(crate) struct Daemon {
    init: OwnedFd,
    /// What is waited for on `init`.
    watched: Interest,
    buffer: Vec<u8>,
    /// Not yet taken by PID 1.
    replies: VecDeque<Vec<u8>>,
    epoll: Epoll,
    home: Home,
    /// By token. A token is never used again, so news of a closed socket goes nowhere.
    probes: HashMap<u64, Probe>,
    last_token: u64,
    /// Number of a probe → its token.
    tokens: HashMap<u64, u64>,
    /// With the token.
    deadlines: BTreeSet<(u64, u64)>,
}

/// Whether to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    Continue,
    End,
}

impl Daemon {
    pub(crate) fn new(init: OwnedFd) -> io::Result<Self> {
        sys::descriptor::set_nonblocking(init.as_fd(), true)?;
        let epoll = Epoll::new()?;
        epoll.add(&init, Interest::Read, INIT)?;
        Ok(Self {
            init,
            watched: Interest::Read,
            buffer: vec![0; REQUEST_BYTES_MAX],
            replies: VecDeque::new(),
            epoll,
            home: Home::open()?,
            probes: HashMap::new(),
            last_token: INIT,
            tokens: HashMap::new(),
            deadlines: BTreeSet::new(),
        })
    }

    /// Until PID 1 closes its end.
    pub(crate) fn run(&mut self) -> io::Result<()> {
        loop {
            self.watch_init()?;
            let now_ms = since_boot_ms();
            let wait_ms = self
                .deadlines
                .first()
                .map(|(at, _)| at.saturating_sub(now_ms));
            for ready in self.epoll.wait(wait_ms)? {
                let flow = match ready.token {
                    INIT => self.hear_init(ready)?,
                    token => self.advance(token).map(|()| Flow::Continue)?,
                };
                if flow == Flow::End {
                    return Ok(());
                }
            }
            self.give_up_the_late(since_boot_ms())?;
        }
    }

    /// Requests are read while there is room for probes and replies; what is not read is PID 1's to keep.
    fn watch_init(&mut self) -> io::Result<()> {
        let wanted = match (self.has_room(), self.replies.is_empty()) {
            (true, true) => Interest::Read,
            (true, false) => Interest::ReadWrite,
            (false, false) => Interest::Write,
            // Only news, for the end is some.
            (false, true) => Interest::Edges,
        };
        if self.watched != wanted {
            self.epoll.change(&self.init, wanted, INIT)?;
            self.watched = wanted;
        }
        Ok(())
    }

    fn has_room(&self) -> bool {
        self.probes.len() < PROBES_MAX && self.replies.len() < REPLIES_MAX
    }

    fn hear_init(&mut self, ready: Ready) -> io::Result<Flow> {
        if ready.hung_up {
            return Ok(Flow::End);
        }
        if ready.writable {
            self.send_replies()?;
        }
        while ready.readable && self.has_room() {
            match sys::socket::receive(self.init.as_fd(), &mut self.buffer) {
                Ok((0, _)) => return Ok(Flow::End),
                Ok((bytes, mut descriptors)) => {
                    let message = self.buffer.get(..bytes).unwrap_or_default();
                    match serde_json::from_slice(message) {
                        Ok(ProbeRequest::Probe(request)) => {
                            self.begin(request, descriptors.pop())?
                        }
                        Ok(ProbeRequest::Cancel { id }) => self.forget(id),
                        Err(error) => {
                            log::error!("ignoring a request of PID 1 that is not one: {error}");
                        }
                    }
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => break,
                    io::ErrorKind::ConnectionReset => return Ok(Flow::End),
                    io::ErrorKind::InvalidData => {
                        log::error!("ignoring a request of PID 1: {error}");
                    }
                    _ => return Err(error),
                },
            }
        }
        Ok(Flow::Continue)
    }

    fn begin(&mut self, request: Request, namespace: Option<OwnedFd>) -> io::Result<()> {
        let id = request.id;
        self.forget(id);
        let begun = Probe::begin(request, namespace, since_boot_ms(), &self.home);
        match begun.map_err(lost)? {
            Begun::Answered(outcome) => self.reply(id, outcome),
            Begun::Probe(probe) => {
                self.last_token += 1;
                let token = self.last_token;
                self.deadlines.insert((probe.deadline_ms, token));
                self.tokens.insert(id, token);
                self.probes.insert(token, probe);
                self.advance(token)
            }
        }
    }

    fn advance(&mut self, token: u64) -> io::Result<()> {
        loop {
            let Some(probe) = self.probes.get_mut(&token) else {
                return Ok(());
            };
            let id = probe.id;
            match probe.advance(&self.home).map_err(lost)? {
                Step::Answered(outcome) => self.reply(id, outcome)?,
                Step::Ended(outcome) => {
                    self.close(token);
                    return outcome.map_or(Ok(()), |outcome| self.reply(id, outcome));
                }
                Step::Wait(interest) => {
                    let watched = probe.watched.replace(interest);
                    let Some(attempt) = probe.attempt() else {
                        return Ok(());
                    };
                    return match watched {
                        None => self.epoll.add(attempt, interest, token),
                        Some(before) if before == interest => Ok(()),
                        Some(_) => self.epoll.change(attempt, interest, token),
                    };
                }
            }
        }
    }

    /// Cancelled, or asked anew. What is left of one that was answered goes too.
    fn forget(&mut self, id: u64) {
        if let Some(token) = self.tokens.get(&id).copied() {
            self.close(token);
        }
    }

    fn close(&mut self, token: u64) -> Option<Probe> {
        let probe = self.probes.remove(&token)?;
        self.deadlines.remove(&(probe.deadline_ms, token));
        self.tokens.remove(&probe.id);
        Some(probe)
    }

    fn give_up_the_late(&mut self, now_ms: u64) -> io::Result<()> {
        while let Some((at, token)) = self.deadlines.first().copied()
            && at <= now_ms
        {
            let Some(probe) = self.close(token) else {
                self.deadlines.remove(&(at, token));
                continue;
            };
            if let Some(outcome) = probe.too_late() {
                self.reply(probe.id, outcome)?;
            }
        }
        Ok(())
    }
}

/// PID 1's side of it.
impl Daemon {
    fn reply(&mut self, id: u64, outcome: ProbeOutcome) -> io::Result<()> {
        match serde_json::to_vec(&ProbeReply { id, outcome }) {
            Ok(bytes) => self.replies.push_back(bytes),
            Err(error) => log::error!("the reply to probe {id} is lost: {error}"),
        }
        self.send_replies()
    }

    fn send_replies(&mut self) -> io::Result<()> {
        while let Some(reply) = self.replies.front() {
            match sys::socket::send(self.init.as_fd(), reply, &[]) {
                Ok(_) => {}
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => break,
                    // The end: the next look at the socket says so.
                    io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => {}
                    _ => return Err(error),
                },
            }
            self.replies.pop_front();
        }
        Ok(())
    }
}

fn lost(Lost(error): Lost) -> io::Error {
    io::Error::new(
        error.kind(),
        format!("can't come back to the machine's network namespace: {error}"),
    )
}
