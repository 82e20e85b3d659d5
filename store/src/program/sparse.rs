//! Sparse files: the archive has only the parts of a file that are not zeros, and where they belong.
//!
//! Four forms, all of GNU tar's (GNU tar manual, "Sparse Formats"): the old one has the parts in the header (type `S`)
//! and in blocks after it, pax 0.0 and 0.1 in the extension header, pax 1.0 at the head of the content.

use crate::program::tar_header::BLOCK;

/// Parts of one file. The largest disk images in use have some ten thousand.
const PARTS_MAX: usize = 1 << 20;
/// Digits of a number in the map of pax 1.0.
const DIGITS_MAX: usize = 20;

/// Where the content of a sparse file belongs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sparse {
    /// Bytes of the file, with its holes.
    pub(crate) size: u64,
    /// Offset and length; in this order in the archive.
    pub(crate) parts: Vec<(u64, u64)>,
}

impl Sparse {
    pub(crate) fn add(&mut self, offset: u64, length: u64) -> Result<(), &'static str> {
        if self.parts.len() >= PARTS_MAX {
            return Err("it is a sparse file of too many parts");
        }
        self.parts.push((offset, length));
        Ok(())
    }

    /// Whether the parts are in order, inside the file, and as long together as the content.
    pub(crate) fn check(&self, content: u64) -> Result<(), &'static str> {
        let mut end: u64 = 0;
        let mut sum: u64 = 0;
        for (offset, length) in &self.parts {
            if *offset < end {
                return Err("the parts of a sparse file overlap");
            }
            end = offset
                .checked_add(*length)
                .ok_or("a part of a sparse file is out of range")?;
            sum = sum.saturating_add(*length);
        }
        if end > self.size {
            return Err("a part of a sparse file lies beyond its end");
        }
        if sum != content {
            return Err("the parts of a sparse file are not as long as its content");
        }
        Ok(())
    }
}

/// Hands each piece of the content on, with the offset where it belongs.
pub(crate) struct Placement<'a> {
    rest: std::slice::Iter<'a, (u64, u64)>,
    offset: u64,
    left: u64,
}

impl<'a> Placement<'a> {
    pub(crate) fn of(sparse: &'a Sparse) -> Self {
        Self {
            rest: sparse.parts.iter(),
            offset: 0,
            left: 0,
        }
    }

    pub(crate) fn place<E>(
        &mut self,
        mut piece: &[u8],
        mut sink: impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        while !piece.is_empty() {
            if self.left == 0 {
                let Some((offset, length)) = self.rest.next() else {
                    return Ok(());
                };
                (self.offset, self.left) = (*offset, *length);
                continue;
            }
            let length = usize::try_from(self.left)
                .unwrap_or(usize::MAX)
                .min(piece.len());
            let (now, later) = piece.split_at(length);
            sink(self.offset, now)?;
            self.offset += length as u64;
            self.left -= length as u64;
            piece = later;
        }
        Ok(())
    }
}

/// Reads the map at the head of the content in pax 1.0: lines of decimal numbers, filled up to whole blocks.
#[derive(Default)]
pub(crate) struct MapReader {
    line: Vec<u8>,
    /// Numbers still to come; `None`: their number itself.
    numbers: Option<usize>,
    offset: Option<u64>,
}

impl MapReader {
    /// Takes one more block. True: that was the last.
    pub(crate) fn block(
        &mut self,
        block: &[u8; BLOCK],
        sparse: &mut Sparse,
    ) -> Result<bool, &'static str> {
        const WRONG: &str = "the map of a sparse file is not lines of numbers";
        for byte in block {
            match byte {
                _ if self.numbers == Some(0) => return Ok(true),
                b'0'..=b'9' if self.line.len() < DIGITS_MAX => self.line.push(*byte),
                b'\n' => {
                    let text = std::str::from_utf8(&self.line).map_err(|_| WRONG)?;
                    let number: u64 = text.parse().map_err(|_| WRONG)?;
                    self.line.clear();
                    self.number(number, sparse)?;
                }
                _ => return Err(WRONG),
            }
        }
        Ok(self.numbers == Some(0))
    }

    fn number(&mut self, number: u64, sparse: &mut Sparse) -> Result<(), &'static str> {
        let Some(left) = &mut self.numbers else {
            let parts = usize::try_from(number)
                .ok()
                .filter(|parts| *parts <= PARTS_MAX)
                .ok_or("it is a sparse file of too many parts")?;
            self.numbers = Some(parts * 2);
            return Ok(());
        };
        *left -= 1;
        match self.offset.take() {
            None => {
                self.offset = Some(number);
                Ok(())
            }
            Some(offset) => sparse.add(offset, number),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_must_be_in_order_and_as_long_as_the_content() {
        let sparse = |size, parts: &[(u64, u64)]| Sparse {
            size,
            parts: parts.to_vec(),
        };
        assert_eq!(sparse(100, &[(10, 5), (50, 5), (100, 0)]).check(10), Ok(()));
        for (bad, content) in [
            (sparse(100, &[(10, 5), (12, 5)]), 10),
            (sparse(100, &[(98, 5)]), 5),
            (sparse(100, &[(u64::MAX, 5)]), 5),
            (sparse(100, &[(10, 5)]), 6),
        ] {
            assert!(bad.check(content).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn pieces_land_where_they_belong_however_they_are_cut() {
        let sparse = Sparse {
            size: 20,
            parts: vec![(2, 3), (8, 0), (10, 4)],
        };
        for cut in 1..=7 {
            let mut file = vec![b'.'; 20];
            let mut placement = Placement::of(&sparse);
            for piece in b"abcdefg".chunks(cut) {
                let placed = placement.place(piece, |offset, bytes| {
                    let offset = usize::try_from(offset).unwrap();
                    file[offset..offset + bytes.len()].copy_from_slice(bytes);
                    Ok::<(), ()>(())
                });
                placed.unwrap();
            }
            assert_eq!(file, b"..abc.....defg......");
        }
    }

    #[test]
    fn a_map_may_end_anywhere_in_its_blocks() {
        let mut text = b"200\n".to_vec();
        for part in 0..200 {
            text.extend(format!("{}\n1\n", part * 1000).into_bytes());
        }
        text.resize(text.len().next_multiple_of(BLOCK), 0);
        let (mut reader, mut sparse) = (MapReader::default(), Sparse::default());
        let blocks = text.len() / BLOCK;
        for (index, block) in text.chunks_exact(BLOCK).enumerate() {
            let last = reader.block(block.try_into().unwrap(), &mut sparse);
            assert_eq!(last, Ok(index + 1 == blocks));
        }
        assert_eq!(sparse.parts.len(), 200);
        assert_eq!(sparse.parts[199], (199_000, 1));
        let mut wrong = [0; BLOCK];
        wrong[..4].copy_from_slice(b"1\nx\n");
        let read = MapReader::default().block(&wrong, &mut Sparse::default());
        assert!(read.is_err());
    }
}
