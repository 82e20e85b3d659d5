//! Every limit of this program, with its reason.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::io;

/// Probes at once. 500 units with a probe each second use a handful; beyond it requests stay in the socket until others
/// have ended, which their deadlines see to.
pub(crate) const PROBES_MAX: usize = 1024;
/// Replies that PID 1 has not read yet; beyond it no more requests are read.
pub(crate) const REPLIES_MAX: usize = 4096;
/// A request: a path and some headers.
pub(crate) const REQUEST_BYTES_MAX: usize = 64 << 10;
/// Head of an answer. What servers themselves allow is 8 to 16 KiB.
pub(crate) const HEAD_BYTES_MAX: usize = 16 << 10;
/// Header lines of an answer.
pub(crate) const HEADERS_MAX: usize = 128;
/// What is read of an answer's body, to be thrown away, so that the service is not cut off in its sentence.
pub(crate) const BODY_BYTES_MAX: usize = 64 << 10;
/// Taken from a socket at once.
pub(crate) const READ_BYTES: usize = 4 << 10;
/// Characters shown of an answer that is not HTTP.
pub(crate) const SHOWN_CHARS_MAX: usize = 40;
/// A table of the kernel's sockets: 150 bytes for each.
pub(crate) const TABLE_BYTES_MAX: u64 = 4 << 20;

/// Each probe has a socket and a namespace open, at most.
pub(crate) fn raise_descriptor_limit() -> io::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?)
}
