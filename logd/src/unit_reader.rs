//! The lines of one unit, read from its files.

use crate::bookmark::Place;
use crate::record::Record;
use crate::unit_log::{CURRENT, files, hold_names};
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
    inode: u64,
    /// Files that come after ours, by inode, oldest first: the names go from one to another. Where there are any, ours does not
    /// grow any more.
    newer: VecDeque<u64>,
    /// Bytes of the file that were read, and those of them whose lines were taken.
    read: u64,
    taken: u64,
    /// The record at the front, without its line feed; or its beginning, when its end is not written yet.
    line: Vec<u8>,
    /// When it is whole: its time, and what is told of it beside its message, which begins there.
    pub(crate) time_ms: Option<i64>,
    head: Option<(Record<'static>, usize)>,
    /// There was no more when we last looked.
    dry: bool,
}

impl UnitReader {
    pub(crate) fn new(folder: PathBuf, unit: String) -> Self {
        Self {
            unit,
            folder,
            file: None,
            inode: 0,
            newer: VecDeque::new(),
            read: 0,
            taken: 0,
            line: Vec::new(),
            time_ms: None,
            head: None,
            dry: false,
        }
    }

    /// Begin where what is asked for begins, so that little is read for a few lines of a large log.
    pub(crate) fn start(&mut self, since_ms: Option<i64>, tail: Option<u64>) {
        let names = hold_names();
        let mut all = files(&self.folder);
        if let Some(since) = since_ms {
            // A file that was last written before the time holds nothing of it.
            all.retain(|path| {
                path.metadata().is_ok_and(|found| {
                    found.mtime().saturating_mul(1000).saturating_add(999) >= since
                })
            });
        }
        let mut all: Vec<u64> = all.iter().map(|path| inode(path)).collect();
        // Whoever writes does not wait while lines are counted.
        drop(names);
        let mut skip = None;
        if let Some(tail) = tail {
            let mut lines = 0u64;
            let mut kept = Vec::new();
            for wanted in all.into_iter().rev() {
                let counted = self
                    .find(wanted)
                    .and_then(|file| lines_from_end(&file, tail.saturating_sub(lines)).ok());
                let (found, offset) = counted.unwrap_or((0, 0));
                lines += found;
                kept.insert(0, wanted);
                if lines >= tail {
                    skip = Some(offset);
                    break;
                }
            }
            all = kept;
        }
        self.newer = all.into();
        self.open_next();
        if let Some(offset) = skip {
            self.seek(offset);
        }
    }

    /// Go on where a reader of an earlier logd was; with everything that there is, where its file has gone meanwhile.
    pub(crate) fn resume(&mut self, place: &Place) {
        let names = hold_names();
        let all = files(&self.folder);
        let known = |path: &PathBuf| {
            path.metadata()
                .is_ok_and(|found| found.ino() == place.inode && found.len() >= place.offset)
        };
        let at = all.iter().position(known);
        let rest = all.iter().skip(at.unwrap_or(0));
        self.newer = rest.map(|path| inode(path)).collect();
        drop(names);
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

    /// The record at the front, when [`Self::fill`] has found one.
    pub(crate) fn record(&self) -> Option<Record<'_>> {
        let (head, begin) = self.head.as_ref()?;
        let message = self.line.get(*begin..)?;
        Some(Record { message, ..*head })
    }

    /// It is done with.
    pub(crate) fn take(&mut self) {
        (self.time_ms, self.head) = (None, None);
        self.line.clear();
        self.taken = self.read;
    }

    /// There may be more now.
    pub(crate) fn look_again(&mut self) {
        self.dry = false;
    }

    /// The file of this inode, whatever it is called now.
    fn find(&self, wanted: u64) -> Option<File> {
        let _names = hold_names();
        let all = files(&self.folder);
        let path = all.iter().find(|path| inode(path) == wanted)?;
        File::open(path).ok()
    }

