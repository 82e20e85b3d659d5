//! Why a tar archive could not be read.

use crate::program::limits::LAYER_BYTES_MAX;
use std::fmt;
use std::io;

#[derive(Debug)]
pub(crate) enum TarError {
    /// The first block is no tar header.
    NotTar,
    /// In the middle of what.
    Truncated {
        inside: String,
    },
    Malformed {
        entry: String,
        reason: &'static str,
    },
    Unsupported {
        entry: String,
        what: String,
    },
    TooManyEntries {
        limit: u64,
    },
    Read(io::Error),
}

pub(crate) fn read_error(error: io::Error, inside: &str) -> TarError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => TarError::Truncated {
            inside: inside.to_owned(),
        },
        _ => TarError::Read(error),
    }
}

impl fmt::Display for TarError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotTar => write!(f, "it is not a tar archive"),
            Self::Truncated { inside } => {
                write!(f, "it is truncated inside {}", inside.escape_debug())
            }
            Self::Malformed { entry, reason } => {
                write!(f, "entry {} is malformed: {reason}", entry.escape_debug())
            }
            Self::Unsupported { entry, what } => {
                write!(f, "entry {}: {what}", entry.escape_debug())
            }
            Self::TooManyEntries { limit } => write!(f, "it has more than {limit} entries"),
            Self::Read(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                write!(
                    f,
                    "it is larger than {}",
                    crate::program::error::Bytes(LAYER_BYTES_MAX)
                )
            }
            Self::Read(error) => write!(f, "it cannot be read: {error}"),
        }
    }
}

impl std::error::Error for TarError {}
