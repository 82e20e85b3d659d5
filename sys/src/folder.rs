//! Folders by descriptor: list them, and make in one what stands in another (readdir(3), mkdirat(2), mknodat(2), …).
//! No link is ever followed.

use crate::path::{self, Kind, Links};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{FileStat, Mode, SFlag, UtimensatFlags, fstat, fstatat, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, UnlinkatFlags};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Something in a folder.
#[derive(Clone, Debug)]
pub struct Entry {
    pub name: OsString,
    pub kind: Kind,
    pub status: Status,
}

/// What is copied along with a content.
#[derive(Clone, Copy, Debug)]
pub struct Status {
    pub uid: u32,
    pub gid: u32,
    /// Permissions and type, as in `st_mode`.
    pub mode: u32,
    pub accessed: TimeSpec,
    pub modified: TimeSpec,
    /// Number of names.
    pub links: u64,
    /// Device and inode.
    pub identity: (u64, u64),
    /// Of a device file.
    device: u64,
}

impl Status {
    /// Of what is open (fstat(2)).
    ///
    /// # Errors
    /// As fstat(2).
    pub fn of(descriptor: BorrowedFd<'_>) -> io::Result<Self> {
        Ok(Self::from_stat(&fstat(descriptor)?))
    }

    /// Give owner, permissions and times to what is open (fchown(2), fchmod(2), futimens(3)).
    ///
    /// # Errors
    /// As the calls.
    pub fn apply(&self, descriptor: BorrowedFd<'_>) -> io::Result<()> {
        // The owner first: a change of owner takes the set-user-ID bit away.
        nix::unistd::fchown(
            descriptor,
            Some(Uid::from_raw(self.uid)),
            Some(Gid::from_raw(self.gid)),
        )?;
        nix::sys::stat::fchmod(descriptor, self.permissions())?;
        nix::sys::stat::futimens(descriptor, &self.accessed, &self.modified)?;
        Ok(())
    }

    fn permissions(&self) -> Mode {
        Mode::from_bits_truncate(self.mode & 0o7777)
    }

    #[allow(
        clippy::useless_conversion,
        clippy::unnecessary_cast,
        reason = "the fields' types differ between C libraries"
    )]
    fn from_stat(stat: &FileStat) -> Self {
        Self {
            uid: stat.st_uid,
            gid: stat.st_gid,
            mode: stat.st_mode,
            accessed: TimeSpec::new(stat.st_atime, stat.st_atime_nsec),
            modified: TimeSpec::new(stat.st_mtime, stat.st_mtime_nsec),
            links: stat.st_nlink.into(),
            identity: (stat.st_dev, stat.st_ino),
            device: stat.st_rdev,
        }
    }
}

/// Everything in a folder but `.` and `..`, in no order. `folder` must be open for reading.
///
/// # Errors
/// As readdir(3) and fstatat(2).
pub fn entries(folder: BorrowedFd<'_>) -> io::Result<Vec<Entry>> {
    let mut found = Vec::new();
    for entry in list(folder)?.iter() {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        let stat = fstatat(folder, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        found.push(Entry {
            name: name.to_owned(),
            kind: Kind::of_mode(stat.st_mode),
            status: Status::from_stat(&stat),
        });
    }
    Ok(found)
}

/// Whether there is nothing in it.
///
/// # Errors
/// As readdir(3).
pub fn is_empty(folder: BorrowedFd<'_>) -> io::Result<bool> {
    for entry in list(folder)?.iter() {
        if !matches!(entry?.file_name().to_bytes(), b"." | b"..") {
            return Ok(false);
        }
    }
    Ok(true)
}

/// With a read position of its own.
fn list(folder: BorrowedFd<'_>) -> io::Result<nix::dir::Dir> {
    Ok(nix::dir::Dir::openat(
        folder,
        ".",
        OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
        Mode::empty(),
    )?)
}

/// A new folder (mode 0700); one that is there already is not an error.
///
/// # Errors
/// As mkdirat(2).
pub fn make(folder: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    match nix::sys::stat::mkdirat(folder, name, Mode::S_IRWXU) {
        Ok(()) | Err(Errno::EEXIST) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// A new, empty file (mode 0600) in place of whatever has this name.
///
/// # Errors
/// As unlinkat(2) and openat2(2).
pub fn replace_file(folder: BorrowedFd<'_>, name: &OsStr) -> io::Result<OwnedFd> {
    remove(folder, name)?;
    path::new_file(folder, Path::new(name), 0o600)
}

/// Another name for a file: `first` is looked up below `root` through folders only.
///
/// # Errors
/// As linkat(2).
pub fn make_hard_link(
    root: BorrowedFd<'_>,
    first: &Path,
    folder: BorrowedFd<'_>,
    name: &OsStr,
) -> io::Result<()> {
    let parent = first.parent().unwrap_or(Path::new(""));
    let parent = path::folder(root, parent, Links::Refuse)?;
    let Some(first) = first.file_name() else {
        return Err(Errno::EINVAL.into());
    };
    remove(folder, name)?;
    nix::unistd::linkat(&parent, first, folder, name, AtFlags::empty())?;
    Ok(())
}

/// Make a symbolic link, device, FIFO or socket file anew in another folder, with owner, permissions and times.
///
/// # Errors
/// As the calls; `EINVAL` for a folder or an ordinary file.
pub fn copy_special(from: BorrowedFd<'_>, to: BorrowedFd<'_>, entry: &Entry) -> io::Result<()> {
    let (name, status) = (entry.name.as_os_str(), &entry.status);
    remove(to, name)?;
    match entry.kind {
        Kind::Link => {
            let target = nix::fcntl::readlinkat(from, name)?;
            nix::unistd::symlinkat(target.as_os_str(), to, name)?;
        }
        Kind::Device | Kind::Pipe | Kind::Other => {
            let kind = SFlag::from_bits_truncate(status.mode & libc::S_IFMT);
            nix::sys::stat::mknodat(to, name, kind, status.permissions(), status.device)?;
        }
        Kind::Folder | Kind::File => return Err(Errno::EINVAL.into()),
    }
    let (uid, gid) = (Uid::from_raw(status.uid), Gid::from_raw(status.gid));
    nix::unistd::fchownat(to, name, Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW)?;
    if entry.kind != Kind::Link {
        // It is not a link, so there is nothing to follow.
        nix::sys::stat::fchmodat(
            to,
            name,
            status.permissions(),
            nix::sys::stat::FchmodatFlags::FollowSymlink,
        )?;
    }
    utimensat(
        to,
        name,
        &status.accessed,
        &status.modified,
        UtimensatFlags::NoFollowSymlink,
    )?;
    Ok(())
}

fn remove(folder: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    match nix::unistd::unlinkat(folder, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// All that was written to this file system so far is on the disk (syncfs(2)).
///
/// # Errors
/// As syncfs(2).
pub fn sync_file_system(place: BorrowedFd<'_>) -> io::Result<()> {
    nix::unistd::syncfs(place)?;
    Ok(())
}