    /// The next file that is still there. False: there is none.
    fn open_next(&mut self) -> bool {
        while let Some(next) = self.newer.pop_front() {
            if let Some(file) = self.find(next) {
                self.inode = next;
                self.file = Some(BufReader::new(file));
                self.line.clear();
                (self.read, self.taken) = (0, 0);
                return true;
            }
        }
        false
    }

    /// See that the next record is at the front, if there is one. Once there is none, it is not looked for any more until
    /// [`Self::look_again`].
    pub(crate) fn fill(&mut self) -> io::Result<()> {
        while self.time_ms.is_none() && !self.dry {
            let bytes = match &mut self.file {
                Some(file) => file.read_until(b'\n', &mut self.line)?,
                None => 0,
            };
            self.read = self.read.saturating_add(u64::try_from(bytes).unwrap_or(0));
            if bytes == 0 {
                self.dry = !self.turn_over();
            } else if self.line.last() == Some(&b'\n') {
                self.line.pop();
                let length = self.line.len();
                self.head = Record::parse(&self.line).map(|record| {
                    let begin = length - record.message.len();
                    let message: &'static [u8] = &[];
                    (Record { message, ..record }, begin)
                });
                match &self.head {
                    Some((head, _)) => self.time_ms = Some(head.time_ms),
                    // What a power cut left of a line.
                    None => self.take(),
                }
            }
        }
        Ok(())
    }

    /// The file is read to its end, as far as we saw: is there a newer one, or more of ours?
    fn turn_over(&mut self) -> bool {
        if !self.newer.is_empty() {
            return self.open_next();
        }
        if inode(&self.folder.join(CURRENT)) == self.inode {
            return false;
        }
        // Where our file is now called something else, the newer ones come after it; where it has been removed, all there are,
        // are newer.
        let _names = hold_names();
        let all = files(&self.folder);
        let at = all.iter().position(|path| inode(path) == self.inode);
        let newer = all.iter().skip(at.map_or(0, |at| at + 1));
        self.newer = newer.map(|path| inode(path)).collect();
        // Lines may have come before it was turned over and after we saw its end. There won't be others.
        !self.newer.is_empty()
    }
}

/// No file has the inode 0.
fn inode(path: &Path) -> u64 {
    path.metadata().map_or(0, |found| found.ino())
}

