//! Block devices and ext4: what ioctl(2) tells and does.

use nix::libc::c_ulong;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

const BLKGETSIZE64: c_ulong = 0x8008_1272;
const BLKRRPART: c_ulong = 0x125f;
const BLKPG: c_ulong = 0x1269;
const BLKPG_RESIZE_PARTITION: i32 = 3;
/// `_IOW('f', 16, __u64)`, fs/ext4/ext4.h
const EXT4_IOC_RESIZE_FS: c_ulong = 0x4008_6610;

/// Size of a device in bytes.
///
/// # Errors
/// As ioctl(2); `ENOTTY` when it is not a block device.
pub fn size(device: &File) -> io::Result<u64> {
    let mut bytes: u64 = 0;
    // SAFETY: BLKGETSIZE64 stores one u64 through the pointer, which is valid for the call.
    let done = unsafe {
        libc::ioctl(
            device.as_raw_fd(),
            BLKGETSIZE64 as libc::Ioctl,
            std::ptr::from_mut(&mut bytes),
        )
    };
    if done < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(bytes)
    }
}

/// `struct blkpg_partition` of linux/blkpg.h.
#[repr(C)]
struct BlkpgPartition {
    start: i64,
    length: i64,
    number: i32,
    device_name: [u8; 64],
    volume_name: [u8; 64],
}

/// `struct blkpg_ioctl_arg` of linux/blkpg.h.
#[repr(C)]
struct BlkpgArgument {
    operation: i32,
    flags: i32,
    length: i32,
    data: *mut BlkpgPartition,
}

/// Tell the kernel that a partition now reaches further; it may be mounted.
///
/// # Errors
/// As ioctl(2) `BLKPG`.
pub fn resize_partition(
    disk: &File,
    number: i32,
    start_bytes: u64,
    length_bytes: u64,
) -> io::Result<()> {
    let too_large = |_| io::Error::from_raw_os_error(libc::EINVAL);
    let mut partition = BlkpgPartition {
        start: i64::try_from(start_bytes).map_err(too_large)?,
        length: i64::try_from(length_bytes).map_err(too_large)?,
        number,
        device_name: [0; 64],
        volume_name: [0; 64],
    };
    let mut argument = BlkpgArgument {
        operation: BLKPG_RESIZE_PARTITION,
        flags: 0,
        length: i32::try_from(std::mem::size_of::<BlkpgPartition>()).unwrap_or(0),
        data: std::ptr::from_mut(&mut partition),
    };
    // SAFETY: the argument and the partition it points to live until the call returns, laid out as the kernel has them.
    let done = unsafe {
        libc::ioctl(
            disk.as_raw_fd(),
            BLKPG as libc::Ioctl,
            std::ptr::from_mut(&mut argument),
        )
    };
    if done < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Have the kernel read the partition table again. `EBUSY` while a partition is in use.
///
/// # Errors
/// As ioctl(2).
pub fn reread_partitions(disk: &File) -> io::Result<()> {
    // SAFETY: BLKRRPART takes no argument.
    let done = unsafe { libc::ioctl(disk.as_raw_fd(), BLKRRPART as libc::Ioctl) };
    if done < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Grow a mounted ext4 to `blocks` file-system blocks (online resizing, as resize2fs(8) does it).
/// `mount` is any file or folder on it.
///
/// # Errors
/// As the kernel's: `EPERM` without `CAP_SYS_RESOURCE`, `EINVAL` beyond the descriptors reserved at mkfs time.
pub fn grow_ext4(mount: &File, blocks: u64) -> io::Result<()> {
    // SAFETY: the kernel reads one u64 through the pointer.
    let done = unsafe {
        libc::ioctl(
            mount.as_raw_fd(),
            EXT4_IOC_RESIZE_FS as libc::Ioctl,
            std::ptr::from_ref(&blocks),
        )
    };
    if done < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
