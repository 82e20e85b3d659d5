//! Files with holes: disks are large and nearly empty.

use crate::error::{BuildError, at};
use nix::unistd::{Whence, lseek};
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Read and written at once.
const CHUNK: usize = 1 << 20;
/// Zeros of this many bytes become a hole: the block of every file system.
const BLOCK: usize = 4096;

/// Copy the data of `from` to `offset` in `to`, leaving holes (and whole blocks of zeros) out. `to` must be new or
/// empty there.
pub(crate) fn copy(from: &Path, to: &File, to_path: &Path, offset: u64) -> Result<(), BuildError> {
    let source = File::open(from).map_err(at(from))?;
    let length = source.metadata().map_err(at(from))?.len();
    let mut buffer = vec![0; CHUNK];
    let mut place = 0;
    while place < length {
        let Some((start, end)) = next_data(&source, place, length) else {
            break;
        };
        let mut at_byte = start;
        while at_byte < end {
            let wanted = usize::try_from(end - at_byte).unwrap_or(CHUNK).min(CHUNK);
            source
                .read_exact_at(&mut buffer[..wanted], at_byte)
                .map_err(at(from))?;
            for (index, block) in buffer[..wanted].chunks(BLOCK).enumerate() {
                if block.iter().any(|byte| *byte != 0) {
                    to.write_all_at(block, offset + at_byte + (index * BLOCK) as u64)
                        .map_err(at(to_path))?;
                }
            }
            at_byte += wanted as u64;
        }
        place = end;
    }
    Ok(())
}

/// The next run of data; a file system that knows no holes has one run.
fn next_data(file: &File, from: u64, length: u64) -> Option<(u64, u64)> {
    let seek = |place: u64, whence| {
        lseek(file.as_fd(), i64::try_from(place).ok()?, whence)
            .ok()
            .and_then(|at| u64::try_from(at).ok())
    };
    let start = seek(from, Whence::SeekData)?;
    Some((start, seek(start, Whence::SeekHole).unwrap_or(length)))
}
