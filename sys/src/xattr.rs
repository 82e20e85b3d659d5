//! Extended attributes (xattr(7)): file capabilities and the marks of overlayfs.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Sets one attribute of an open file or folder, replacing an older value (fsetxattr(2)).
///
/// # Errors
/// `EOPNOTSUPP`: the file system, or this kind of file, has none of that name space; `EPERM`: `trusted.*` without
/// `CAP_SYS_ADMIN`.
pub fn set(file: BorrowedFd<'_>, name: &CStr, value: &[u8]) -> io::Result<()> {
    // SAFETY: the name is NUL-terminated, the kernel reads exactly `value.len()` bytes of `value`, and both live
    // through the call.
    let result = unsafe {
        libc::fsetxattr(
            file.as_raw_fd(),
            name.as_ptr(),
            value.as_ptr().cast(),
            value.len(),
            0,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// One attribute of an open file or folder; `None` when it has none of that name (fgetxattr(2)).
///
/// # Errors
/// `ERANGE`: the value is longer than `bytes_max`.
pub fn get(file: BorrowedFd<'_>, name: &CStr, bytes_max: usize) -> io::Result<Option<Vec<u8>>> {
    let mut value = vec![0; bytes_max];
    // SAFETY: the name is NUL-terminated, the kernel writes at most `value.len()` bytes to `value`, and both live
    // through the call.
    let result = unsafe {
        libc::fgetxattr(
            file.as_raw_fd(),
            name.as_ptr(),
            value.as_mut_ptr().cast(),
            value.len(),
        )
    };
    match usize::try_from(result) {
        Ok(bytes) => {
            value.truncate(bytes);
            Ok(Some(value))
        }
        Err(_) => match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::ENODATA) => Ok(None),
            error => Err(error),
        },
    }
}

/// One attribute of whatever the path leads to, which need not be readable; `None` when it has none of that name, or the file
/// system has none at all (getxattr(2)).
///
/// # Errors
/// `ERANGE`: the value is longer than `bytes_max`.
pub fn of_path(path: &Path, name: &CStr, bytes_max: usize) -> io::Result<Option<Vec<u8>>> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut value = vec![0; bytes_max];
    // SAFETY: path and name are NUL-terminated, the kernel writes at most `value.len()` bytes to `value`, and all live
    // through the call.
    let result = unsafe {
        libc::getxattr(
            path.as_ptr(),
            name.as_ptr(),
            value.as_mut_ptr().cast(),
            value.len(),
        )
    };
    match usize::try_from(result) {
        Ok(bytes) => {
            value.truncate(bytes);
            Ok(Some(value))
        }
        Err(_) => match io::Error::last_os_error() {
            error if matches!(error.raw_os_error(), Some(libc::ENODATA | libc::EOPNOTSUPP)) => {
                Ok(None)
            }
            error => Err(error),
        },
    }
}

/// The names of all attributes of an open file or folder (flistxattr(2)); none where the file system has none.
///
/// # Errors
/// `ERANGE`: they are longer than the kernel's limit of 64 KiB.
pub fn names(file: BorrowedFd<'_>) -> io::Result<Vec<CString>> {
    // XATTR_LIST_MAX of linux/limits.h.
    let mut list = vec![0u8; 65536];
    // SAFETY: the kernel writes at most `list.len()` bytes to `list`, which lives through the call.
    let result =
        unsafe { libc::flistxattr(file.as_raw_fd(), list.as_mut_ptr().cast(), list.len()) };
    match usize::try_from(result) {
        Ok(bytes) => {
            list.truncate(bytes);
            Ok(list
                .split(|byte| *byte == 0)
                .filter(|name| !name.is_empty())
                .filter_map(|name| CString::new(name).ok())
                .collect())
        }
        Err(_) => match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(Vec::new()),
            error => Err(error),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn an_attribute_that_is_not_there_is_none() {
        let file = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
        match get(file.as_fd(), c"user.keelson.none", 16) {
            Ok(value) => assert_eq!(value, None),
            // Some file systems have no user attributes at all.
            Err(error) => assert_eq!(error.raw_os_error(), Some(libc::EOPNOTSUPP)),
        }
    }
}
