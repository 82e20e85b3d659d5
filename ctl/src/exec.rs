//! `keelctl exec`: a command in a container, with our terminal in raw mode where it has one of its own.

use crate::carry::{Input, Notice, Outcome, carry};
use crate::failure::{Failure, exit_status};
use crate::options::Invocation;
use crate::output::complain;
use crate::signals::Signals;
use control::machine::{Call, CallError, Machine, Patience};
use control::reply::Reply;
use control::request::{ExecRequest, Request};
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::sync::Mutex;
use std::time::Instant;
use sys::terminal::{RawMode, window_size};

/// Ends with the command's exit status.
pub(crate) fn exec(
    invocation: &Invocation,
    machine: &Machine,
    request: &ExecRequest,
    interactive: bool,
) -> Result<u8, Failure> {
    let stdin = io::stdin();
    if request.tty && interactive && !stdin.is_terminal() {
        return Err(Failure::Usage(
            "stdin is not a terminal: use -i without -t".to_owned(),
        ));
    }
    let signals = Signals::block()?;
    // The time limit is for reaching the machine: how long a command runs is its own affair.
    let reach = invocation.patience(Patience::LONG).reach;
    let deadline = invocation.timeout.map(|timeout| Instant::now() + timeout);
    let mut call = machine.call(&Request::Exec(request.clone()), None, reach)?;
    let raw = if request.tty && interactive {
        Some(Raw::enter()?)
    } else {
        None
    };
    if request.tty {
        send_size(&mut call);
    }
    let input = match (interactive, request.tty) {
        (true, _) => Input::From(stdin.as_fd()),
        (false, true) => Input::Silent,
        (false, false) => Input::Empty,
    };
    let outcome = carry(
        &mut call,
        &signals,
        &input,
        deadline,
        &mut |call, notice| match notice {
            Notice::Resized if request.tty => send_size(call),
            Notice::Continued if request.tty => {
                if raw.is_some() {
                    Raw::again();
                }
                send_size(call);
            }
            _ => {}
        },
    );
    drop(raw);
    match outcome? {
        Outcome::Reply(Reply::Exited { code, reason }) => {
            if let Some(reason) = reason {
                complain(&reason);
            }
            Ok(exit_status(code))
        }
        Outcome::Reply(other) => Err(Failure::from_reply(other)),
        Outcome::Signal(signal) => Ok(u8::try_from(128 + signal).unwrap_or(u8::MAX)),
        Outcome::TimedOut => Err(CallError::NoAnswer {
            waited: invocation.timeout.unwrap_or_default(),
        }
        .into()),
    }
}

/// The size of our window, of whichever stream is a terminal.
fn send_size(call: &mut Call) {
    let size = window_size(io::stdout().as_fd()).or_else(|_| window_size(io::stdin().as_fd()));
    if let Ok(size) = size {
        call.resize(size);
    }
}

/// The mode of the terminal is not this process's own: it is put back by whatever way we leave, a panic included.
static RAW: Mutex<Option<RawMode>> = Mutex::new(None);

struct Raw;

impl Raw {
    fn enter() -> Result<Self, Failure> {
        let mode = RawMode::enter(io::stdin().as_fd()).map_err(|error| {
            Failure::Failed(format!("cannot set the terminal to raw mode: {error}"))
        })?;
        put(Some(mode));
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            put(None);
            before(panic);
        }));
        Ok(Self)
    }

    fn again() {
        let mode = RAW.lock();
        if let Some(mode) = mode.as_ref().ok().and_then(|mode| mode.as_ref()) {
            // Without it the keys come in lines: not worth ending the command for.
            let _ = mode.again();
        }
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        put(None);
    }
}

fn put(mode: Option<RawMode>) {
    *RAW.lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner) = mode;
}
