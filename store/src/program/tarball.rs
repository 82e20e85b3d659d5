//! Tar archives, entry by entry, with limits (tar(5); pax: POSIX.1-2017, pax, "Extended Header").
//!
//! The walk is ours rather than a library's for three reasons: extension headers are read into memory, so their size
//! needs a limit; a file's bytes go from the read buffer to the disk without a copy; and an archive on disk is
//! indexed by position, without reading its content.
//!
//! Old, ustar, GNU and pax headers are read, and all four forms of sparse files (`sparse`).

use crate::program::limits::TAR_HEADER_BYTES_MAX;
use crate::program::pax::{Extension, PaxSparse, cut_at_nul};
use crate::program::sparse::{MapReader, Placement, Sparse};
pub(crate) use crate::program::tar_error::{TarError, read_error};
use crate::program::tar_header::{BLOCK, Header, sparse_extension};
use std::io::{self, BufRead, Read, Seek};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    HardLink,
    Symlink,
    CharacterDevice,
    BlockDevice,
    Fifo,
    Folder,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// As written; not checked.
    pub(crate) path: Vec<u8>,
    /// As written: of a hard link a path in the archive, of a symbolic link any text.
    pub(crate) link: Vec<u8>,
    pub(crate) kind: Kind,
    /// Bytes of content.
    pub(crate) size: u64,
    /// Where the content belongs, of a file with holes.
    pub(crate) sparse: Option<Sparse>,
    /// Permissions, set-id and sticky bits.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: Time,
    /// Major and minor number.
    pub(crate) device: (u64, u64),
    /// Name and value.
    pub(crate) attributes: Vec<(Vec<u8>, Vec<u8>)>,
    /// Names of those in forms that aren't read.
    pub(crate) unread_attributes: Vec<Vec<u8>>,
    /// Where the content begins, from the start of the archive.
    pub(crate) offset: u64,
}

/// Since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Time {
    pub(crate) seconds: i64,
    pub(crate) nanoseconds: u32,
}

/// What a hole is written as where there can be none.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// Hands on zeros until `at` is `to`.
fn fill<E>(at: &mut u64, to: u64, sink: &mut impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
    while *at < to {
        let wanted = usize::try_from(to - *at).unwrap_or(usize::MAX);
        let zeros = ZEROS.get(..wanted).unwrap_or(&ZEROS);
        sink(zeros)?;
        *at += zeros.len() as u64;
    }
    Ok(())
}

/// Walks over the entries of `R`.
pub(crate) struct TarReader<R> {
    source: R,
    skip: fn(&mut R, u64) -> io::Result<u64>,
    entries_max: u64,
    entries: u64,
    position: u64,
    /// Of the current entry: content not read yet, and the padding after it.
    content: u64,
    padding: u64,
    current: String,
}

impl<R: BufRead> TarReader<R> {
    pub(crate) fn new(source: R, entries_max: u64) -> Self {
        Self::with_skip(source, entries_max, |source, bytes| {
            io::copy(&mut source.take(bytes), &mut io::sink())
        })
    }

    fn with_skip(source: R, entries_max: u64, skip: fn(&mut R, u64) -> io::Result<u64>) -> Self {
        let current = String::new();
        Self {
            source,
            skip,
            entries_max,
            entries: 0,
            position: 0,
            content: 0,
            padding: 0,
            current,
        }
    }

    /// The next entry; what is left of the content of the last one is skipped.
    pub(crate) fn next_entry(&mut self) -> Result<Option<Entry>, TarError> {
        let mut extension = Extension::default();
        loop {
            self.finish_entry()?;
            let Some(header) = self.header()? else {
                return Ok(None);
            };
            self.entries += 1;
            if self.entries > self.entries_max {
                return Err(TarError::TooManyEntries {
                    limit: self.entries_max,
                });
            }
            self.current = String::from_utf8_lossy(&header.path()).into_owned();
            let size = self.number(header.size())?;
            self.begin_content(if header.has_content() { size } else { 0 })?;
            match header.type_flag() {
                b'L' => extension.path = Some(cut_at_nul(self.document()?)),
                b'K' => extension.link = Some(cut_at_nul(self.document()?)),
                b'x' => self.read_pax(&mut extension)?,
                // Defaults for all that follows; git archive puts its commit there.
                b'g' => {}
                _ => return self.entry(&header, extension).map(Some),
            }
        }
    }

