//! Device nodes (mknod(2)), for a /dev that we fill ourselves.

use nix::sys::stat::{Mode, SFlag, makedev, mknodat};
use std::io;
use std::os::fd::BorrowedFd;

/// A character device below `folder`, with exactly this mode.
///
/// # Errors
/// As mknodat(2) and fchmodat(2); `EPERM` without `CAP_MKNOD`.
pub fn make_character(
    folder: BorrowedFd<'_>,
    name: &str,
    mode: u32,
    (major, minor): (u64, u64),
) -> io::Result<()> {
    let mode = Mode::from_bits_truncate(mode);
    mknodat(folder, name, SFlag::S_IFCHR, mode, makedev(major, minor))?;
    // The umask has had its part.
    nix::sys::stat::fchmodat(
        folder,
        name,
        mode,
        nix::sys::stat::FchmodatFlags::FollowSymlink,
    )?;
    Ok(())
}
