//! Files below one folder, whatever symbolic links an archive has put there.
//!
//! A path's links are resolved here, one component after the other, with that folder as the root and with what the
//! layers below show where this one has nothing ([`Below`]). What comes out has no links in it, and the kernel is told
//! so when it is opened (openat2(2), `RESOLVE_BENEATH`, `RESOLVE_NO_SYMLINKS`): no link, absolute or with `..`, leads
//! out, and there is no moment between a check and a use. The last component is named relative to its folder, by calls
//! that don't follow links.

use crate::mark::OPAQUE;
use crate::program::below::Below;
use crate::program::folders::{Implied, join};
use crate::program::layer_path::prefixes;
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat, openat2, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat, makedev, mkdirat, mknodat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

/// Of folders that an archive needs but doesn't list.
const FOLDER_MODE: Mode = Mode::from_bits_truncate(0o755);
/// Links in one path, as the kernel counts them (`MAXSYMLINKS`).
const LINKS_MAX: usize = 40;

/// What is at a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Occupant {
    Nothing,
    Folder,
    /// Overlay's mark for "removed here".
    Whiteout,
    Other,
}

/// The root of one layer, with the folder that was used last: entries of one folder follow each other.
pub(crate) struct Beneath {
    root: OwnedFd,
    /// Path as asked for, the same without links, and the folder.
    last: Option<(Vec<u8>, Vec<u8>, OwnedFd)>,
    below: Option<Below>,
    implied: Implied,
}

/// A folder of the layer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    /// Without links.
    pub(crate) path: &'a [u8],
    pub(crate) folder: BorrowedFd<'a>,
}

impl Beneath {
    pub(crate) fn open(folder: &Path, below: Option<Below>) -> io::Result<Self> {
        Ok(Self {
            root: File::open(folder)?.into(),
            last: None,
            below,
            implied: Implied::default(),
        })
    }

    pub(crate) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    pub(crate) fn below(&mut self) -> Option<&mut Below> {
        self.below.as_mut()
    }

    /// The folders that entries needed and that the layer has not described.
    pub(crate) fn implied(&mut self) -> &mut Implied {
        &mut self.implied
    }

    pub(crate) fn into_implied(self) -> Implied {
        self.implied
    }

