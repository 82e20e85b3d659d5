//! Files below one folder, whatever symbolic links an archive has put there.
//!
//! Every path is resolved by the kernel with that folder as its root (openat2(2), `RESOLVE_IN_ROOT`), down to the
//! folder of the entry; the last component is then named relative to that descriptor, by calls that don't follow
//! links. So no link, absolute or with `..`, leads out, and there is no moment between a check and a use.

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The attribute that makes a folder hide those of the same name below it (overlayfs, "whiteouts and opaque
/// directories").
pub(crate) const OPAQUE: &std::ffi::CStr = c"trusted.overlay.opaque";
/// Of folders that an archive needs but doesn't list.
const FOLDER_MODE: Mode = Mode::from_bits_truncate(0o755);

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
    last: Option<(Vec<u8>, OwnedFd)>,
}

impl Beneath {
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        Ok(Self {
            root: File::open(folder)?.into(),
            last: None,
        })
    }

    pub(crate) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// The folder at `path` (no `..`; empty: the root); it and the folders above it are made where missing.
    pub(crate) fn folder(&mut self, path: &[u8]) -> io::Result<BorrowedFd<'_>> {
        if self.last.as_ref().is_none_or(|(last, _)| last != path) {
            let opened = match self.existing_folder(path) {
                Err(error) if is_absent(&error) => self.make_folders(path)?,
                opened => opened?,
            };
            self.last = Some((path.to_vec(), opened));
        }
        Ok(self
            .last
            .as_ref()
            .map_or_else(|| self.root.as_fd(), |(_, folder)| folder.as_fd()))
    }

    /// The folder at `path`, if it is there.
    pub(crate) fn existing_folder(&self, path: &[u8]) -> io::Result<OwnedFd> {
        let path = if path.is_empty() {
            b".".as_slice()
        } else {
            path
        };
        let how = OpenHow::new()
            .flags(OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC)
            .resolve(
                ResolveFlag::RESOLVE_IN_ROOT
                    | ResolveFlag::RESOLVE_NO_MAGICLINKS
                    | ResolveFlag::RESOLVE_NO_XDEV,
            );
        Ok(openat2(&self.root, path, how)?)
    }

    /// To be called when something was removed or replaced: the last folder may have been part of it.
    pub(crate) fn forget(&mut self) {
        self.last = None;
    }

    fn make_folders(&self, path: &[u8]) -> io::Result<OwnedFd> {
        let mut folder = self.existing_folder(b"")?;
        let mut end = 0;
        for name in path.split(|byte| *byte == b'/') {
            end += name.len();
            folder = match self.existing_folder(&path[..end]) {
                Err(error) if is_absent(&error) => {
                    if occupant(folder.as_fd(), name)? == Occupant::Other {
                        return Err(io::ErrorKind::NotADirectory.into());
                    }
                    make_folder(folder.as_fd(), name)?;
                    self.existing_folder(&path[..end])?
                }
                opened => opened?,
            };
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

/// Makes the folder `name`, unless it is there. In the place of a whiteout it becomes opaque: the layer removed what
/// was there below and made anew what is here.
pub(crate) fn make_folder(parent: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    match occupant(parent, name)? {
        Occupant::Folder => return Ok(()),
        Occupant::Nothing => mkdirat(parent, name, FOLDER_MODE)?,
        Occupant::Whiteout => {
            unlinkat(parent, name, UnlinkatFlags::NoRemoveDir)?;
            mkdirat(parent, name, FOLDER_MODE)?;
            make_opaque(open_folder(parent, name)?.as_fd())?;
        }
        Occupant::Other => {
            unlinkat(parent, name, UnlinkatFlags::NoRemoveDir)?;
            mkdirat(parent, name, FOLDER_MODE)?;
        }
    }
    Ok(())
}

pub(crate) fn make_opaque(folder: BorrowedFd<'_>) -> io::Result<()> {
    sys::xattr::set(folder, OPAQUE, b"y")
}

/// The folder `name` itself, never what a link of that name leads to.
pub(crate) fn open_folder(parent: BorrowedFd<'_>, name: &[u8]) -> io::Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    Ok(openat(parent, name, flags, Mode::empty())?)
}

pub(crate) fn occupant(parent: BorrowedFd<'_>, name: &[u8]) -> io::Result<Occupant> {
    let stat = match fstatat(parent, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Err(Errno::ENOENT) => return Ok(Occupant::Nothing),
        stat => stat?,
    };
    Ok(match file_type(&stat) {
        SFlag::S_IFDIR => Occupant::Folder,
        SFlag::S_IFCHR if stat.st_rdev == 0 => Occupant::Whiteout,
        _ => Occupant::Other,
    })
}

/// Whether both names are there and are the same file.
pub(crate) fn is_same_file(one: (BorrowedFd<'_>, &[u8]), other: (BorrowedFd<'_>, &[u8])) -> bool {
    let identity = |(parent, name): (BorrowedFd<'_>, &[u8])| {
        let stat = fstatat(parent, name, AtFlags::AT_SYMLINK_NOFOLLOW).ok()?;
        Some((stat.st_dev, stat.st_ino))
    };
    identity(one).is_some_and(|one| identity(other) == Some(one))
}

fn file_type(stat: &FileStat) -> SFlag {
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
