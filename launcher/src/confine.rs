//! What a process gives up before it becomes the workload. The order is the kernel's: each line needs a privilege
//! that a later one takes away.

use crate::failure::{At, Fault};
use crate::options::Limits;
use crate::user::User;
use std::os::fd::AsFd;
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

/// `/dev/stdout` of a program that isn't root: opening a pipe again through /proc asks for the owner's right.
/// Only pipes and terminals, which are the container's own, never a file of the machine.
fn own_standard_descriptors(user: &User) -> Result<(), Fault> {
    if user.uid == 0 {
        return Ok(());
    }
    let (input, output, error) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    for descriptor in [input.as_fd(), output.as_fd(), error.as_fd()] {
        let kind = sys::path::kind(descriptor).at("look at", "standard descriptors")?;
        if kind == Kind::Pipe || sys::pty::is_terminal(descriptor) {
            credentials::give_to(descriptor, user.uid)
                .at("change the owner", "standard descriptors")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_capabilities_are_dockers() {
        assert_eq!(CAPABILITIES.bits(), 0xa804_25fb);
    }
}
