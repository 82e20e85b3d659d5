//! Looking into a pipe without taking anything out (tee(2)).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Copy up to `bytes` from the front of one pipe to another, leaving them where they are. 0: the pipe is at its end.
///
/// # Errors
/// As tee(2); `WouldBlock` when the source is empty or the target full.
pub fn tee(from: BorrowedFd<'_>, to: BorrowedFd<'_>, bytes: usize) -> io::Result<usize> {
    loop {
        // SAFETY: tee(2) touches no memory of ours.
        let copied = unsafe {
            libc::tee(
                from.as_raw_fd(),
                to.as_raw_fd(),
                bytes,
                libc::SPLICE_F_NONBLOCK,
            )
        };
        match usize::try_from(copied) {
            Ok(copied) => return Ok(copied),
            Err(_) => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => {}
                error => return Err(error),
            },
        }
    }
}
