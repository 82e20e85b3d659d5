//! Why a disk has no table that can be used.

use std::fmt;
use std::io;

/// Why there is no table.
#[derive(Debug)]
pub enum GptError {
    /// The disk can't be read.
    Read(io::Error),
    /// Neither copy has the signature: no GPT disk.
    Absent,
    /// There is a table, but no copy of it is whole; the reason is the primary's.
    Damaged(&'static str),
    /// The device's sector or total size is not one a table can be on.
    Geometry,
}

impl fmt::Display for GptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(error) => write!(f, "can't read the partition table: {error}"),
            Self::Absent => write!(f, "no GUID partition table"),
            Self::Damaged(why) => {
                write!(f, "both copies of the partition table are damaged ({why})")
            }
            Self::Geometry => write!(f, "too small or odd a disk for a partition table"),
        }
    }
}

impl std::error::Error for GptError {}
