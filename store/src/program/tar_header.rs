//! The 512 bytes before each entry of a tar archive (tar(5), "Old-Style", "Pre-POSIX", "GNU", "POSIX ustar").

use crate::program::sparse::Sparse;
use std::ops::Range;

/// Headers and content are multiples of it.
pub(crate) const BLOCK: usize = 512;

const NAME: Range<usize> = 0..100;
const MODE: Range<usize> = 100..108;
const UID: Range<usize> = 108..116;
const GID: Range<usize> = 116..124;
const SIZE: Range<usize> = 124..136;
const MTIME: Range<usize> = 136..148;
const CHECKSUM: Range<usize> = 148..156;
const TYPE_FLAG: usize = 156;
const LINK: Range<usize> = 157..257;
const MAGIC: Range<usize> = 257..263;
const DEVICE_MAJOR: Range<usize> = 329..337;
const DEVICE_MINOR: Range<usize> = 337..345;
const PREFIX: Range<usize> = 345..500;
/// Of GNU's sparse files: where parts are listed, whether more of them follow in a block, and the file's size.
const SPARSE_PARTS: Range<usize> = 386..482;
const SPARSE_EXTENDED: usize = 482;
const SPARSE_SIZE: Range<usize> = 483..495;
/// The same of a block of further parts.
const EXTENSION_PARTS: Range<usize> = 0..504;
const EXTENSION_EXTENDED: usize = 504;
/// Offset and length, of 12 bytes each.
const SPARSE_PART: usize = 24;

/// GNU tar writes `ustar ` and uses the prefix for other things.
const MAGIC_POSIX: &[u8] = b"ustar\0";

/// A block whose checksum is right.
pub(crate) struct Header {
    block: [u8; BLOCK],
}

impl Header {
    pub(crate) fn checked(block: [u8; BLOCK]) -> Option<Self> {
        let stored = number(&block[CHECKSUM]).ok()?;
        let masked = |index: usize, byte: u8| {
            if CHECKSUM.contains(&index) {
                b' '
            } else {
                byte
            }
        };
        let unsigned: u64 = block
            .iter()
            .enumerate()
            .map(|(index, byte)| u64::from(masked(index, *byte)))
            .sum();
        // Some old programs added signed bytes.
        let signed: i64 = block
            .iter()
            .enumerate()
            .map(|(index, byte)| i64::from(masked(index, *byte).cast_signed()))
            .sum();
        let right = stored == i64::try_from(unsigned).unwrap_or(-1) || stored == signed;
        right.then_some(Self { block })
    }

    pub(crate) fn type_flag(&self) -> u8 {
        self.block[TYPE_FLAG]
    }

    /// Whether as many bytes follow as its size says. Of links, devices, pipes and folders it says nothing: some programs
    /// write there the size of what is linked to, or of the folder (Go's archive/tar, `isHeaderOnly`; POSIX.1-2017, pax).
    pub(crate) fn has_content(&self) -> bool {
        !matches!(self.type_flag(), b'1'..=b'6')
    }

    pub(crate) fn path(&self) -> Vec<u8> {
        let name = text(&self.block[NAME]);
        let prefix = text(&self.block[PREFIX]);
        if self.block[MAGIC] != *MAGIC_POSIX || prefix.is_empty() {
            return name.to_vec();
        }
        [prefix, b"/", name].concat()
    }

    pub(crate) fn link(&self) -> Vec<u8> {
        text(&self.block[LINK]).to_vec()
    }

    pub(crate) fn size(&self) -> Result<u64, &'static str> {
        unsigned(&self.block[SIZE])
    }

    pub(crate) fn uid(&self) -> Result<u64, &'static str> {
        unsigned(&self.block[UID])
    }

    pub(crate) fn gid(&self) -> Result<u64, &'static str> {
        unsigned(&self.block[GID])
    }

    pub(crate) fn mode(&self) -> Result<u32, &'static str> {
        u32::try_from(number(&self.block[MODE])?).map_err(|_| "its mode is out of range")
    }

    pub(crate) fn mtime(&self) -> Result<i64, &'static str> {
        number(&self.block[MTIME])
    }

    /// Of a sparse file: what the header says of it, and whether a block with further parts follows.
    pub(crate) fn sparse(&self) -> Result<(Sparse, bool), &'static str> {
        let mut sparse = Sparse {
            size: unsigned(&self.block[SPARSE_SIZE])?,
            parts: Vec::new(),
        };
        sparse_parts(&self.block[SPARSE_PARTS], &mut sparse)?;
        Ok((sparse, self.block[SPARSE_EXTENDED] != 0))
    }

    pub(crate) fn device_major(&self) -> Result<u64, &'static str> {
        unsigned(&self.block[DEVICE_MAJOR])
    }

    pub(crate) fn device_minor(&self) -> Result<u64, &'static str> {
        unsigned(&self.block[DEVICE_MINOR])
    }
}

