//! Two names for two things, exchanged in one step (renameat2(2)).

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What `one` names and what `other` names change places; whoever has either of them open keeps what he has.
///
/// # Errors
/// As renameat2(2): `ENOENT` when one of them is missing.
pub fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    let one = CString::new(one.as_os_str().as_bytes())?;
    let other = CString::new(other.as_os_str().as_bytes())?;
    // SAFETY: both are C strings that live until the call returns; it has no memory effects.
    let done = unsafe {
        libc::syscall(
            libc::SYS_renameat2,
            libc::AT_FDCWD,
            one.as_ptr(),
            libc::AT_FDCWD,
            other.as_ptr(),
            RENAME_EXCHANGE,
        )
    };
    if done < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// linux/fs.h
const RENAME_EXCHANGE: libc::c_uint = 1 << 1;

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn two_folders_change_places_and_a_missing_one_is_an_error() {
        let root = std::env::temp_dir().join(format!("keelson-exchange-{}", std::process::id()));
        let (one, other) = (root.join("one"), root.join("other"));
        for folder in [&one, &other] {
            fs::create_dir_all(folder).unwrap();
            fs::write(folder.join("name"), folder.file_name().unwrap().as_bytes()).unwrap();
        }
        exchange(&one, &other).unwrap();
        assert_eq!(fs::read(one.join("name")).unwrap(), b"other");
        assert_eq!(fs::read(other.join("name")).unwrap(), b"one");
        let missing = exchange(&one, &root.join("missing")).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        fs::remove_dir_all(&root).unwrap();
    }
}
