//! Commands that ask for something and wait until it is so: start, stop, restart, wait-ready, reexec, poweroff, reboot; and trace.

use crate::failure::Failure;
use crate::options::Invocation;
use crate::{human, output};
use control::machine::{CallError, Machine, Patience};
use control::reply::Reply;
use control::request::Request;

fn progress(reply: &Reply) {
    if let Reply::Progress { message } = reply {
        output::complain(&human::printable(message));
    }
}

/// Silent when it is done, as systemctl is.
pub(crate) fn act(
    invocation: &Invocation,
    machine: &Machine,
    request: &Request,
) -> Result<(), Failure> {
    match machine.ask(request, invocation.patience(Patience::LONG), progress)? {
        Reply::Done => Ok(()),
        other => Err(Failure::from_reply(other)),
    }
}

/// The end of the machine: once it has taken the request, the end of the connection is the outcome.
pub(crate) fn end(
    invocation: &Invocation,
    machine: &Machine,
    request: &Request,
) -> Result<(), Failure> {
    let mut accepted = false;
    let outcome = machine.ask(request, invocation.patience(Patience::LONG), |reply| {
        accepted |= matches!(reply, Reply::Accepted);
        progress(reply);
    });
    match outcome {
        Ok(Reply::Done) => Ok(()),
        Ok(other) => Err(Failure::from_reply(other)),
        Err(CallError::Lost { .. } | CallError::Io { .. }) if accepted => Ok(()),
        Err(error) => Err(error.into()),
    }
}

pub(crate) fn trace(invocation: &Invocation, machine: &Machine) -> Result<(), Failure> {
    match machine.ask(
        &Request::Trace,
        invocation.patience(Patience::USUAL),
        progress,
    )? {
        Reply::Trace(lines) if invocation.json => output::json(&lines),
        Reply::Trace(lines) => output::print(
            &lines
                .iter()
                .map(|line| human::printable(line) + "\n")
                .collect::<String>(),
        ),
        other => Err(Failure::from_reply(other)),
    }
}
