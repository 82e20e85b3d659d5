//! The parts of an archive by name, wherever they are: in a folder, in a tar on disk (read by position), or in a
//! stream, whose parts are stored first, since their order is arbitrary.

use super::blob::Blob;
use super::name::{blob_name, resolve};
use crate::Digest;
use crate::document::Document;
use crate::program::compression::{Compression, Decoder, MAGIC_BYTES};
use crate::program::error::StoreError;
use crate::program::hashing::digest_of;
use crate::program::limits::{
    ARCHIVE_ENTRIES_MAX, BUFFER_BYTES, DOCUMENT_BYTES_MAX, LAYER_BYTES_MAX,
};
use crate::program::meter::Meter;
use crate::program::slice::Slice;
use crate::program::tarball::{Entry, Kind, TarError, TarReader};
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How many links of an archive lead to each other; `docker save` writes one, the kernel follows as many.
const ALIASES_MAX: usize = 40;

/// Where an archive comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A file, or the folder of an OCI layout.
    Path(PathBuf),
    Stdin,
}

#[derive(Debug)]
pub(crate) enum Contents {
    Folder(PathBuf),
    Parts(HashMap<String, Part>),
}

#[derive(Debug)]
pub(crate) enum Part {
    Blob(Blob),
    /// A link to another name.
    Alias(String),
}

impl Contents {
    /// Opens an archive. What has to be stored goes to a file without a name in `temporary`, which is gone when its
    /// last user is.
    pub(crate) fn open(
        source: &Source,
        temporary: &Path,
        meter: &Meter,
    ) -> Result<Self, StoreError> {
        let (file, path) = match source {
            Source::Path(path) if path.is_dir() => return Ok(Self::Folder(path.clone())),
            Source::Path(path) => (
                File::open(path).map_err(|error| StoreError::io("cannot open", path, error))?,
                path.clone(),
            ),
            Source::Stdin => {
                let path = PathBuf::from("standard input");
                let stdin = io::stdin().as_fd().try_clone_to_owned();
                (
                    File::from(stdin.map_err(|error| StoreError::io("cannot open", &path, error))?),
                    path,
                )
            }
        };
        let read_failed = |error| StoreError::io("cannot read", &path, error);
        if !file.metadata().map_err(read_failed)?.is_file() {
            return Self::from_stream(file, temporary, meter);
        }
        let offset = (&file).stream_position().map_err(read_failed)?;
        let size = file
            .metadata()
            .map_err(read_failed)?
            .len()
            .saturating_sub(offset);
        let mut magic = Vec::new();
        Slice::new(
            Arc::new(file.try_clone().map_err(read_failed)?),
            offset,
            size,
        )
        .take(MAGIC_BYTES as u64)
        .read_to_end(&mut magic)
        .map_err(read_failed)?;
        match Compression::detect(&magic) {
            Ok(Compression::None) => {
                let file = Arc::new(file);
                match Self::from_file(&file, offset, size)? {
                    Some(contents) => Ok(contents),
                    None => {
                        let rewound = (&*file).seek(SeekFrom::Start(offset));
                        rewound.map_err(read_failed)?;
                        let file = file.try_clone().map_err(read_failed)?;
                        Self::from_stream(file, temporary, meter)
                    }
                }
            }
            Ok(Compression::Gzip | Compression::Zstd) | Err(_) => {
                Self::from_stream(file, temporary, meter)
            }
        }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        match self {
            Self::Folder(folder) => find_in_folder(folder, name).is_ok_and(|found| found.is_some()),
            Self::Parts(parts) => find_in_parts(parts, name).is_some(),
        }
    }

    /// The part of that name, if there is one.
    pub(crate) fn find(&self, name: &str) -> Result<Option<Blob>, StoreError> {
        match self {
            Self::Folder(folder) => find_in_folder(folder, name),
            Self::Parts(parts) => Ok(find_in_parts(parts, name)),
        }
    }

