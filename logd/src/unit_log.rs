//! The files of one unit: `current`, then `1` (the newest full one) … , bounded in size and number.

use crate::ledger::End;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

/// The file that is being written.
pub(crate) const CURRENT: &str = "current";

/// Held by who gives files other names, and by who must find each of them, once: between two of the renames of one turn
/// a file has no name, or the name that another had.
static NAMES: RwLock<()> = RwLock::new(());

/// As long as this is held, files keep their names.
pub(crate) fn hold_names() -> RwLockReadGuard<'static, ()> {
    // There is nothing in it that could be broken.
    NAMES.read().unwrap_or_else(PoisonError::into_inner)
}

/// Files of one unit.
#[derive(Debug)]
pub(crate) struct UnitLog {
    folder: PathBuf,
    file: Option<File>,
    inode: u64,
    size: u64,
    pub(crate) max_size: u64,
    pub(crate) max_files: u32,
    /// Lines that could not be written, since the last one that could.
    pub(crate) dropped: u64,
    pub(crate) dirty: bool,
}

impl UnitLog {
    pub(crate) fn new(folder: PathBuf, max_size: u64, max_files: u32) -> Self {
        Self {
            folder,
            file: None,
            inode: 0,
            size: 0,
            max_size,
            max_files,
            dropped: 0,
            dirty: false,
        }
    }

    /// Append whole records: all of them or none.
    pub(crate) fn append(&mut self, records: &[u8]) -> io::Result<()> {
        self.make_room(records.len())?;
        self.write(records)
    }

    /// See that the file can take so many bytes more. Answers where they will be.
    pub(crate) fn make_room(&mut self, bytes: usize) -> io::Result<End> {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.open()?;
        if self.size > 0 && self.size.saturating_add(bytes) > self.max_size {
            self.rotate()?;
        }
        Ok(End {
            inode: self.inode,
            offset: self.size,
        })
    }

    /// Write whole records where [`Self::make_room`] has said: all of them or none.
    pub(crate) fn write(&mut self, records: &[u8]) -> io::Result<()> {
        let result = self.try_write(records);
        if result
            .as_ref()
            .is_err_and(|error| error.kind() == io::ErrorKind::StorageFull)
            && self.remove_oldest()
        {
            return self.try_write(records);
        }
        result
    }

    fn open(&mut self) -> io::Result<()> {
        if self.file.is_some() {
            return Ok(());
        }
        fs::create_dir_all(&self.folder)?;
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .read(true)
            .open(self.folder.join(CURRENT))?;
        self.size = cut_to_whole_records(&file)?;
        self.inode = file.metadata()?.ino();
        self.file = Some(file);
        Ok(())
    }

    fn try_write(&mut self, records: &[u8]) -> io::Result<()> {
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        match file.write_all(records) {
            Ok(()) => {
                self.size = self
                    .size
                    .saturating_add(u64::try_from(records.len()).unwrap_or(0));
                self.dirty = true;
                Ok(())
            }
            Err(error) => {
                // Half a record would swallow the next one.
                file.set_len(self.size)?;
                Err(error)
            }
        }
    }

    /// `current` becomes 1, 1 becomes 2, and the oldest goes.
    fn rotate(&mut self) -> io::Result<()> {
        self.sync()?;
        self.file = None;
        let names = NAMES.write().unwrap_or_else(PoisonError::into_inner);
        let oldest = self.max_files.saturating_sub(1);
        if oldest == 0 {
            fs::remove_file(self.folder.join(CURRENT))?;
        } else {
            for number in (1..oldest).rev() {
                let (from, to) = (
                    self.folder.join(number.to_string()),
                    self.folder.join((number + 1).to_string()),
                );
                if from.exists() {
                    fs::rename(from, to)?;
                }
            }
            fs::rename(self.folder.join(CURRENT), self.folder.join("1"))?;
        }
        let opened = self.open();
        drop(names);
        opened
    }

    fn remove_oldest(&self) -> bool {
        let oldest = files(&self.folder)
            .into_iter()
            .find(|path| !path.ends_with(CURRENT));
        oldest.is_some_and(|path| fs::remove_file(path).is_ok())
    }

    /// To the disk.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        if let (true, Some(file)) = (self.dirty, &self.file) {
            file.sync_data()?;
            self.dirty = false;
        }
        Ok(())
    }
}

/// Half a record at the end goes, which would swallow the next one: a logd was killed while it wrote, so that the line is in
/// its pipe still, or the machine lost its power. Answers the file's length.
pub(crate) fn cut_to_whole_records(file: &File) -> io::Result<u64> {
    let length = file.metadata()?.len();
    let mut end = length;
    let mut block = [0; 4096];
    while end > 0 {
        let start = end.saturating_sub(block.len() as u64);
        let bytes = usize::try_from(end - start).unwrap_or(block.len());
        let bytes = &mut block[..bytes];
        file.read_exact_at(bytes, start)?;
        if let Some(last) = bytes.iter().rposition(|byte| *byte == b'\n') {
            end = start + last as u64 + 1;
            break;
        }
        end = start;
    }
    if end < length {
        file.set_len(end)?;
    }
    Ok(end)
}

/// The files of a unit, oldest first.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut numbers: Vec<u32> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    numbers.sort_unstable_by(|a, b| b.cmp(a));
    let full = numbers
        .into_iter()
        .map(|number| folder.join(number.to_string()));
    full.chain(Some(folder.join(CURRENT)).filter(|path| path.exists()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_record_at_the_end_goes_and_swallows_nothing() {
        let folder =
            std::env::temp_dir().join(format!("keelson-unit-log-half-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let half = "x".repeat(10_000);
        for (before, kept) in [
            ("", ""),
            (half.as_str(), ""),
            ("whole\n", "whole\n"),
            (&format!("whole\n{half}"), "whole\n"),
        ] {
            fs::write(folder.join(CURRENT), before).unwrap();
            let mut log = UnitLog::new(folder.clone(), 1 << 20, 2);
            log.append(b"next\n").unwrap();
            let text = fs::read_to_string(folder.join(CURRENT)).unwrap();
            assert_eq!(text, format!("{kept}next\n"));
            assert_eq!(log.size, text.len() as u64);
        }
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn files_are_bounded_in_size_and_number() {
        let folder = std::env::temp_dir().join(format!("keelson-unit-log-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        let mut log = UnitLog::new(folder.clone(), 100, 3);
        for number in 0..100 {
            log.append(format!("line {number:04}\n").as_bytes())
                .unwrap();
        }
        let files = files(&folder);
        let names: Vec<_> = files
            .iter()
            .map(|path| path.file_name().unwrap().to_str().unwrap())
            .collect();
        assert_eq!(names, ["2", "1", CURRENT]);
        let text: String = files
            .iter()
            .map(|path| fs::read_to_string(path).unwrap())
            .collect();
        let numbers: Vec<u32> = text
            .lines()
            .map(|line| line[5..].parse().unwrap())
            .collect();
        assert_eq!(
            numbers,
            (70..100).collect::<Vec<_>>(),
            "the newest lines, in order, without a gap"
        );
        assert!(
            files
                .iter()
                .all(|path| path.metadata().unwrap().len() <= 100)
        );
        fs::remove_dir_all(&folder).unwrap();
    }
}
