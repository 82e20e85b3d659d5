//! Why a layer could not be unpacked, with the entry in question.

use crate::program::error::Bytes;
use crate::program::layer_path::shown;
use crate::program::limits::FOLDER_NAME_BYTES_MAX;
use crate::program::tarball::{Entry, TarError};
use std::fmt;
use std::io;

#[derive(Debug)]
pub(crate) enum UnpackError {
    Tar(TarError),
    /// An entry that would act outside the layer, or that overlayfs would misread.
    Unsafe {
        entry: String,
        reason: &'static str,
    },
    /// A hard link to something that isn't there.
    DanglingLink {
        entry: String,
        target: String,
    },
    FolderNames,
    /// Not an error of the layer: it can only be unpacked when those below it are known.
    NeedsBelow,
    Write {
        action: &'static str,
        entry: String,
        source: io::Error,
    },
}

pub(crate) fn refuse(entry: &Entry, reason: &'static str) -> UnpackError {
    UnpackError::Unsafe {
        entry: shown(&entry.path),
        reason,
    }
}

pub(crate) fn write_error<'a>(
    action: &'static str,
    entry: &'a Entry,
) -> impl Fn(io::Error) -> UnpackError + 'a {
    move |source| UnpackError::Write {
        action,
        entry: shown(&entry.path),
        source,
    }
}

impl From<TarError> for UnpackError {
    fn from(error: TarError) -> Self {
        Self::Tar(error)
    }
}

impl fmt::Display for UnpackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tar(error) => write!(f, "{error}"),
            Self::Unsafe { entry, reason } => write!(f, "entry {entry} is refused: {reason}"),
            Self::DanglingLink { entry, target } => {
                write!(
                    f,
                    "entry {entry} is refused: it is a hard link to {target}, which neither the layer nor those below it have"
                )
            }
            Self::NeedsBelow => f.write_str("it depends on the layers below it"),
            Self::FolderNames => {
                write!(
                    f,
                    "the names of its folders are longer than {} together",
                    Bytes(FOLDER_NAME_BYTES_MAX as u64)
                )
            }
            Self::Write {
                action,
                entry,
                source,
            } if source.kind() == io::ErrorKind::PermissionDenied => {
                write!(
                    f,
                    "{action} {entry}: {source}: the store must run as root to unpack images"
                )
            }
            Self::Write {
                action,
                entry,
                source,
            } => write!(f, "{action} {entry}: {source}"),
        }
    }
}

impl std::error::Error for UnpackError {}
