//! What a layer has for nothing, which shows when it is known what is below: marks of removed files that hide nothing (in
//! a folder that is this layer's alone, overlayfs would list them as files), and folders that only whiteouts have made, in
//! the place of a file that is no folder below. The folders in which they lay keep their times.

use crate::program::below::Below;
use crate::program::beneath::{Beneath, Occupant};
use crate::program::error::StoreError;
use crate::program::layer_path::{prefixes, split};
use crate::program::unpack::Unpacked;
use nix::errno::Errno;
use nix::sys::stat::SFlag;
use nix::unistd::{UnlinkatFlags, unlinkat};
use std::fs::{File, FileTimes};
use std::io;
use std::path::Path;

/// Removes it from the layer in `folder`.
pub(crate) fn clean(
    unpacked: &Unpacked,
    folder: &Path,
    below: &mut Below,
) -> Result<(), StoreError> {
    let failed = |error| StoreError::io("cannot clean", folder, error);
    let layer = Beneath::open(folder, None).map_err(failed)?;
    drop_marks(unpacked, &layer, below).map_err(failed)?;
    drop_folders(unpacked, &layer, below).map_err(failed)
}

fn drop_marks(unpacked: &Unpacked, layer: &Beneath, below: &mut Below) -> io::Result<()> {
    for path in &unpacked.whiteouts {
        // Something may have come into its place.
        if layer.own(path)? == Occupant::Whiteout && below.look(path)?.is_none() {
            remove(layer, path, UnlinkatFlags::NoRemoveDir)?;
        }
    }
    Ok(())
}

/// Nothing but a whiteout leaves a folder empty that the layer doesn't describe. The innermost ones first.
fn drop_folders(unpacked: &Unpacked, layer: &Beneath, below: &mut Below) -> io::Result<()> {
    for path in unpacked.implied.paths().rev() {
        if is_in_file(below, path)? {
            match remove(layer, path, UnlinkatFlags::RemoveDir) {
                Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
                removed => removed?,
            }
        }
    }
    Ok(())
}

/// Whether `path`, or a folder above it, is something else than a folder below.
fn is_in_file(below: &mut Below, path: &[u8]) -> io::Result<bool> {
    for prefix in prefixes(path) {
        match below.look(prefix)? {
            Some(seen) if seen.kind() == SFlag::S_IFDIR => {}
            Some(_) => return Ok(true),
            None => return Ok(false),
        }
    }
    Ok(false)
}

fn remove(layer: &Beneath, path: &[u8], flags: UnlinkatFlags) -> io::Result<()> {
    let Some((parent, name)) = split(path) else {
        return Ok(());
    };
    let folder = File::from(layer.existing_folder(parent)?);
    let before = folder.metadata()?;
    match unlinkat(&folder, name, flags) {
        Err(Errno::EEXIST) => return Err(io::ErrorKind::DirectoryNotEmpty.into()),
        removed => removed?,
    }
    let (accessed, modified) = (before.accessed()?, before.modified()?);
    folder.set_times(
        FileTimes::new()
            .set_accessed(accessed)
            .set_modified(modified),
    )
}
