//! Paths inside a root that somebody else has filled (openat2(2)).
//!
//! A container's root is full of symbolic links that its image chose: `/etc -> /`, `/data -> /proc/self/fd/7`. Every
//! look-up here ends inside the root (`RESOLVE_IN_ROOT`) and never goes through a link of /proc that jumps to an open
//! file (`RESOLVE_NO_MAGICLINKS`). What comes back is a descriptor; the path is not used again.

use nix::errno::Errno;
use nix::sys::stat::Mode;
use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// Whether symbolic links inside the root are followed (to places inside the root).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    Follow,
    /// `ELOOP` at the first one.
    Refuse,
}

/// `O_RDONLY`, for [`open`].
pub const READ: i32 = libc::O_RDONLY;
/// `O_WRONLY`, for [`open`].
pub const WRITE: i32 = libc::O_WRONLY;
/// `O_RDONLY | O_DIRECTORY`, for [`open`].
pub const READ_FOLDER: i32 = libc::O_RDONLY | libc::O_DIRECTORY;
/// `O_PATH`, for [`open`]: a handle, of whatever it is.
pub const HANDLE: i32 = libc::O_PATH;
/// `O_NONBLOCK`, for [`open`]: a FIFO is opened without waiting for its other end.
pub const NONBLOCK: i32 = libc::O_NONBLOCK;

/// openat2(2) gives `EAGAIN` while somebody renames folders of the path; so many tries, as libpathrs makes.
const TRIES_MAX: usize = 128;

const RESOLVE_NO_MAGICLINKS: u64 = 0x02;
const RESOLVE_NO_SYMLINKS: u64 = 0x04;
const RESOLVE_IN_ROOT: u64 = 0x10;

/// Open `path` as if `root` were `/`. `flags` are those of open(2); `O_CLOEXEC` is added.
///
/// # Errors
/// As openat2(2); `ELOOP` for a link that is not to be followed.
pub fn open(root: BorrowedFd<'_>, path: &Path, flags: i32, links: Links) -> io::Result<OwnedFd> {
    open_with_mode(root, path, flags, 0, links)
}

/// A handle (`O_PATH`) of something on the machine itself, links followed.
///
/// # Errors
/// As open(2).
pub fn host_handle(path: &Path) -> io::Result<OwnedFd> {
    let flags = nix::fcntl::OFlag::O_PATH | nix::fcntl::OFlag::O_CLOEXEC;
    Ok(nix::fcntl::open(path, flags, Mode::empty())?)
}

/// A handle (`O_PATH`) of a folder.
///
/// # Errors
/// As openat2(2); `ENOTDIR` for anything else than a folder.
pub fn folder(root: BorrowedFd<'_>, path: &Path, links: Links) -> io::Result<OwnedFd> {
    open(root, path, libc::O_PATH | libc::O_DIRECTORY, links)
}

/// A handle of a folder, made with its parents (mode 0755, owner root) where it is missing.
///
/// # Errors
/// As openat2(2) and mkdirat(2); `ELOOP` when a missing part turns out to be a link that leads nowhere.
pub fn make_folder(root: BorrowedFd<'_>, path: &Path, links: Links) -> io::Result<OwnedFd> {
    match folder(root, path, links) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        other => return other,
    }
    let parts = plain_parts(path)?;
    // From the right: the longest part of the path that exists.
    let mut missing = Vec::new();
    let mut existing = parts.as_slice();
    let mut place = loop {
        let Some((last, before)) = existing.split_last() else {
            break root.try_clone_to_owned()?;
        };
        missing.push(*last);
        existing = before;
        match folder(
            root,
            &existing.iter().collect::<std::path::PathBuf>(),
            links,
        ) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => break other?,
        }
    };
    for name in missing.iter().rev() {
        match nix::sys::stat::mkdirat(&place, *name, Mode::from_bits_truncate(0o755)) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
        place = folder(place.as_fd(), Path::new(name), Links::Refuse)?;
    }
    Ok(place)
}

/// A handle of something that can be mounted upon by a file; made empty (mode 0644) with its parents where it is missing.
///
/// # Errors
/// As [`make_folder`]; `EISDIR` for a folder, `EEXIST` for a link that leads nowhere.
pub fn make_file(root: BorrowedFd<'_>, path: &Path, links: Links) -> io::Result<OwnedFd> {
    let found = match open(root, path, libc::O_PATH, links) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let parts = plain_parts(path)?;
            let Some((name, parents)) = parts.split_last() else {
                return Err(Errno::EISDIR.into());
            };
            let parents: std::path::PathBuf = parents.iter().collect();
            let parent = make_folder(root, &parents, links)?;
            open_with_mode(
                parent.as_fd(),
                Path::new(name),
                libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY | libc::O_NOFOLLOW,
                0o644,
                Links::Refuse,
            )?
        }
        other => other?,
    };
    if kind(found.as_fd())? == Kind::Folder {
        return Err(Errno::EISDIR.into());
    }
    Ok(found)
}

