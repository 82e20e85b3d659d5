//! Folders of a layer that need something at its end: their time, or the attributes that lower layers gave them.

use crate::program::attributes::is_mark;
use crate::program::below::Below;
use crate::program::beneath::Beneath;
use crate::program::tarball::Time;
use nix::errno::Errno;
use nix::sys::stat::SFlag;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use sys::folder::Status;

/// Longest value of an extended attribute: `XATTR_SIZE_MAX` of linux/limits.h.
const ATTRIBUTE_BYTES_MAX: usize = 65536;

/// What a layer says of a folder and that is set when nothing is put into it any more.
#[derive(Debug)]
pub(crate) struct FolderEnd {
    pub(crate) time: Time,
    pub(crate) default_acl: Option<Vec<u8>>,
}

impl FolderEnd {
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>() + self.default_acl.as_ref().map_or(0, Vec::len)
    }
}

/// The folders that a layer's entries lie in and that it doesn't describe: they keep what lower layers gave them
/// (OCI image-spec, layer.md). Paths without links.
#[derive(Debug, Default)]
pub(crate) struct Implied {
    paths: BTreeSet<Vec<u8>>,
    bytes: usize,
    unsure: bool,
}

impl Implied {
    pub(crate) fn add(&mut self, path: &[u8]) {
        self.bytes += path.len() + size_of::<Vec<u8>>();
        self.paths.insert(path.to_vec());
    }

    pub(crate) fn contains(&self, path: &[u8]) -> bool {
        self.paths.contains(path)
    }

    /// It has been described.
    pub(crate) fn remove(&mut self, path: &[u8]) {
        self.paths.remove(path);
    }

    /// It, and all in it, is gone.
    pub(crate) fn remove_tree(&mut self, path: &[u8]) {
        self.paths.remove(path);
        let inside: Vec<Vec<u8>> = inside(path, |range| self.paths.range(range).cloned().collect());
        for path in inside {
            self.paths.remove(&path);
        }
    }

    /// Each folder before what is in it.
    pub(crate) fn paths(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.paths.iter().map(Vec::as_slice)
    }

    /// What lower layers have decides where something of this one is.
    pub(crate) fn unsure(&mut self) {
        self.unsure = true;
    }

    /// Bytes of all paths that were ever added.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether the layer looks the same whatever is below.
    pub(crate) fn is_nothing(&self) -> bool {
        self.paths.is_empty() && !self.unsure
    }

    /// Gives these folders of the layer in `root` what they have below. False: one of them is a link there, or may be,
    /// so that the layer's entries belong elsewhere.
    pub(crate) fn inherit(&self, root: &Path, below: &mut Below) -> io::Result<bool> {
        if self.unsure {
            return Ok(false);
        }
        let layer = Beneath::open(root, None)?;
        for path in &self.paths {
            let Some(seen) = below.look(path)? else {
                continue;
            };
            match seen.kind() {
                SFlag::S_IFDIR => {
                    let folder = layer.existing_folder(path)?;
                    copy_attributes(below.read(&seen, path)?.as_fd(), folder.as_fd())?;
                }
                SFlag::S_IFLNK => return Ok(false),
                // A file there is hidden by the folder here.
                _ => {}
            }
        }
        Ok(true)
    }
}

/// Owner, mode, times and extended attributes, but those that tell of layers.
pub(crate) fn copy_attributes(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
    let status = Status::of(from)?;
    status.apply(to)?;
    for name in sys::xattr::names(from)? {
        if is_mark(name.to_bytes()) {
            continue;
        }
        if let Some(value) = sys::xattr::get(from, &name, ATTRIBUTE_BYTES_MAX)? {
            match sys::xattr::set(to, &name, &value) {
                // Labels that only a security module of the machine may set.
                Err(error) if error.raw_os_error() == Some(Errno::EOPNOTSUPP as i32) => {}
                set => set?,
            }
        }
    }
    Ok(())
}

/// Something of each of some paths.
pub(crate) type PathMap<T> = BTreeMap<Vec<u8>, T>;

/// Takes out all that is below `path`, and it.
pub(crate) fn take_tree<T>(map: &mut PathMap<T>, path: &[u8]) -> Vec<(Vec<u8>, T)> {
    let mut keys: Vec<Vec<u8>> = inside(path, |range| {
        map.range(range).map(|(key, _)| key.clone()).collect()
    });
    keys.push(path.to_vec());
    keys.into_iter()
        .filter_map(|key| map.remove_entry(&key))
        .collect()
}

/// All paths below `path` in an ordered set: they begin with it and a slash. `0` follows the slash in ASCII.
fn inside<T>(path: &[u8], list: impl FnOnce(std::ops::Range<Vec<u8>>) -> T) -> T {
    if path.is_empty() {
        return list(Vec::new()..vec![u8::MAX; 2]);
    }
    list([path, b"/"].concat()..[path, b"0"].concat())
}

pub(crate) fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if folder.is_empty() {
        return name.to_vec();
    }
    [folder, b"/", name].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_a_folder_and_what_is_in_it_only() {
        let mut implied = Implied::default();
        for path in [&b"a"[..], b"a/b", b"a/b/c", b"a-b", b"a0", b"ab"] {
            implied.add(path);
        }
        implied.remove_tree(b"a");
        let left: Vec<&[u8]> = implied.paths.iter().map(Vec::as_slice).collect();
        assert_eq!(left, [&b"a-b"[..], b"a0", b"ab"]);
    }
}
