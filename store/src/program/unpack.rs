//! One layer's tar → a folder in overlay's form.
//!
//! Whiteouts (OCI image-spec, layer.md, "Whiteouts") become what overlayfs understands: `.wh.NAME` a character device
//! 0:0, `.wh..wh..opq` the opaque mark of its folder. They concern lower layers only: what the same layer brings
//! under that name stays.
//!
//! Owner, group, mode, time and some attributes (`attributes`) are kept.

use crate::program::attributes::{set_attributes, time_spec};
use crate::program::beneath::{self, Beneath, Occupant};
use crate::program::layer_path::{inner_path, shown, split};
use crate::program::limits::FOLDER_NAME_BYTES_MAX;
use crate::program::meter::Meter;
use crate::program::tarball::{Entry, Kind, TarReader, Time};
use crate::program::unpack_error::{UnpackError, refuse, write_error};
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, SFlag, UtimensatFlags, futimens, makedev, mknodat, utimensat};
use nix::unistd::{Gid, Uid, fchownat, linkat, symlinkat};
use std::fs::File;
use std::io::{self, BufRead, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

const WHITEOUT_PREFIX: &[u8] = b".wh.";
const OPAQUE_NAME: &[u8] = b".wh..wh..opq";
/// Other marks of aufs (hard link folders), which mean nothing elsewhere.
const AUFS_PREFIX: &[u8] = b".wh..wh.";

/// What came out of a layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unpacked {
    /// Of all files' content.
    pub(crate) bytes: u64,
    pub(crate) entries: u64,
    /// `user.*` attributes that the file system can't hold.
    pub(crate) ignored_attributes: u64,
}

/// Unpacks all entries of `archive` into the empty folder `destination`.
pub(crate) fn unpack<R: BufRead>(
    archive: &mut TarReader<R>,
    destination: &Path,
    meter: &Meter,
) -> Result<Unpacked, UnpackError> {
    let root = Beneath::open(destination).map_err(|source| UnpackError::Write {
        action: "cannot open",
        entry: destination.display().to_string(),
        source,
    })?;
    let mut unpacker = Unpacker {
        root,
        meter,
        folders: Vec::new(),
        folder_name_bytes: 0,
        unpacked: Unpacked::default(),
    };
    while let Some(entry) = archive.next_entry()? {
        unpacker.entry(archive, &entry)?;
    }
    unpacker.set_folder_times();
    Ok(unpacker.unpacked)
}

struct Unpacker<'a> {
    root: Beneath,
    meter: &'a Meter,
    /// Their times are set at the end, when nothing is put into them any more.
    folders: Vec<(Vec<u8>, Time)>,
    folder_name_bytes: usize,
    unpacked: Unpacked,
}