/// Where below `root` a path really is, links followed as far as something is there. `root` must be mounted, and this
/// process must see it in its /proc.
///
/// # Errors
/// As readlink(2) of `/proc/self/fd/N`; `ENOENT` when the root can't be seen.
pub fn real(root: BorrowedFd<'_>, path: &Path) -> io::Result<PathBuf> {
    let seen = |descriptor: BorrowedFd<'_>| {
        std::fs::read_link(format!("/proc/self/fd/{}", descriptor.as_raw_fd()))
    };
    let top = seen(root)?;
    let mut missing = Vec::new();
    let mut parts = plain_parts(path)?;
    let found = loop {
        let existing: PathBuf = parts.iter().collect();
        match (open(root, &existing, HANDLE, Links::Follow), parts.pop()) {
            (Ok(found), _) => break seen(found.as_fd())?,
            (Err(error), None) => return Err(error),
            (Err(_), Some(name)) => missing.push(name),
        }
    };
    let below = found.strip_prefix(&top).map_err(|_| Errno::ENOENT)?;
    let missing = missing.iter().rev().map(Path::new);
    Ok([Path::new("/"), below].into_iter().chain(missing).collect())
}

/// Take away a symbolic link, for instance one that leads nowhere. What is reached through it stays.
///
/// # Errors
/// As unlinkat(2); `EINVAL` for anything else than a link.
pub fn remove_link(root: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let parts = plain_parts(path)?;
    let Some((name, parents)) = parts.split_last() else {
        return Err(Errno::EINVAL.into());
    };
    let parents: std::path::PathBuf = parents.iter().collect();
    let parent = folder(root, &parents, Links::Follow)?;
    nix::fcntl::readlinkat(&parent, *name)?;
    nix::unistd::unlinkat(&parent, *name, nix::unistd::UnlinkatFlags::NoRemoveDir)?;
    Ok(())
}

/// A new folder (mode 0755 less the umask) right below another; one that is there already is not an error.
///
/// # Errors
/// As mkdirat(2).
pub fn make_one_folder(folder: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    match nix::sys::stat::mkdirat(folder, name, Mode::from_bits_truncate(0o755)) {
        Ok(()) | Err(Errno::EEXIST) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// A new symbolic link right below a folder.
///
/// # Errors
/// As symlinkat(2).
pub fn make_link(folder: BorrowedFd<'_>, name: &str, target: &str) -> io::Result<()> {
    nix::unistd::symlinkat(target, folder, name)?;
    Ok(())
}

/// A new file right below a folder, to be written.
///
/// # Errors
/// As openat(2); `EEXIST` when there is something of that name.
pub fn new_file(folder: BorrowedFd<'_>, name: &Path, mode: u32) -> io::Result<OwnedFd> {
    let flags = libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY | libc::O_NOFOLLOW;
    open_with_mode(folder, name, flags, mode.into(), Links::Refuse)
}

/// Whether a look-up ended at a symbolic link that was not to be followed.
#[must_use]
pub fn is_link_refused(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ELOOP)
}

/// What a descriptor turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Folder,
    File,
    Link,
    Device,
    Pipe,
    Other,
}

/// Look at it (fstat(2)).
///
/// # Errors
/// As fstat(2).
pub fn kind(descriptor: BorrowedFd<'_>) -> io::Result<Kind> {
    Ok(Kind::of_mode(nix::sys::stat::fstat(descriptor)?.st_mode))
}

impl Kind {
    /// From `st_mode` (inode(7)).
    #[must_use]
    pub fn of_mode(mode: u32) -> Self {
        match mode & libc::S_IFMT {
            libc::S_IFDIR => Self::Folder,
            libc::S_IFREG => Self::File,
            libc::S_IFLNK => Self::Link,
            libc::S_IFCHR | libc::S_IFBLK => Self::Device,
            libc::S_IFIFO => Self::Pipe,
            _ => Self::Other,
        }
    }
}

/// Is there something at this path of the machine, links followed? Neither an automount nor another machine is asked.
///
/// # Errors
/// As statx(2), but for `ENOENT`, `ENOTDIR` and `ELOOP`.
pub fn exists(path: &Path) -> io::Result<bool> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let flags = libc::AT_NO_AUTOMOUNT | libc::AT_STATX_DONT_SYNC;
    let mut found = std::mem::MaybeUninit::<libc::statx>::uninit();
    // SAFETY: the path is a C string, and the kernel writes no more than the structure, which nobody reads.
    let done = unsafe { libc::statx(libc::AT_FDCWD, path.as_ptr(), flags, 0, found.as_mut_ptr()) };
    if done == 0 {
        return Ok(true);
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP) => Ok(false),
        _ => Err(error),
    }
}

/// The file system's magic number (statfs(2)): `PROC_SUPER_MAGIC` and its like.
///
/// # Errors
/// As fstatfs(2).
pub fn file_system_magic(descriptor: BorrowedFd<'_>) -> io::Result<i64> {
    #[allow(
        clippy::unnecessary_cast,
        clippy::cast_possible_wrap,
        reason = "the field is signed in one C library and unsigned in the other"
    )]
    let magic = nix::sys::statfs::fstatfs(descriptor)?.filesystem_type().0 as i64;
    Ok(magic)
}

