//! Record locks of fcntl(2): who holds a file that another program (QEMU and its pid file) has locked.

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use std::fs::File;
use std::io;

/// The process that holds a write lock on the file, if there is one. Taken locks vanish with their process, so the answer
/// is never stale.
///
/// # Errors
/// As fcntl(2).
pub fn holder(file: &File) -> io::Result<Option<i32>> {
    let whence = i16::try_from(libc::SEEK_SET).unwrap_or(0);
    let kind = i16::try_from(libc::F_WRLCK).unwrap_or(1);
    let mut lock = libc::flock {
        l_type: kind,
        l_whence: whence,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    fcntl(file, FcntlArg::F_GETLK(&mut lock))?;
    Ok((i32::from(lock.l_type) != libc::F_UNLCK).then_some(lock.l_pid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_nobody_locked_has_no_holder() {
        let path = std::env::temp_dir().join(format!("keelson-record-lock-{}", std::process::id()));
        let file = File::create(&path).unwrap();
        assert_eq!(holder(&file).unwrap(), None);
        std::fs::remove_file(path).unwrap();
    }
}