impl Unpacker<'_> {
    fn entry<R: BufRead>(
        &mut self,
        archive: &mut TarReader<R>,
        entry: &Entry,
    ) -> Result<(), UnpackError> {
        let path = inner_path(&entry.path).map_err(|reason| refuse(entry, reason))?;
        self.unpacked.entries += 1;
        let Some((parent, name)) = split(&path) else {
            return self.root_entry(entry);
        };
        if name.starts_with(WHITEOUT_PREFIX) {
            return self.whiteout(entry, parent, name);
        }
        match entry.kind {
            Kind::Folder => self.folder(entry, &path, parent, name),
            Kind::File => self.file(archive, entry, parent, name),
            Kind::HardLink => self.hard_link(entry, parent, name),
            Kind::Symlink => self.symlink(entry, parent, name),
            Kind::CharacterDevice => self.node(entry, parent, name, SFlag::S_IFCHR),
            Kind::BlockDevice => self.node(entry, parent, name, SFlag::S_IFBLK),
            Kind::Fifo => self.node(entry, parent, name, SFlag::S_IFIFO),
        }
    }

    /// `./`: the attributes of the layer's own root.
    fn root_entry(&mut self, entry: &Entry) -> Result<(), UnpackError> {
        if entry.kind != Kind::Folder {
            return Err(refuse(entry, "it takes the place of the root folder"));
        }
        set_attributes(self.root.root(), entry, &mut self.unpacked)?;
        self.remember_folder(b"", entry.mtime)
    }

    fn folder(
        &mut self,
        entry: &Entry,
        path: &[u8],
        parent: &[u8],
        name: &[u8],
    ) -> Result<(), UnpackError> {
        let parent = self
            .root
            .folder(parent)
            .map_err(write_error("cannot open the folder of", entry))?;
        let replaces =
            beneath::occupant(parent, name).map_err(write_error("cannot look at", entry))?;
        beneath::make_folder(parent, name).map_err(write_error("cannot make", entry))?;
        let folder =
            beneath::open_folder(parent, name).map_err(write_error("cannot open", entry))?;
        if !matches!(replaces, Occupant::Nothing | Occupant::Folder) {
            self.root.forget();
        }
        set_attributes(folder.as_fd(), entry, &mut self.unpacked)?;
        self.remember_folder(path, entry.mtime)
    }

    fn file<R: BufRead>(
        &mut self,
        archive: &mut TarReader<R>,
        entry: &Entry,
        parent: &[u8],
        name: &[u8],
    ) -> Result<(), UnpackError> {
        self.meter
            .expect(entry.size)
            .map_err(write_error("cannot write", entry))?;
        let flags =
            OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mode = Mode::from_bits_truncate(0o600);
        let file = self.create(entry, parent, name, |folder| {
            Ok(openat(folder, name, flags, mode)?)
        })?;
        let mut file = File::from(file);
        archive.copy_content(|piece| {
            file.write_all(piece)
                .map_err(write_error("cannot write", entry))?;
            self.meter.wrote(piece.len());
            Ok::<(), UnpackError>(())
        })?;
        self.unpacked.bytes += entry.size;
        set_attributes(file.as_fd(), entry, &mut self.unpacked)?;
        let time = time_spec(entry.mtime);
        futimens(&file, &time, &time)
            .map_err(|error| write_error("cannot set the time of", entry)(error.into()))
    }

    fn hard_link(&mut self, entry: &Entry, parent: &[u8], name: &[u8]) -> Result<(), UnpackError> {
        let target = inner_path(&entry.link).map_err(|reason| refuse(entry, reason))?;
        let Some((target_parent, target_name)) = split(&target) else {
            return Err(refuse(entry, "it is a hard link to a folder"));
        };
        let dangling = || UnpackError::DanglingLink {
            entry: shown(&entry.path),
            target: shown(&entry.link),
        };
        let source = self
            .root
            .existing_folder(target_parent)
            .map_err(|_| dangling())?;
        match beneath::occupant(source.as_fd(), target_name)
            .map_err(write_error("cannot look at the target of", entry))?
        {
            Occupant::Nothing | Occupant::Whiteout => return Err(dangling()),
            Occupant::Folder => return Err(refuse(entry, "it is a hard link to a folder")),
            Occupant::Other => {}
        }
        let folder = self
            .root
            .folder(parent)
            .map_err(write_error("cannot open the folder of", entry))?;
        // Making room for a link to itself would remove it.
        if beneath::is_same_file((source.as_fd(), target_name), (folder, name)) {
            return Ok(());
        }
        self.create(entry, parent, name, |folder| {
            Ok(linkat(
                &source,
                target_name,
                folder,
                name,
                AtFlags::empty(),
            )?)
        })
    }

    fn symlink(&mut self, entry: &Entry, parent: &[u8], name: &[u8]) -> Result<(), UnpackError> {
        self.create(entry, parent, name, |folder| {
            Ok(symlinkat(entry.link.as_slice(), folder, name)?)
        })?;
        self.own_by_name(entry, parent, name)
    }

    fn node(
        &mut self,
        entry: &Entry,
        parent: &[u8],
        name: &[u8],
        kind: SFlag,
    ) -> Result<(), UnpackError> {
        let (major, minor) = entry.device;
        if kind == SFlag::S_IFCHR && entry.device == (0, 0) {
            return Err(refuse(
                entry,
                "it is overlayfs' own mark for a removed file, not a device",
            ));
        }
        let device = if kind == SFlag::S_IFIFO {
            0
        } else {
            makedev(major, minor)
        };
        // The mode is as given: the program has no umask.
        let mode = Mode::from_bits_truncate(entry.mode);
        self.create(entry, parent, name, |folder| {
            Ok(mknodat(folder, name, kind, mode, device)?)
        })?;
        self.own_by_name(entry, parent, name)
    }

    fn whiteout(&mut self, entry: &Entry, parent: &[u8], name: &[u8]) -> Result<(), UnpackError> {
        let parent = self
            .root
            .folder(parent)
            .map_err(write_error("cannot open the folder of", entry))?;
        if name == OPAQUE_NAME {
            return beneath::make_opaque(parent)
                .map_err(write_error("cannot make opaque the folder of", entry));
        }
        if name.starts_with(AUFS_PREFIX) {
            return Ok(());
        }
        let hidden = &name[WHITEOUT_PREFIX.len()..];
        if matches!(hidden, b"" | b"." | b"..") {
            return Err(refuse(entry, "it is a whiteout of no file"));
        }
        let hide = |occupant| match occupant {
            Occupant::Nothing => Ok(mknodat(
                parent,
                hidden,
                SFlag::S_IFCHR,
                Mode::empty(),
                makedev(0, 0),
            )?),
            Occupant::Folder => beneath::make_opaque(beneath::open_folder(parent, hidden)?.as_fd()),
            // A file hides what is below it anyhow.
            Occupant::Whiteout | Occupant::Other => Ok(()),
        };
        beneath::occupant(parent, hidden)
            .and_then(hide)
            .map_err(write_error("cannot make the whiteout", entry))
    }

    /// Makes a file by `make`, in the place of whatever the layer brought before under this name.
    fn create<T>(
        &mut self,
        entry: &Entry,
        parent: &[u8],
        name: &[u8],
        make: impl Fn(BorrowedFd<'_>) -> io::Result<T>,
    ) -> Result<T, UnpackError> {
        let folder = self
            .root
            .folder(parent)
            .map_err(write_error("cannot open the folder of", entry))?;
        let made = match make(folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                beneath::remove(folder, name).map_err(write_error("cannot replace", entry))?;
                let made = make(folder);
                self.root.forget();
                made
            }
            made => made,
        };
        made.map_err(write_error("cannot make", entry))
    }

    /// Owner and time of what can't be opened: links, devices, pipes.
    fn own_by_name(
        &mut self,
        entry: &Entry,
        parent: &[u8],
        name: &[u8],
    ) -> Result<(), UnpackError> {
        let folder = self
            .root
            .folder(parent)
            .map_err(write_error("cannot open the folder of", entry))?;
        let (uid, gid) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
        fchownat(
            folder,
            name,
            Some(uid),
            Some(gid),
            AtFlags::AT_SYMLINK_NOFOLLOW,
        )
        .map_err(|error| write_error("cannot set the owner of", entry)(error.into()))?;
        let time = time_spec(entry.mtime);
        utimensat(folder, name, &time, &time, UtimensatFlags::NoFollowSymlink)
            .map_err(|error| write_error("cannot set the time of", entry)(error.into()))
    }

    fn remember_folder(&mut self, path: &[u8], time: Time) -> Result<(), UnpackError> {
        self.folder_name_bytes += path.len() + size_of::<(Vec<u8>, Time)>();
        if self.folder_name_bytes > FOLDER_NAME_BYTES_MAX {
            return Err(UnpackError::FolderNames);
        }
        self.folders.push((path.to_vec(), time));
        Ok(())
    }

    /// A folder that was replaced later in the layer has no time to set.
    fn set_folder_times(&self) {
        for (path, time) in &self.folders {
            if let Ok(folder) = self.root.existing_folder(path) {
                let time = time_spec(*time);
                let _ = futimens(&folder, &time, &time);
            }
        }
    }
}
