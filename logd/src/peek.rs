//! The content of a pipe, looked at before it is taken.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};

/// A pipe's default capacity (pipe(7)).
const PIPE_BYTES: usize = 64 << 10;

/// What is in a pipe.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// These bytes are at its front, and still there.
    Bytes(Vec<u8>),
    Empty,
    /// Nobody can write to it any more, and nothing is left.
    End,
}

/// A pipe of our own into which the front of another is copied.
#[derive(Debug)]
pub(crate) struct Peek {
    reader: File,
    writer: OwnedFd,
}

impl Peek {
    pub(crate) fn new() -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        Ok(Self {
            reader: File::from(OwnedFd::from(reader)),
            writer: writer.into(),
        })
    }

    pub(crate) fn look(&mut self, pipe: &File) -> io::Result<Content> {
        let copied = match sys::splice::tee(pipe.as_fd(), self.writer.as_fd(), PIPE_BYTES) {
            Ok(0) => return Ok(Content::End),
            Ok(copied) => copied,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Content::Empty),
            Err(error) => return Err(error),
        };
        let mut bytes = vec![0; copied];
        self.reader.read_exact(&mut bytes)?;
        Ok(Content::Bytes(bytes))
    }
}

/// Take bytes that were kept out of their pipe.
pub(crate) fn take(pipe: &mut File, bytes: usize) -> io::Result<()> {
    let mut left = vec![0; bytes];
    pipe.read_exact(&mut left)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_look_leaves_the_content_where_it_is() {
        let (reader, mut writer) = io::pipe().unwrap();
        let mut pipe = File::from(OwnedFd::from(reader));
        let mut peek = Peek::new().unwrap();
        assert_eq!(peek.look(&pipe).unwrap(), Content::Empty);
        writer.write_all(b"line\nrest").unwrap();
        for _ in 0..2 {
            assert_eq!(
                peek.look(&pipe).unwrap(),
                Content::Bytes(b"line\nrest".to_vec())
            );
        }
        take(&mut pipe, 5).unwrap();
        assert_eq!(peek.look(&pipe).unwrap(), Content::Bytes(b"rest".to_vec()));
        drop(writer);
        take(&mut pipe, 4).unwrap();
        assert_eq!(peek.look(&pipe).unwrap(), Content::End);
    }
}
