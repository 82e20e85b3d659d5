//! Looking into a pipe without taking anything out (tee(2)), and taking so that it is known how much (splice(2)).

use crate::shared::Words;
use nix::fcntl::{FcntlArg, fcntl};
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

/// Move up to `bytes` from the front of a pipe into a file, at the offset that is in a word, to which the kernel adds what it
/// has moved: in the same system call, so that whoever is killed meanwhile leaves a word that is right (the end of splice(2)
/// comes before the end of the process). Never waits. 0: the pipe is at its end.
///
/// # Errors
/// As splice(2); `WouldBlock` when the pipe is empty, `InvalidInput` when there is no such word.
pub fn take(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    offsets: &Words,
    index: usize,
    bytes: usize,
) -> io::Result<usize> {
    let offset = offsets.pointer(index).ok_or(io::ErrorKind::InvalidInput)?;
    loop {
        // SAFETY: the kernel reads and writes the eight bytes of a word, which is aligned and lives as long as `offsets`.
        let moved = unsafe {
            libc::splice(
                from.as_raw_fd(),
                std::ptr::null_mut(),
                to.as_raw_fd(),
                offset.cast(),
                bytes,
                libc::SPLICE_F_NONBLOCK,
            )
        };
        match usize::try_from(moved) {
            Ok(moved) => return Ok(moved),
            Err(_) => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => {}
                error => return Err(error),
            },
        }
    }
}

/// Let a pipe hold at least so many bytes (fcntl(2), `F_SETPIPE_SZ`).
///
/// # Errors
/// As fcntl(2); `InvalidInput` for more than the call can say.
pub fn grow(pipe: BorrowedFd<'_>, bytes: usize) -> io::Result<()> {
    let bytes = i32::try_from(bytes).map_err(|_| io::ErrorKind::InvalidInput)?;
    if fcntl(pipe, FcntlArg::F_GETPIPE_SZ)? < bytes {
        fcntl(pipe, FcntlArg::F_SETPIPE_SZ(bytes))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::{Read, Write};
    use std::os::fd::AsFd;

    #[test]
    fn a_pipe_grows_and_never_shrinks() {
        let (reader, _writer) = io::pipe().unwrap();
        for (asked, expected) in [(128 << 10, 128 << 10), (4096, 128 << 10)] {
            grow(reader.as_fd(), asked).unwrap();
            assert_eq!(fcntl(&reader, FcntlArg::F_GETPIPE_SZ).unwrap(), expected);
        }
    }

    #[test]
    fn the_word_says_what_was_taken() {
        let (mut reader, mut writer) = io::pipe().unwrap();
        let file = || File::from(crate::memfd::open("test").unwrap());
        let (sink, words) = (file(), Words::map(&file(), 2).unwrap());
        let take = |reader: &io::PipeReader, bytes| {
            super::take(reader.as_fd(), sink.as_fd(), &words, 1, bytes)
        };
        let empty = take(&reader, 5).unwrap_err();
        assert_eq!(empty.kind(), io::ErrorKind::WouldBlock);
        writer.write_all(b"one two").unwrap();
        assert_eq!(take(&reader, 4).unwrap(), 4);
        assert_eq!((words.get(0), words.get(1)), (0, 4));
        assert_eq!(take(&reader, 1).unwrap(), 1);
        assert_eq!(words.get(1), 5);
        drop(writer);
        let mut rest = String::new();
        reader.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "wo");
        assert_eq!(take(&reader, 1).unwrap(), 0);
        assert_eq!(words.get(1), 5);
    }
}
