//! LZ4 in its old frame format ("legacy frame", lz4_Frame_format.md), the one that the kernel unpacks an initramfs from.
//!
//! ```text
//! magic │ length, block │ length, block │ … │ zeros
//! ```
//! Every block holds 8 MiB of the text but the last, which holds the rest. The format has no end mark: the kernel takes a
//! length of zero for it.

use ::lz4::block::{CompressionMode, compress, decompress};
use std::io;

const MAGIC: [u8; 4] = 0x184C_2102_u32.to_le_bytes();
/// Of text; fixed by the format.
const BLOCK: usize = 8 << 20;
/// The best that the algorithm has; unpacking is as fast for every level.
pub(crate) const LEVEL: i32 = 12;
/// A length of zero, which ends the frame.
const END: [u8; 4] = [0; 4];

/// One frame, padded to a multiple of four. The same bytes on every machine.
pub(crate) fn pack(text: &[u8]) -> io::Result<Vec<u8>> {
    let mut frame = MAGIC.to_vec();
    for block in text.chunks(BLOCK) {
        let packed = compress(block, Some(CompressionMode::HIGHCOMPRESSION(LEVEL)), false)?;
        let length = u32::try_from(packed.len()).map_err(io::Error::other)?;
        frame.extend(length.to_le_bytes());
        frame.extend(packed);
    }
    frame.extend(END);
    frame.resize(frame.len().next_multiple_of(4), 0);
    Ok(frame)
}

/// If a frame begins here: its text, and what follows.
pub(crate) fn unpack(bytes: &[u8]) -> io::Result<Option<(Vec<u8>, &[u8])>> {
    let Some(mut rest) = bytes.strip_prefix(&MAGIC) else {
        return Ok(None);
    };
    let mut text = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        rest = after;
        let length = usize::try_from(u32::from_le_bytes(*length)).map_err(io::Error::other)?;
        if length == 0 {
            break;
        }
        let (block, after) = rest
            .split_at_checked(length)
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        let size = i32::try_from(BLOCK).map_err(io::Error::other)?;
        text.extend(decompress(block, Some(size))?);
        rest = after;
    }
    Ok(Some((text, rest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_more_than_one_block_comes_back_and_what_follows_is_left() {
        let row = (0..=u8::MAX).cycle().step_by(7);
        let text: Vec<u8> = row.take(BLOCK + 12_345).collect();
        let mut row = pack(&text).unwrap();
        assert_eq!(row.len() % 4, 0);
        assert_eq!(row[row.len() - 4..], END, "the kernel sees the end");
        row.extend(b"070701");
        let (back, rest) = unpack(&row).unwrap().unwrap();
        assert!(back == text);
        assert!(rest.ends_with(b"070701"));
        assert!(rest.len() < 10, "only padding before it");
        assert!(unpack(b"070701").unwrap().is_none());
        assert!(unpack(&row[..1000]).is_err(), "cut off");
    }
}
