//! Carrying a call's streams: stdin to the machine, its output to stdout and stderr, signals to whom they concern.

use crate::failure::Failure;
use crate::output;
use crate::signals::{Caught, Signals};
use control::machine::{Call, CallError, Happening};
use control::reply::Reply;
use control::serial::Channel;
use std::io::{self, PipeReader, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

/// Bytes of stdin read at once.
const STDIN_BYTES: usize = 64 << 10;

/// Where stdin comes from.
#[derive(Debug)]
pub(crate) enum Input<'a> {
    From(BorrowedFd<'a>),
    /// It ends at once.
    Empty,
    /// It neither brings anything nor ends: a terminal that is only watched.
    Silent,
}

/// How it came to an end.
#[derive(Debug)]
pub(crate) enum Outcome {
    Reply(Reply),
    /// By this signal.
    Signal(i32),
    TimedOut,
}

/// What the command wants to know on the way.
#[derive(Debug)]
pub(crate) enum Notice<'a> {
    Progress(&'a str),
    /// Another one that is not the last.
    Reply(&'a Reply),
    /// So many more bytes of stdin have been taken.
    Sent(usize),
    Resized,
    Continued,
}

/// Carry until the machine has said its last word and every stream has ended.
pub(crate) fn carry(
    call: &mut Call,
    signals: &Signals,
    input: &Input<'_>,
    deadline: Option<Instant>,
    notice: &mut dyn FnMut(&mut Call, Notice<'_>),
) -> Result<Outcome, Failure> {
    let mut stdin = match input {
        Input::From(descriptor) => Some(*descriptor),
        Input::Silent => None,
        Input::Empty => {
            call.end_stdin();
            None
        }
    };
    let mut last = None;
    loop {
        let mut others = vec![signals.as_fd()];
        others.extend(stdin.filter(|_| call.stdin_room() > 0));
        let Some(happening) = call.wait(&others, deadline)? else {
            return Ok(Outcome::TimedOut);
        };
        match happening {
            Happening::Ready(0) => {
                if let Some(signal) = take_signal(call, signals, notice) {
                    return Ok(Outcome::Signal(signal));
                }
            }
            Happening::Ready(_) => {
                if let Some(descriptor) = stdin {
                    match forward(call, descriptor)? {
                        Some(bytes) => notice(call, Notice::Sent(bytes)),
                        None => stdin = None,
                    }
                }
            }
            Happening::Output(channel, mut bytes) => {
                // Nobody may be reading our output: a signal still ends us then.
                while !show(channel, &mut bytes, signals)? {
                    if let Some(signal) = take_signal(call, signals, notice) {
                        return Ok(Outcome::Signal(signal));
                    }
                }
            }
            Happening::StdinGone => stdin = None,
            // The next wait watches stdin again.
            Happening::StdinRoom => {}
            Happening::Reply(Reply::Progress { message }) => {
                notice(call, Notice::Progress(&message))
            }
            Happening::Reply(reply) if reply.is_final() => last = Some(reply),
            Happening::Reply(reply) => notice(call, Notice::Reply(&reply)),
            Happening::Ended => {
                let lost = || CallError::Lost {
                    why: "the machine closed it".to_owned(),
                };
                return Ok(Outcome::Reply(last.ok_or_else(lost)?));
            }
        }
    }
}

/// Bytes of stdin sent on; `None`: it has ended.
fn forward(call: &mut Call, stdin: BorrowedFd<'_>) -> Result<Option<usize>, Failure> {
    let failed = |error: io::Error| Failure::Failed(format!("cannot read stdin: {error}"));
    let room = call.stdin_room().min(STDIN_BYTES);
    if room == 0 {
        return Ok(Some(0));
    }
    let mut buffer = vec![0; room];
    let mut reader = PipeReader::from(stdin.try_clone_to_owned().map_err(failed)?);
    match reader.read(&mut buffer) {
        Ok(0) => {
            call.end_stdin();
            Ok(None)
        }
        Ok(bytes) => {
            call.send_stdin(&buffer[..bytes]);
            Ok(Some(bytes))
        }
        Err(error) => match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(Some(0)),
            // EIO: the terminal has gone, or we are in the background of it.
            _ => Err(failed(error)),
        },
    }
}

/// Handle one signal; its number, if it is to end us.
fn take_signal(
    call: &mut Call,
    signals: &Signals,
    notice: &mut dyn FnMut(&mut Call, Notice<'_>),
) -> Option<i32> {
    match signals.take()? {
        Caught::End(signal) => return Some(signal),
        Caught::Resized => notice(call, Notice::Resized),
        Caught::Continued => notice(call, Notice::Continued),
    }
    None
}

/// Write what there is, up to a signal; whether that was all.
fn show(channel: Channel, bytes: &mut Vec<u8>, signals: &Signals) -> Result<bool, Failure> {
    let (stdout, stderr) = (io::stdout(), io::stderr());
    let target = if channel == Channel::Stderr {
        stderr.as_fd()
    } else {
        stdout.as_fd()
    };
    let written = output::write_unless(target, bytes, signals.as_fd())
        .map_err(|error| Failure::output(&error))?;
    bytes.drain(..written);
    Ok(bytes.is_empty())
}
