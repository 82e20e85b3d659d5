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

/// Most values are shorter: they are read without memory of their own.
const SHORT_BYTES: usize = 256;

/// One attribute of an open file or folder; `None` when it has none of that name (fgetxattr(2)).
///
/// # Errors
/// `ERANGE`: the value is longer than `bytes_max`.
pub fn get(file: BorrowedFd<'_>, name: &CStr, bytes_max: usize) -> io::Result<Option<Vec<u8>>> {
    read(bytes_max, |value| {
        // SAFETY: the name is NUL-terminated, the kernel writes at most `value.len()` bytes to `value`, and both live
        // through the call.
        unsafe {
            libc::fgetxattr(
                file.as_raw_fd(),
                name.as_ptr(),
                value.as_mut_ptr().cast(),
                value.len(),
            )
        }
    })
}

/// One attribute of whatever the path leads to, which need not be readable; `None` when it has none of that name, or the file
/// system has none at all (getxattr(2)).
///
/// # Errors
/// `ERANGE`: the value is longer than `bytes_max`.
pub fn of_path(path: &Path, name: &CStr, bytes_max: usize) -> io::Result<Option<Vec<u8>>> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let found = read(bytes_max, |value| {
        // SAFETY: path and name are NUL-terminated, the kernel writes at most `value.len()` bytes to `value`, and all live
        // through the call.
        unsafe {
            libc::getxattr(
                path.as_ptr(),
                name.as_ptr(),
                value.as_mut_ptr().cast(),
                value.len(),
            )
        }
    });
    match found {
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(None),
        found => found,
    }
}

/// `call` fills the buffer, as getxattr(2) does.
fn read(bytes_max: usize, call: impl Fn(&mut [u8]) -> isize) -> io::Result<Option<Vec<u8>>> {
    let filled =
        |value: &mut [u8]| usize::try_from(call(value)).map_err(|_| io::Error::last_os_error());
    let mut short = [0; SHORT_BYTES];
    let (short, _) = short.split_at_mut(bytes_max.min(SHORT_BYTES));
    let found = match filled(short) {
        Err(error) if error.raw_os_error() == Some(libc::ERANGE) && bytes_max > SHORT_BYTES => {
            let mut value = vec![0; bytes_max];
            filled(&mut value).map(|bytes| {
                value.truncate(bytes);
                value
            })
        }
        found => found.map(|bytes| short.get(..bytes).unwrap_or_default().to_vec()),
    };
    match found {
        Err(error) if error.raw_os_error() == Some(libc::ENODATA) => Ok(None),
        found => found.map(Some),
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

    #[test]
    fn values_of_every_length_are_whole_and_one_over_the_limit_is_refused() {
        let path = std::env::temp_dir().join(format!("keelson-xattr-{}", std::process::id()));
        let file = std::fs::File::create(&path).unwrap();
        let name = c"user.keelson.value";
        for length in [0, 1, SHORT_BYTES - 1, SHORT_BYTES, SHORT_BYTES + 1, 1000] {
            match set(file.as_fd(), name, &vec![b'x'; length]) {
                Ok(()) => {}
                Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => break,
                Err(error) => panic!("{error}"),
            }
            for bytes_max in [length.max(1), 4096] {
                let read = get(file.as_fd(), name, bytes_max).unwrap();
                assert_eq!(read.map(|value| value.len()), Some(length));
                let read = of_path(&path, name, bytes_max).unwrap();
                assert_eq!(read.map(|value| value.len()), Some(length));
            }
            if length > 1 {
                let refused = get(file.as_fd(), name, length - 1).unwrap_err();
                assert_eq!(refused.raw_os_error(), Some(libc::ERANGE));
            }
        }
        std::fs::remove_file(&path).unwrap();
    }
}
