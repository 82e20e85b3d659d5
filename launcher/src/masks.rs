//! Parts of /proc and /sys that tell about the machine or change it: hidden, or read-only.

use crate::failure::{At, Fault};
use crate::root::Root;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use sys::mount::{Depth, Tree, attribute};
use sys::path::{Kind, Links};
use unit::mount_target::{MASKED, READ_ONLY};

pub(crate) fn apply(root: &Root) -> Result<(), Fault> {
    for path in MASKED {
        if let Some(target) = present(root, path)? {
            hide(root, path, &target)?;
        }
    }
    for path in READ_ONLY {
        if let Some(target) = present(root, path)? {
            let tree =
                Tree::copy(target.as_fd(), Depth::Recursive).at("copy the mount of", path)?;
            tree.set_attributes(attribute::READ_ONLY, Depth::Recursive)
                .at("make read-only", path)?;
            tree.attach(target.as_fd()).at("mount on", path)?;
        }
    }
    Ok(())
}

/// A kernel without the file has nothing to hide.
fn present(root: &Root, path: &str) -> Result<Option<OwnedFd>, Fault> {
    match root.handle(path, Links::Refuse) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.at("open", path).map(Some),
    }
}

/// A folder is covered by an empty one, a file by our own `/dev/null` (not the one at that path in the container: another
/// mount could be there, CVE-2025-31133).
fn hide(root: &Root, path: &str, target: &OwnedFd) -> Result<(), Fault> {
    let cover = if sys::path::kind(target.as_fd()).at("look at", path)? == Kind::Folder {
        let cover = root.copy_of_stage(c"empty")?;
        cover
            .set_attributes(attribute::READ_ONLY, Depth::Single)
            .at("make read-only", path)?;
        cover
    } else {
        root.copy_of_stage(c"dev/null")?
    };
    cover.attach(target.as_fd()).at("mount on", path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use unit::mount_target::normalise;

    #[test]
    fn what_is_covered_last_is_refused_as_the_target_of_a_mount() {
        for path in MASKED.iter().chain(&READ_ONLY) {
            assert!(normalise(path).is_err(), "{path}");
            assert!(normalise(&format!("{path}/below")).is_err(), "{path}");
        }
    }
}