    /// The folder at `path` (no `..`; empty: the root); it and the folders above it are made where missing.
    pub(crate) fn folder(&mut self, path: &[u8]) -> io::Result<Place<'_>> {
        if self.last.as_ref().is_none_or(|(last, _, _)| last != path) {
            let (place, opened) = match self.existing_folder(path) {
                Ok(opened) => (path.to_vec(), opened),
                Err(error) if is_absent(&error) || is_link(&error) => {
                    let place = self.resolve(path)?;
                    let opened = match self.existing_folder(&place) {
                        Err(error) if is_absent(&error) => self.make_folders(&place)?,
                        opened => opened?,
                    };
                    (place, opened)
                }
                Err(error) => return Err(error),
            };
            self.last = Some((path.to_vec(), place, opened));
        }
        Ok(match &self.last {
            Some((_, path, folder)) => Place {
                path,
                folder: folder.as_fd(),
            },
            None => Place {
                path: b"",
                folder: self.root.as_fd(),
            },
        })
    }

    /// The folder at `path`, which has no links in it, if it is there.
    pub(crate) fn existing_folder(&self, path: &[u8]) -> io::Result<OwnedFd> {
        let path = if path.is_empty() {
            b".".as_slice()
        } else {
            path
        };
        let how = OpenHow::new()
            .flags(OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC)
            .resolve(
                ResolveFlag::RESOLVE_BENEATH
                    | ResolveFlag::RESOLVE_NO_SYMLINKS
                    | ResolveFlag::RESOLVE_NO_XDEV,
            );
        Ok(openat2(&self.root, path, how)?)
    }

    /// To be called when something was removed or replaced: the last folder may have been part of it.
    pub(crate) fn forget(&mut self) {
        self.last = None;
    }

    /// The path of a folder, without links. What isn't there yet stands for itself.
    pub(crate) fn resolve(&mut self, path: &[u8]) -> io::Result<Vec<u8>> {
        if self.existing_folder(path).is_ok() {
            return Ok(path.to_vec());
        }
        let reversed = |path: &[u8]| -> Vec<Vec<u8>> {
            path.split(|byte| *byte == b'/')
                .rev()
                .map(<[u8]>::to_vec)
                .collect()
        };
        let mut ahead = reversed(path);
        let mut done: Vec<u8> = Vec::new();
        let mut links = 0;
        while let Some(name) = ahead.pop() {
            match name.as_slice() {
                b"" | b"." => {}
                b".." => {
                    // A folder that only lower layers may have could be a link there.
                    if self.below.is_none() && !self.is_folder(&done) {
                        self.implied.unsure();
                    }
                    let end = done.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
                    done.truncate(end);
                }
                name => {
                    let next = join(&done, name);
                    let Some(target) = self.link_at(&done, &next)? else {
                        done = next;
                        continue;
                    };
                    links += 1;
                    if links > LINKS_MAX {
                        return Err(Errno::ELOOP.into());
                    }
                    if target.starts_with(b"/") {
                        done.clear();
                    }
                    ahead.extend(reversed(&target));
                }
            }
        }
        Ok(done)
    }

    fn is_folder(&self, path: &[u8]) -> bool {
        path.is_empty() || self.own(path).is_ok_and(|own| own == Occupant::Folder)
    }

    /// What this layer has at a path without links.
    pub(crate) fn own(&self, path: &[u8]) -> io::Result<Occupant> {
        match occupant(self.root.as_fd(), path) {
            Err(error) if is_absent(&error) => Ok(Occupant::Nothing),
            found => found,
        }
    }

    /// Where the link at `path` in `folder` leads to, in this layer or in those below; `None`: it is no link.
    fn link_at(&mut self, folder: &[u8], path: &[u8]) -> io::Result<Option<Vec<u8>>> {
        match self.own(path)? {
            Occupant::Folder | Occupant::Whiteout => return Ok(None),
            Occupant::Other => {
                return match readlinkat(&self.root, path) {
                    Ok(target) => Ok(Some(target.into_vec())),
                    Err(Errno::EINVAL) => Ok(None),
                    Err(error) => Err(error.into()),
                };
            }
            Occupant::Nothing => {}
        }
        if self.hides(folder)? {
            return Ok(None);
        }
        let Some(below) = &mut self.below else {
            return Ok(None);
        };
        match below.look(path)? {
            Some(seen) if seen.kind() == SFlag::S_IFLNK => below.link(&seen, path).map(Some),
            Some(_) | None => Ok(None),
        }
    }

    /// Whether nothing of lower layers is seen in the folder `path`, since this one has replaced it.
    pub(crate) fn hides(&self, path: &[u8]) -> io::Result<bool> {
        if is_opaque(self.root.as_fd())? {
            return Ok(true);
        }
        for folder in prefixes(path) {
            match self.own(folder)? {
                Occupant::Nothing => return Ok(false),
                Occupant::Folder => {
                    if is_opaque(self.existing_folder(folder)?.as_fd())? {
                        return Ok(true);
                    }
                }
                Occupant::Whiteout | Occupant::Other => return Ok(true),
            }
        }
        Ok(false)
    }

    /// Whether the folder at `path` can't be there, since this layer has something else in its place, or on the way.
    pub(crate) fn is_in_file(&mut self, path: &[u8]) -> io::Result<bool> {
        if self.existing_folder(path).is_ok() {
            return Ok(false);
        }
        let place = self.resolve(path)?;
        for folder in prefixes(&place) {
            match self.own(folder)? {
                Occupant::Folder => {}
                Occupant::Other => return Ok(true),
                Occupant::Nothing | Occupant::Whiteout => return Ok(false),
            }
        }
        Ok(false)
    }

    /// A folder that this layer had only for whiteouts in it has been removed by one: what comes into it now is in a new one,
    /// which has nothing of what was there below.
    pub(crate) fn make_anew(&mut self, path: &[u8]) -> io::Result<()> {
        if !self.implied.contains(path) || !self.holds_nothing(path)? {
            return Ok(());
        }
        self.implied.remove_tree(path);
        if self.below.is_none() {
            // It may be a link there, and the whiteouts belong where that leads.
            self.implied.unsure();
        }
        Ok(())
    }

    /// Whether there is nothing in it but folders of the same kind.
    fn holds_nothing(&self, path: &[u8]) -> io::Result<bool> {
        let mut left = vec![path.to_vec()];
        while let Some(folder) = left.pop() {
            if !self.implied.contains(&folder) {
                return Ok(false);
            }
            let mut opened = Dir::from_fd(self.existing_folder(&folder)?)?;
            for entry in opened.iter() {
                let name = entry?.file_name().to_bytes().to_vec();
                if name == b"." || name == b".." {
                    continue;
                }
                let path = join(&folder, &name);
                if self.own(&path)? != Occupant::Folder {
                    return Ok(false);
                }
                left.push(path);
            }
        }
        Ok(true)
    }

    /// What was a file before becomes a folder: the later entry wins.
    fn make_folders(&mut self, path: &[u8]) -> io::Result<OwnedFd> {
        let mut folder = self.existing_folder(b"")?;
        let mut hidden = is_opaque(folder.as_fd())?;
        let mut end = 0;
        for name in path.split(|byte| *byte == b'/') {
            end += name.len();
            let before = make_folder(folder.as_fd(), name)?;
            folder = open_folder(folder.as_fd(), name)?;
            match before {
                Occupant::Folder => hidden = hidden || is_opaque(folder.as_fd())?,
                Occupant::Nothing if hidden => {}
                Occupant::Nothing => self.implied.add(&path[..end]),
                Occupant::Whiteout | Occupant::Other => hidden = true,
            }
            end += 1;
        }
        Ok(folder)
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn is_link(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::ELOOP as i32)
}

