//! Why a step failed: where, and what an operator can do about it.

use crate::one_word;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use sys::mount::FileSystemError;
use unit::LaunchFailure;

/// The error of a step; the step's name comes from the list it stands in.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) path: PathBuf,
    pub(crate) problem: Problem,
}

/// What can be wrong.
#[derive(Debug)]
pub(crate) enum Problem {
    /// A system call; `doing` is a verb: `open`, `mount`.
    System {
        doing: &'static str,
        source: io::Error,
    },
    /// A mount that the kernel explains.
    FileSystem {
        doing: &'static str,
        source: FileSystemError,
    },
    /// Where an ordinary folder is needed, the image has a symbolic link.
    LinkInImage,
    /// The source of a bind mount is missing.
    SourceMissing,
    /// A volume or tmpfs on what is a file in the image, a file on what is a folder, or the reverse.
    WrongKind {
        expected: &'static str,
    },
    /// Something of the container is needed for what nobody may put there.
    Reserved {
        reason: &'static str,
    },
    /// The program is there and can't be executed.
    NotExecutable {
        reason: String,
        errno: i32,
    },
    /// The program is nowhere.
    CommandNotFound {
        image: String,
        searched: Option<String>,
    },
    /// A text from a unit or an image that means nothing.
    Invalid {
        reason: String,
    },
    Image(store::ImageError),
}

impl Fault {
    pub(crate) fn new(path: impl AsRef<Path>, problem: Problem) -> Self {
        Self {
            path: path.as_ref().to_owned(),
            problem,
        }
    }

    pub(crate) fn invalid(path: impl AsRef<Path>, reason: impl Into<String>) -> Self {
        Self::new(
            path,
            Problem::Invalid {
                reason: reason.into(),
            },
        )
    }

    /// For LaunchFailure: 0 when it was not a system call.
    fn errno(&self) -> i32 {
        match &self.problem {
            Problem::System { source, .. } => source.raw_os_error().unwrap_or(0),
            Problem::FileSystem { source, .. } => source.source.raw_os_error().unwrap_or(0),
            Problem::NotExecutable { errno, .. } => *errno,
            Problem::LinkInImage
            | Problem::SourceMissing
            | Problem::WrongKind { .. }
            | Problem::Reserved { .. }
            | Problem::CommandNotFound { .. }
            | Problem::Invalid { .. }
            | Problem::Image(_) => 0,
        }
    }

    /// Exit status as shells and Docker have it: 127 not found, 126 can't be executed, 125 everything before that.
    pub(crate) fn exit_status(&self) -> u8 {
        match &self.problem {
            Problem::CommandNotFound { .. } => 127,
            Problem::NotExecutable { .. } => 126,
            Problem::System { .. }
            | Problem::FileSystem { .. }
            | Problem::LinkInImage
            | Problem::SourceMissing
            | Problem::WrongKind { .. }
            | Problem::Reserved { .. }
            | Problem::Invalid { .. }
            | Problem::Image(_) => 125,
        }
    }

    /// Of a program's name.
    fn one_word(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match one_word::hint(&self.path.to_string_lossy()) {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }

    /// As it goes over the report pipe.
    pub(crate) fn at_step(&self, step: &str) -> LaunchFailure {
        LaunchFailure {
            step: step.to_owned(),
            path: self.path.to_string_lossy().into_owned(),
            errno: self.errno(),
            message: self.to_string(),
        }
    }
}

/// The message only: path and errno are fields of their own.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.problem {
            Problem::System { doing, source } if sys::path::is_link_refused(source) => write!(
                f,
                "cannot {doing}: a symbolic link on the way leads nowhere, or through /proc"
            ),
            Problem::System { doing, source } if source.raw_os_error().is_some() => {
                write!(f, "cannot {doing}")
            }
            Problem::System { doing, source } => write!(f, "cannot {doing}: {source}"),
            Problem::FileSystem { doing, source } if source.explanation.is_empty() => {
                write!(f, "cannot {doing}")
            }
            Problem::FileSystem { doing, source } => {
                write!(f, "cannot {doing}: {}", source.explanation)
            }
            Problem::LinkInImage => {
                f.write_str("is a symbolic link in the image; it must be an ordinary folder")
            }
            Problem::SourceMissing => f.write_str(
                "does not exist on the machine; create it, or use a volume, which is made when it is missing",
            ),
            Problem::WrongKind { expected } => write!(f, "must be {expected}"),
            Problem::Reserved { reason } => f.write_str(reason),
            Problem::NotExecutable { reason, .. } => f.write_str(reason),
            Problem::CommandNotFound {
                image,
                searched: Some(searched),
            } => {
                write!(f, "command not found in image {image} (looked in {searched})")?;
                self.one_word(f)
            }
            Problem::CommandNotFound {
                image,
                searched: None,
            } => {
                write!(f, "command not found in image {image}")?;
                self.one_word(f)
            }
            Problem::Invalid { reason } => f.write_str(reason),
            Problem::Image(error) => write!(f, "{error}"),
        }
    }
}

/// Adds path and verb to the error of a system call.
pub(crate) trait At<T> {
    fn at(self, doing: &'static str, path: impl AsRef<Path>) -> Result<T, Fault>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, doing: &'static str, path: impl AsRef<Path>) -> Result<T, Fault> {
        self.map_err(|source| Fault::new(path, Problem::System { doing, source }))
    }
}

impl<T> At<T> for Result<T, FileSystemError> {
    fn at(self, doing: &'static str, path: impl AsRef<Path>) -> Result<T, Fault> {
        self.map_err(|source| Fault::new(path, Problem::FileSystem { doing, source }))
    }
}
