//! `keelctl logs`, and the last lines for `status`.

use crate::carry::{Input, Outcome, carry};
use crate::failure::Failure;
use crate::options::Invocation;
use crate::signals::Signals;
use control::machine::{CallError, Happening, Machine, Patience};
use control::reply::Reply;
use control::request::{LogsRequest, Request};
use nix::sys::signal::Signal;
use std::time::Instant;

pub(crate) fn logs(
    invocation: &Invocation,
    machine: &Machine,
    request: &LogsRequest,
) -> Result<u8, Failure> {
    let follow = request.follow;
    stream(invocation, machine, &Request::Logs(request.clone()), follow)
}

/// The last decisions, for `sim --replay`.
pub(crate) fn dump(invocation: &Invocation, machine: &Machine) -> Result<u8, Failure> {
    stream(invocation, machine, &Request::TraceDump, false)
}

/// What the machine writes, to stdout.
fn stream(
    invocation: &Invocation,
    machine: &Machine,
    request: &Request,
    follow: bool,
) -> Result<u8, Failure> {
    let signals = Signals::block()?;
    let patience = invocation.patience(Patience::LONG);
    let deadline = patience.outcome.map(|outcome| Instant::now() + outcome);
    let mut call = machine.call(request, None, patience.reach)?;
    match carry(
        &mut call,
        &signals,
        &Input::Silent,
        deadline,
        &mut |_, _| {},
    )? {
        Outcome::Reply(Reply::Done) => Ok(0),
        Outcome::Reply(other) => Err(Failure::from_reply(other)),
        // Ctrl-C is how one stops following.
        Outcome::Signal(signal) if follow && signal == Signal::SIGINT as i32 => Ok(0),
        Outcome::Signal(signal) => Ok(u8::try_from(128 + signal).unwrap_or(u8::MAX)),
        Outcome::TimedOut if follow => Ok(0),
        Outcome::TimedOut => Err(CallError::NoAnswer {
            waited: patience.outcome.unwrap_or_default(),
        }
        .into()),
    }
}

/// The text of a query that ends.
pub(crate) fn collect(
    machine: &Machine,
    request: LogsRequest,
    patience: Patience,
) -> Result<String, Failure> {
    let deadline = patience.outcome.map(|outcome| Instant::now() + outcome);
    let mut call = machine.call(&Request::Logs(request), None, patience.reach)?;
    let (mut text, mut last) = (Vec::new(), None);
    loop {
        match call.wait(&[], deadline)? {
            Some(Happening::Output(_, bytes)) => text.extend(bytes),
            Some(Happening::Reply(reply)) if reply.is_final() => last = Some(reply),
            Some(Happening::Ended) => break,
            Some(_) => {}
            None => {
                return Err(CallError::NoAnswer {
                    waited: patience.outcome.unwrap_or_default(),
                }
                .into());
            }
        }
    }
    match last {
        Some(Reply::Done) => Ok(String::from_utf8_lossy(&text).into_owned()),
        Some(other) => Err(Failure::from_reply(other)),
        None => Err(CallError::Lost {
            why: "the machine closed it".to_owned(),
        }
        .into()),
    }
}
