//! Kernel modules (finit_module(2)).

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

/// linux/module.h
const MODULE_INIT_COMPRESSED_FILE: i32 = 4;

/// Load one module file; `.xz`, `.zst` and `.gz` are decompressed by the kernel. One that is loaded already is not an
/// error.
///
/// # Errors
/// As finit_module(2): `ENOEXEC` (foreign or damaged), `ENODEV` (the hardware is not there), …
pub fn load(path: &Path, parameters: &std::ffi::CStr) -> io::Result<()> {
    let compressed = path.extension().is_some_and(|ending| ending != "ko");
    init(&File::open(path)?, compressed, parameters)
}

/// Load a module from memory: bytes that were checked can't become others on their way.
///
/// # Errors
/// As [`load`].
pub fn load_bytes(bytes: &[u8], compressed: bool, parameters: &std::ffi::CStr) -> io::Result<()> {
    let memory = crate::memfd::sealed("module", bytes)?;
    // The kernel does not read a module from a file that somebody could write to (`deny_write_access`).
    let file = File::open(format!("/proc/self/fd/{}", memory.as_raw_fd()))?;
    drop(memory);
    init(&file, compressed, parameters)
}

fn init(file: &File, compressed: bool, parameters: &std::ffi::CStr) -> io::Result<()> {
    let flags = if compressed {
        MODULE_INIT_COMPRESSED_FILE
    } else {
        0
    };
    // SAFETY: the descriptor is open and the parameters are a C string; the kernel copies both.
    let done = unsafe {
        libc::syscall(
            libc::SYS_finit_module,
            file.as_raw_fd(),
            parameters.as_ptr(),
            flags,
        )
    };
    if done == 0 {
        return Ok(());
    }
    match io::Error::last_os_error() {
        error if error.raw_os_error() == Some(libc::EEXIST) => Ok(()),
        error => Err(error),
    }
}