    /// The bytes of an index, a manifest or a configuration. `what` is its name in messages.
    pub(crate) fn document(&self, name: &str, what: &str) -> Result<Vec<u8>, StoreError> {
        let missing = || StoreError::Missing {
            what: what.to_owned(),
            blob: name.to_owned(),
        };
        let blob = self.find(name)?.ok_or_else(missing)?;
        if blob.size > DOCUMENT_BYTES_MAX {
            return Err(StoreError::Limit {
                what: what.to_owned(),
                limit: "8 MiB".to_owned(),
            });
        }
        let mut bytes = Vec::new();
        let read = blob.open().read_to_end(&mut bytes);
        read.map_err(|error| {
            StoreError::io("cannot read from the archive", Path::new(name), error)
        })?;
        if (bytes.len() as u64) < blob.size {
            return Err(StoreError::Truncated {
                what: format!("{what} ends early"),
            });
        }
        Ok(bytes)
    }

    /// A document with the digest that its parent gave it.
    pub(crate) fn verified_document(
        &self,
        digest: &Digest,
        what: &str,
    ) -> Result<Vec<u8>, StoreError> {
        let bytes = self.document(&blob_name(digest), what)?;
        let found = digest_of(&bytes);
        if found == *digest {
            Ok(bytes)
        } else {
            Err(StoreError::Mismatch {
                what: what.to_owned(),
                expected: digest.clone(),
                found,
            })
        }
    }

    /// A plain tar on disk: only its headers are read. `None`: a part of it is a sparse file, of which no place in the
    /// archive has the bytes.
    fn from_file(file: &Arc<File>, offset: u64, size: u64) -> Result<Option<Self>, StoreError> {
        let reader = BufReader::new(Slice::new(Arc::clone(file), offset, size));
        let mut archive = TarReader::seekable(reader, ARCHIVE_ENTRIES_MAX);
        let mut parts = HashMap::new();
        while let Some(entry) = archive.next_entry().map_err(archive_error)? {
            if entry.offset.saturating_add(entry.size) > size {
                return Err(archive_error(TarError::Truncated {
                    inside: name_of(&entry),
                }));
            }
            if entry.sparse.is_some() {
                return Ok(None);
            }
            let blob = Blob {
                file: Arc::clone(file),
                offset: offset + entry.offset,
                size: entry.size,
                digest: None,
            };
            insert(&mut parts, &entry, blob);
        }
        Ok(Some(Self::Parts(parts)))
    }

    /// Anything else: its parts are stored one after the other, and hashed on the way.
    fn from_stream(file: File, temporary: &Path, meter: &Meter) -> Result<Self, StoreError> {
        let mut source = BufReader::with_capacity(BUFFER_BYTES, file);
        let magic = peek(&mut source).map_err(|error| archive_error(TarError::Read(error)))?;
        let compression =
            Compression::detect(&magic).map_err(|unknown| StoreError::Unsupported {
                what: "the archive".to_owned(),
                detail: unknown.to_string(),
            })?;
        let source = BufReader::with_capacity(BUFFER_BYTES, io::Cursor::new(magic).chain(source));
        let decoder = BufReader::with_capacity(BUFFER_BYTES, Decoder::new(compression, source));
        let mut archive = TarReader::new(decoder, ARCHIVE_ENTRIES_MAX);

        let spool_path = temporary.join("spool");
        let spool = unnamed_file(&spool_path)
            .map_err(|error| StoreError::io("cannot make", &spool_path, error))?;
        let spool = Arc::new(spool);
        let mut parts = HashMap::new();
        let mut end = 0;
        while let Some(entry) = archive.next_entry().map_err(archive_error)? {
            let mut hasher = Sha256::new();
            let size = entry
                .sparse
                .as_ref()
                .map_or(entry.size, |sparse| sparse.size);
            if entry.kind == Kind::File {
                if size > LAYER_BYTES_MAX {
                    return Err(StoreError::Limit {
                        what: name_of(&entry),
                        limit: "64 GiB".to_owned(),
                    });
                }
                let write_failed =
                    |error| StoreError::io("cannot store the archive in", &spool_path, error);
                meter.expect(size).map_err(write_failed)?;
                archive.copy_expanded(&entry, |piece| {
                    hasher.update(piece);
                    (&*spool).write_all(piece).map_err(write_failed)?;
                    meter.wrote(piece.len());
                    Ok::<(), StoreError>(())
                })?;
            }
            let digest = Some(Digest::from_bytes(&hasher.finalize()));
            let blob = Blob {
                file: Arc::clone(&spool),
                offset: end,
                size,
                digest,
            };
            end += size;
            insert(&mut parts, &entry, blob);
        }
        // What follows the end mark must be read, or the sender gets a broken pipe.
        io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(|error| {
            archive_error(crate::program::tarball::read_error(
                error,
                "the end of the archive",
            ))
        })?;
        Ok(Self::Parts(parts))
    }
}

