//! The content of a pipe, looked at before it is taken.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};

/// Bytes of one look: a pipe's default capacity (pipe(7)), and what a processor keeps near.
pub(crate) const LOOK_BYTES_MAX: usize = 64 << 10;

/// What is in a pipe.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Content<'a> {
    /// These bytes are at its front, and still there.
    Bytes(&'a [u8]),
    Empty,
    /// Nobody can write to it any more, and nothing is left.
    End,
}

/// A pipe of our own into which the front of another is copied.
#[derive(Debug)]
pub(crate) struct Peek {
    reader: File,
    writer: OwnedFd,
    buffer: Box<[u8]>,
}

impl Peek {
    pub(crate) fn new() -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        Ok(Self {
            reader: File::from(OwnedFd::from(reader)),
            writer: writer.into(),
            buffer: vec![0; LOOK_BYTES_MAX].into(),
        })
    }

    pub(crate) fn look(&mut self, pipe: &File) -> io::Result<Content<'_>> {
        let copied = match sys::splice::tee(pipe.as_fd(), self.writer.as_fd(), LOOK_BYTES_MAX) {
            Ok(0) => return Ok(Content::End),
            Ok(copied) => copied,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Content::Empty),
            Err(error) => return Err(error),
        };
        let bytes = self.buffer.get_mut(..copied).unwrap_or_default();
        // All of it is there: nobody waits.
        self.reader.read_exact(bytes)?;
        Ok(Content::Bytes(bytes))
    }
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
            assert_eq!(peek.look(&pipe).unwrap(), Content::Bytes(b"line\nrest"));
        }
        pipe.read_exact(&mut [0; 5]).unwrap();
        assert_eq!(peek.look(&pipe).unwrap(), Content::Bytes(b"rest"));
        drop(writer);
        pipe.read_exact(&mut [0; 4]).unwrap();
        assert_eq!(peek.look(&pipe).unwrap(), Content::End);
    }
}
