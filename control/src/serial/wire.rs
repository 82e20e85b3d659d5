//! Bytes ↔ frames.
//!
//! ```text
//! frame    type u8 │ length u32 │ payload (length bytes) │ session id u64      (integers little-endian)
//! hello    zeros × PREAMBLE_BYTES │ greeting(1)         host → target
//! welcome  greeting(2)                                  target → host
//! greeting "KEELSON\x16" │ kind u8 │ version u8 │ session id u64 │ its complement u64
//! ```

use super::{FRAME_DATA_MAX, SERIAL_VERSION};
use std::fmt;

const HEADER_BYTES: usize = 5;
const ID_BYTES: usize = 8;
/// The longest payload: a channel byte and data.
const PAYLOAD_BYTES_MAX: usize = 1 + FRAME_DATA_MAX;
/// Longer than the longest frame, so that any frame begun ends within it.
pub(super) const PREAMBLE_BYTES: usize = HEADER_BYTES + PAYLOAD_BYTES_MAX + ID_BYTES;
/// What no text has: the last byte is SYN.
const MAGIC: [u8; 8] = *b"KEELSON\x16";
const GREETING_BYTES: usize = MAGIC.len() + 2 + 2 * ID_BYTES;

/// What a stream of bytes belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// The connection to the control socket: request frames one way, reply frames the other.
    Control,
    Stdin,
    Stdout,
    Stderr,
}

impl Channel {
    pub const ALL: [Self; 4] = [Self::Control, Self::Stdin, Self::Stdout, Self::Stderr];

    pub(super) fn index(self) -> usize {
        match self {
            Self::Control => 0,
            Self::Stdin => 1,
            Self::Stdout => 2,
            Self::Stderr => 3,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.get(usize::from(byte)).copied()
    }
}

/// Which descriptors ride with a request, as `request::Request` says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Streams {
    None,
    /// stdin, stdout, stderr (`Exec`).
    Pipes,
    /// The console socket over which the terminal's master comes back (`Exec` with a terminal); it is stdin and stdout.
    Terminal,
    /// stdout (`Logs`).
    Output,
    /// stdin (`ImageLoad`).
    Input,
}

impl Streams {
    const ALL: [Self; 5] = [
        Self::None,
        Self::Pipes,
        Self::Terminal,
        Self::Output,
        Self::Input,
    ];

    fn byte(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Pipes => 1,
            Self::Terminal => 2,
            Self::Output => 3,
            Self::Input => 4,
        }
    }
}

/// One message of an established session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Connect to the control socket, with these streams. Once per session.
    Open(Streams),
    /// At most [`FRAME_DATA_MAX`] bytes.
    Data(Channel, Vec<u8>),
    /// No more data comes on this channel; on stdin from the target: nobody reads it any more.
    End(Channel),
    /// So many bytes of the channel were taken: as many more may be sent.
    Credit(Channel, u32),
    /// The window of the terminal has a new size.
    Resize { rows: u16, columns: u16 },
    /// The session is over; the target says why if it is not the regular end.
    Close(String),
}

impl Frame {
    fn code(&self) -> u8 {
        match self {
            Self::Open(_) => 1,
            Self::Data(..) => 2,
            Self::End(_) => 3,
            Self::Credit(..) => 4,
            Self::Resize { .. } => 5,
            Self::Close(_) => 6,
        }
    }

    fn parse(code: u8, payload: &[u8]) -> Option<Self> {
        let channel = |byte: &u8| Channel::from_byte(*byte);
        Some(match (code, payload) {
            (1, [streams]) => Self::Open(*Streams::ALL.get(usize::from(*streams))?),
            (2, [byte, data @ ..]) => Self::Data(channel(byte)?, data.to_vec()),
            (3, [byte]) => Self::End(channel(byte)?),
            (4, [byte, a, b, c, d]) => {
                Self::Credit(channel(byte)?, u32::from_le_bytes([*a, *b, *c, *d]))
            }
            (5, [a, b, c, d]) => Self::Resize {
                rows: u16::from_le_bytes([*a, *b]),
                columns: u16::from_le_bytes([*c, *d]),
            },
            (6, text) => Self::Close(String::from_utf8_lossy(text).into_owned()),
            _ => return None,
        })
    }
}

/// Append `channel`'s data as a frame without taking a copy of it first.
pub(super) fn encode_data(output: &mut Vec<u8>, id: u64, channel: Channel, data: &[u8]) {
    let channel = u8::try_from(channel.index()).unwrap_or(u8::MAX);
    put_frame(output, id, 2, &[channel], data);
}