/// Makes the folder `name`, unless it is there, and tells what was. In the place of a whiteout or a file it becomes
/// opaque: the layer removed what was there below and made anew what is here.
pub(crate) fn make_folder(parent: BorrowedFd<'_>, name: &[u8]) -> io::Result<Occupant> {
    let before = occupant(parent, name)?;
    match before {
        Occupant::Folder => {}
        Occupant::Nothing => mkdirat(parent, name, FOLDER_MODE)?,
        Occupant::Whiteout | Occupant::Other => {
            unlinkat(parent, name, UnlinkatFlags::NoRemoveDir)?;
            mkdirat(parent, name, FOLDER_MODE)?;
            make_opaque(open_folder(parent, name)?.as_fd())?;
        }
    }
    Ok(before)
}

/// Overlay's mark for "removed here".
pub(crate) fn make_whiteout(parent: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    Ok(mknodat(
        parent,
        name,
        SFlag::S_IFCHR,
        Mode::empty(),
        makedev(0, 0),
    )?)
}

pub(crate) fn make_opaque(folder: BorrowedFd<'_>) -> io::Result<()> {
    sys::xattr::set(folder, OPAQUE, b"y")
}

pub(crate) fn is_opaque(folder: BorrowedFd<'_>) -> io::Result<bool> {
    match sys::xattr::get(folder, OPAQUE, 1) {
        Ok(value) => Ok(value.as_deref() == Some(b"y")),
        // A file system without such attributes has no opaque folders.
        Err(error) if error.raw_os_error() == Some(Errno::EOPNOTSUPP as i32) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The folder `name` itself, never what a link of that name leads to.
pub(crate) fn open_folder(parent: BorrowedFd<'_>, name: &[u8]) -> io::Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    Ok(openat(parent, name, flags, Mode::empty())?)
}

pub(crate) fn occupant(parent: BorrowedFd<'_>, name: &[u8]) -> io::Result<Occupant> {
    match fstatat(parent, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Err(Errno::ENOENT) => Ok(Occupant::Nothing),
        stat => Ok(occupant_of(&stat?)),
    }
}

pub(crate) fn occupant_of(stat: &FileStat) -> Occupant {
    match file_type(stat) {
        SFlag::S_IFDIR => Occupant::Folder,
        SFlag::S_IFCHR if stat.st_rdev == 0 => Occupant::Whiteout,
        _ => Occupant::Other,
    }
}

/// Whether both names are there and are the same file.
pub(crate) fn is_same_file(one: (BorrowedFd<'_>, &[u8]), other: (BorrowedFd<'_>, &[u8])) -> bool {
    let identity = |(parent, name): (BorrowedFd<'_>, &[u8])| {
        let stat = fstatat(parent, name, AtFlags::AT_SYMLINK_NOFOLLOW).ok()?;
        Some((stat.st_dev, stat.st_ino))
    };
    identity(one).is_some_and(|one| identity(other) == Some(one))
}

pub(crate) fn file_type(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT
}

/// Removes what is at `name`, a folder with all that is in it.
pub(crate) fn remove(parent: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    match unlinkat(parent, name, UnlinkatFlags::NoRemoveDir) {
        Err(Errno::EISDIR) => {
            // The standard library removes trees by descriptor; the magic link brings it to the parent.
            let parent = Path::new("/proc/self/fd").join(parent.as_raw_fd().to_string());
            std::fs::remove_dir_all(parent.join(std::ffi::OsStr::from_bytes(name)))
        }
        removed => Ok(removed?),
    }
}
