//! Why a call did not come to its end, in words for the operator.

use crate::frame::FrameError;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why a call did not come to its end.
#[derive(Debug)]
pub enum CallError {
    /// Nobody listens there.
    NoMachine {
        place: PathBuf,
        source: Option<io::Error>,
    },
    /// All ports are in use.
    Busy {
        folder: PathBuf,
        ports: usize,
    },
    /// QEMU is there, the relay does not answer.
    Silent {
        place: PathBuf,
        waited: Duration,
    },
    NoAnswer {
        waited: Duration,
    },
    /// The connection ended before the answer.
    Lost {
        why: String,
    },
    Frame(FrameError),
    Io {
        what: String,
        source: io::Error,
    },
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMachine { place, source } => {
                write!(f, "no Keelson machine answers at {}", place.display())?;
                if let Some(source) = source {
                    write!(f, " ({source})")?;
                }
                write!(
                    f,
                    "; start one with `cargo boot`, or name its run folder with --machine DIR"
                )
            }
            Self::Busy { folder, ports } => write!(
                f,
                "all {ports} control ports in {} are in use; end another keelctl first",
                folder.display()
            ),
            Self::Silent { place, waited } => write!(
                f,
                "the machine at {} has not answered for {} s; look at its console.log",
                place.display(),
                waited.as_secs()
            ),
            Self::NoAnswer { waited } => {
                write!(
                    f,
                    "no answer within {} s; --timeout SECONDS waits longer",
                    waited.as_secs()
                )
            }
            Self::Lost { why } => write!(f, "connection lost: {why}"),
            Self::Frame(error) => write!(f, "{error}"),
            Self::Io { what, source } => write!(f, "{what}: {source}"),
        }
    }
}

impl std::error::Error for CallError {}

pub(super) fn io_error(what: &str) -> impl Fn(io::Error) -> CallError {
    move |source| CallError::Io {
        what: what.to_owned(),
        source,
    }
}
