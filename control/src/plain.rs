//! Texts that stand in JSON and on a terminal as they are, as nearly all do: seen eight bytes at a time, since a listing has
//! thousands of bytes, each of which is looked at where it is written, read and shown.

const ONES: u64 = u64::from_le_bytes([1; WORD_BYTES]);
const TOPS: u64 = ONES << 7;
const WORD_BYTES: usize = 8;

/// How many bytes from the first on are printable ASCII and neither `"` nor `\`.
#[must_use]
pub fn plain_bytes(bytes: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks::<WORD_BYTES>();
    let mut before = 0_usize;
    for word in words {
        let others = others(u64::from_le_bytes(*word));
        if others != 0 {
            return before.saturating_add(others.trailing_zeros() as usize / 8);
        }
        before = before.saturating_add(WORD_BYTES);
    }
    let last = rest.iter().take_while(|byte| is_plain(**byte)).count();
    before.saturating_add(last)
}

fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'
}

/// The top bit of the first byte that is not plain, and perhaps of others behind it; none: all are. A subtraction borrows
/// from the byte above only where it has found something below.
fn others(word: u64) -> u64 {
    let below = |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word;
    let is = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    (word | below(word, b' ') | is(b'"') | is(b'\\') | is(0x7f)) & TOPS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_seen_at_every_place() {
        for byte in 0..=u8::MAX {
            for place in 0..20 {
                for around in [b' ', b'~', b'!', b'#', b'[', b']'] {
                    let mut bytes = [around; 20];
                    bytes[place] = byte;
                    let plain = if is_plain(byte) { 20 } else { place };
                    assert_eq!(plain_bytes(&bytes), plain, "{byte} at {place}");
                    let more = [around, byte, byte, 0, around].repeat(4);
                    let plain = more.iter().position(|byte| !is_plain(*byte));
                    assert_eq!(plain_bytes(&more), plain.unwrap());
                }
            }
        }
        assert_eq!(plain_bytes(b""), 0);
    }
}