/// May the caller execute it (access(2) with `X_OK`, by real ids)?
///
/// # Errors
/// As access(2).
pub fn check_executable(path: &Path) -> io::Result<()> {
    nix::unistd::access(path, nix::unistd::AccessFlags::X_OK)?;
    Ok(())
}

/// Make it the current folder (fchdir(2)).
///
/// # Errors
/// As fchdir(2).
pub fn change_folder(folder: BorrowedFd<'_>) -> io::Result<()> {
    nix::unistd::fchdir(folder)?;
    Ok(())
}

/// The names in a path; `..` is refused, for where something is to be made it can't be followed beforehand.
fn plain_parts(path: &Path) -> io::Result<Vec<&OsStr>> {
    let mut parts = Vec::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => parts.push(name),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => return Err(Errno::EINVAL.into()),
        }
    }
    Ok(parts)
}

/// `struct open_how` of linux/openat2.h.
#[repr(C)]
struct OpenHow {
    flags: u64,
    mode: u64,
    resolve: u64,
}

fn open_with_mode(
    root: BorrowedFd<'_>,
    path: &Path,
    flags: i32,
    mode: u64,
    links: Links,
) -> io::Result<OwnedFd> {
    let how = OpenHow {
        flags: u64::from((flags | libc::O_CLOEXEC).cast_unsigned()),
        mode,
        resolve: RESOLVE_IN_ROOT
            | RESOLVE_NO_MAGICLINKS
            | if links == Links::Refuse {
                RESOLVE_NO_SYMLINKS
            } else {
                0
            },
    };
    // An empty path is the root itself.
    let bytes = path.as_os_str().as_bytes();
    let path = CString::new(if bytes.is_empty() { b"/" } else { bytes })?;
    let mut tries = 0;
    loop {
        // SAFETY: the path is a C string and the structure outlives the call; its size is given.
        let number = unsafe {
            libc::syscall(
                libc::SYS_openat2,
                root.as_raw_fd(),
                path.as_ptr(),
                std::ptr::from_ref(&how),
                std::mem::size_of::<OpenHow>(),
            )
        };
        if let Ok(number @ 0..) = RawFd::try_from(number) {
            // SAFETY: the kernel has just made this descriptor for us.
            return Ok(unsafe { OwnedFd::from_raw_fd(number) });
        }
        let error = io::Error::last_os_error();
        tries += 1;
        let again = matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EINTR));
        if !again || tries == TRIES_MAX {
            return Err(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    struct Root(PathBuf);

    impl Root {
        fn new(name: &str) -> Self {
            let path =
                std::env::temp_dir().join(format!("keelson-path-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn handle(&self) -> OwnedFd {
            File::open(&self.0).unwrap().into()
        }
    }

    impl Drop for Root {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_link_to_outside_ends_inside() {
        let root = Root::new("inside");
        symlink("/", root.0.join("etc")).unwrap();
        symlink("../../../../tmp", root.0.join("up")).unwrap();
        make_file(
            root.handle().as_fd(),
            Path::new("/etc/hosts"),
            Links::Follow,
        )
        .unwrap();
        assert!(root.0.join("hosts").is_file());
        let missing = folder(root.handle().as_fd(), Path::new("/up"), Links::Follow);
        assert_eq!(missing.unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_link_is_refused_where_none_is_allowed() {
        let root = Root::new("refused");
        symlink("/", root.0.join("proc")).unwrap();
        let found = folder(root.handle().as_fd(), Path::new("/proc"), Links::Refuse);
        assert_eq!(found.unwrap_err().raw_os_error(), Some(libc::ELOOP));
    }

    #[test]
    fn a_magic_link_is_never_followed() {
        let root: OwnedFd = File::open("/").unwrap().into();
        let found = open(
            root.as_fd(),
            Path::new("/proc/self/fd/0"),
            libc::O_PATH,
            Links::Follow,
        );
        assert_eq!(found.unwrap_err().raw_os_error(), Some(libc::ELOOP));
    }

    #[test]
    fn missing_parents_are_made_and_a_link_to_nowhere_is_not() {
        let root = Root::new("parents");
        make_folder(root.handle().as_fd(), Path::new("/a/b/c"), Links::Follow).unwrap();
        assert!(root.0.join("a/b/c").is_dir());
        symlink("/nowhere", root.0.join("a/link")).unwrap();
        let made = make_folder(root.handle().as_fd(), Path::new("/a/link/x"), Links::Follow);
        assert!(made.is_err());
        let made = make_folder(
            root.handle().as_fd(),
            Path::new("/a/new/../x"),
            Links::Follow,
        );
        assert_eq!(made.unwrap_err().raw_os_error(), Some(libc::EINVAL));
    }
}