/// A JSON document; messages name the place in it.
pub(crate) fn parse(bytes: &[u8], what: &str) -> Result<Document, StoreError> {
    Document::parse(bytes).map_err(|error| StoreError::malformed(what, error))
}

/// Up to [`MAGIC_BYTES`], fewer only at the end: a pipe gives what it has.
fn peek(source: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut magic = Vec::new();
    source.take(MAGIC_BYTES as u64).read_to_end(&mut magic)?;
    Ok(magic)
}

/// A file that no crash leaves behind.
fn unnamed_file(path: &Path) -> io::Result<File> {
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(path)?;
    std::fs::remove_file(path)?;
    Ok(file)
}

fn insert(parts: &mut HashMap<String, Part>, entry: &Entry, blob: Blob) {
    let name = name_of(entry);
    let part = match entry.kind {
        Kind::File => Part::Blob(blob),
        // Of a hard link the target is a path in the archive, of a symbolic link one from its own folder.
        Kind::HardLink => Part::Alias(resolve("", &String::from_utf8_lossy(&entry.link))),
        Kind::Symlink => {
            let link = String::from_utf8_lossy(&entry.link);
            // The root of an absolute one is the archive's.
            let folder = match name.rsplit_once('/') {
                Some((folder, _)) if !link.starts_with('/') => folder,
                Some(_) | None => "",
            };
            Part::Alias(resolve(folder, &link))
        }
        Kind::Folder | Kind::CharacterDevice | Kind::BlockDevice | Kind::Fifo => return,
    };
    parts.insert(name, part);
}

fn name_of(entry: &Entry) -> String {
    resolve("", &String::from_utf8_lossy(&entry.path))
}

/// Links are followed in the archive, whichever part of the name they are.
fn find_in_parts(parts: &HashMap<String, Part>, name: &str) -> Option<Blob> {
    let mut name = resolve("", name);
    for _ in 0..ALIASES_MAX {
        if let Some(Part::Blob(blob)) = parts.get(&name) {
            return Some(blob.clone());
        }
        let ends = name.match_indices('/').map(|(slash, _)| slash);
        let (end, target) =
            ends.chain([name.len()])
                .find_map(|end| match parts.get(&name[..end]) {
                    Some(Part::Alias(target)) => Some((end, target)),
                    Some(Part::Blob(_)) | None => None,
                })?;
        name = resolve(target, &name[end..]);
    }
    None
}

fn find_in_folder(folder: &Path, name: &str) -> Result<Option<Blob>, StoreError> {
    let path = folder.join(resolve("", name));
    // Links are followed, but never out of the archive.
    let how = OpenHow::new()
        .flags(OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)
        .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    let opened = File::open(folder)
        .and_then(|top| Ok(openat2(top, resolve("", name).as_str(), how)?))
        .map(File::from)
        .and_then(|file| file.metadata().map(|metadata| (file, metadata)));
    match opened {
        Ok((file, metadata)) if metadata.is_file() => Ok(Some(Blob {
            file: Arc::new(file),
            offset: 0,
            size: metadata.len(),
            digest: None,
        })),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::io("cannot open", &path, error)),
    }
}

fn archive_error(error: TarError) -> StoreError {
    match error {
        TarError::NotTar => StoreError::NotAnArchive {
            reason: "it is not a tar archive".to_owned(),
        },
        TarError::Truncated { inside } => StoreError::Truncated {
            what: format!("it ends inside {inside}"),
        },
        TarError::Malformed { .. }
        | TarError::Unsupported { .. }
        | TarError::TooManyEntries { .. }
        | TarError::Read(_) => StoreError::Tar {
            what: "the archive".to_owned(),
            source: error,
        },
    }
}

impl From<TarError> for StoreError {
    fn from(error: TarError) -> Self {
        archive_error(error)
    }
}