pub(super) fn encode(output: &mut Vec<u8>, id: u64, frame: &Frame) {
    let code = frame.code();
    let byte = |channel: &Channel| u8::try_from(channel.index()).unwrap_or(u8::MAX);
    match frame {
        Frame::Open(streams) => put_frame(output, id, code, &[streams.byte()], &[]),
        Frame::Data(channel, data) => encode_data(output, id, *channel, data),
        Frame::End(channel) => put_frame(output, id, code, &[byte(channel)], &[]),
        Frame::Credit(channel, bytes) => {
            put_frame(output, id, code, &[byte(channel)], &bytes.to_le_bytes());
        }
        Frame::Resize { rows, columns } => {
            put_frame(
                output,
                id,
                code,
                &rows.to_le_bytes(),
                &columns.to_le_bytes(),
            );
        }
        Frame::Close(message) => put_frame(output, id, code, message.as_bytes(), &[]),
    }
}

fn put_frame(output: &mut Vec<u8>, id: u64, code: u8, head: &[u8], data: &[u8]) {
    // Data is cut to size by the session, and a message is short; this keeps the stream in step come what may.
    let head = &head[..head.len().min(PAYLOAD_BYTES_MAX)];
    let data = &data[..data.len().min(PAYLOAD_BYTES_MAX - head.len())];
    let length = u32::try_from(head.len() + data.len()).unwrap_or(0);
    output.reserve(HEADER_BYTES + head.len() + data.len() + ID_BYTES);
    output.push(code);
    output.extend_from_slice(&length.to_le_bytes());
    output.extend_from_slice(head);
    output.extend_from_slice(data);
    output.extend_from_slice(&id.to_le_bytes());
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Greeting {
    Hello,
    Welcome,
}

impl Greeting {
    fn byte(self) -> u8 {
        match self {
            Self::Hello => 1,
            Self::Welcome => 2,
        }
    }
}

pub(super) fn encode_greeting(output: &mut Vec<u8>, greeting: Greeting, id: u64) {
    output.extend_from_slice(&MAGIC);
    output.extend_from_slice(&[greeting.byte(), SERIAL_VERSION]);
    output.extend_from_slice(&id.to_le_bytes());
    output.extend_from_slice(&(!id).to_le_bytes());
}

/// The bytes are not a frame of this session: a new hello is coming, or the other side was restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameBroken;

impl fmt::Display for FrameBroken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bytes that are not of this session")
    }
}

impl std::error::Error for FrameBroken {}

/// Takes bytes in whatever pieces they come. Holds at most one frame and what was fed since the last look.
#[derive(Debug, Default)]
pub struct Decoder {
    bytes: Vec<u8>,
    /// Bytes before this one are done with.
    start: usize,
}

impl Decoder {
    pub fn feed(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.start);
        self.start = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// Drop what is held, and its memory.
    pub(super) fn release(&mut self) {
        *self = Self::default();
    }

