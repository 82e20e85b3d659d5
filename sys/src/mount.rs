//! Mounts by descriptor (fsopen(2), fsconfig(2), fsmount(2), open_tree(2), mount_setattr(2), move_mount(2)).
//!
//! ```text
//! FileSystem::open("tmpfs") ──set──▶ …  ──mount──▶ Tree (detached) ──attach──▶ part of the namespace
//! Tree::copy(what is mounted at a descriptor) ────▶ Tree (detached) ──────┘
//! ```
//!
//! A path is never looked at twice: what a descriptor points to is what is mounted, or mounted upon. A tree that was
//! never attached vanishes with its descriptor, so that a step that fails leaves nothing behind.

use nix::mount::{MntFlags, MsFlags};
use std::ffi::CStr;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;

/// `MOUNT_ATTR_…` of linux/mount.h; combine with `|`.
pub mod attribute {
    pub const READ_ONLY: u64 = 0x1;
    pub const NOSUID: u64 = 0x2;
    pub const NODEV: u64 = 0x4;
    pub const NOEXEC: u64 = 0x8;
    pub const NOATIME: u64 = 0x10;
    /// All that say when reading changes the time of the last access: to set one, this is cleared.
    pub const ACCESS_TIMES: u64 = 0x70;
    /// What every file system without programs and devices gets.
    pub const DATA_ONLY: u64 = NOSUID | NODEV | NOEXEC;
}

/// Longest value of one option: fsconfig(2) copies at most 256 bytes, the final zero included.
pub const OPTION_BYTES_MAX: usize = 255;

const FSOPEN_CLOEXEC: u32 = 0x1;
const FSMOUNT_CLOEXEC: u32 = 0x1;
const FSCONFIG_SET_FLAG: u32 = 0;
const FSCONFIG_SET_STRING: u32 = 1;
const FSCONFIG_CMD_CREATE: u32 = 6;
const OPEN_TREE_CLONE: i32 = 0x1;
const MOVE_MOUNT_F_EMPTY_PATH: u32 = 0x4;
const MOVE_MOUNT_T_EMPTY_PATH: u32 = 0x40;
const AT_RECURSIVE: i32 = 0x8000;

/// Why a file system could not be mounted.
#[derive(Debug)]
pub struct FileSystemError {
    pub source: io::Error,
    /// What the kernel says about it in the context's own log; often empty.
    pub explanation: String,
}

impl std::fmt::Display for FileSystemError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.explanation.is_empty() {
            write!(f, "{}", self.source)
        } else {
            write!(f, "{} ({})", self.source, self.explanation)
        }
    }
}

impl std::error::Error for FileSystemError {}

/// A file system that is being configured.
#[derive(Debug)]
pub struct FileSystem {
    context: OwnedFd,
}

impl FileSystem {
    /// Start with a type of /proc/filesystems (fsopen(2)).
    ///
    /// # Errors
    /// `ENODEV` when the kernel does not know the type.
    pub fn open(kind: &CStr) -> Result<Self, FileSystemError> {
        // SAFETY: fsopen(2) reads the C string and makes a new descriptor.
        let context = unsafe { libc::syscall(libc::SYS_fsopen, kind.as_ptr(), FSOPEN_CLOEXEC) };
        match new_descriptor(context) {
            Ok(context) => Ok(Self { context }),
            Err(source) => Err(FileSystemError {
                source,
                explanation: String::new(),
            }),
        }
    }

    /// One option with a value of at most [`OPTION_BYTES_MAX`] bytes.
    ///
    /// # Errors
    /// `EINVAL` for an option that the type does not have, or a value that it does not take.
    pub fn set(&self, key: &CStr, value: &CStr) -> Result<(), FileSystemError> {
        self.configure(FSCONFIG_SET_STRING, Some(key), Some(value))
    }

    /// One option without a value.
    ///
    /// # Errors
    /// `EINVAL` for an option that the type does not have.
    pub fn set_flag(&self, key: &CStr) -> Result<(), FileSystemError> {
        self.configure(FSCONFIG_SET_FLAG, Some(key), None)
    }

