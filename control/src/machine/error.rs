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
                whole_seconds(*waited)
            ),
            Self::NoAnswer { waited } => {
                write!(
                    f,
                    "no answer within {} s; --timeout SECONDS waits longer",
                    whole_seconds(*waited)
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

/// To the nearest one: who was to wait for a second has waited for 999 ms when some of it was spent before.
fn whole_seconds(waited: Duration) -> u128 {
    (waited.as_millis() + 500) / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_that_was_begun_before_is_a_second() {
        for (milliseconds, expected) in
            [(993, "for 1 s;"), (1000, "for 1 s;"), (10_004, "for 10 s;")]
        {
            let error = CallError::Silent {
                place: PathBuf::from("/x"),
                waited: Duration::from_millis(milliseconds),
            };
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}
