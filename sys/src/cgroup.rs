//! cgroup v2 (Documentation/admin-guide/cgroup-v2.rst): a group is a folder, its knobs are files.

use std::ffi::{CStr, CString};
use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Bytes of a knob that are read at once: `memory.events`, and with it all that is read often, has some 100.
const KNOB_BYTES: usize = 512;

/// A group that exists.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
}

/// Why a knob could not be set.
#[derive(Debug)]
pub struct CgroupError {
    pub path: PathBuf,
    pub source: io::Error,
}

impl std::fmt::Display for CgroupError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cgroup: {}: {}", self.path.display(), self.source)
    }
}

impl std::error::Error for CgroupError {}

impl Cgroup {
    /// A group that is there, or is not: that shows when it is used.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Its folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Make the group, or take it over when it is there.
    ///
    /// # Errors
    /// As mkdir(2).
    pub fn create(path: &Path) -> Result<Self, CgroupError> {
        match fs::create_dir(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(CgroupError {
                path: path.to_owned(),
                source: error,
            }),
            _ => Ok(Self {
                path: path.to_owned(),
            }),
        }
    }

    /// Make a group below this one. Processes may be in both as long as this one hands on no controller.
    ///
    /// # Errors
    /// As mkdir(2).
    pub fn child(&self, name: &str) -> Result<Self, CgroupError> {
        Self::create(&self.path.join(name))
    }

    /// Hand those of these controllers that this group has to its children (`cgroup.subtree_control`): from then on
    /// processes are in its children only.
    ///
    /// # Errors
    /// Names the file; `EBUSY` when there are processes in the group itself.
    pub fn enable_controllers(&self, names: &[&str]) -> Result<(), CgroupError> {
        let plus = |name: &str| format!("+{name}");
        let all: Vec<String> = names.iter().copied().map(plus).collect();
        // All of them are there on nearly every machine, and who lacks one gets none: then it is looked which there are.
        if self.set("cgroup.subtree_control", &all.join(" ")).is_ok() {
            return Ok(());
        }
        let available = self.read("cgroup.controllers")?;
        let known = available.split_whitespace();
        let known: Vec<String> = known
            .filter(|name| names.contains(name))
            .map(plus)
            .collect();
        self.set("cgroup.subtree_control", &known.join(" "))
    }

    /// Hand all controllers that this group has to its children.
    ///
    /// # Errors
    /// Names the file.
    pub fn enable_all_controllers(&self) -> Result<(), CgroupError> {
        let available = self.read("cgroup.controllers")?;
        for controller in available.split_whitespace() {
            self.set("cgroup.subtree_control", &format!("+{controller}"))?;
        }
        Ok(())
    }

    /// Write one knob.
    ///
    /// # Errors
    /// Names the file.
    pub fn set(&self, knob: &str, value: &str) -> Result<(), CgroupError> {
        let opened = self.open(knob, libc::O_WRONLY);
        let written = opened.and_then(|mut file| file.write_all(value.as_bytes()));
        written.map_err(|source| CgroupError {
            path: self.path.join(knob),
            source,
        })
    }

    /// Read one knob.
    ///
    /// # Errors
    /// Names the file.
    pub fn read(&self, knob: &str) -> Result<String, CgroupError> {
        let text = self.with_text(knob, str::to_owned);
        text.map_err(|source| CgroupError {
            path: self.path.join(knob),
            source,
        })
    }

    /// A knob that holds one number; `None` for `max` or when it can't be read.
    #[must_use]
    pub fn number(&self, knob: &str) -> Option<u64> {
        let number = self.with_text(knob, |text| text.trim().parse().ok());
        number.ok().flatten()
    }

    /// The same, to be read time and again.
    ///
    /// # Errors
    /// As open(2).
    pub fn counter(&self, knob: &str) -> io::Result<Counter> {
        let file = self.open(knob, libc::O_RDONLY)?;
        Ok(Counter { file })
    }