    fn rest(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    fn skip(&mut self, bytes: usize) {
        self.start = (self.start + bytes).min(self.bytes.len());
        if self.start == self.bytes.len() {
            self.bytes.clear();
            self.start = 0;
        }
    }

    /// The next greeting, whatever stands before it: its version and session id.
    pub(super) fn hunt(&mut self, greeting: Greeting) -> Option<(u8, u64)> {
        loop {
            let rest = self.rest();
            let Some(at) = rest
                .windows(MAGIC.len())
                .position(|window| *window == MAGIC)
            else {
                // The last bytes may be the beginning of one.
                let tail = rest[rest.len().saturating_sub(MAGIC.len() - 1)..].to_vec();
                // Anew, so that hunting holds no memory.
                *self = Self {
                    bytes: tail,
                    start: 0,
                };
                return None;
            };
            let (kind, version, id, complement) = match rest.get(at + MAGIC.len()..) {
                Some([kind, version, ids @ ..]) => match ids.split_first_chunk::<ID_BYTES>() {
                    Some((id, rest)) => match rest.first_chunk::<ID_BYTES>() {
                        Some(complement) => (*kind, *version, *id, *complement),
                        None => return self.wait_at(at),
                    },
                    None => return self.wait_at(at),
                },
                _ => return self.wait_at(at),
            };
            let (id, complement) = (u64::from_le_bytes(id), u64::from_le_bytes(complement));
            if kind == greeting.byte() && complement == !id {
                self.skip(at + GREETING_BYTES);
                return Some((version, id));
            }
            self.skip(at + 1);
        }
    }

    fn wait_at(&mut self, at: usize) -> Option<(u8, u64)> {
        self.skip(at);
        None
    }

    /// The next frame of session `id`; `None` until it is complete.
    ///
    /// # Errors
    /// When what comes next is no frame of that session. The bytes that were taken for it are skipped.
    pub fn next(&mut self, id: u64) -> Result<Option<Frame>, FrameBroken> {
        let Some(([code, length @ ..], rest)) = self.rest().split_first_chunk::<HEADER_BYTES>()
        else {
            return Ok(None);
        };
        let length = u32::from_le_bytes(*length) as usize;
        if *code == 0 || length > PAYLOAD_BYTES_MAX {
            self.skip(1);
            return Err(FrameBroken);
        }
        let Some((payload, rest)) = rest.split_at_checked(length) else {
            return Ok(None);
        };
        let Some(trailer) = rest.first_chunk::<ID_BYTES>() else {
            return Ok(None);
        };
        let frame = (u64::from_le_bytes(*trailer) == id).then(|| Frame::parse(*code, payload));
        match frame.flatten() {
            Some(frame) => {
                self.skip(HEADER_BYTES + length + ID_BYTES);
                Ok(Some(frame))
            }
            None => {
                // Byte by byte from here: a hello may stand inside what was taken for the frame.
                self.skip(1);
                Err(FrameBroken)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: u64 = 0x1122_3344_5566_7788;

    fn frames() -> Vec<Frame> {
        let mut frames: Vec<Frame> = Streams::ALL.into_iter().map(Frame::Open).collect();
        for channel in Channel::ALL {
            frames.push(Frame::Data(channel, vec![7; FRAME_DATA_MAX]));
            frames.push(Frame::Data(channel, Vec::new()));
            frames.push(Frame::End(channel));
            frames.push(Frame::Credit(channel, u32::MAX));
        }
        frames.push(Frame::Resize {
            rows: 24,
            columns: 80,
        });
        frames.push(Frame::Close(String::new()));
        frames.push(Frame::Close("no such file".to_owned()));
        frames
    }

    #[test]
    fn every_frame_comes_back_as_it_was_sent() {
        for frame in frames() {
            let mut bytes = Vec::new();
            encode(&mut bytes, ID, &frame);
            assert!(bytes.len() <= PREAMBLE_BYTES);
            let mut decoder = Decoder::default();
            decoder.feed(&bytes);
            assert_eq!(decoder.next(ID), Ok(Some(frame)));
            assert_eq!(decoder.next(ID), Ok(None));
        }
    }

    #[test]
    fn a_frame_of_another_session_is_refused() {
        let mut bytes = Vec::new();
        encode(&mut bytes, ID, &Frame::End(Channel::Stdin));
        let mut decoder = Decoder::default();
        decoder.feed(&bytes);
        assert_eq!(decoder.next(ID + 1), Err(FrameBroken));
    }

    #[test]
    fn a_hello_is_found_behind_every_cut_of_every_frame() {
        for frame in frames() {
            let mut whole = Vec::new();
            encode(&mut whole, ID, &frame);
            for cut in [
                1,
                4,
                5,
                6,
                whole.len() / 2,
                whole.len() - 8,
                whole.len() - 1,
            ] {
                let mut bytes = whole[..cut.min(whole.len())].to_vec();
                bytes.resize(bytes.len() + PREAMBLE_BYTES, 0);
                encode_greeting(&mut bytes, Greeting::Hello, 42);
                let mut decoder = Decoder::default();
                decoder.feed(&bytes);
                assert_eq!(decoder.next(ID), Err(FrameBroken), "{frame:?} cut at {cut}");
                let version = SERIAL_VERSION;
                assert_eq!(
                    decoder.hunt(Greeting::Hello),
                    Some((version, 42)),
                    "{frame:?} at {cut}"
                );
            }
        }
    }

    #[test]
    fn a_greeting_arrives_in_single_bytes() {
        let mut bytes = b"KEELSON\x16 KEELSO".to_vec();
        encode_greeting(&mut bytes, Greeting::Welcome, 9);
        let mut decoder = Decoder::default();
        let found: Vec<_> = bytes
            .iter()
            .filter_map(|byte| {
                decoder.feed(&[*byte]);
                decoder.hunt(Greeting::Welcome)
            })
            .collect();
        assert_eq!(found, [(SERIAL_VERSION, 9)]);
        assert!(decoder.bytes.is_empty());
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_decoder_panic_or_grow(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..2000), 0..50),
            hunting in any::<bool>(),
        ) {
            let mut decoder = Decoder::default();
            for piece in pieces {
                decoder.feed(&piece);
                if hunting {
                    while decoder.hunt(Greeting::Hello).is_some() {}
                } else {
                    while !matches!(decoder.next(ID), Ok(None)) {}
                }
                prop_assert!(decoder.rest().len() <= PREAMBLE_BYTES);
            }
        }

        #[test]
        fn frames_survive_any_cutting(cuts in prop::collection::vec(1usize..70_000, 1..40)) {
            let mut bytes = Vec::new();
            for frame in frames() {
                encode(&mut bytes, ID, &frame);
            }
            let mut decoder = Decoder::default();
            let mut found = Vec::new();
            let mut cuts = cuts.into_iter().cycle();
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(cuts.next().unwrap_or(1).min(rest.len()));
                rest = after;
                decoder.feed(piece);
                while let Some(frame) = decoder.next(ID).unwrap() {
                    found.push(frame);
                }
            }
            prop_assert_eq!(found, frames());
        }
    }
}
