//! One layer's tar → a folder in overlay's form.
//!
//! Whiteouts (OCI image-spec, layer.md, "Whiteouts") become what overlayfs understands: `.wh.NAME` a character device
//! 0:0, `.wh..wh..opq` the opaque mark of its folder. They concern lower layers only: what the same layer brings
//! under that name stays.
//!
//! Owner, group, mode, time and attributes (`attributes`) are kept. What a layer takes from those below it
//! (folders that it doesn't describe, hard links) is in `folders` and `borrowed`.

use crate::program::attributes::{
    LeftOut, folder_end, leave_out, set_attributes, set_default_acl, time_spec,
};
use crate::program::below::Below;
use crate::program::beneath::{self, Beneath, Occupant};
use crate::program::borrowed::Borrowed;
use crate::program::folders::{FolderEnd, Implied, PathMap, join, take_tree};
use crate::program::hollow::Hollow;
use crate::program::layer_path::{inner_path, shown, split};
use crate::program::limits::FOLDER_NAME_BYTES_MAX;
use crate::program::marks::{AUFS_LINKS, Marks, OPAQUE_NAME, WHITEOUT_PREFIX, marks};
use crate::program::meter::Meter;
use crate::program::sparse::Placement;
use crate::program::tarball::{Entry, Kind, TarReader};
use crate::program::unpack_error::{UnpackError, refuse, write_error};
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, SFlag, UtimensatFlags, futimens, makedev, mknodat, utimensat};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchownat, linkat, symlinkat, unlinkat};
use std::fs::File;
use std::io::{self, BufRead, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// What is below a layer while it is unpacked.
pub(crate) enum Ground {
    /// Nothing: the layer is an image's lowest.
    Bottom,
    /// It will be found out later; what can't be done without is [`UnpackError::NeedsBelow`].
    Unknown,
    Layers(Below),
}

/// What came out of a layer.
#[derive(Debug, Default)]
pub(crate) struct Unpacked {
    /// Of all files' content, without holes.
    pub(crate) bytes: u64,
    pub(crate) entries: u64,
    pub(crate) left_out: LeftOut,
    /// It describes its root folder.
    pub(crate) has_root: bool,
    pub(crate) implied: Implied,
    /// Paths of the marks of removed files.
    pub(crate) whiteouts: Vec<Vec<u8>>,
}

impl Unpacked {
    /// Whether the layer is right whatever is below. A mark of a removed file is not: where the folder is this layer's
    /// alone, overlayfs would list it.
    pub(crate) fn is_sufficient(&self) -> bool {
        self.implied.is_nothing() && self.whiteouts.is_empty()
    }
}

/// Unpacks all entries of `archive` into the empty folder `destination`.
pub(crate) fn unpack<R: BufRead>(
    archive: &mut TarReader<R>,
    destination: &Path,
    ground: Ground,
    meter: &Meter,
) -> Result<Unpacked, UnpackError> {
    let failed = |action| {
        move |source| UnpackError::Write {
            action,
            entry: destination.display().to_string(),
            source,
        }
    };
    let waits = matches!(ground, Ground::Unknown);
    let is_bottom = matches!(ground, Ground::Bottom);
    let below = match ground {
        Ground::Bottom | Ground::Unknown => None,
        Ground::Layers(below) => Some(below),
    };
    let mut aside = destination.as_os_str().to_owned();
    aside.push(".links");
    let mut unpacker = Unpacker {
        root: Beneath::open(destination, below).map_err(failed("cannot open"))?,
        waits,
        is_bottom,
        borrowed: Borrowed::new(aside.into()),
        meter,
        folders: PathMap::new(),
        whiteouts: PathMap::new(),
        hollow: Hollow::default(),
        name_bytes: 0,
        unpacked: Unpacked::default(),
    };
    while let Some(entry) = archive.next_entry()? {
        unpacker.entry(archive, &entry)?;
    }
    unpacker.finish().map_err(failed("cannot finish"))
}

struct Unpacker<'a> {
    root: Beneath,
    waits: bool,
    is_bottom: bool,
    borrowed: Borrowed,
    meter: &'a Meter,
    folders: PathMap<FolderEnd>,
    whiteouts: PathMap<()>,
    hollow: Hollow,
    /// Of folders, with what is set at their end, and whiteouts.
    name_bytes: usize,
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
        self.check_names()?;
        let Some((parent, name)) = split(&path) else {
            return self.root_entry(entry);
        };
        match marks(&path) {
            Marks::Aufs => return Ok(()),
            Marks::Whiteout => return self.whiteout(entry, parent, name),
            Marks::Link | Marks::None => {}
        }
        match entry.kind {
            Kind::Folder => self.folder(entry, parent, name),
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
        set_attributes(self.root.root(), entry, &mut self.unpacked.left_out)?;
        self.unpacked.has_root = true;
        self.described(Vec::new(), entry);
        Ok(())
    }

    fn folder(&mut self, entry: &Entry, parent: &[u8], name: &[u8]) -> Result<(), UnpackError> {
        let place = self
            .root
            .folder(parent)
            .map_err(write_error("cannot open the folder of", entry))?;
        let path = join(place.path, name);
        let before =
            beneath::make_folder(place.folder, name).map_err(write_error("cannot make", entry))?;
        let folder =
            beneath::open_folder(place.folder, name).map_err(write_error("cannot open", entry))?;
        if !matches!(before, Occupant::Nothing | Occupant::Folder) {
            self.root.forget();
            self.whiteouts.remove(&path);
        }
        set_attributes(folder.as_fd(), entry, &mut self.unpacked.left_out)?;
        self.root.implied().remove(&path);
        self.described(path, entry);
        Ok(())
    }

    fn described(&mut self, path: Vec<u8>, entry: &Entry) {
        let end = folder_end(entry);
        self.name_bytes += path.len() + size_of::<Vec<u8>>() + end.bytes();
        self.folders.insert(path, end);
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
        let wrote = |result: io::Result<()>, bytes: usize| {
            result.map_err(write_error("cannot write", entry))?;
            self.meter.wrote(bytes);
            Ok::<(), UnpackError>(())
        };
        match &entry.sparse {
            None => archive.copy_content(|piece| wrote(file.write_all(piece), piece.len()))?,
            Some(sparse) => {
                wrote(file.set_len(sparse.size), 0)?;
                let mut placement = Placement::of(sparse);
                archive.copy_content(|piece| {
                    placement.place(piece, |offset, bytes| {
                        wrote(file.write_all_at(bytes, offset), bytes.len())
                    })
                })?;
            }
        }
        self.unpacked.bytes += entry.size;
        set_attributes(file.as_fd(), entry, &mut self.unpacked.left_out)?;
        let time = time_spec(entry.mtime);
        futimens(&file, &time, &time)
            .map_err(|error| write_error("cannot set the time of", entry)(error.into()))
    }

    fn hard_link(&mut self, entry: &Entry, parent: &[u8], name: &[u8]) -> Result<(), UnpackError> {
        let target = inner_path(&entry.link).map_err(|reason| refuse(entry, reason))?;
        let Some((target_parent, target_name)) = split(&target) else {
            return Err(refuse(entry, "it is a hard link to a folder"));
        };
        let looked = write_error("cannot look at the target of", entry);
        let target_parent = self.root.resolve(target_parent).map_err(&looked)?;
        let target = join(&target_parent, target_name);
        let (source, source_name) = match self.root.own(&target).map_err(&looked)? {
            Occupant::Nothing => self.lower_target(entry, &target_parent, &target)?,
            Occupant::Whiteout => return Err(dangling(entry)),
            Occupant::Folder => return Err(refuse(entry, "it is a hard link to a folder")),
            Occupant::Other => {
                let source = self.root.existing_folder(&target_parent).map_err(&looked)?;
                (source, target_name.to_vec())
            }
        };
        let place = self
            .root
            .folder(parent)
            .map_err(write_error("cannot open the folder of", entry))?;
        // Making room for a link to itself would remove it; a file of a lower layer becomes this layer's at its end.
        let here = (place.folder, name);
        let itself = beneath::is_same_file((source.as_fd(), &source_name), here);
        if itself || join(place.path, name) == target {
            return Ok(());
        }
        self.create(entry, parent, name, |folder| {
            Ok(linkat(
                &source,
                source_name.as_slice(),
                folder,
                name,
                AtFlags::empty(),
            )?)
        })
    }

    /// The copy of a file that a lower layer has, as its folder and its name there.
    fn lower_target(
        &mut self,
        entry: &Entry,
        parent: &[u8],
        path: &[u8],
    ) -> Result<(OwnedFd, Vec<u8>), UnpackError> {
        let looked = write_error("cannot look at the target of", entry);
        if self.root.hides(parent).map_err(&looked)? {
            return Err(dangling(entry));
        }
        let Some(below) = self.root.below() else {
            return Err(match self.waits {
                true => UnpackError::NeedsBelow,
                false => dangling(entry),
            });
        };
        let seen = below.look(path).map_err(&looked)?;
        let seen = seen.ok_or_else(|| dangling(entry))?;
        if seen.kind() == SFlag::S_IFDIR {
            return Err(refuse(entry, "it is a hard link to a folder"));
        }
        self.name_bytes += path.len() + size_of::<Vec<u8>>();
        let copied = self.borrowed.copy(below, &seen, path, self.meter);
        let (folder, name) = copied.map_err(write_error("cannot copy the target of", entry))?;
        Ok((folder, name.into_bytes()))
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
        let failed = write_error("cannot make the whiteout", entry);
        // Nothing can be in a file. One of a lower layer is seen to at the end.
        if self.root.is_in_file(parent).map_err(&failed)? {
            return Ok(());
        }
        let place = self
            .root
            .folder(parent)
            .map_err(write_error("cannot open the folder of", entry))?;
        let folder = place.path.to_vec();
        self.hollow.add(&folder);
        if name == OPAQUE_NAME {
            beneath::make_opaque(place.folder)
                .map_err(write_error("cannot make opaque the folder of", entry))?;
            return self.drop_whiteouts(&folder).map_err(failed);
        }
        let hidden = name.get(WHITEOUT_PREFIX.len()..).unwrap_or_default();
        if matches!(hidden, b"" | b"." | b"..") {
            return Err(refuse(entry, "it is a whiteout of no file"));
        }
        let path = join(&folder, hidden);
        match beneath::occupant(place.folder, hidden).map_err(&failed)? {
            // A file hides what is below it anyhow.
            Occupant::Whiteout | Occupant::Other => Ok(()),
            Occupant::Folder => {
                self.hollow.remove(&path);
                let made = beneath::open_folder(place.folder, hidden)
                    .and_then(|folder| beneath::make_opaque(folder.as_fd()));
                made.and_then(|()| self.drop_whiteouts(&path))
                    .and_then(|()| self.root.make_anew(&path))
                    .map_err(failed)
            }
            Occupant::Nothing => {
                // Where nothing can be hidden, the mark would be listed as a file.
                if self.is_bottom {
                    self.root.implied().unsure();
                    return Ok(());
                }
                if self.root.hides(&folder).map_err(&failed)? {
                    return Ok(());
                }
                let place = self.root.folder(parent).map_err(&failed)?;
                beneath::make_whiteout(place.folder, hidden).map_err(failed)?;
                self.name_bytes += path.len() + size_of::<Vec<u8>>();
                self.whiteouts.insert(path, ());
                Ok(())
            }
        }
    }

    /// In a folder that has become opaque.
    fn drop_whiteouts(&mut self, folder: &[u8]) -> io::Result<()> {
        for (path, ()) in take_tree(&mut self.whiteouts, folder) {
            if self.root.own(&path)? == Occupant::Whiteout {
                unlinkat(
                    self.root.root(),
                    path.as_slice(),
                    UnlinkatFlags::NoRemoveDir,
                )?;
            }
        }
        Ok(())
    }

    /// Makes a file by `make`, in the place of whatever the layer brought before under this name.
    fn create<T>(
        &mut self,
        entry: &Entry,
        parent: &[u8],
        name: &[u8],
        make: impl Fn(BorrowedFd<'_>) -> io::Result<T>,
    ) -> Result<T, UnpackError> {
        let place = self
            .root
            .folder(parent)
            .map_err(write_error("cannot open the folder of", entry))?;
        let made = match make(place.folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let path = join(place.path, name);
                beneath::remove(place.folder, name)
                    .map_err(write_error("cannot replace", entry))?;
                let made = make(place.folder);
                self.root.forget();
                self.root.implied().remove_tree(&path);
                take_tree(&mut self.folders, &path);
                take_tree(&mut self.whiteouts, &path);
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
        leave_out(entry, &mut self.unpacked.left_out);
        let place = self
            .root
            .folder(parent)
            .map_err(write_error("cannot open the folder of", entry))?;
        let (uid, gid) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
        fchownat(
            place.folder,
            name,
            Some(uid),
            Some(gid),
            AtFlags::AT_SYMLINK_NOFOLLOW,
        )
        .map_err(|error| write_error("cannot set the owner of", entry)(error.into()))?;
        let time = time_spec(entry.mtime);
        utimensat(
            place.folder,
            name,
            &time,
            &time,
            UtimensatFlags::NoFollowSymlink,
        )
        .map_err(|error| write_error("cannot set the time of", entry)(error.into()))
    }

    fn check_names(&mut self) -> Result<(), UnpackError> {
        let bytes = self.name_bytes + self.hollow.bytes() + self.root.implied().bytes();
        match bytes > FOLDER_NAME_BYTES_MAX {
            true => Err(UnpackError::FolderNames),
            false => Ok(()),
        }
    }

    fn finish(mut self) -> io::Result<Unpacked> {
        match beneath::remove(self.root.root(), AUFS_LINKS) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => {
                removed?;
                self.root.forget();
                self.root.implied().remove_tree(AUFS_LINKS);
            }
        }
        self.borrowed.finish(&mut self.root)?;
        self.hollow.settle(
            &mut self.root,
            self.is_bottom,
            &self.folders,
            &mut self.whiteouts,
        )?;
        for (path, end) in &self.folders {
            // One that was replaced later in the layer has nothing to set.
            if let Ok(folder) = self.root.existing_folder(path) {
                if let Some(acl) = &end.default_acl {
                    set_default_acl(folder.as_fd(), acl, &mut self.unpacked.left_out)?;
                }
                let time = time_spec(end.time);
                let _ = futimens(&folder, &time, &time);
            }
        }
        self.unpacked.whiteouts = self.whiteouts.into_keys().collect();
        self.unpacked.implied = self.root.into_implied();
        Ok(self.unpacked)
    }
}

fn dangling(entry: &Entry) -> UnpackError {
    UnpackError::DanglingLink {
        entry: shown(&entry.path),
        target: shown(&entry.link),
    }
}
