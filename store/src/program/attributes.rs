//! Owner, mode, time and extended attributes of unpacked files.
//!
//! Kept: `security.capability` and `user.*`. Dropped: `trusted.*` and overlay's own attributes, with which an archive
//! could reach into other folders of the overlay, and the labels of other machines.

use crate::program::tarball::{Entry, Time};
use crate::program::unpack::Unpacked;
use crate::program::unpack_error::{UnpackError, refuse, write_error};
use nix::sys::stat::{Mode, fchmod};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, fchown};
use std::ffi::CString;
use std::io;
use std::os::fd::BorrowedFd;

/// Owner, mode and extended attributes, in this order: chown(2) takes set-id bits and capabilities away.
pub(crate) fn set_attributes(
    file: BorrowedFd<'_>,
    entry: &Entry,
    unpacked: &mut Unpacked,
) -> Result<(), UnpackError> {
    fchown(
        file,
        Some(Uid::from_raw(entry.uid)),
        Some(Gid::from_raw(entry.gid)),
    )
    .map_err(|error| write_error("cannot set the owner of", entry)(error.into()))?;
    fchmod(file, Mode::from_bits_truncate(entry.mode))
        .map_err(|error| write_error("cannot set the mode of", entry)(error.into()))?;
    for (name, value) in entry
        .attributes
        .iter()
        .filter(|(name, _)| is_kept_attribute(name))
    {
        let name = CString::new(name.as_slice())
            .map_err(|_| refuse(entry, "the name of an attribute contains a NUL"))?;
        match sys::xattr::set(file, &name, value) {
            Err(error)
                if error.kind() == io::ErrorKind::Unsupported
                    && is_user_attribute(name.as_bytes()) =>
            {
                unpacked.ignored_attributes += 1;
            }
            set => set.map_err(write_error("cannot set an attribute of", entry))?,
        }
    }
    Ok(())
}

fn is_kept_attribute(name: &[u8]) -> bool {
    name == b"security.capability" || is_user_attribute(name) && !name.starts_with(b"user.overlay.")
}

fn is_user_attribute(name: &[u8]) -> bool {
    name.starts_with(b"user.")
}

pub(crate) fn time_spec(time: Time) -> TimeSpec {
    TimeSpec::new(time.seconds, i64::from(time.nanoseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_of_overlay_and_of_other_machines_are_dropped() {
        assert!(is_kept_attribute(b"security.capability"));
        assert!(is_kept_attribute(b"user.comment"));
        for dropped in [
            &b"trusted.overlay.redirect"[..],
            b"user.overlay.opaque",
            b"security.selinux",
            b"system.posix_acl_access",
        ] {
            assert!(!is_kept_attribute(dropped));
        }
    }
}