    /// Hands the content of the current entry to `sink`, piece by piece.
    pub(crate) fn copy_content<E: From<TarError>>(
        &mut self,
        mut sink: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        while self.content > 0 {
            let piece = self
                .source
                .fill_buf()
                .map_err(|error| read_error(error, &self.current))?;
            let wanted = usize::try_from(self.content)
                .unwrap_or(usize::MAX)
                .min(piece.len());
            if wanted == 0 {
                return Err(TarError::Truncated {
                    inside: self.current.clone(),
                }
                .into());
            }
            sink(&piece[..wanted])?;
            self.source.consume(wanted);
            self.content -= wanted as u64;
            self.position += wanted as u64;
        }
        Ok(())
    }

    /// The same with what the archive leaves out: the holes of a sparse file, as zeros.
    pub(crate) fn copy_expanded<E: From<TarError>>(
        &mut self,
        entry: &Entry,
        mut sink: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let Some(sparse) = &entry.sparse else {
            return self.copy_content(sink);
        };
        let mut written = 0;
        let mut placement = Placement::of(sparse);
        self.copy_content(|piece| {
            placement.place(piece, |offset, bytes| {
                fill(&mut written, offset, &mut sink)?;
                written += bytes.len() as u64;
                sink(bytes)
            })
        })?;
        fill(&mut written, sparse.size, &mut sink)
    }

    /// The source, after the last entry.
    pub(crate) fn into_inner(self) -> R {
        self.source
    }

    fn entry(&mut self, header: &Header, mut extension: Extension) -> Result<Entry, TarError> {
        let hidden_name = extension.sparse.as_mut().and_then(|pax| pax.name.take());
        let path = hidden_name
            .or(extension.path)
            .unwrap_or_else(|| header.path());
        self.current = String::from_utf8_lossy(&path).into_owned();
        let unsupported = |what: &str| TarError::Unsupported {
            entry: String::from_utf8_lossy(&path).into_owned(),
            what: what.to_owned(),
        };
        let kind = match header.type_flag() {
            // Before POSIX, a folder was a file whose name ends with a slash.
            0 if path.ends_with(b"/") => Kind::Folder,
            b'0' | b'7' | b'S' | 0 => Kind::File,
            b'1' => Kind::HardLink,
            b'2' => Kind::Symlink,
            b'3' => Kind::CharacterDevice,
            b'4' => Kind::BlockDevice,
            b'5' => Kind::Folder,
            b'6' => Kind::Fifo,
            other => {
                return Err(unsupported(&format!(
                    "entries of type `{}` are not supported",
                    other.escape_ascii()
                )));
            }
        };
        if kind != Kind::File {
            self.begin_content(0)?;
        } else if let Some(size) = extension.size {
            self.begin_content(size)?;
        }
        let sparse = match (header.type_flag(), extension.sparse) {
            (b'S', _) => Some(self.gnu_sparse(header)?),
            (_, Some(pax)) if kind == Kind::File => Some(self.pax_sparse(pax)?),
            _ => None,
        };
        if let Some(sparse) = &sparse {
            sparse
                .check(self.content)
                .map_err(|reason| self.malformed(reason))?;
        }
        let mtime = Time {
            seconds: header.mtime().map_err(|reason| self.malformed(reason))?,
            nanoseconds: 0,
        };
        Ok(Entry {
            path,
            link: extension.link.unwrap_or_else(|| header.link()),
            kind,
            size: self.content,
            sparse,
            mode: header.mode().map_err(|reason| self.malformed(reason))? & 0o7777,
            uid: self.id(extension.uid, header.uid())?,
            gid: self.id(extension.gid, header.gid())?,
            mtime: extension.mtime.unwrap_or(mtime),
            device: (
                self.number(header.device_major())?,
                self.number(header.device_minor())?,
            ),
            attributes: extension.attributes,
            unread_attributes: extension.unread_attributes,
            offset: self.position,
        })
    }

