//! The lines of one unit, read from its files.

use crate::bookmark::Place;
use crate::record::Record;
use crate::unit_log::{CURRENT, files};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The lines of one unit, in order, over all its files, and on as they grow and turn over.
pub(crate) struct UnitReader {
    pub(crate) unit: String,
    folder: PathBuf,
    file: Option<BufReader<File>>,
    /// Files that come before `current`, oldest first.
    older: VecDeque<PathBuf>,
    inode: u64,
    /// Bytes of the file that were read, and those of them whose lines were taken.
    read: u64,
    taken: u64,
    /// Bytes of a line whose end is not written yet.
    pending: Vec<u8>,
    pub(crate) next: Option<Vec<u8>>,
}

impl UnitReader {
    pub(crate) fn new(folder: PathBuf, unit: String) -> Self {
        Self {
            unit,
            folder,
            file: None,
            older: VecDeque::new(),
            inode: 0,
            read: 0,
            taken: 0,
            pending: Vec::new(),
            next: None,
        }
    }

    /// Begin where what is asked for begins, so that little is read for a few lines of a large log.
    pub(crate) fn start(&mut self, since_ms: Option<i64>, tail: Option<u64>) {
        let mut all = files(&self.folder);
        if let Some(since) = since_ms {
            // A file that was last written before the time holds nothing of it.
            all.retain(|path| {
                path.metadata().is_ok_and(|found| {
                    found.mtime().saturating_mul(1000).saturating_add(999) >= since
                })
            });
        }
        let mut skip = None;
        if let Some(tail) = tail {
            let mut lines = 0u64;
            let mut kept = Vec::new();
            for path in all.into_iter().rev() {
                let (found, offset) =
                    lines_from_end(&path, tail.saturating_sub(lines)).unwrap_or((0, 0));
                lines += found;
                kept.insert(0, path);
                if lines >= tail {
                    skip = Some(offset);
                    break;
                }
            }
            all = kept;
        }
        self.older = all.into();
        self.open_next();
        if let Some(offset) = skip {
            self.seek(offset);
        }
    }

    /// Go on where a reader of an earlier logd was; with everything that there is, where its file has gone meanwhile.
    pub(crate) fn resume(&mut self, place: &Place) {
        let all = files(&self.folder);
        let known = |path: &PathBuf| {
            path.metadata()
                .is_ok_and(|found| found.ino() == place.inode && found.len() >= place.offset)
        };
        let at = all.iter().position(known);
        self.older = all.into_iter().skip(at.unwrap_or(0)).collect();
        self.open_next();
        if at.is_some() {
            self.seek(place.offset);
        }
    }

    /// Not beyond the end: somebody has found the offset in this file.
    fn seek(&mut self, offset: u64) {
        if let Some(file) = &mut self.file
            && file.seek(SeekFrom::Start(offset)).is_ok()
        {
            (self.read, self.taken) = (offset, offset);
        }
    }

    /// After the last line that was taken.
    pub(crate) fn place(&self) -> Place {
        Place {
            unit: self.unit.clone(),
            inode: self.inode,
            offset: self.taken,
        }
    }

    pub(crate) fn take(&mut self) -> Option<Vec<u8>> {
        let line = self.next.take()?;
        self.taken = self.read;
        Some(line)
    }

    fn open_next(&mut self) -> bool {
        while let Some(path) = self.older.pop_front() {
            if let Ok(file) = File::open(&path) {
                self.inode = file.metadata().map_or(0, |found| found.ino());
                self.file = Some(BufReader::new(file));
                (self.read, self.taken) = (0, 0);
                return true;
            }
        }
        false
    }