    /// One number of a flat keyed file (`memory.events`: `oom_kill`).
    #[must_use]
    pub fn keyed(&self, knob: &str, key: &str) -> Option<u64> {
        let found = self.with_text(knob, |text| {
            text.lines().find_map(|line| {
                line.strip_prefix(key)?
                    .strip_prefix(' ')?
                    .trim()
                    .parse()
                    .ok()
            })
        });
        found.ok().flatten()
    }

    /// Its path is put together in one piece: of many groups one after the other that is a good part of the work.
    fn open(&self, knob: &str, flags: i32) -> io::Result<File> {
        let group = self.path.as_os_str().as_bytes();
        // With the slash, and the end of a C string.
        let bytes = group.len().saturating_add(knob.len()).saturating_add(2);
        let mut path = Vec::with_capacity(bytes);
        path.extend_from_slice(group);
        path.push(b'/');
        path.extend_from_slice(knob.as_bytes());
        open(&CString::new(path)?, flags)
    }

    /// See a whole knob. Of many groups one after the other, and before each command: so it takes no more than one open, one
    /// read(2), of which the kernel gives all there is, and one close, where others ask how long it is and read until its end.
    fn with_text<T>(&self, knob: &str, see: impl FnOnce(&str) -> T) -> io::Result<T> {
        let mut file = self.open(knob, libc::O_RDONLY)?;
        let mut buffer = [0; KNOB_BYTES];
        let bytes = file.read(&mut buffer)?;
        let start = str::from_utf8(buffer.get(..bytes).unwrap_or_default());
        let invalid = |_| io::Error::from(io::ErrorKind::InvalidData);
        if bytes < buffer.len() {
            return Ok(see(start.map_err(invalid)?));
        }
        let mut text = start.map_err(invalid)?.to_owned();
        file.read_to_string(&mut text)?;
        Ok(see(&text))
    }

    /// For `CLONE_INTO_CGROUP`.
    ///
    /// # Errors
    /// As open(2).
    pub fn descriptor(&self) -> Result<OwnedFd, CgroupError> {
        let path = CString::new(self.path.as_os_str().as_bytes()).map_err(io::Error::from);
        let opened = path.and_then(|path| open(&path, libc::O_RDONLY | libc::O_DIRECTORY));
        let opened = opened.map(OwnedFd::from);
        opened.map_err(|source| CgroupError {
            path: self.path.clone(),
            source,
        })
    }

    /// Stop every process in it and below where it is (`cgroup.freeze`); [`Events::frozen`] tells when that is done.
    ///
    /// # Errors
    /// Names the file.
    pub fn freeze(&self) -> Result<(), CgroupError> {
        self.set("cgroup.freeze", "1")
    }

    /// # Errors
    /// Names the file.
    pub fn thaw(&self) -> Result<(), CgroupError> {
        self.set("cgroup.freeze", "0")
    }

    /// To be watched for what happens to the group.
    ///
    /// # Errors
    /// As open(2).
    pub fn events(&self) -> Result<Events, CgroupError> {
        let path = self.path.join("cgroup.events");
        let opened = File::open(&path);
        let file = opened.map_err(|source| CgroupError { path, source })?;
        Ok(Events { file })
    }

    /// End every process in it and below, at once (`cgroup.kill`).
    ///
    /// # Errors
    /// Names the file.
    pub fn kill(&self) -> Result<(), CgroupError> {
        self.set("cgroup.kill", "1")
    }

    /// Whether a process in it or below lives; one that has ended and was not waited for does not. False when it can't be
    /// read.
    #[must_use]
    pub fn is_populated(&self) -> bool {
        self.keyed("cgroup.events", "populated") == Some(1)
    }

    /// Remove it. `EBUSY` while something in it still lives.
    ///
    /// # Errors
    /// As rmdir(2); a group that is gone already is not an error.
    pub fn remove(&self) -> Result<(), CgroupError> {
        remove(&self.path)
    }

    /// Remove it and the groups right below it.
    ///
    /// # Errors
    /// As [`Self::remove`]; some groups may be gone then.
    pub fn remove_with_children(&self) -> Result<(), CgroupError> {
        for entry in fs::read_dir(&self.path).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                remove(&entry.path())?;
            }
        }
        self.remove()
    }
}

