//! Why the store was not changed. One line for the operator: what, where, and what to do.

use crate::program::tarball::TarError;
use crate::program::unpack_error::UnpackError;
use crate::{Digest, ImageError, ReferenceError};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use sys::memory::LEAST_WITHOUT_DISK;

#[derive(Debug)]
pub(crate) enum StoreError {
    /// `action` is a verb: `cannot open`.
    Io {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    NoSpace {
        root: PathBuf,
        medium: Medium,
        shortage: Shortage,
    },
    ReadOnly {
        root: PathBuf,
    },
    NotAnArchive {
        reason: String,
    },
    /// The archive ends early, or one of its parts does.
    Truncated {
        what: String,
    },
    /// The archive names a part that it doesn't contain.
    Missing {
        what: String,
        blob: String,
    },
    Mismatch {
        what: String,
        expected: Digest,
        found: Digest,
    },
    Unsupported {
        what: String,
        detail: String,
    },
    Malformed {
        what: String,
        reason: String,
    },
    Limit {
        what: String,
        limit: String,
    },
    WrongPlatform {
        what: String,
        found: Vec<String>,
    },
    /// `--name` and an archive with several images.
    NameForMany {
        images: usize,
    },
    /// `--name` with a digest in it, which says what an image is and not what it is called.
    NameIsDigest {
        name: String,
    },
    Tar {
        what: String,
        source: TarError,
    },
    Unpack {
        what: String,
        source: UnpackError,
    },
    Reference(ReferenceError),
    Image(ImageError),
    /// One of the archives that the release carries.
    Preloaded {
        file: String,
        source: Box<StoreError>,
    },
    /// `gc` can't know what a damaged reference needs.
    DamagedReference(ImageError),
}

/// What there was too little of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shortage {
    /// `free` before the load began; `needed` is a lower bound.
    Bytes { free: u64, needed: u64 },
    /// The file system can't have more files, whatever their size.
    Files,
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes { free, needed } => write!(
                f,
                "{} free, at least {} needed",
                Bytes(*free),
                Bytes(*needed)
            ),
            Self::Files => f.write_str("the file system has no inodes left for more files"),
        }
    }
}

/// What the store is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Medium {
    Disk,
    /// The machine has no state partition.
    Memory,
}

impl StoreError {
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }

    pub(crate) fn malformed(what: impl Into<String>, reason: impl fmt::Display) -> Self {
        Self::Malformed {
            what: what.into(),
            reason: reason.to_string(),
        }
    }

    /// The system call that failed, if one did while the store was being written.
    pub(crate) fn write_error(&self) -> Option<io::ErrorKind> {
        match self {
            Self::Io { source, .. } => Some(source.kind()),
            Self::Unpack {
                source: UnpackError::Write { source, .. },
                ..
            } => Some(source.kind()),
            Self::Preloaded { source, .. } => source.write_error(),
            Self::Unpack { .. }
            | Self::NoSpace { .. }
            | Self::ReadOnly { .. }
            | Self::NotAnArchive { .. }
            | Self::Truncated { .. }
            | Self::Missing { .. }
            | Self::Mismatch { .. }
            | Self::Unsupported { .. }
            | Self::Malformed { .. }
            | Self::Limit { .. }
            | Self::WrongPlatform { .. }
            | Self::NameForMany { .. }
            | Self::NameIsDigest { .. }
            | Self::Tar { .. }
            | Self::Reference(_)
            | Self::Image(_)
            | Self::DamagedReference(_) => None,
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io {
                action,
                path,
                source,
            } => write!(f, "{action} {}: {source}", path.display()),
            Self::NoSpace {
                root,
                medium,
                shortage,
            } => {
                let (place, advice) = match medium {
                    Medium::Disk => (
                        "",
                        "make room (old images, volumes) or give the machine a larger disk"
                            .to_owned(),
                    ),
                    Medium::Memory => (
                        ", which is in memory",
                        format!(
                            "give the machine a disk that was written from the disk image, or more memory (without a \
                             disk at least {})",
                            Bytes(LEAST_WITHOUT_DISK)
                        ),
                    ),
                };
                let root = root.display();
                write!(
                    f,
                    "no space left in {root}{place}: {shortage}; nothing was changed: {advice}"
                )
            }
            Self::ReadOnly { root } => write!(
                f,
                "{} is read-only, so no image can be loaded; nothing was changed: see why the state partition is \
                 mounted read-only",
                root.display()
            ),
            Self::Preloaded { file, source } => write!(f, "{file} of the release: {source}"),
            Self::NotAnArchive { reason } => write!(
                f,
                "this is not an image archive: {reason}; give an OCI layout or what docker save writes, as tar, tar.gz \
                 or tar.zst"
            ),
            Self::Truncated { what } => {
                write!(
                    f,
                    "the archive is truncated: {what}; nothing was changed: fetch or copy it again"
                )
            }
            Self::Missing { what, blob } => {
                write!(
                    f,
                    "the archive lacks {what} ({blob}); nothing was changed: save it again with all its parts"
                )
            }
            Self::Mismatch {
                what,
                expected,
                found,
            } => write!(
                f,
                "{what} is damaged or forged: expected {expected}, found {found}; nothing was changed: don't use this \
                 archive, fetch it again from its source"
            ),
            Self::Unsupported { what, detail } => {
                write!(f, "{what}: {detail}; nothing was changed")
            }
            Self::Malformed { what, reason } => {
                write!(f, "{what} is malformed: {reason}; nothing was changed")
            }
            Self::Limit { what, limit } => write!(
                f,
                "{what} is beyond the limit of {limit}; nothing was changed"
            ),
            Self::WrongPlatform { what, found } => write!(
                f,
                "{what} has no variant for linux/amd64 (only {}); nothing was changed: save the image for this platform",
                found.join(", ")
            ),
            Self::NameForMany { images } => write!(
                f,
                "--name names one image, the archive has {images}; nothing was changed: leave --name out, or save them \
                 one by one"
            ),
            Self::NameIsDigest { name } => write!(
                f,
                "--name takes a name such as registry.example/app:1, and {name} is a digest; nothing was changed"
            ),
            Self::Tar { what, source } => write!(f, "{what}: {source}; nothing was changed"),
            Self::Unpack { what, source } => write!(f, "{what}: {source}; nothing was changed"),
            Self::Reference(error) => write!(f, "{error}"),
            Self::Image(error) => write!(f, "{error}"),
            Self::DamagedReference(error) => write!(
                f,
                "{error}; nothing was removed, since what it still needs is unknown: load it again or remove it with \
                 \"store rm\""
            ),
        }
    }
}

impl std::error::Error for StoreError {}

/// A number of bytes for people: `12.3 MiB`.
pub(crate) struct Bytes(pub(crate) u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut tenths = u128::from(self.0) * 10;
        let mut unit = "bytes";
        for larger in ["KiB", "MiB", "GiB", "TiB"] {
            if tenths < 10_240 {
                break;
            }
            tenths /= 1024;
            unit = larger;
        }
        if unit == "bytes" {
            write!(f, "{} bytes", self.0)
        } else {
            write!(f, "{}.{} {unit}", tenths / 10, tenths % 10)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_with_one_decimal() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1024, "1.0 KiB"),
            (1_572_864, "1.5 MiB"),
            (3 << 30, "3.0 GiB"),
        ] {
            assert_eq!(Bytes(bytes).to_string(), text);
        }
    }
}