/// Adds the parts that a block of parts lists, and tells whether another such block follows.
pub(crate) fn sparse_extension(
    block: &[u8; BLOCK],
    sparse: &mut Sparse,
) -> Result<bool, &'static str> {
    sparse_parts(&block[EXTENSION_PARTS], sparse)?;
    Ok(block[EXTENSION_EXTENDED] != 0)
}

fn sparse_parts(field: &[u8], sparse: &mut Sparse) -> Result<(), &'static str> {
    for part in field.chunks_exact(SPARSE_PART) {
        let (offset, length) = part.split_at(SPARSE_PART / 2);
        if offset.first() == Some(&0) {
            break;
        }
        sparse.add(unsigned(offset)?, unsigned(length)?)?;
    }
    Ok(())
}

fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn unsigned(field: &[u8]) -> Result<u64, &'static str> {
    u64::try_from(number(field)?).map_err(|_| "a number in its header is negative")
}

/// Octal digits, ended by a NUL or a space; or, with the highest bit set, a big-endian two's complement number in
/// the other bits (GNU). An empty field is 0.
fn number(field: &[u8]) -> Result<i64, &'static str> {
    if field.first().is_some_and(|byte| byte & 0x80 != 0) {
        return binary(field);
    }
    let digits = text(field).trim_ascii();
    digits.iter().try_fold(0_i64, |value, digit| match digit {
        b'0'..=b'7' => value
            .checked_mul(8)
            .and_then(|value| value.checked_add(i64::from(digit - b'0')))
            .ok_or("a number in its header is out of range"),
        _ => Err("a number in its header is not octal"),
    })
}

fn binary(field: &[u8]) -> Result<i64, &'static str> {
    let negative = field.first().is_some_and(|byte| byte & 0x40 != 0);
    let mut value = i128::from(if negative { -1 } else { 0 });
    for (index, byte) in field.iter().enumerate() {
        let byte = if index == 0 && !negative {
            byte & 0x7f
        } else {
            *byte
        };
        value = (value << 8) | i128::from(byte);
    }
    i64::try_from(value).map_err(|_| "a number in its header is out of range")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_binary() {
        assert_eq!(number(b"0000644\0"), Ok(0o644));
        assert_eq!(number(b"   644 \0"), Ok(0o644));
        assert_eq!(number(b"\0\0\0\0\0\0\0\0"), Ok(0));
        assert_eq!(number(b"\x80\0\0\0\0\0\0\0\x02\0\0\0"), Ok(0x0200_0000));
        assert_eq!(
            number(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe"),
            Ok(-2)
        );
        assert!(number(b"12x\0").is_err());
        assert!(number(b"\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff").is_err());
        assert!(unsigned(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe").is_err());
    }

    #[test]
    fn a_header_of_another_program_is_read() {
        let mut header = tar::Header::new_ustar();
        header
            .set_path(format!("{}/{}", "p".repeat(120), "n".repeat(90)))
            .unwrap();
        header.set_size(77);
        header.set_mode(0o4755);
        header.set_uid(1000);
        header.set_gid(2);
        header.set_mtime(1_700_000_000);
        header.set_cksum();
        let ours = Header::checked(*header.as_bytes()).unwrap();
        assert_eq!(ours.path(), header.path_bytes().into_owned());
        assert_eq!(
            (ours.size(), ours.mode(), ours.uid(), ours.gid()),
            (Ok(77), Ok(0o4755), Ok(1000), Ok(2))
        );
        assert_eq!(ours.mtime(), Ok(1_700_000_000));
        let mut broken = *header.as_bytes();
        broken[0] ^= 1;
        assert!(Header::checked(broken).is_none());
    }
}