/// openat(2) itself: musl's open(2) sets `O_CLOEXEC` a second time.
fn open(path: &CStr, flags: i32) -> io::Result<File> {
    loop {
        // SAFETY: the path is a C string that outlives the call.
        let number = unsafe {
            libc::syscall(
                libc::SYS_openat,
                libc::AT_FDCWD,
                path.as_ptr(),
                flags | libc::O_CLOEXEC,
                0,
            )
        };
        if let Ok(number @ 0..) = RawFd::try_from(number) {
            // SAFETY: the kernel has just made this descriptor for us.
            return Ok(unsafe { File::from_raw_fd(number) });
        }
        match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::Interrupted => {}
            error => return Err(error),
        }
    }
}

fn remove(path: &Path) -> Result<(), CgroupError> {
    match fs::remove_dir(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(CgroupError {
            path: path.to_owned(),
            source,
        }),
        _ => Ok(()),
    }
}

/// A knob that is kept open: to find and open it takes some four times as long as to read it.
#[derive(Debug)]
pub struct Counter {
    file: File,
}

impl Counter {
    /// As [`Cgroup::number`].
    #[must_use]
    pub fn number(&self) -> Option<u64> {
        let mut buffer = [0; NUMBER_BYTES];
        let bytes = self.file.read_at(&mut buffer, 0).ok()?;
        str::from_utf8(buffer.get(..bytes)?)
            .ok()?
            .trim_ascii()
            .parse()
            .ok()
    }
}

/// Room for the largest number and a line feed.
const NUMBER_BYTES: usize = 24;

/// `cgroup.events` of a group. [`crate::epoll::Interest::Change`] tells of a change since it was last read.
#[derive(Debug)]
pub struct Events {
    file: File,
}

/// One that the program before this one has opened, in this process.
impl From<OwnedFd> for Events {
    fn from(descriptor: OwnedFd) -> Self {
        let file = File::from(descriptor);
        Self { file }
    }
}

impl Events {
    /// Whether all processes of the group have stopped.
    ///
    /// # Errors
    /// As read(2); `ENODEV` when the group is gone.
    pub fn frozen(&mut self) -> io::Result<bool> {
        let mut text = String::new();
        self.file.rewind()?;
        self.file.read_to_string(&mut text)?;
        Ok(text.lines().any(|line| line == "frozen 1"))
    }
}

impl AsFd for Events {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knobs_are_read_whole_whatever_their_length() {
        let folder = std::env::temp_dir().join(format!("keelson-cgroup-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let group = Cgroup::at(&folder);
        let long = "word ".repeat(KNOB_BYTES);
        for text in ["", "max\n", "7\n", "low 0\noom_kill 3\n", &long] {
            fs::write(folder.join("knob"), text).unwrap();
            assert_eq!(group.read("knob").unwrap(), text);
        }
        fs::write(folder.join("knob"), "7\n").unwrap();
        assert_eq!(group.number("knob"), Some(7));
        fs::write(folder.join("knob"), "max\n").unwrap();
        assert_eq!(group.number("knob"), None);
        fs::write(folder.join("knob"), "low 0\noom_kill 3\noom_kill_group 1\n").unwrap();
        assert_eq!(group.keyed("knob", "oom_kill"), Some(3));
        assert_eq!(group.keyed("knob", "oom"), None);
        group.set("knob", "12").unwrap();
        let counter = group.counter("knob").unwrap();
        for (text, number) in [
            ("12\n", Some(12)),
            ("18446744073709551615\n", Some(u64::MAX)),
            ("max\n", None),
        ] {
            fs::write(folder.join("knob"), text).unwrap();
            assert_eq!(counter.number(), number);
        }
        assert_eq!(
            group.read("no-such").unwrap_err().path,
            folder.join("no-such")
        );
        fs::remove_dir_all(&folder).unwrap();
    }
}