    /// Make the file system and a mount of it (fsmount(2)) with these [`attribute`]s, attached nowhere yet.
    ///
    /// # Errors
    /// As the file system's own mount.
    pub fn mount(self, attributes: u64) -> Result<Tree, FileSystemError> {
        self.configure(FSCONFIG_CMD_CREATE, None, None)?;
        // SAFETY: fsmount(2) takes integers and makes a new descriptor.
        let mount = unsafe {
            libc::syscall(
                libc::SYS_fsmount,
                self.context.as_raw_fd(),
                FSMOUNT_CLOEXEC,
                attributes,
            )
        };
        new_descriptor(mount)
            .map(|descriptor| Tree { descriptor })
            .map_err(|source| self.explain(source))
    }

    fn configure(
        &self,
        command: u32,
        key: Option<&CStr>,
        value: Option<&CStr>,
    ) -> Result<(), FileSystemError> {
        let pointer = |text: Option<&CStr>| text.map_or(std::ptr::null(), CStr::as_ptr);
        // SAFETY: both pointers are null or C strings that outlive the call; the last argument is an integer.
        let done = unsafe {
            libc::syscall(
                libc::SYS_fsconfig,
                self.context.as_raw_fd(),
                command,
                pointer(key),
                pointer(value),
                0,
            )
        };
        if done < 0 {
            Err(self.explain(io::Error::last_os_error()))
        } else {
            Ok(())
        }
    }

    /// Every read(2) of a context takes one message of its log: `e overlay: text`.
    fn explain(&self, source: io::Error) -> FileSystemError {
        let mut messages = Vec::new();
        let mut buffer = [0u8; 512];
        if let Ok(copy) = self.context.try_clone() {
            let mut log = std::fs::File::from(copy);
            while let Ok(bytes @ 1..) = log.read(&mut buffer) {
                let text = String::from_utf8_lossy(buffer.get(..bytes).unwrap_or_default());
                let text = text.trim();
                messages.push(text.strip_prefix("e ").unwrap_or(text).to_owned());
            }
        }
        FileSystemError {
            source,
            explanation: messages.join("; "),
        }
    }
}

/// A mount, or a tree of mounts, held by a descriptor of its root; it serves as the folder for `…at` calls.
#[derive(Debug)]
pub struct Tree {
    descriptor: OwnedFd,
}

/// Whether mounts below the given place are meant too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    Single,
    Recursive,
}

impl Tree {
    /// A copy of what is mounted at this place (a bind mount that is attached nowhere yet).
    ///
    /// # Errors
    /// As open_tree(2).
    pub fn copy(place: BorrowedFd<'_>, depth: Depth) -> io::Result<Self> {
        Self::copy_below(place, c"", depth)
    }

    /// The same, of a path below a folder. Symbolic links are followed only where they are not the last part: give
    /// paths that nobody else can change.
    ///
    /// # Errors
    /// As open_tree(2).
    pub fn copy_below(folder: BorrowedFd<'_>, path: &CStr, depth: Depth) -> io::Result<Self> {
        let recursive = if depth == Depth::Recursive {
            AT_RECURSIVE
        } else {
            0
        };
        let flags = OPEN_TREE_CLONE
            | libc::O_CLOEXEC
            | libc::AT_EMPTY_PATH
            | libc::AT_SYMLINK_NOFOLLOW
            | recursive;
        // SAFETY: open_tree(2) reads the C string and makes a new descriptor.
        let tree = unsafe {
            libc::syscall(
                libc::SYS_open_tree,
                folder.as_raw_fd(),
                path.as_ptr(),
                flags,
            )
        };
        new_descriptor(tree).map(|descriptor| Self { descriptor })
    }

    /// Take a descriptor of a mount's root.
    #[must_use]
    pub fn from_descriptor(descriptor: OwnedFd) -> Self {
        Self { descriptor }
    }

    /// Set [`attribute`]s (mount_setattr(2)); what is set already stays.
    ///
    /// # Errors
    /// As mount_setattr(2).
    pub fn set_attributes(&self, attributes: u64, depth: Depth) -> io::Result<()> {
        add_attributes(self.descriptor.as_fd(), attributes, depth)
    }

    /// Set some [`attribute`]s and clear others (mount_setattr(2)); cleared is first.
    ///
    /// # Errors
    /// As mount_setattr(2).
    pub fn change_attributes(&self, set: u64, clear: u64, depth: Depth) -> io::Result<()> {
        change_attributes(self.descriptor.as_fd(), set, clear, 0, depth)
    }

