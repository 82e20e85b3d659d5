//! How far a reader has come, for the next logd.
//!
//! PID 1 lends with each query a memory file, which it keeps, as it keeps where the text goes. As long as it is empty, nothing
//! has been sent. After that:
//!
//! ```text
//! + [["web",INODE,OFFSET], … ]\n     everything before these places has been sent
//! -                                  text was on its way: nobody knows how much of it has arrived
//! ```

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

const ALL_SENT: u8 = b'+';
const SENDING: u8 = b'-';

/// A byte of a unit's log: in which file, and where. No file has the inode 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) unit: String,
    pub(crate) inode: u64,
    pub(crate) offset: u64,
}

/// What a bookmark says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// The query has not begun.
    Blank,
    At(Vec<Place>),
    /// Its logd ended while it sent.
    Torn,
}

#[derive(Debug)]
pub(crate) struct Bookmark(pub(crate) File);

impl Bookmark {
    pub(crate) fn read(&self) -> io::Result<Mark> {
        let length = usize::try_from(self.0.metadata()?.len()).unwrap_or(usize::MAX);
        let mut bytes = vec![0; length];
        self.0.read_exact_at(&mut bytes, 0)?;
        Ok(match bytes.split_first() {
            None => Mark::Blank,
            Some((&ALL_SENT, rest)) => {
                let line = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
                let places: Result<Vec<(String, u64, u64)>, _> = serde_json::from_slice(line);
                let place = |(unit, inode, offset)| Place {
                    unit,
                    inode,
                    offset,
                };
                places.map_or(Mark::Torn, |places| {
                    Mark::At(places.into_iter().map(place).collect())
                })
            }
            Some(_) => Mark::Torn,
        })
    }

    fn sending(&self) -> io::Result<()> {
        self.0.write_all_at(&[SENDING], 0)
    }

    /// The first byte last: whoever dies in between leaves [`SENDING`].
    fn sent(&self, places: &[Place]) -> io::Result<()> {
        let places: Vec<_> = places
            .iter()
            .map(|place| (&place.unit, place.inode, place.offset))
            .collect();
        let mut line = serde_json::to_vec(&places)?;
        line.push(b'\n');
        self.0.write_all_at(&line, 1)?;
        self.0.write_all_at(&[ALL_SENT], 0)
    }
}

/// Bytes of text after which it is sent: half of what a pipe holds.
const SEND_BYTES: usize = 32 << 10;

/// Where the text goes, and what is told of it.
#[derive(Debug)]
pub(crate) struct Outbox {
    pub(crate) text: Vec<u8>,
    pub(crate) output: File,
    pub(crate) bookmark: Option<Bookmark>,
}

impl Outbox {
    pub(crate) fn is_full(&self) -> bool {
        self.text.len() >= SEND_BYTES
    }

    /// `places`: after the last line of the text.
    pub(crate) fn send(&mut self, places: &[Place]) -> io::Result<()> {
        if let Some(bookmark) = &self.bookmark {
            bookmark.sending()?;
        }
        self.output.write_all(&self.text)?;
        self.text.clear();
        match &self.bookmark {
            Some(bookmark) => bookmark.sent(places),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::OwnedFd;

    #[test]
    fn a_bookmark_tells_what_was_sent_or_that_nobody_knows() {
        let file = || File::from(sys::memfd::open("test").unwrap());
        let bookmark = Bookmark(file());
        assert_eq!(bookmark.read().unwrap(), Mark::Blank);
        bookmark.sending().unwrap();
        assert_eq!(bookmark.read().unwrap(), Mark::Torn);
        let place = |unit: &str| Place {
            unit: unit.to_owned(),
            inode: 7,
            offset: 1 << 40,
        };
        let many: Vec<_> = (0..1000).map(|n| place(&format!("web-{n}"))).collect();
        for places in [&many, &vec![place("web")], &vec![]] {
            bookmark.sent(places).unwrap();
            assert_eq!(bookmark.read().unwrap(), Mark::At(places.clone()));
        }

        // A client that is gone: the text was on its way.
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let mut outbox = Outbox {
            text: b"line\n".to_vec(),
            output: File::from(OwnedFd::from(writer)),
            bookmark: Some(bookmark),
        };
        outbox.send(&many).unwrap_err();
        let bookmark = outbox.bookmark.unwrap();
        assert_eq!(bookmark.read().unwrap(), Mark::Torn);
    }
}
