//! What a process gives up before it becomes the workload. The order is the kernel's: each line needs a privilege
//! that a later one takes away.

use crate::failure::{At, Fault};
use crate::options::Limits;
use crate::user::User;
use std::os::fd::{AsFd, BorrowedFd};
use sys::caps::{self, Capabilities, number};
use sys::path::Kind;
use sys::{credentials, rlimit};

/// Docker's default set.
pub(crate) const CAPABILITIES: Capabilities = Capabilities::of(&[
    number::CHOWN,
    number::DAC_OVERRIDE,
    number::FOWNER,
    number::FSETID,
    number::KILL,
    number::SETGID,
    number::SETUID,
    number::SETPCAP,
    number::NET_BIND_SERVICE,
    number::NET_RAW,
    number::SYS_CHROOT,
    number::MKNOD,
    number::AUDIT_WRITE,
    number::SETFCAP,
]);

/// New files are not writable for group and others, as in every container runtime.
pub(crate) const UMASK: u32 = 0o022;

/// Open files, soft and hard: Docker's default since version 25 and systemd's since 240. select(2) breaks above 1024;
/// who needs more raises its soft limit itself.
const OPEN_FILES: (u64, u64) = (1024, 524_288);

/// Limits that are handed down to whatever is executed.
pub(crate) fn limit(limits: Limits) -> Result<(), Fault> {
    match limits {
        Limits::Inherited => Ok(()),
        Limits::Default => {
            let (soft, hard) = OPEN_FILES;
            rlimit::limit_open_files(soft, hard).at("limit open files", "")?;
            rlimit::unlimit_processes().at("unlimit processes", "")
        }
    }
}

/// Become this user, for good. A user other than root has no capability, only the bounding set.
pub(crate) fn become_user(user: &User) -> Result<(), Fault> {
    own_standard_descriptors(user)?;
    credentials::join_new_session_keyring().at("make a session keyring", "")?;
    caps::limit_bounding_set(CAPABILITIES).at("limit the bounding set", "")?;
    credentials::become_user(user.uid, user.gid, &user.groups).at("become the user", "")?;
    let keep = if user.uid == 0 {
        CAPABILITIES
    } else {
        Capabilities::NONE
    };
    caps::set(keep).at("set capabilities", "")?;
    credentials::set_no_new_privileges().at("set no_new_privs", "")
}

/// In failures.
const STANDARD: &str = "standard descriptors";
/// `PIPEFS_MAGIC` of linux/magic.h.
const PIPE_MAGIC: i64 = 0x5049_5045;
/// Everybody may read.
const READABLE: u32 = 0o444;
/// Everybody may write.
const WRITABLE: u32 = 0o222;

/// `/dev/stdout` of a program that isn't root, or is so no more (a web server's workers, what is started by `su`): opening a
/// pipe again through /proc asks for rights on it. All processes of a container share its output, so all may write to it;
/// a terminal is its user's own, as everywhere. Only pipes without a name and terminals are touched, which are the
/// container's own, never a file of the machine.
fn own_standard_descriptors(user: &User) -> Result<(), Fault> {
    let (input, output, error) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    for (descriptor, mode) in [
        (input.as_fd(), READABLE),
        (output.as_fd(), WRITABLE),
        (error.as_fd(), WRITABLE),
    ] {
        let is_pipe = is_pipe(descriptor).at("look at", STANDARD)?;
        if is_pipe {
            credentials::open_to_all(descriptor, mode).at("change the mode", STANDARD)?;
        }
        if user.uid != 0 && (is_pipe || sys::pty::is_terminal(descriptor)) {
            credentials::give_to(descriptor, user.uid).at("change the owner", STANDARD)?;
        }
    }
    Ok(())
}

fn is_pipe(descriptor: BorrowedFd<'_>) -> std::io::Result<bool> {
    Ok(sys::path::kind(descriptor)? == Kind::Pipe
        && sys::path::file_system_magic(descriptor)? == PIPE_MAGIC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_capabilities_are_dockers() {
        assert_eq!(CAPABILITIES.bits(), 0xa804_25fb);
    }
}
