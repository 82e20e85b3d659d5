//! Hard links to files of lower layers. Overlayfs has no links between layers, so the file is copied into this one, and
//! with it all its names that can still be seen at the end of the layer: they were, and stay, one file.
//!
//! Until then the copy is aside: entries that follow may remove or replace the file that was linked to.

use crate::program::below::{Below, Seen};
use crate::program::beneath::{Beneath, Occupant, file_type};
use crate::program::folders::copy_attributes;
use crate::program::layer_path::split;
use crate::program::meter::Meter;
use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::{FileStat, Mode, SFlag, UtimensatFlags, lstat, mknodat, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, Whence, fchownat, linkat, lseek, symlinkat};
use std::collections::HashMap;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Files of lower layers that a layer links to.
pub(crate) struct Borrowed {
    /// Beside the layer, on the same file system.
    aside: PathBuf,
    files: Vec<Copy>,
    /// Layer and inode → index in `files`.
    known: HashMap<(usize, u64), usize>,
}

struct Copy {
    origin: Seen,
    /// Where a link found it.
    path: Vec<u8>,
}

impl Borrowed {
    /// Copies are made in the folder `aside`, which is made when it is needed.
    pub(crate) fn new(aside: PathBuf) -> Self {
        Self {
            aside,
            files: Vec::new(),
            known: HashMap::new(),
        }
    }

    /// The copy of a file of a lower layer: its folder, and its name there. Made at the first call.
    pub(crate) fn copy(
        &mut self,
        below: &Below,
        seen: &Seen,
        path: &[u8],
        meter: &Meter,
    ) -> io::Result<(OwnedFd, String)> {
        let identity = (seen.layer, seen.stat.st_ino);
        let index = match self.known.get(&identity) {
            Some(index) => *index,
            None => {
                self.make_aside()?;
                let index = self.files.len();
                copy_file(
                    below,
                    seen,
                    path,
                    &self.aside.join(index.to_string()),
                    meter,
                )?;
                self.files.push(Copy {
                    origin: *seen,
                    path: path.to_vec(),
                });
                self.known.insert(identity, index);
                index
            }
        };
        Ok((File::open(&self.aside)?.into(), index.to_string()))
    }

    fn make_aside(&self) -> io::Result<()> {
        match DirBuilder::new().mode(0o700).create(&self.aside) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            made => made,
        }
    }

    /// At the end of the layer: the names that the files still have below become names of the copies.
    pub(crate) fn finish(self, root: &mut Beneath) -> io::Result<()> {
        if self.files.is_empty() {
            return Ok(());
        }
        let aside = File::open(&self.aside)?;
        for (path, index) in self.names(root)? {
            let Some(origin) = self.files.get(index).map(|copy| copy.origin) else {
                continue;
            };
            if !is_seen(root, &path, &origin)? {
                continue;
            }
            let Some((parent, name)) = split(&path) else {
                continue;
            };
            let place = root.folder(parent)?;
            let copy = index.to_string();
            linkat(&aside, copy.as_str(), place.folder, name, AtFlags::empty())?;
        }
        drop(aside);
        fs::remove_dir_all(&self.aside)
    }

    /// Every name that one of the files has in its layer.
    fn names(&self, root: &mut Beneath) -> io::Result<Vec<(Vec<u8>, usize)>> {
        let mut names = Vec::new();
        let mut layers: Vec<usize> = Vec::new();
        for (index, copy) in self.files.iter().enumerate() {
            if copy.origin.stat.st_nlink == 1 {
                names.push((copy.path.clone(), index));
            } else if !layers.contains(&copy.origin.layer) {
                layers.push(copy.origin.layer);
            }
        }
        for layer in layers {
            let Some(below) = root.below() else { break };
            let top = below.place(layer).to_owned();
            for (path, inode) in files_of_many_names(&top)? {
                if let Some(index) = self.known.get(&(layer, inode)) {
                    names.push((path, *index));
                }
            }
        }
        Ok(names)
    }
}

/// Whether the file is still what is seen at `path`, this layer being on top.
fn is_seen(root: &mut Beneath, path: &[u8], origin: &Seen) -> io::Result<bool> {
    let Some((parent, _)) = split(path) else {
        return Ok(false);
    };
    if root.own(path)? != Occupant::Nothing || root.hides(parent)? {
        return Ok(false);
    }
    let Some(below) = root.below() else {
        return Ok(false);
    };
    Ok(below
        .look(path)?
        .is_some_and(|seen| (seen.layer, seen.stat.st_ino) == (origin.layer, origin.stat.st_ino)))
}

/// Paths below `top`, with inodes. No link is followed.
fn files_of_many_names(top: &Path) -> io::Result<Vec<(Vec<u8>, u64)>> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(top.join(&folder))? {
            let path = folder.join(entry?.file_name());
            let stat = lstat(&top.join(&path))?;
            if file_type(&stat) == SFlag::S_IFDIR {
                folders.push(path);
            } else if stat.st_nlink > 1 {
                found.push((path.as_os_str().as_bytes().to_vec(), stat.st_ino));
            }
        }
    }
    Ok(found)
}

fn copy_file(below: &Below, seen: &Seen, path: &[u8], to: &Path, meter: &Meter) -> io::Result<()> {
    let stat = &seen.stat;
    match seen.kind() {
        SFlag::S_IFREG => {
            let source = File::from(below.read(seen, path)?);
            let target = File::options()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(to)?;
            meter.expect(bytes_on_disk(stat))?;
            copy_parts(&source, &target, meter)?;
            return copy_attributes(source.as_fd(), target.as_fd());
        }
        SFlag::S_IFLNK => {
            let target = below.link(seen, path)?;
            symlinkat(target.as_slice(), nix::fcntl::AT_FDCWD, to)?;
        }
        kind => {
            // The mode is as given: the program has no umask.
            let mode = Mode::from_bits_truncate(stat.st_mode & 0o7777);
            mknodat(nix::fcntl::AT_FDCWD, to, kind, mode, stat.st_rdev)?;
        }
    }
    fchownat(
        nix::fcntl::AT_FDCWD,
        to,
        Some(Uid::from_raw(stat.st_uid)),
        Some(Gid::from_raw(stat.st_gid)),
        AtFlags::AT_SYMLINK_NOFOLLOW,
    )?;
    let time = TimeSpec::new(stat.st_mtime, stat.st_mtime_nsec);
    utimensat(
        nix::fcntl::AT_FDCWD,
        to,
        &time,
        &time,
        UtimensatFlags::NoFollowSymlink,
    )?;
    Ok(())
}

/// stat(2): blocks are of 512 bytes.
fn bytes_on_disk(stat: &FileStat) -> u64 {
    u64::try_from(stat.st_blocks).unwrap_or_default() * 512
}

/// The content, with its holes (lseek(2), `SEEK_DATA`).
fn copy_parts(source: &File, target: &File, meter: &Meter) -> io::Result<()> {
    target.set_len(source.metadata()?.len())?;
    let mut end = 0;
    loop {
        let start = match lseek(source, end, Whence::SeekData) {
            // Nothing but a hole follows.
            Err(Errno::ENXIO) => return Ok(()),
            start => start?,
        };
        end = lseek(source, start, Whence::SeekHole)?;
        lseek(source, start, Whence::SeekSet)?;
        lseek(target, start, Whence::SeekSet)?;
        let length = u64::try_from(end - start).unwrap_or_default();
        let mut part = source.take(length);
        let mut to = target;
        let copied = io::copy(&mut part, &mut to)?;
        to.flush()?;
        meter.wrote(usize::try_from(copied).unwrap_or(usize::MAX));
    }
}
