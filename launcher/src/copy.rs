//! Copy a folder's content as it is: owners, modes, times, links, extended attributes. For the first use of a volume.
//!
//! Nobody else uses either side meanwhile: the container does not run yet. Still every name is looked up below the
//! folder that is open, without following links.

use crate::failure::{At, Fault};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use sys::folder::{self, Entry, Status};
use sys::path::{self as lookup, Kind, Links};

/// Longest value of an extended attribute: XATTR_SIZE_MAX of linux/limits.h.
const ATTRIBUTE_BYTES_MAX: usize = 65536;

/// The same folder on both sides.
struct Folder {
    from: OwnedFd,
    to: OwnedFd,
}

impl Folder {
    fn open(from: BorrowedFd<'_>, to: BorrowedFd<'_>, path: &Path) -> io::Result<Self> {
        let open = |root| lookup::open(root, path, lookup::READ_FOLDER, Links::Refuse);
        Ok(Self {
            from: open(from)?,
            to: open(to)?,
        })
    }
}

/// Copy what is in `from` into `to`, which takes the owner, mode and times of `from`. `shown` is what messages call it.
pub(crate) fn copy_content(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    shown: &Path,
) -> Result<(), Fault> {
    let mut hard_links = HardLinks {
        root: to,
        known: BTreeMap::new(),
    };
    // A work list of paths: an image can nest folders deeper than a stack and have more of them than descriptors.
    let mut pending = vec![PathBuf::new()];
    while let Some(path) = pending.pop() {
        let shown = shown.join(&path);
        let folder = Folder::open(from, to, &path).at("open", &shown)?;
        for entry in folder::entries(folder.from.as_fd()).at("list", &shown)? {
            let below = path.join(&entry.name);
            copy_entry(&folder, &entry, &below, &mut hard_links)
                .at("copy", shown.join(&entry.name))?;
            if entry.kind == Kind::Folder {
                pending.push(below);
            }
        }
        // A folder's time of change is that of its last new entry, and all of them have just been made.
        copy_status(&folder).at("copy", &shown)?;
    }
    Ok(())
}

/// Files of more than one name: device and inode → first name below the root of the copy.
struct HardLinks<'a> {
    root: BorrowedFd<'a>,
    known: BTreeMap<(u64, u64), PathBuf>,
}

fn copy_entry(
    folder: &Folder,
    entry: &Entry,
    path: &Path,
    hard_links: &mut HardLinks<'_>,
) -> io::Result<()> {
    let (from, to, name) = (folder.from.as_fd(), folder.to.as_fd(), &entry.name);
    let status = &entry.status;
    if entry.kind != Kind::Folder && status.links > 1 {
        if let Some(first) = hard_links.known.get(&status.identity) {
            return folder::make_hard_link(hard_links.root, first, to, name);
        }
        let first = path.to_owned();
        hard_links.known.insert(status.identity, first);
    }
    match entry.kind {
        Kind::Folder => folder::make(to, name),
        Kind::File => {
            let source = lookup::open(from, Path::new(name), lookup::READ, Links::Refuse)?;
            let mut source = File::from(source);
            let mut target = File::from(folder::replace_file(to, name)?);
            io::copy(&mut source, &mut target)?;
            status.apply(target.as_fd())?;
            copy_attributes(source.as_fd(), target.as_fd())
        }
        Kind::Link | Kind::Device | Kind::Pipe | Kind::Other => {
            folder::copy_special(from, to, entry)
        }
    }
}

fn copy_status(folder: &Folder) -> io::Result<()> {
    copy_folder(folder.from.as_fd(), folder.to.as_fd())
}

/// A folder's owner, mode, times and attributes, without what is in it.
pub(crate) fn copy_folder(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
    Status::of(from)?.apply(to)?;
    copy_attributes(from, to)
}

/// All but those of overlayfs and of the store, which say how a layer is to be read and mean nothing elsewhere, and those that
/// the file system doesn't have there (a tmpfs of an older kernel has none of users). After owner and mode: the kernel takes a
/// file's capabilities away when its owner changes.
fn copy_attributes(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
    for name in sys::xattr::names(from)? {
        if [&b"trusted.overlay."[..], b"trusted.keelson."]
            .iter()
            .any(|layers| name.to_bytes().starts_with(layers))
        {
            continue;
        }
        if let Some(value) = sys::xattr::get(from, &name, ATTRIBUTE_BYTES_MAX)? {
            match sys::xattr::set(to, &name, &value) {
                Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
                set => set?,
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    #[test]
    fn everything_is_copied_as_it_is() {
        let root = std::env::temp_dir().join(format!("keelson-copy-{}", std::process::id()));
        let (from, to) = (root.join("from"), root.join("to"));
        fs::create_dir_all(from.join("a/b")).unwrap();
        fs::create_dir_all(&to).unwrap();
        fs::write(from.join("a/b/file"), "text").unwrap();
        fs::set_permissions(from.join("a/b/file"), fs::Permissions::from_mode(0o4711)).unwrap();
        fs::set_permissions(from.join("a"), fs::Permissions::from_mode(0o1770)).unwrap();
        fs::hard_link(from.join("a/b/file"), from.join("second")).unwrap();
        symlink("/nowhere", from.join("link")).unwrap();
        // `cap_ipc_lock=ep` (linux/capability.h, `struct vfs_cap_data`), of a file that is not root's.
        let capability = [
            1, 0, 0, 2, 0, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        ];
        let key = c"security.capability";
        let able = File::create(from.join("able")).unwrap();
        let is_root = std::os::unix::fs::fchown(&able, Some(1000), Some(1000)).is_ok();
        if is_root {
            sys::xattr::set(able.as_fd(), key, &capability).unwrap();
        }
        let old = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
        File::open(from.join("a"))
            .unwrap()
            .set_modified(old)
            .unwrap();
        let open = |path: &Path| File::open(path).unwrap();
        for _ in 0..2 {
            // Twice: a copy that was cut off is made again over what is there.
            copy_content(open(&from).as_fd(), open(&to).as_fd(), Path::new("/data")).unwrap();
        }
        assert_eq!(fs::read_to_string(to.join("second")).unwrap(), "text");
        if is_root {
            let able = File::open(to.join("able")).unwrap();
            assert_eq!(able.metadata().unwrap().uid(), 1000);
            let copied = sys::xattr::get(able.as_fd(), key, 64).unwrap();
            assert_eq!(copied.as_deref(), Some(&capability[..]));
        }
        let status = |name: &str| fs::symlink_metadata(to.join(name)).unwrap();
        assert_eq!(status("second").ino(), status("a/b/file").ino());
        assert_eq!(status("second").mode() & 0o7777, 0o4711);
        assert_eq!(status("a").mode() & 0o7777, 0o1770);
        assert_eq!(status("a").modified().unwrap(), old);
        assert_eq!(
            fs::read_link(to.join("link")).unwrap(),
            Path::new("/nowhere")
        );
        fs::remove_dir_all(&root).unwrap();
    }
}
