//! How a command fails: one line for the operator, one exit status for scripts.

use control::machine::CallError;
use control::reply::{Denial, Reply};
use std::fmt;
use std::io;

#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line is wrong.
    Usage(String),
    Call(CallError),
    Denied(Denial),
    /// It was tried, or could not be.
    Failed(String),
    /// The command of an exec, with its exit status.
    NotStarted {
        message: String,
        status: u8,
    },
    /// Whoever read our output has gone: nothing to say, and nobody to say it to.
    OutputClosed,
}

impl Failure {
    /// 1 failed, 2 usage, 3 unit not known, 4 no machine. (`exec` ends with the command's own, and with 125 to 127 when
    /// it could not be started.)
    pub(crate) fn status(&self) -> u8 {
        match self {
            Self::Failed(_) | Self::Denied(_) if !self.is_unknown_unit() => 1,
            Self::Usage(_) => 2,
            Self::Failed(_) | Self::Denied(_) => 3,
            Self::Call(
                CallError::NoMachine { .. } | CallError::Busy { .. } | CallError::Silent { .. },
            ) => 4,
            Self::Call(_) => 1,
            Self::NotStarted { status, .. } => *status,
            // 128 + SIGPIPE, as a program that is ended by it.
            Self::OutputClosed => 141,
        }
    }

    fn is_unknown_unit(&self) -> bool {
        matches!(self, Self::Denied(Denial::UnknownUnit { .. }))
    }

    /// What a final reply is when it is not the one that was asked for.
    pub(crate) fn from_reply(reply: Reply) -> Self {
        match reply {
            Reply::Failed { message } => Self::Failed(message),
            Reply::Denied { reason } => Self::Denied(reason),
            Reply::NotStarted { message, code } => Self::NotStarted {
                message,
                status: exit_status(code),
            },
            other => Self::Failed(format!("the machine gave an unexpected answer: {other:?}")),
        }
    }

    pub(crate) fn output(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::OutputClosed,
            _ => Self::Failed(format!("cannot write the output: {error}")),
        }
    }
}

/// Of what a process ends with, the low byte gets through (wait(2)).
pub(crate) fn exit_status(code: i32) -> u8 {
    u8::try_from(code & 0xff).unwrap_or(u8::MAX)
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text) => write!(f, "{text}; `keelctl help` shows how"),
            Self::Call(error) => write!(f, "{error}"),
            Self::Denied(reason) => denied(reason, f),
            Self::Failed(message) | Self::NotStarted { message, .. } => write!(f, "{message}"),
            Self::OutputClosed => Ok(()),
        }
    }
}

fn denied(reason: &Denial, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match reason {
        Denial::UnknownUnit {
            unit,
            nearest: Some(nearest),
        } => {
            write!(f, "no unit `{unit}`; is it `{nearest}`?")
        }
        Denial::UnknownUnit {
            unit,
            nearest: None,
        } => {
            write!(f, "no unit `{unit}`; `keelctl ps` lists them")
        }
        Denial::BadUnit { unit, message } => {
            write!(
                f,
                "the file of unit `{unit}` is bad: {message}; `keelctl status {unit}` shows all of it"
            )
        }
        Denial::NotRunning { unit } => {
            write!(
                f,
                "unit `{unit}` is not running; `keelctl start {unit}` starts it"
            )
        }
        Denial::ShuttingDown => write!(f, "the machine is shutting down"),
        Denial::VersionMismatch { ours, theirs } => write!(
            f,
            "the machine speaks control protocol {ours}, this keelctl {theirs}; use the keelctl of the machine's release"
        ),
        Denial::Malformed { message } => write!(f, "the machine did not understand: {message}"),
        Denial::TooManyConnections { limit } => {
            write!(
                f,
                "the machine has {limit} control connections already; end some of them"
            )
        }
        Denial::MissingDescriptors => write!(f, "the request came without its descriptors"),
        Denial::NotPermitted => write!(f, "not permitted; become root"),
    }
}