    /// The next header; `None` at the end: a block of zeros, or no block at all.
    fn header(&mut self) -> Result<Option<Header>, TarError> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            match self.source.read(&mut block[filled..]) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) if self.position == 0 => return Err(TarError::NotTar),
                Ok(0) => {
                    return Err(TarError::Truncated {
                        inside: "a header".to_owned(),
                    });
                }
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(read_error(error, "a header")),
            }
        }
        let first = self.position == 0;
        self.position += BLOCK as u64;
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        match Header::checked(block) {
            Some(header) => Ok(Some(header)),
            None if first => Err(TarError::NotTar),
            None => Err(TarError::Malformed {
                entry: format!("the header at byte {}", self.position - BLOCK as u64),
                reason: "its checksum is wrong",
            }),
        }
    }

    /// The old form: a first few parts are in the header, the others in blocks between it and the content.
    fn gnu_sparse(&mut self, header: &Header) -> Result<Sparse, TarError> {
        let (mut sparse, mut extended) =
            header.sparse().map_err(|reason| self.malformed(reason))?;
        while extended {
            let mut block = [0; BLOCK];
            self.source
                .read_exact(&mut block)
                .map_err(|error| read_error(error, &self.current))?;
            self.position += BLOCK as u64;
            extended =
                sparse_extension(&block, &mut sparse).map_err(|reason| self.malformed(reason))?;
        }
        Ok(sparse)
    }

    fn pax_sparse(&mut self, pax: PaxSparse) -> Result<Sparse, TarError> {
        let mut sparse = pax.map;
        match pax.version {
            (0, 0 | 1) => return Ok(sparse),
            (1, 0) => {}
            _ => {
                return Err(TarError::Unsupported {
                    entry: self.current.clone(),
                    what: format!(
                        "sparse files of version {}.{} are not supported",
                        pax.version.0, pax.version.1
                    ),
                });
            }
        }
        let mut map = MapReader::default();
        loop {
            if self.content < BLOCK as u64 {
                return Err(self.malformed("the map of a sparse file has no end"));
            }
            let mut block = [0; BLOCK];
            self.source
                .read_exact(&mut block)
                .map_err(|error| read_error(error, &self.current))?;
            self.position += BLOCK as u64;
            self.content -= BLOCK as u64;
            let last = map
                .block(&block, &mut sparse)
                .map_err(|reason| self.malformed(reason))?;
            if last {
                return Ok(sparse);
            }
        }
    }

    fn begin_content(&mut self, size: u64) -> Result<(), TarError> {
        // No position overflows below that, and no file on this machine is larger.
        if size > 1 << 62 {
            return Err(self.malformed("its size is absurd"));
        }
        self.content = size;
        self.padding = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
        Ok(())
    }

    fn finish_entry(&mut self) -> Result<(), TarError> {
        let left = self.content + self.padding;
        if left > 0 {
            let skipped = (self.skip)(&mut self.source, left)
                .map_err(|error| read_error(error, &self.current))?;
            // The padding of the very last entry is missing in what some programs write.
            if skipped < self.content {
                return Err(TarError::Truncated {
                    inside: self.current.clone(),
                });
            }
            self.position = self.position.saturating_add(left);
            self.content = 0;
            self.padding = 0;
        }
        Ok(())
    }

    /// The content of an extension header.
    fn document(&mut self) -> Result<Vec<u8>, TarError> {
        if self.content > TAR_HEADER_BYTES_MAX {
            return Err(self.malformed("its extension header is longer than 1 MiB"));
        }
        let mut document = Vec::new();
        self.copy_content(|piece| {
            document.extend_from_slice(piece);
            Ok::<(), TarError>(())
        })?;
        Ok(document)
    }

    fn read_pax(&mut self, extension: &mut Extension) -> Result<(), TarError> {
        let document = self.document()?;
        extension
            .read_pax(&document)
            .map_err(|reason| self.malformed(reason))
    }

    fn id(
        &self,
        extended: Option<u64>,
        header: Result<u64, &'static str>,
    ) -> Result<u32, TarError> {
        let id = match extended {
            Some(id) => id,
            None => self.number(header)?,
        };
        // All ones means "no change" to chown(2).
        u32::try_from(id)
            .ok()
            .filter(|id| *id != u32::MAX)
            .ok_or_else(|| self.malformed("its owner's or group's id is out of range"))
    }

    fn number(&self, field: Result<u64, &'static str>) -> Result<u64, TarError> {
        field.map_err(|reason| self.malformed(reason))
    }

    fn malformed(&self, reason: &'static str) -> TarError {
        TarError::Malformed {
            entry: self.current.clone(),
            reason,
        }
    }
}

impl<R: Read + Seek> TarReader<io::BufReader<R>> {
    /// For an archive on disk: content that nobody asks for isn't read. The caller compares [`Entry::offset`] and
    /// [`Entry::size`] with the size of the file.
    pub(crate) fn seekable(source: io::BufReader<R>, entries_max: u64) -> Self {
        Self::with_skip(source, entries_max, |source, bytes| {
            source.seek_relative(i64::try_from(bytes).map_err(|_| io::ErrorKind::InvalidInput)?)?;
            Ok(bytes)
        })
    }
}