    /// Mount it on `target` (move_mount(2)): folder on folder, file on file. The descriptor stays good.
    ///
    /// # Errors
    /// `ENOTDIR` when only one of the two is a folder.
    pub fn attach(&self, target: BorrowedFd<'_>) -> io::Result<()> {
        let empty = c"";
        // SAFETY: both paths are C strings; both descriptors are open.
        let done = unsafe {
            libc::syscall(
                libc::SYS_move_mount,
                self.descriptor.as_raw_fd(),
                empty.as_ptr(),
                target.as_raw_fd(),
                empty.as_ptr(),
                MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH,
            )
        };
        result(done)
    }

    #[must_use]
    pub fn into_descriptor(self) -> OwnedFd {
        self.descriptor
    }
}

impl AsFd for Tree {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// Set [`attribute`]s of the mount at this place (mount_setattr(2)); what is set already stays.
///
/// # Errors
/// As mount_setattr(2).
pub fn add_attributes(place: BorrowedFd<'_>, attributes: u64, depth: Depth) -> io::Result<()> {
    change_attributes(place, attributes, 0, 0, depth)
}

/// Whether nothing can be executed from where the path leads (statvfs(3), `ST_NOEXEC`).
///
/// # Errors
/// As statvfs(3).
pub fn is_noexec(path: &Path) -> io::Result<bool> {
    let flags = nix::sys::statvfs::statvfs(path)?.flags();
    Ok(flags.contains(nix::sys::statvfs::FsFlags::ST_NOEXEC))
}

/// Nothing mounted here is seen elsewhere from now on, and the reverse (mount_namespaces(7), `MS_PRIVATE`).
/// For the whole of the caller's mount namespace.
///
/// # Errors
/// As mount_setattr(2).
pub fn make_all_private() -> io::Result<()> {
    let root = std::fs::File::open("/")?;
    change_attributes(root.as_fd(), 0, 0, libc::MS_PRIVATE, Depth::Recursive)
}

/// Mount by a page of options (mount(2)), for what the calls above can't say on older kernels.
///
/// # Errors
/// As mount(2).
pub fn mount_by_options(kind: &CStr, target: &CStr, options: &CStr) -> io::Result<()> {
    nix::mount::mount(
        Some(kind),
        target,
        Some(kind),
        MsFlags::empty(),
        Some(options),
    )?;
    Ok(())
}

/// Make the mount at `new_root` the root of the mount namespace, and let go of all that was there before.
/// The current folder is the new root afterwards.
///
/// # Errors
/// As pivot_root(2): `EINVAL` when the current root is the kernel's initial rootfs, which can't be moved away.
pub fn pivot(new_root: BorrowedFd<'_>) -> io::Result<()> {
    nix::unistd::fchdir(new_root)?;
    // Both names mean the new root: the old one then lies on top of it, and is the "." that is taken off
    // (pivot_root(2), "pivot_root(".", ".")"). No folder for the old root is needed.
    nix::unistd::pivot_root(".", ".")?;
    nix::mount::umount2(".", MntFlags::MNT_DETACH)?;
    nix::unistd::chdir("/")?;
    Ok(())
}

/// `struct mount_attr` of linux/mount.h.
#[repr(C)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

fn change_attributes(
    place: BorrowedFd<'_>,
    set: u64,
    clear: u64,
    propagation: u64,
    depth: Depth,
) -> io::Result<()> {
    let change = MountAttr {
        attr_set: set,
        attr_clr: clear,
        propagation,
        userns_fd: 0,
    };
    let recursive = if depth == Depth::Recursive {
        AT_RECURSIVE
    } else {
        0
    };
    let empty = c"";
    // SAFETY: the structure outlives the call and its size is given; the path is a C string.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            place.as_raw_fd(),
            empty.as_ptr(),
            libc::AT_EMPTY_PATH | recursive,
            std::ptr::from_ref(&change),
            std::mem::size_of::<MountAttr>(),
        )
    };
    result(done)
}

fn result(done: libc::c_long) -> io::Result<()> {
    if done < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

fn new_descriptor(number: libc::c_long) -> io::Result<OwnedFd> {
    match RawFd::try_from(number) {
        // SAFETY: the kernel has just made this descriptor for the call, and nobody else has seen it.
        Ok(number @ 0..) => Ok(unsafe { OwnedFd::from_raw_fd(number) }),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_file_system_is_no_device() {
        match FileSystem::open(c"no-such-file-system") {
            Err(error) => assert!(matches!(
                error.source.raw_os_error(),
                Some(libc::ENODEV | libc::EPERM)
            )),
            Ok(_) => panic!("it exists"),
        }
    }
}
