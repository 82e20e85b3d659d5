//! `modprobe`: the kernel asks for a module by alias (Documentation/admin-guide/sysctl/kernel.rst, `modprobe`).
//!
//! It is not where the kernel looks by itself (`/sbin/modprobe`): before PID 1 runs, the kernel asks for fourteen ciphers that
//! it turns out to have, and would execute this program for each.

use std::ffi::CStr;
use std::fs;
use std::io;
use std::process::ExitCode;

/// A link to this very program.
pub(crate) const PROGRAM: &CStr = c"/usr/lib/keelson/bin/modprobe";
const SETTING: &str = "/proc/sys/kernel/modprobe";

/// Tell the kernel where it is, before anything is loaded.
///
/// # Errors
/// As write(2): then the kernel gets no module that it asks for.
pub(crate) fn install() -> io::Result<()> {
    fs::write(SETTING, PROGRAM.to_bytes())
}

/// `modprobe -q -- ALIAS`. Not finding one is not worth a word: the kernel asks for much that does not exist.
pub(crate) fn main(mut arguments: impl Iterator<Item = String>) -> ExitCode {
    // The kernel starts it in the root that it unpacked, below the one that PID 1 has moved over it (`stage::early`) and
    // where the state partition is. `..` of a root is that root, and what is mounted on it (path_resolution(7)).
    if let Err(errno) = nix::unistd::chroot("/..").and_then(|()| nix::unistd::chdir("/")) {
        eprintln!("modprobe: change root: {errno}");
    }
    sys::kmsg::install("modprobe");
    let Some(alias) = arguments.find(|argument| !argument.starts_with('-')) else {
        return ExitCode::FAILURE;
    };
    let mut index = match crate::stage::module_index() {
        Ok(index) => index,
        Err(error) => {
            log::error!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let mut found = false;
    for module in index.resolve(&alias) {
        match index.load(&module) {
            Ok(()) => found = true,
            Err(error) => log::warn!("{alias}: {error}"),
        }
    }
    if found {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
