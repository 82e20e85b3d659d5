//! The space of a file system: statvfs(3), statfs(2).

use nix::sys::statfs::{TMPFS_MAGIC, statfs};
use nix::sys::statvfs::statvfs;
use std::io;
use std::path::Path;

/// Bytes and files (inodes) of a file system, now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Space {
    pub bytes: u64,
    /// For root, who may use what the file system keeps in reserve.
    pub free: u64,
    /// For everybody else, root in a container included.
    pub available: u64,
    /// 0: as many as there is room for.
    pub files: u64,
    pub files_free: u64,
    /// It is a tmpfs: what is written takes the machine's memory.
    pub in_memory: bool,
}

/// Of the file system that `path` is on.
///
/// # Errors
/// As statvfs(3) and statfs(2).
#[allow(
    clippy::useless_conversion,
    reason = "the types of statvfs(3) differ between C libraries"
)]
pub fn space(path: &Path) -> io::Result<Space> {
    let stat = statvfs(path)?;
    let block = u64::from(stat.fragment_size());
    let bytes = |blocks| u64::from(blocks).saturating_mul(block);
    Ok(Space {
        bytes: bytes(stat.blocks()),
        free: bytes(stat.blocks_free()),
        available: bytes(stat.blocks_available()),
        files: stat.files().into(),
        files_free: stat.files_free().into(),
        in_memory: statfs(path)?.filesystem_type() == TMPFS_MAGIC,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_systems_space_is_told() {
        let here = space(Path::new("/")).unwrap();
        assert!(
            here.bytes >= here.free && here.free >= here.available,
            "{here:?}"
        );
        assert!(here.bytes > 0 && here.files >= here.files_free, "{here:?}");
        assert!(space(Path::new("/nonexistent")).is_err());
    }

    #[test]
    fn dev_shm_is_in_memory_and_proc_is_not() {
        assert!(space(Path::new("/dev/shm")).unwrap().in_memory);
        assert!(!space(Path::new("/proc")).unwrap().in_memory);
    }
}
