//! Bounded framing: a 4-byte little-endian length, then that many bytes of JSON.

use serde::{Serialize, de::DeserializeOwned};
use std::fmt;

/// Room for the status of some thousand units; whatever is larger is not a control message.
pub const FRAME_BYTES_MAX: usize = 4 << 20;
/// A request carries names and an argument list, no data.
pub const REQUEST_BYTES_MAX: usize = 256 << 10;

const LENGTH_BYTES: usize = 4;

/// Why a frame could not be read or written.
#[derive(Debug)]
pub enum FrameError {
    TooLong {
        bytes: usize,
        limit: usize,
    },
    Json(serde_json::Error),
    /// What stands at this byte of a list of rows does not belong there.
    Rows {
        at: usize,
    },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { bytes, limit } => {
                write!(f, "frame of {bytes} bytes, the limit is {limit}")
            }
            Self::Json(error) => write!(f, "not a control message: {error}"),
            Self::Rows { at } => {
                write!(f, "not a control message: no row at byte {at} of its rows")
            }
        }
    }
}

impl std::error::Error for FrameError {}

/// One message as a frame.
///
/// # Errors
/// When it would be longer than [`FRAME_BYTES_MAX`].
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, FrameError> {
    let mut bytes = vec![0; LENGTH_BYTES];
    serde_json::to_writer(&mut bytes, message).map_err(FrameError::Json)?;
    with_length(bytes)
}

/// A message that is text already, in so many pieces.
pub(crate) fn encode_text(pieces: &[&str]) -> Result<Vec<u8>, FrameError> {
    let body: usize = pieces.iter().map(|piece| piece.len()).sum();
    let mut bytes = Vec::with_capacity(body.saturating_add(LENGTH_BYTES));
    bytes.extend_from_slice(&[0; LENGTH_BYTES]);
    for piece in pieces {
        bytes.extend_from_slice(piece.as_bytes());
    }
    with_length(bytes)
}

/// Put the length of the rest into the first bytes.
fn with_length(mut bytes: Vec<u8>) -> Result<Vec<u8>, FrameError> {
    let body = bytes.len().saturating_sub(LENGTH_BYTES);
    let length = u32::try_from(body).ok().filter(|_| body <= FRAME_BYTES_MAX);
    let Some(length) = length else {
        return Err(FrameError::TooLong {
            bytes: body,
            limit: FRAME_BYTES_MAX,
        });
    };
    for (slot, byte) in bytes.iter_mut().zip(length.to_le_bytes()) {
        *slot = byte;
    }
    Ok(bytes)
}

/// The first complete message of `buffer`, and how many bytes it took; `None` while it is incomplete.
///
/// # Errors
/// When it is longer than `limit` or not what `T` says.
pub fn decode<T: DeserializeOwned>(
    buffer: &[u8],
    limit: usize,
) -> Result<Option<(T, usize)>, FrameError> {
    let Some((body, bytes)) = body(buffer, limit)? else {
        return Ok(None);
    };
    let message = serde_json::from_slice(body).map_err(FrameError::Json)?;
    Ok(Some((message, bytes)))
}

/// The same as bytes.
pub(crate) fn body(buffer: &[u8], limit: usize) -> Result<Option<(&[u8], usize)>, FrameError> {
    let Some((head, rest)) = buffer.split_first_chunk::<LENGTH_BYTES>() else {
        return Ok(None);
    };
    let bytes = u32::from_le_bytes(*head) as usize;
    if bytes > limit {
        return Err(FrameError::TooLong { bytes, limit });
    }
    let body = rest.get(..bytes);
    Ok(body.map(|body| (body, LENGTH_BYTES.saturating_add(bytes))))
}
