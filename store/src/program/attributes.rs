//! Owner, mode, time and extended attributes of unpacked files.
//!
//! Attributes are kept as containerd and podman keep them: access control lists, `security.capability` and all others
//! but overlayfs' own, with which an archive could reach into other folders of the overlay, our own, and the labels of
//! another machine's SELinux. What is left out is counted by name, and told at the end of a load; so is what the file
//! system can't hold, and what only files and folders can have here.

use crate::program::folders::FolderEnd;
use crate::program::layer_path::shown;
use crate::program::tarball::{Entry, Kind, Time};
use crate::program::unpack_error::{UnpackError, refuse, write_error};
use nix::sys::stat::{Mode, fchmod};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, fchown};
use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;

/// What new files in a folder get (acl(5)). It is set at the end of a layer, or the layer's own files would get it.
const DEFAULT_ACL: &CStr = c"system.posix_acl_default";
/// Names that are told; what has others is counted together.
const NAMES_MAX: usize = 8;

/// Attributes that are in an archive and not in the layer: name → how often.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LeftOut {
    names: BTreeMap<String, u64>,
    others: u64,
}

impl LeftOut {
    fn add(&mut self, name: &[u8]) {
        self.count(&shown(name), 1);
    }

    fn count(&mut self, name: &str, times: u64) {
        if !self.names.contains_key(name) && self.names.len() >= NAMES_MAX {
            self.others += times;
        } else {
            *self.names.entry(name.to_owned()).or_default() += times;
        }
    }

    pub(crate) fn add_all(&mut self, others: &Self) {
        for (name, times) in &others.names {
            self.count(name, *times);
        }
        self.others += others.others;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

/// `user.a (2), user.b (1)`
impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, times)) in self.names.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{name} ({times})")?;
        }
        match self.others {
            0 => Ok(()),
            others => write!(f, ", others ({others})"),
        }
    }
}

/// Owner, mode and extended attributes, in this order: chown(2) takes set-id bits and capabilities away.
pub(crate) fn set_attributes(
    file: BorrowedFd<'_>,
    entry: &Entry,
    left_out: &mut LeftOut,
) -> Result<(), UnpackError> {
    fchown(
        file,
        Some(Uid::from_raw(entry.uid)),
        Some(Gid::from_raw(entry.gid)),
    )
    .map_err(|error| write_error("cannot set the owner of", entry)(error.into()))?;
    fchmod(file, Mode::from_bits_truncate(entry.mode))
        .map_err(|error| write_error("cannot set the mode of", entry)(error.into()))?;
    for name in &entry.unread_attributes {
        left_out.add(name);
    }
    for (name, value) in &entry.attributes {
        let is_default_acl = name == DEFAULT_ACL.to_bytes();
        if is_default_acl && entry.kind == Kind::Folder {
            continue;
        }
        if is_default_acl || !is_kept(name) {
            left_out.add(name);
            continue;
        }
        let text = CString::new(name.as_slice())
            .map_err(|_| refuse(entry, "the name of an attribute contains a NUL"))?;
        match sys::xattr::set(file, &text, value) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => left_out.add(name),
            set => set.map_err(write_error("cannot set an attribute of", entry))?,
        }
    }
    Ok(())
}

/// Those of links, devices and pipes, which can't be opened.
pub(crate) fn leave_out(entry: &Entry, left_out: &mut LeftOut) {
    let names = entry.attributes.iter().map(|(name, _)| name);
    for name in names.chain(&entry.unread_attributes) {
        left_out.add(name);
    }
}

/// What is to be set at the end, of a folder's entry.
pub(crate) fn folder_end(entry: &Entry) -> FolderEnd {
    let mut attributes = entry.attributes.iter();
    let default_acl = attributes.rfind(|(name, _)| name == DEFAULT_ACL.to_bytes());
    FolderEnd {
        time: entry.mtime,
        default_acl: default_acl.map(|(_, value)| value.clone()),
    }
}

pub(crate) fn set_default_acl(
    folder: BorrowedFd<'_>,
    acl: &[u8],
    left_out: &mut LeftOut,
) -> io::Result<()> {
    match sys::xattr::set(folder, DEFAULT_ACL, acl) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => {
            left_out.add(DEFAULT_ACL.to_bytes());
            Ok(())
        }
        set => set,
    }
}

/// Marks of overlayfs and of ours: they tell of layers, not of files.
pub(crate) fn is_mark(name: &[u8]) -> bool {
    name.starts_with(b"trusted.overlay.") || name.starts_with(b"trusted.keelson.")
}

fn is_kept(name: &[u8]) -> bool {
    !is_mark(name) && !name.starts_with(b"user.overlay.") && name != b"security.selinux"
}

pub(crate) fn time_spec(time: Time) -> TimeSpec {
    TimeSpec::new(time.seconds, i64::from(time.nanoseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_of_overlay_and_of_other_machines_are_left_out() {
        for kept in [
            &b"security.capability"[..],
            b"security.ima",
            b"system.posix_acl_access",
            b"trusted.note",
            b"user.comment",
        ] {
            assert!(is_kept(kept));
        }
        for left_out in [
            &b"trusted.overlay.redirect"[..],
            b"trusted.keelson.layer",
            b"user.overlay.opaque",
            b"security.selinux",
        ] {
            assert!(!is_kept(left_out));
        }
    }

    #[test]
    fn what_is_left_out_is_counted_by_name_up_to_a_limit() {
        let mut one = LeftOut::default();
        assert!(one.is_empty());
        for name in [&b"security.selinux"[..], b"user.a\n", b"security.selinux"] {
            one.add(name);
        }
        assert_eq!(one.to_string(), r"security.selinux (2), user.a\n (1)");
        let mut all = LeftOut::default();
        for index in 0..NAMES_MAX {
            all.add(format!("a{index}").as_bytes());
        }
        all.add_all(&one);
        all.add_all(&one);
        assert!(all.to_string().ends_with("a7 (1), others (6)"), "{all}");
    }
}