/// How many of the last `wanted` lines the file holds, and where they begin.
fn lines_from_end(file: &File, wanted: u64) -> io::Result<(u64, u64)> {
    const BLOCK: u64 = 64 << 10;
    use std::os::unix::fs::FileExt;
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
    use std::io::Write;

    #[test]
    fn the_last_lines_are_found_from_the_end() {
        let path = std::env::temp_dir().join(format!("keelson-lines-{}", std::process::id()));
        let open = || File::open(&path).unwrap();
        fs::write(&path, "a\nbb\nccc\n").unwrap();
        assert_eq!(lines_from_end(&open(), 1).unwrap(), (1, 5));
        assert_eq!(lines_from_end(&open(), 2).unwrap(), (2, 2));
        assert_eq!(lines_from_end(&open(), 3).unwrap(), (3, 0));
        assert_eq!(lines_from_end(&open(), 9).unwrap(), (3, 0));
        fs::write(&path, "").unwrap();
        assert_eq!(lines_from_end(&open(), 9).unwrap(), (0, 0));
        fs::remove_file(&path).unwrap();
    }

    /// A unit's folder, and records with these messages.
    struct Test(PathBuf);

    impl Test {
        fn new(name: &str) -> Self {
            let folder = format!("keelson-reader-{name}-{}", std::process::id());
            let folder = std::env::temp_dir().join(folder);
            let _ = fs::remove_dir_all(&folder);
            fs::create_dir_all(&folder).unwrap();
            Self(folder)
        }

        fn write(&self, name: &str, messages: &[&str]) {
            let mut options = fs::OpenOptions::new();
            let mut file = options
                .append(true)
                .create(true)
                .open(self.0.join(name))
                .unwrap();
            for message in messages {
                file.write_all(format!("1 1 o {message}\n").as_bytes())
                    .unwrap();
            }
        }

        fn turn(&self, from: &str, to: &str) {
            fs::rename(self.0.join(from), self.0.join(to)).unwrap();
        }

        fn reader(&self) -> UnitReader {
            UnitReader::new(self.0.clone(), "web".to_owned())
        }
    }

    impl Drop for Test {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn next(reader: &mut UnitReader) -> Option<String> {
        reader.look_again();
        reader.fill().unwrap();
        let message = reader.record()?.message.to_vec();
        reader.take();
        Some(String::from_utf8(message).unwrap())
    }

    fn all(mut reader: UnitReader) -> Vec<String> {
        std::iter::from_fn(|| next(&mut reader)).collect()
    }

    #[test]
    fn a_reader_goes_on_after_the_last_line_that_was_taken() {
        let test = Test::new("resume");
        let rest = |place: &Place| {
            let mut reader = test.reader();
            reader.resume(place);
            all(reader)
        };
        let mut reader = test.reader();
        reader.start(None, None);
        let nowhere = reader.place();
        test.write(CURRENT, &["one", "two", "three"]);
        assert_eq!(rest(&nowhere), ["one", "two", "three"]);
        assert_eq!(next(&mut reader).unwrap(), "one");
        // The next one was read, and not taken.
        reader.fill().unwrap();
        let place = reader.place();
        assert_eq!(rest(&place), ["two", "three"]);
        // Its file has another name now, and there is a newer one.
        test.turn(CURRENT, "1");
        test.write(CURRENT, &["four"]);
        assert_eq!(rest(&place), ["two", "three", "four"]);
        let mut reader = test.reader();
        reader.start(None, Some(1));
        assert_eq!(next(&mut reader).unwrap(), "four");
        assert!(rest(&reader.place()).is_empty());
        fs::remove_file(test.0.join("1")).unwrap();
        assert_eq!(rest(&place), ["four"]);
    }

    #[test]
    fn lines_that_come_between_the_end_and_the_turn_are_read() {
        let test = Test::new("turn");
        let mut reader = test.reader();
        reader.start(None, None);
        test.write(CURRENT, &["one"]);
        assert_eq!(next(&mut reader).unwrap(), "one");
        // It has seen the end, and looks whether there is a newer file only now.
        test.write(CURRENT, &["two"]);
        test.turn(CURRENT, "1");
        test.write(CURRENT, &["three"]);
        assert!(reader.turn_over());
        assert_eq!(next(&mut reader).unwrap(), "two");
        assert_eq!(next(&mut reader).unwrap(), "three");
        assert_eq!(next(&mut reader), None);
    }

    #[test]
    fn files_that_get_other_names_while_they_are_read_are_read_once() {
        let test = Test::new("names");
        for (name, message) in [("2", "one"), ("1", "two"), (CURRENT, "three")] {
            test.write(name, &[message]);
        }
        let mut reader = test.reader();
        reader.start(None, None);
        assert_eq!(next(&mut reader).unwrap(), "one");
        test.turn("2", "3");
        test.turn("1", "2");
        test.turn(CURRENT, "1");
        test.write(CURRENT, &["four"]);
        assert_eq!(all(reader), ["two", "three", "four"]);
    }

    #[test]
    fn torn_lines_are_passed_over_and_a_dry_reader_asks_nobody() {
        let test = Test::new("torn");
        fs::write(test.0.join(CURRENT), "17 3\n1 1 o one\n\0\0\n1 1 o tw").unwrap();
        let mut reader = test.reader();
        reader.start(None, None);
        assert_eq!(next(&mut reader).unwrap(), "one");
        reader.fill().unwrap();
        assert!(reader.record().is_none() && reader.dry);
        fs::OpenOptions::new()
            .append(true)
            .open(test.0.join(CURRENT))
            .unwrap()
            .write_all(b"o\n")
            .unwrap();
        reader.fill().unwrap();
        assert!(reader.record().is_none());
        assert_eq!(next(&mut reader).unwrap(), "two");
    }
}
