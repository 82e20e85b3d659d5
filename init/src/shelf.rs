//! Kernel modules that no device has asked for: on the state partition instead of in memory.
//!
//! ```text
//! initramfs ─▶ RAM: /usr/lib/modules ──(after the boot)──▶ /var/machine/modules/SHA-256
//!                         ╰── unlinked from RAM            │
//!       device comes, or the kernel asks ──▶ read, SHA-256 as in modules.sha256? ──▶ loaded from memory
//! ```
//!
//! The release stays what is trusted: a copy counts only if its digest is that of the release's own list (`modules.sha256`,
//! in the read-only root), and it is loaded from the very bytes that were hashed. A copy that is damaged is removed, and the
//! next boot, which has the release's modules in memory again, makes a new one.

use sha2::{Digest, Sha256};
use std::collections::{HashMap, HashSet};
use std::ffi::CStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

const FOLDER: &str = "/var/machine/modules";
/// Ours, made by the image builder: lines of SHA-256 and file.
const DIGESTS: &str = "modules.sha256";
/// Of a copy that is being written.
const UNFINISHED: &str = ".new";
/// What must be left on the state partition, in bytes: it is the containers'.
const LEFT_FREE: u64 = 256 << 20;

/// The shelf of the running kernel.
#[derive(Debug)]
pub(crate) struct Shelf {
    shelf: PathBuf,
    /// Where the release has its modules.
    release: PathBuf,
    /// File, relative to that → SHA-256 in hexadecimal digits.
    digests: HashMap<String, String>,
}

/// What is on the shelf and not in memory any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filled {
    pub modules: u64,
    pub bytes: u64,
}

impl Shelf {
    /// Of the modules in this folder of the release.
    ///
    /// # Errors
    /// When the release has no list of digests.
    pub(crate) fn of(release: &Path) -> io::Result<Self> {
        Self::at(Path::new(FOLDER), release)
    }

    fn at(shelf: &Path, release: &Path) -> io::Result<Self> {
        let text = fs::read_to_string(release.join(DIGESTS))?;
        let entries = text.lines().filter_map(|line| line.split_once(' '));
        Ok(Self {
            shelf: shelf.to_owned(),
            release: release.to_owned(),
            digests: entries
                .map(|(digest, file)| (file.to_owned(), digest.to_owned()))
                .collect(),
        })
    }

    /// Load a module from its copy.
    ///
    /// # Errors
    /// `NotFound` without a copy; when the copy is not what the release had; what the kernel says of the module.
    pub(crate) fn load(&self, file: &str, parameters: &CStr) -> io::Result<()> {
        let bytes = self.take(file)?;
        sys::module::load_bytes(&bytes, !file.ends_with(".ko"), parameters)
    }

