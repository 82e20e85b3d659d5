//! The layers below one, as overlayfs shows them: what is at a path there.
//!
//! Paths are canonical: each component but the last is a folder in that view, never a link, so that nothing here leads
//! out of the layers.

use crate::mark::hidden_layers;
use crate::program::beneath::{self, Occupant};
use crate::program::layer_path::split;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat2, readlinkat};
use nix::sys::stat::{FileStat, SFlag, fstatat};
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// Folders whose layers are remembered; beyond that they are looked up again.
const FOLDERS_KNOWN_MAX: usize = 10_000;

/// Some layers, looked at from above.
#[derive(Debug)]
pub(crate) struct Below {
    /// Top first.
    layers: Vec<(PathBuf, OwnedFd)>,
    /// So many of them are seen; the last of these hides all of the others.
    seen: usize,
    /// Folder → the layers that contribute to it, top first.
    folders: HashMap<Vec<u8>, Vec<usize>>,
}

/// What is at a path: the topmost of what the layers have there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) layer: usize,
    pub(crate) stat: FileStat,
}

impl Seen {
    pub(crate) fn kind(&self) -> SFlag {
        beneath::file_type(&self.stat)
    }
}

impl Below {
    /// `layers` bottom first.
    pub(crate) fn open(layers: &[PathBuf]) -> io::Result<Self> {
        let open = |path: &PathBuf| Ok((path.clone(), OwnedFd::from(File::open(path)?)));
        let hidden = hidden_layers(layers);
        Ok(Self {
            layers: layers.iter().rev().map(open).collect::<io::Result<_>>()?,
            seen: layers.len() - hidden,
            folders: HashMap::new(),
        })
    }

    /// What is at `path`; `None`: nothing, or it was removed.
    pub(crate) fn look(&mut self, path: &[u8]) -> io::Result<Option<Seen>> {
        let Some((parent, _)) = split(path) else {
            return Ok(None);
        };
        for layer in self.contributors(parent)? {
            match self.stat(layer, path)? {
                None => {}
                Some(stat) if beneath::occupant_of(&stat) == Occupant::Whiteout => break,
                Some(stat) => return Ok(Some(Seen { layer, stat })),
            }
        }
        Ok(None)
    }

    /// Where the link at `path` leads to.
    pub(crate) fn link(&self, seen: &Seen, path: &[u8]) -> io::Result<Vec<u8>> {
        Ok(readlinkat(self.root(seen.layer)?, path)?.into_vec())
    }

    /// The file or folder at `path`, to be read.
    pub(crate) fn read(&self, seen: &Seen, path: &[u8]) -> io::Result<OwnedFd> {
        let how = OpenHow::new()
            .flags(OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS);
        Ok(openat2(self.root(seen.layer)?, path, how)?)
    }

    /// The folder of a layer.
    pub(crate) fn place(&self, layer: usize) -> &Path {
        self.layers
            .get(layer)
            .map_or(Path::new(""), |(path, _)| path)
    }

    fn root(&self, layer: usize) -> io::Result<BorrowedFd<'_>> {
        let (_, root) = self
            .layers
            .get(layer)
            .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        Ok(root.as_fd())
    }

    fn stat(&self, layer: usize, path: &[u8]) -> io::Result<Option<FileStat>> {
        match fstatat(self.root(layer)?, path, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
            stat => Ok(Some(stat?)),
        }
    }

    /// The layers whose folder at `path` is part of what is seen there.
    fn contributors(&mut self, path: &[u8]) -> io::Result<Vec<usize>> {
        let mut all: Vec<usize> = (0..self.seen).collect();
        let mut end = 0;
        while end < path.len() {
            end = path[end + 1..]
                .iter()
                .position(|byte| *byte == b'/')
                .map_or(path.len(), |slash| end + 1 + slash);
            let folder = &path[..end];
            if let Some(known) = self.folders.get(folder) {
                all.clone_from(known);
                continue;
            }
            all = self.merged(&all, folder)?;
            if self.folders.len() >= FOLDERS_KNOWN_MAX {
                self.folders.clear();
            }
            self.folders.insert(folder.to_vec(), all.clone());
        }
        Ok(all)
    }

    /// Of the layers that have its parent, those that are merged at `folder`.
    fn merged(&self, layers: &[usize], folder: &[u8]) -> io::Result<Vec<usize>> {
        let mut merged = Vec::new();
        for layer in layers {
            let Some(stat) = self.stat(*layer, folder)? else {
                continue;
            };
            if beneath::occupant_of(&stat) != Occupant::Folder {
                break;
            }
            merged.push(*layer);
            let seen = Seen {
                layer: *layer,
                stat,
            };
            if beneath::is_opaque(self.read(&seen, folder)?.as_fd())? {
                break;
            }
        }
        Ok(merged)
    }
}