    /// See that `next` holds the next line, if there is one.
    pub(crate) fn fill(&mut self) -> io::Result<()> {
        while self.next.is_none() {
            let bytes = match &mut self.file {
                Some(file) => file.read_until(b'\n', &mut self.pending)?,
                None => 0,
            };
            if bytes > 0 {
                self.read = self.read.saturating_add(u64::try_from(bytes).unwrap_or(0));
                if self.pending.last() == Some(&b'\n') {
                    self.pending.pop();
                    self.next = Some(std::mem::take(&mut self.pending));
                }
                continue;
            }
            if !self.turn_over() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The file is read to its end: is there a newer one?
    fn turn_over(&mut self) -> bool {
        if self.older.is_empty() {
            // Where our file is now called something else, the newer ones come after it.
            let all = files(&self.folder);
            let inode = |path: &PathBuf| path.metadata().map_or(0, |found| found.ino());
            match all.iter().position(|path| inode(path) == self.inode) {
                Some(at) if all.get(at).is_some_and(|path| path.ends_with(CURRENT)) => {
                    return false;
                }
                Some(at) => self.older = all.into_iter().skip(at + 1).collect(),
                // It has been removed while we read it: everything there is, is newer.
                None => self.older = all.into(),
            }
        }
        self.pending.clear();
        self.open_next()
    }

    pub(crate) fn next_time(&self) -> i64 {
        self.next
            .as_deref()
            .and_then(Record::parse)
            .map_or(i64::MIN, |record| record.time_ms)
    }
}

/// How many of the last `wanted` lines the file holds, and where they begin.
fn lines_from_end(path: &Path, wanted: u64) -> io::Result<(u64, u64)> {
    const BLOCK: u64 = 64 << 10;
    use std::os::unix::fs::FileExt;
    let file = File::open(path)?;
    let mut end = file.metadata()?.len();
    let mut lines = 0;
    let mut buffer = vec![0; 64 << 10];
    let mut last_byte = true;
    while end > 0 {
        let start = end.saturating_sub(BLOCK);
        let length = usize::try_from(end - start).unwrap_or(0);
        let Some(block) = buffer.get_mut(..length) else {
            break;
        };
        file.read_exact_at(block, start)?;
        for (distance, byte) in (1..).zip(block.iter().rev()) {
            let at = end - distance;
            if *byte == b'\n' {
                // The line feed at the very end closes the last line, it does not begin another.
                if !last_byte {
                    lines += 1;
                    if lines == wanted {
                        return Ok((lines, at + 1));
                    }
                }
            }
            last_byte = false;
        }
        end = start;
    }
    Ok((if last_byte { 0 } else { lines + 1 }, 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_last_lines_are_found_from_the_end() {
        let path = std::env::temp_dir().join(format!("keelson-lines-{}", std::process::id()));
        fs::write(&path, "a\nbb\nccc\n").unwrap();
        assert_eq!(lines_from_end(&path, 1).unwrap(), (1, 5));
        assert_eq!(lines_from_end(&path, 2).unwrap(), (2, 2));
        assert_eq!(lines_from_end(&path, 3).unwrap(), (3, 0));
        assert_eq!(lines_from_end(&path, 9).unwrap(), (3, 0));
        fs::write(&path, "").unwrap();
        assert_eq!(lines_from_end(&path, 9).unwrap(), (0, 0));
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_reader_goes_on_after_the_last_line_that_was_taken() {
        let folder = std::env::temp_dir().join(format!("keelson-resume-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let rest = |place: &Place| {
            let mut reader = UnitReader::new(folder.clone(), "web".to_owned());
            reader.resume(place);
            let mut lines = Vec::new();
            reader.fill().unwrap();
            while let Some(line) = reader.take() {
                lines.push(String::from_utf8(line).unwrap());
                reader.fill().unwrap();
            }
            lines
        };
        let mut reader = UnitReader::new(folder.clone(), "web".to_owned());
        reader.start(None, None);
        let nowhere = reader.place();
        fs::write(folder.join(CURRENT), "one\ntwo\nthree\n").unwrap();
        assert_eq!(rest(&nowhere), ["one", "two", "three"]);
        reader.fill().unwrap();
        assert_eq!(reader.take().unwrap(), b"one");
        // The next one was read, and not taken.
        reader.fill().unwrap();
        let place = reader.place();
        assert_eq!(rest(&place), ["two", "three"]);
        // Its file has another name now, and there is a newer one.
        fs::rename(folder.join(CURRENT), folder.join("1")).unwrap();
        fs::write(folder.join(CURRENT), "four\n").unwrap();
        assert_eq!(rest(&place), ["two", "three", "four"]);
        let mut reader = UnitReader::new(folder.clone(), "web".to_owned());
        reader.start(None, Some(1));
        reader.fill().unwrap();
        assert_eq!(reader.take().unwrap(), b"four");
        assert!(rest(&reader.place()).is_empty());
        fs::remove_file(folder.join("1")).unwrap();
        assert_eq!(rest(&place), ["four"]);
        fs::remove_dir_all(&folder).unwrap();
    }
}
