//! Limits that a process hands down to what it executes (setrlimit(2), umask(2)).

use nix::sys::resource::{Resource, setrlimit};
use nix::sys::stat::Mode;
use std::io;

/// Soft and hard limit of open files (setrlimit(2), `RLIMIT_NOFILE`).
///
/// # Errors
/// `EPERM` when the hard limit would rise without `CAP_SYS_RESOURCE`, or above fs.nr_open.
pub fn limit_open_files(soft: u64, hard: u64) -> io::Result<()> {
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard)?;
    Ok(())
}

/// No limit of processes per user id (`RLIMIT_NPROC`): the same id means different users in different containers,
/// and `pids.max` limits each container.
///
/// # Errors
/// `EPERM` without `CAP_SYS_RESOURCE`.
pub fn unlimit_processes() -> io::Result<()> {
    setrlimit(
        Resource::RLIMIT_NPROC,
        libc::RLIM_INFINITY,
        libc::RLIM_INFINITY,
    )?;
    Ok(())
}

/// Bits that new files don't get (umask(2)).
pub fn set_umask(mask: u32) {
    nix::sys::stat::umask(Mode::from_bits_truncate(mask));
}
