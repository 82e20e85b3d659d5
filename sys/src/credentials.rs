//! Who a process is, and what it can never become again (credentials(7)).

use nix::sys::stat::Mode;
use nix::unistd::{Gid, Uid};
use std::io;
use std::os::fd::BorrowedFd;

/// Become this user with exactly these supplementary groups (setgroups(2), setresgid(2), setresuid(2)).
///
/// # Errors
/// `EPERM` without the capability.
pub fn become_user(uid: u32, gid: u32, groups: &[u32]) -> io::Result<()> {
    let groups: Vec<Gid> = groups.iter().copied().map(Gid::from_raw).collect();
    nix::unistd::setgroups(&groups)?;
    let gid = Gid::from_raw(gid);
    nix::unistd::setresgid(gid, gid, gid)?;
    let uid = Uid::from_raw(uid);
    nix::unistd::setresuid(uid, uid, uid)?;
    Ok(())
}

/// No execve(2) gives more privileges than we have now (`PR_SET_NO_NEW_PRIVS`); children inherit it, nothing undoes it.
///
/// # Errors
/// As prctl(2).
pub fn set_no_new_privileges() -> io::Result<()> {
    nix::sys::prctl::set_no_new_privs()?;
    Ok(())
}

/// Nobody without `CAP_SYS_PTRACE` may open our /proc/PID/{exe,fd,mem,…} or trace us (`PR_SET_DUMPABLE`), until we
/// execute something.
///
/// # Errors
/// As prctl(2).
pub fn hide_from_tracing() -> io::Result<()> {
    nix::sys::prctl::set_dumpable(false)?;
    Ok(())
}

/// A new, empty session keyring (keyctl(2) `KEYCTL_JOIN_SESSION_KEYRING`) in place of the machine's.
/// A kernel without keyrings (`ENOSYS`) has none to hide.
///
/// # Errors
/// As keyctl(2).
pub fn join_new_session_keyring() -> io::Result<()> {
    const KEYCTL_JOIN_SESSION_KEYRING: libc::c_int = 1;
    let anonymous = std::ptr::null::<libc::c_char>();
    // SAFETY: a null name asks for an anonymous keyring.
    let done = unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, anonymous) };
    if done >= 0 {
        return Ok(());
    }
    match io::Error::last_os_error() {
        error if error.raw_os_error() == Some(libc::ENOSYS) => Ok(()),
        error => Err(error),
    }
}

/// Everybody whom these bits of the mode speak of may open it again through /proc (fchmod(2)); the others stay.
///
/// # Errors
/// As fstat(2) and fchmod(2).
pub fn open_to_all(descriptor: BorrowedFd<'_>, bits: u32) -> io::Result<()> {
    let mode = nix::sys::stat::fstat(descriptor)?.st_mode | bits;
    nix::sys::stat::fchmod(descriptor, Mode::from_bits_truncate(mode))?;
    Ok(())
}

/// The owner of standard output or error becomes this user, so that it may open `/dev/stdout` again.
///
/// # Errors
/// As fchown(2).
pub fn give_to(descriptor: BorrowedFd<'_>, uid: u32) -> io::Result<()> {
    nix::unistd::fchown(descriptor, Some(Uid::from_raw(uid)), None)?;
    Ok(())
}
