//! Folders that a layer has only because a whiteout lay in them, and where in the end nothing is hidden by it: the
//! folder itself is removed by the layer, or something above it. What an empty folder would show there, the layers
//! below had and this one has removed. One that is nowhere removed stays, as with Docker and podman, even if it hides
//! nothing.

use crate::program::beneath::{Beneath, Occupant, make_whiteout};
use crate::program::folders::{FolderEnd, PathMap};
use crate::program::layer_path::split;
use nix::errno::Errno;
use nix::unistd::{UnlinkatFlags, unlinkat};
use std::collections::BTreeSet;
use std::io;
use std::os::fd::AsFd;

/// Paths without links.
#[derive(Debug, Default)]
pub(crate) struct Hollow {
    candidates: BTreeSet<Vec<u8>>,
    /// Folders of this layer that have a whiteout.
    removed: BTreeSet<Vec<u8>>,
    bytes: usize,
}

impl Hollow {
    /// There was a whiteout in it.
    pub(crate) fn add(&mut self, folder: &[u8]) {
        if !folder.is_empty() && !self.candidates.contains(folder) {
            self.bytes += folder.len() + size_of::<Vec<u8>>();
            self.candidates.insert(folder.to_vec());
        }
    }

    /// There was one of it.
    pub(crate) fn remove(&mut self, folder: &[u8]) {
        self.add(folder);
        if self.removed.insert(folder.to_vec()) {
            self.bytes += folder.len() + size_of::<Vec<u8>>();
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Removes those that are empty, and puts a whiteout where something is hidden by that: nowhere in an image's lowest
    /// layer. `described` are the folders that the layer has entries for.
    pub(crate) fn settle(
        &self,
        root: &mut Beneath,
        is_bottom: bool,
        described: &PathMap<FolderEnd>,
        whiteouts: &mut PathMap<()>,
    ) -> io::Result<()> {
        for candidate in self.candidates.iter().rev() {
            let mut path = candidate.as_slice();
            while let Some((parent, name)) = split(path) {
                if described.contains_key(path) || root.own(path)? != Occupant::Folder {
                    break;
                }
                let hidden = root.hides(parent)?;
                let removed = self.removed.contains(path) || whiteouts.contains_key(path);
                if !hidden && !removed {
                    break;
                }
                let folder = root.existing_folder(parent)?;
                match unlinkat(&folder, name, UnlinkatFlags::RemoveDir) {
                    Err(Errno::ENOTEMPTY | Errno::EEXIST) => break,
                    gone => gone?,
                }
                root.forget();
                root.implied().remove(path);
                if root.below().is_none() {
                    // It may be a link there, and the whiteouts belong where that leads.
                    root.implied().unsure();
                }
                if !hidden && !is_bottom {
                    make_whiteout(folder.as_fd(), name)?;
                    whiteouts.insert(path.to_vec(), ());
                    break;
                }
                path = parent;
            }
        }
        Ok(())
    }
}
