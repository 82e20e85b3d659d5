//! Compression of archives and layers, told by the first bytes: media types are often wrong about it.

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use std::fmt;
use std::io::{self, BufRead, Read};

/// Bytes that [`Compression::detect`] wants to see, if there are as many.
pub(crate) const MAGIC_BYTES: usize = 6;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Zstd,
}

/// A compression that we know by sight but can't read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UnknownCompression {
    name: &'static str,
}

impl fmt::Display for UnknownCompression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} compression is not supported: use gzip, zstd or none",
            self.name
        )
    }
}

impl Compression {
    pub(crate) fn detect(start: &[u8]) -> Result<Self, UnknownCompression> {
        match start {
            [0x1f, 0x8b, ..] => Ok(Self::Gzip),
            // A frame, or a skippable frame (RFC 8878, 3.1.2), with which pzstd begins.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Ok(Self::Zstd),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Err(UnknownCompression { name: "xz" }),
            [b'B', b'Z', b'h', ..] => Err(UnknownCompression { name: "bzip2" }),
            [0x04, 0x22, 0x4d, 0x18, ..] => Err(UnknownCompression { name: "lz4" }),
            _ => Ok(Self::None),
        }
    }
}

/// Reads what `R` holds compressed.
pub(crate) enum Decoder<R: BufRead> {
    Plain(R),
    Gzip(Box<MultiGzDecoder<R>>),
    Zstd(Box<ZstdDecoder<R>>),
}

impl<R: BufRead> Decoder<R> {
    pub(crate) fn new(compression: Compression, source: R) -> Self {
        match compression {
            Compression::None => Self::Plain(source),
            Compression::Gzip => Self::Gzip(Box::new(MultiGzDecoder::new(source))),
            Compression::Zstd => Self::Zstd(Box::new(ZstdDecoder {
                source,
                frame: FrameDecoder::new(),
                in_frame: false,
            })),
        }
    }

    pub(crate) fn into_inner(self) -> R {
        match self {
            Self::Plain(source) => source,
            Self::Gzip(decoder) => decoder.into_inner(),
            Self::Zstd(decoder) => decoder.source,
        }
    }
}

impl<R: BufRead> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(source) => source.read(buffer),
            Self::Gzip(decoder) => decoder.read(buffer),
            Self::Zstd(decoder) => decoder.read(buffer),
        }
    }
}

/// All zstd frames of a stream, one after the other, without skippable ones (RFC 8878, 3.1): zstd:chunked and pzstd
/// write several.
pub(crate) struct ZstdDecoder<R> {
    source: R,
    frame: FrameDecoder,
    in_frame: bool,
}

impl<R: BufRead> ZstdDecoder<R> {
    /// Whether a frame begins; false at the end of the stream.
    fn next_frame(&mut self) -> io::Result<bool> {
        while !self.source.fill_buf()?.is_empty() {
            match self.frame.reset(&mut self.source) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let skipped = io::copy(
                        &mut self.source.by_ref().take(u64::from(length)),
                        &mut io::sink(),
                    )?;
                    if skipped < u64::from(length) {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(zstd_error(&mut self.source, &error)),
            }
        }
        Ok(false)
    }
}

impl<R: BufRead> Read for ZstdDecoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            if self.frame.can_collect() > 0 {
                return self.frame.read(buffer);
            }
            if self.in_frame && !self.frame.is_finished() {
                let decoded = self
                    .frame
                    .decode_blocks(&mut self.source, BlockDecodingStrategy::UptoBlocks(1));
                decoded.map_err(|error| zstd_error(&mut self.source, &error))?;
                continue;
            }
            self.in_frame = self.next_frame()?;
            if !self.in_frame {
                return Ok(0);
            }
        }
    }
}

/// A stream that has ended is truncated, any other failure is in the data.
fn zstd_error(source: &mut impl BufRead, error: &FrameDecoderError) -> io::Error {
    match source.fill_buf() {
        Ok([]) => io::ErrorKind::UnexpectedEof.into(),
        Ok(_) => io::Error::new(
            io::ErrorKind::InvalidData,
            format!("corrupt zstd stream: {error}"),
        ),
        Err(error) => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(compression: Compression, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        Decoder::new(compression, bytes)
            .read_to_end(&mut text)
            .map(|_| text)
    }

    #[test]
    fn all_frames_of_a_zstd_stream_are_read_and_skippable_ones_skipped() {
        let skippable = [0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 9, 9, 9];
        let mut stream = skippable.to_vec();
        stream.extend(zstd::encode_all(&b"one "[..], 3).unwrap());
        stream.extend(skippable);
        stream.extend(zstd::encode_all(&b"two"[..], 19).unwrap());
        stream.extend(skippable);
        assert_eq!(Compression::detect(&stream), Ok(Compression::Zstd));
        assert_eq!(decoded(Compression::Zstd, &stream).unwrap(), b"one two");
        for end in [stream.len() - 1, stream.len() - 12, 20] {
            let error = decoded(Compression::Zstd, &stream[..end]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{end}: {error}");
        }
    }

    #[test]
    fn a_compression_that_cannot_be_read_is_named() {
        assert_eq!(Compression::detect(b"plain"), Ok(Compression::None));
        assert_eq!(Compression::detect(b""), Ok(Compression::None));
        let error = Compression::detect(b"\xfd7zXZ\0..").unwrap_err();
        assert_eq!(
            error.to_string(),
            "xz compression is not supported: use gzip, zstd or none"
        );
    }
}
