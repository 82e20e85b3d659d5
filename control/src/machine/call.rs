//! One request under way, by whichever way it goes.

use super::error::{CallError, io_error};
use super::happening::{Happening, Progress, READ_BYTES, passed, wait_for};
use super::port::Port;
use crate::client::{Client, Taken};
use crate::reply::Reply;
use crate::request::Request;
use crate::serial::{Channel, Streams, WINDOW_BYTES};
use std::collections::VecDeque;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};
use sys::terminal::WindowSize;

fn streams_of(request: &Request) -> Streams {
    match request {
        Request::Exec(exec) if exec.tty => Streams::Terminal,
        Request::Exec(_) => Streams::Pipes,
        Request::Logs(_) | Request::TraceDump => Streams::Output,
        Request::ImageLoad
        | Request::ImageLoadAs { .. }
        | Request::Diff
        | Request::Apply { .. } => Streams::Input,
        _ => Streams::None,
    }
}

fn outputs_of(streams: Streams) -> Vec<Channel> {
    match streams {
        Streams::None | Streams::Input => Vec::new(),
        Streams::Pipes => vec![Channel::Stdout, Channel::Stderr],
        Streams::Terminal | Streams::Output => vec![Channel::Stdout],
    }
}

/// One request under way. Dropping it cancels what it asked for, as far as that can be cancelled.
#[derive(Debug)]
pub struct Call {
    link: Link,
    /// Bytes of reply frames.
    replies: Vec<u8>,
    happened: VecDeque<Happening>,
    answered: bool,
}

#[derive(Debug)]
enum Link {
    Local(Box<Local>),
    Port(Box<Port>),
}

impl Call {
    pub(super) fn local(
        path: &Path,
        request: &Request,
        bytes: &[u8],
        archive: Option<OwnedFd>,
    ) -> Result<Self, CallError> {
        let streams = streams_of(request);
        let client = match archive {
            Some(archive) => Client::with_riders(path, vec![archive]),
            None => Client::connect(path, streams),
        };
        let mut client = client.map_err(|source| CallError::NoMachine {
            place: path.to_owned(),
            source: Some(source),
        })?;
        client.send(Channel::Control, bytes);
        let outputs = outputs_of(streams);
        Ok(Self::over(Link::Local(Box::new(Local {
            client,
            outputs,
            buffer: vec![0; READ_BYTES].into(),
        }))))
    }

    pub(super) fn port(
        folder: &Path,
        request: &Request,
        bytes: Vec<u8>,
        reach: Duration,
    ) -> Result<Self, CallError> {
        let port = Port::open(folder, streams_of(request), bytes, reach)?;
        Ok(Self::over(Link::Port(Box::new(port))))
    }

    fn over(link: Link) -> Self {
        Self {
            link,
            replies: Vec::new(),
            happened: VecDeque::new(),
            answered: false,
        }
    }