    /// The bytes of a copy that is what the release had.
    fn take(&self, file: &str) -> io::Result<Vec<u8>> {
        let digest = self.digests.get(file).ok_or(io::ErrorKind::NotFound)?;
        let path = self.shelf.join(digest);
        let bytes = fs::read(&path)?;
        if hexadecimal(&Sha256::digest(&bytes)) == *digest {
            return Ok(bytes);
        }
        let _ = fs::remove_file(&path);
        Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!(
                "{}: not what this release had; removed, a reboot brings it back",
                path.display()
            ),
        ))
    }

    /// Copy what the release has and the shelf has not, see that it is on the disk, then `free` each file in memory.
    /// What other releases left here goes.
    ///
    /// # Errors
    /// When something can't be written, or would leave too little space: then everything stays in memory.
    pub(crate) fn fill(&self, free: impl Fn(&Path)) -> io::Result<Filled> {
        fs::create_dir_all(&self.shelf)?;
        self.remove_others()?;
        let mut files = Vec::new();
        for (file, digest) in &self.digests {
            let path = self.release.join(file);
            match path.metadata() {
                Ok(about) => files.push((path, about.len(), digest)),
                // Loaded, and freed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        let copied = |path: &Path| path.metadata().map(|about| about.len()).unwrap_or_default();
        let mut seen = HashSet::new();
        let missing: Vec<_> = files
            .iter()
            .filter(|(_, length, digest)| copied(&self.shelf.join(digest)) != *length)
            // Files may be the same, byte for byte.
            .filter(|(_, _, digest)| seen.insert(digest.as_str()))
            .collect();
        let bytes = missing.iter().map(|(_, length, _)| length).sum::<u64>();
        if !missing.is_empty() {
            let space = sys::space::space(&self.shelf)?;
            if space.free < bytes.saturating_add(LEFT_FREE) {
                return Err(io::Error::other(format!(
                    "{}: {} MiB would be needed",
                    self.shelf.display(),
                    bytes.saturating_add(LEFT_FREE) >> 20
                )));
            }
            let unfinished = |digest: &str| self.shelf.join(format!("{digest}{UNFINISHED}"));
            for (path, _, digest) in &missing {
                if let Err(error) = fs::copy(path, unfinished(digest)) {
                    for (_, _, digest) in &missing {
                        let _ = fs::remove_file(unfinished(digest));
                    }
                    return Err(error);
                }
            }
            let folder = File::open(&self.shelf)?;
            nix::unistd::syncfs(&folder)?;
            for (_, _, digest) in &missing {
                fs::rename(unfinished(digest), self.shelf.join(digest))?;
            }
            folder.sync_all()?;
        }
        let mut filled = Filled::default();
        for (path, length, _) in &files {
            free(path);
            filled.modules = filled.modules.saturating_add(1);
            filled.bytes = filled.bytes.saturating_add(*length);
        }
        Ok(filled)
    }

    fn remove_others(&self) -> io::Result<()> {
        let ours: HashSet<&str> = self.digests.values().map(String::as_str).collect();
        for entry in fs::read_dir(&self.shelf)? {
            let name = entry?.file_name();
            if !name.to_str().is_some_and(|name| ours.contains(name)) {
                let path = self.shelf.join(&name);
                let removed = if path.is_dir() {
                    fs::remove_dir_all(path)
                } else {
                    fs::remove_file(path)
                };
                removed?;
            }
        }
        Ok(())
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Self {
            let folder =
                std::env::temp_dir().join(format!("keelson-shelf-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&folder);
            fs::create_dir_all(folder.join("release/kernel")).unwrap();
            Self(folder)
        }

        fn release(&self, files: &[(&str, &str)]) -> Shelf {
            let release = self.0.join("release");
            let line = |(file, text): &(&str, &str)| {
                fs::write(release.join(file), text).unwrap();
                format!("{} {file}\n", hexadecimal(&Sha256::digest(text)))
            };
            let list: String = files.iter().map(line).collect();
            fs::write(release.join(DIGESTS), list).unwrap();
            Shelf::at(&self.0.join("shelf"), &release).unwrap()
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn remove(path: &Path) {
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn what_was_in_memory_is_on_the_shelf_and_comes_back_the_same() {
        let place = Place::new("fill");
        let shelf = place.release(&[("kernel/a.ko", "plain"), ("kernel/b.ko.xz", "packed")]);
        let filled = shelf.fill(remove).unwrap();
        assert_eq!((filled.modules, filled.bytes), (2, 11));
        assert!(!place.0.join("release/kernel/a.ko").exists());
        assert_eq!(shelf.take("kernel/a.ko").unwrap(), b"plain");
        assert_eq!(shelf.take("kernel/b.ko.xz").unwrap(), b"packed");
        let unknown = shelf.take("kernel/c.ko").unwrap_err();
        assert_eq!(unknown.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_damaged_copy_is_not_taken_and_is_made_anew_at_the_next_boot() {
        let place = Place::new("damaged");
        let files = [("kernel/a.ko", "plain")];
        let shelf = place.release(&files);
        shelf.fill(remove).unwrap();
        let copy = fs::read_dir(place.0.join("shelf"))
            .unwrap()
            .next()
            .unwrap()
            .unwrap()
            .path();
        fs::write(&copy, "plaim").unwrap();
        let error = shelf.take("kernel/a.ko").unwrap_err();
        assert!(error.to_string().contains("a reboot brings it back"));
        assert!(!copy.exists());
        let shelf = place.release(&files);
        shelf.fill(remove).unwrap();
        assert_eq!(shelf.take("kernel/a.ko").unwrap(), b"plain");
    }

    #[test]
    fn two_modules_of_the_same_bytes_are_one_copy() {
        let place = Place::new("same");
        let shelf = place.release(&[("kernel/a.ko", "same"), ("kernel/b.ko", "same")]);
        assert_eq!(shelf.fill(remove).unwrap().modules, 2);
        assert_eq!(shelf.take("kernel/a.ko").unwrap(), b"same");
        assert_eq!(shelf.take("kernel/b.ko").unwrap(), b"same");
    }

    #[test]
    fn what_a_power_cut_left_half_written_goes_and_is_made_again() {
        let place = Place::new("cut");
        let shelf = place.release(&[("kernel/a.ko", "plain"), ("kernel/b.ko", "other")]);
        let folder = place.0.join("shelf");
        fs::create_dir_all(&folder).unwrap();
        let half = format!("{}{UNFINISHED}", hexadecimal(&Sha256::digest("plain")));
        fs::write(folder.join(&half), "pla").unwrap();
        // Without its content: a name that came to the disk before the bytes.
        let name = hexadecimal(&Sha256::digest("other"));
        fs::write(folder.join(&name), "").unwrap();
        shelf.fill(remove).unwrap();
        assert!(!folder.join(half).exists());
        assert_eq!(shelf.take("kernel/a.ko").unwrap(), b"plain");
        assert_eq!(shelf.take("kernel/b.ko").unwrap(), b"other");
    }

    #[test]
    fn a_second_boot_copies_nothing_and_other_releases_are_forgotten() {
        let place = Place::new("second");
        let shelf = place.release(&[("kernel/a.ko", "old"), ("kernel/b.ko", "same")]);
        shelf.fill(remove).unwrap();
        let inode = |digest_of: &str| {
            use std::os::unix::fs::MetadataExt;
            let name = hexadecimal(&Sha256::digest(digest_of));
            place
                .0
                .join("shelf")
                .join(name)
                .metadata()
                .map(|about| about.ino())
        };
        let before = inode("same").unwrap();
        let freed = RefCell::new(Vec::new());
        let shelf = place.release(&[("kernel/a.ko", "new"), ("kernel/b.ko", "same")]);
        shelf
            .fill(|path| freed.borrow_mut().push(path.to_owned()))
            .unwrap();
        assert_eq!(freed.borrow().len(), 2);
        assert_eq!(inode("same").unwrap(), before, "not copied again");
        assert!(inode("old").is_err());
    }
}
