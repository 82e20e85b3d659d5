//! One layer: blob → decompressed → verified and unpacked, in one pass.
//!
//! ```text
//! blob ──hash──▶ decoder ──hash──▶ tar ──▶ files
//!      digest             diff_id
//! ```
//!
//! Each byte is hashed once per form it has: a blob that was hashed when it was stored, or isn't compressed, needs
//! only one of the two.

use crate::Digest;
use crate::program::archive::Blob;
use crate::program::compression::{Compression, Decoder};
use crate::program::error::StoreError;
use crate::program::hashing::HashingReader;
use crate::program::limits::{BUFFER_BYTES, LAYER_BYTES_MAX, LAYER_ENTRIES_MAX};
use crate::program::meter::Meter;
use crate::program::plan::LayerPlan;
use crate::program::tarball::{TarError, TarReader};
use crate::program::unpack::{Ground, Unpacked, unpack};
use crate::program::unpack_error::UnpackError;
use std::fs;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// Unpacks a layer into the new folder `destination`. When it fails, that folder holds rubbish.
pub(crate) fn unpack_layer(
    plan: &LayerPlan,
    blob: &Blob,
    destination: &Path,
    ground: Ground,
    meter: &Meter,
) -> Result<Unpacked, StoreError> {
    let mismatch = |expected: &Digest, found: Digest| StoreError::Mismatch {
        what: plan.label.clone(),
        expected: expected.clone(),
        found,
    };
    if let Some(found) = blob.digest().filter(|found| **found != plan.digest) {
        return Err(mismatch(&plan.digest, found.clone()));
    }
    let start = blob
        .start()
        .map_err(|error| unpack_error(plan, TarError::Read(error).into()))?;
    let compression = Compression::detect(&start).map_err(|unknown| StoreError::Unsupported {
        what: plan.label.clone(),
        detail: unknown.to_string(),
    })?;
    let make_folder = fs::DirBuilder::new().mode(0o755).create(destination);
    make_folder.map_err(|error| StoreError::io("cannot make", destination, error))?;

    // The blob's own hash is needed only where the other one doesn't cover it.
    let hashes_blob = compression != Compression::None && blob.digest().is_none();
    let blob_reader = match hashes_blob {
        true => BlobReader::Hashing(Box::new(HashingReader::new(blob.open(), LAYER_BYTES_MAX))),
        false => BlobReader::Plain(blob.open()),
    };
    let source = BufReader::with_capacity(BUFFER_BYTES, blob_reader);
    let content = HashingReader::new(Decoder::new(compression, source), LAYER_BYTES_MAX);
    let mut archive = TarReader::new(
        BufReader::with_capacity(BUFFER_BYTES, content),
        LAYER_ENTRIES_MAX,
    );

    let unpacked = unpack(&mut archive, destination, ground, meter);
    // What follows the end mark belongs to the digest.
    let mut content = archive.into_inner();
    let rest = match unpacked {
        Ok(_) => io::copy(&mut content, &mut io::sink()).map(|_| ()),
        Err(_) => Ok(()),
    };
    let (diff_id, decoder) = content.into_inner().finish();
    // Also after a failure: of a blob that isn't what its manifest says, that is what to tell.
    if let Some(found) = blob_digest(decoder.into_inner())?
        && found != plan.digest
    {
        return Err(mismatch(&plan.digest, found));
    }
    let unpacked = match (unpacked, rest) {
        (Ok(unpacked), Ok(())) => unpacked,
        (Ok(_), Err(error)) => {
            return Err(unpack_error(
                plan,
                crate::program::tarball::read_error(error, "what follows its last entry").into(),
            ));
        }
        (Err(error), _) => return Err(unpack_error(plan, error)),
    };
    if diff_id != plan.diff_id {
        return Err(mismatch(&plan.diff_id, diff_id));
    }
    if compression == Compression::None && plan.digest != plan.diff_id {
        return Err(mismatch(&plan.digest, diff_id));
    }
    Ok(unpacked)
}

enum BlobReader {
    Plain(crate::program::slice::Slice),
    Hashing(Box<HashingReader<crate::program::slice::Slice>>),
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(slice) => slice.read(buffer),
            Self::Hashing(reader) => reader.read(buffer),
        }
    }
}

/// The digest of the whole blob, whatever of it has been read so far.
fn blob_digest(mut source: BufReader<BlobReader>) -> Result<Option<Digest>, StoreError> {
    if let BlobReader::Plain(_) = source.get_ref() {
        return Ok(None);
    }
    let read_failed = |error| StoreError::io("cannot read from", Path::new("the archive"), error);
    io::copy(&mut source, &mut io::sink()).map_err(read_failed)?;
    Ok(match source.into_inner() {
        BlobReader::Plain(_) => None,
        BlobReader::Hashing(reader) => Some(reader.finish().0),
    })
}

fn unpack_error(plan: &LayerPlan, error: UnpackError) -> StoreError {
    match error {
        UnpackError::Tar(TarError::Truncated { inside }) => StoreError::Truncated {
            what: format!("{} ends inside {inside}", plan.label),
        },
        source => StoreError::Unpack {
            what: plan.label.clone(),
            source,
        },
    }
}