    /// Wait for the next thing to happen; `None`: the deadline has passed.
    ///
    /// # Errors
    /// When the connection is lost, or the machine says what is no reply.
    pub fn wait(
        &mut self,
        others: &[BorrowedFd<'_>],
        deadline: Option<Instant>,
    ) -> Result<Option<Happening>, CallError> {
        let blocked = self.stdin_room() == 0;
        loop {
            match &mut self.link {
                Link::Local(local) => local.flush(&mut self.happened)?,
                Link::Port(port) => port.flush()?,
            }
            if let Some(happening) = self.happened.pop_front() {
                return Ok(Some(happening));
            }
            if blocked && self.stdin_room() > 0 {
                return Ok(Some(Happening::StdinRoom));
            }
            let ended = match &mut self.link {
                Link::Local(local) => {
                    local.wait(others, deadline, &mut self.replies, &mut self.happened)?
                }
                Link::Port(port) => {
                    port.wait(others, deadline, &mut self.replies, &mut self.happened)?
                }
            };
            self.take_replies()?;
            if self.happened.is_empty() {
                match ended {
                    Progress::Ended => return Ok(Some(Happening::Ended)),
                    Progress::TimedOut => return Ok(None),
                    Progress::Going => {}
                }
            }
        }
    }

    fn take_replies(&mut self) -> Result<(), CallError> {
        while let Some((reply, bytes)) = Reply::of_frame(&self.replies).map_err(CallError::Frame)? {
            self.replies.drain(..bytes);
            if reply.is_final() && !self.answered {
                self.answered = true;
                match &mut self.link {
                    Link::Local(local) => local.client.end(Channel::Control),
                    Link::Port(port) => port.session().send_end(Channel::Control),
                }
            }
            self.happened.push_back(Happening::Reply(reply));
        }
        Ok(())
    }

    /// How much stdin is taken now, in bytes.
    #[must_use]
    pub fn stdin_room(&self) -> usize {
        match &self.link {
            Link::Local(local) => WINDOW_BYTES.saturating_sub(local.client.waiting(Channel::Stdin)),
            Link::Port(port) => port.stdin_room(),
        }
    }

    /// Send stdin; returns how many bytes were taken, at most [`Self::stdin_room`].
    pub fn send_stdin(&mut self, bytes: &[u8]) -> usize {
        match &mut self.link {
            Link::Local(local) => {
                local.client.send(Channel::Stdin, bytes);
                bytes.len()
            }
            Link::Port(port) => port.session().send(Channel::Stdin, bytes),
        }
    }

    pub fn end_stdin(&mut self) {
        match &mut self.link {
            Link::Local(local) => local.client.end(Channel::Stdin),
            Link::Port(port) => port.session().send_end(Channel::Stdin),
        }
    }

    pub fn resize(&mut self, size: WindowSize) {
        match &mut self.link {
            Link::Local(local) => local.client.resize(size),
            Link::Port(port) => port.session().send_resize(size.rows, size.columns),
        }
    }
}

/// A call by the control socket of this machine.
#[derive(Debug)]
pub(super) struct Local {
    client: Client,
    /// Those that have not ended.
    outputs: Vec<Channel>,
    /// Of [`READ_BYTES`], for whatever comes.
    buffer: Box<[u8]>,
}

impl Local {
    fn flush(&mut self, happened: &mut VecDeque<Happening>) -> Result<(), CallError> {
        let flushed = self.client.flush().map_err(io_error("control socket"))?;
        if flushed.stdin_gone {
            happened.push_back(Happening::StdinGone);
        }
        Ok(())
    }

    fn wait(
        &mut self,
        others: &[BorrowedFd<'_>],
        deadline: Option<Instant>,
        replies: &mut Vec<u8>,
        happened: &mut VecDeque<Happening>,
    ) -> Result<Progress, CallError> {
        let control = io_error("control socket");
        if self.client.is_over() && self.outputs.is_empty() {
            return Ok(Progress::Ended);
        }
        // What is left in the pipes is there already.
        let now = self.client.is_over().then(Instant::now);
        let wanted = |channel| channel == Channel::Control || self.outputs.contains(&channel);
        wait_for(
            &self.client.descriptors(wanted),
            others,
            now.or(deadline),
            happened,
        )?;

        let buffer = &mut self.buffer;
        if let Taken::Bytes(bytes) = self
            .client
            .take(Channel::Control, buffer)
            .map_err(&control)?
        {
            replies.extend_from_slice(&buffer[..bytes]);
        }
        let mut ended = Vec::new();
        for channel in self.outputs.iter().copied() {
            match self.client.take(channel, buffer).map_err(&control)? {
                Taken::Bytes(bytes) => {
                    happened.push_back(Happening::Output(channel, buffer[..bytes].to_vec()));
                }
                Taken::Nothing => {}
                Taken::Ended => ended.push(channel),
            }
        }
        self.outputs.retain(|channel| !ended.contains(channel));
        Ok(if passed(deadline) {
            Progress::TimedOut
        } else {
            Progress::Going
        })
    }
}
