//! Reading back: a thread per query, which may wait for a slow client without holding anybody else up.

use crate::record::Record;
use crate::service::say;
use crate::unit_log::{CURRENT, files};
use control::log::LogReply;
use control::request::LogsRequest;
use std::collections::{HashMap, VecDeque};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// Readers at once; each has a thread.
const QUERIES_MAX: usize = 32;
/// A reader holds one line at a time.
const STACK_BYTES: usize = 128 << 10;
/// A follower whose client is gone notices within this time.
const FOLLOW_WAIT: Duration = Duration::from_secs(1);

/// Queries under way.
#[derive(Debug)]
pub(crate) struct Queries {
    folder: PathBuf,
    control: Arc<OwnedFd>,
    bell: Arc<Bell>,
    active: Arc<Mutex<HashMap<u64, Arc<AtomicBool>>>>,
}

/// Rung when something was written: followers look again.
#[derive(Debug, Default)]
struct Bell {
    count: Mutex<u64>,
    rung: Condvar,
}

impl Bell {
    fn ring(&self) {
        if let Ok(mut count) = self.count.lock() {
            *count = count.wrapping_add(1);
            self.rung.notify_all();
        }
    }

    fn count(&self) -> u64 {
        self.count.lock().map_or(0, |count| *count)
    }

    /// Until it has been rung since `seen`, or a while has passed.
    fn wait(&self, seen: u64) {
        if let Ok(count) = self.count.lock() {
            let _ = self
                .rung
                .wait_timeout_while(count, FOLLOW_WAIT, |count| *count == seen);
        }
    }
}

impl Queries {
    pub(crate) fn new(folder: &Path, control: Arc<OwnedFd>) -> Self {
        Self {
            folder: folder.to_owned(),
            control,
            bell: Arc::default(),
            active: Arc::default(),
        }
    }

    pub(crate) fn wake(&self) {
        self.bell.ring();
    }

    pub(crate) fn cancel(&self, id: u64) {
        if let Some(cancelled) = self
            .active
            .lock()
            .ok()
            .and_then(|mut active| active.remove(&id))
        {
            cancelled.store(true, Ordering::Relaxed);
            self.bell.ring();
        }
    }

    pub(crate) fn start(&self, id: u64, query: LogsRequest, output: File) {
        let cancelled = Arc::new(AtomicBool::new(false));
        let room = self.active.lock().is_ok_and(|mut active| {
            let room = active.len() < QUERIES_MAX;
            if room {
                active.insert(id, Arc::clone(&cancelled));
            }
            room
        });
        if !room {
            let error = format!("{QUERIES_MAX} log readers are busy already: close one");
            return say(
                &self.control,
                &LogReply::QueryDone {
                    id,
                    error: Some(error),
                },
            );
        }
        let reader = Reader {
            folder: self.folder.clone(),
            query,
            bell: Arc::clone(&self.bell),
            cancelled,
        };
        let (control, active) = (Arc::clone(&self.control), Arc::clone(&self.active));
        let work = move || {
            let error = match reader.run(output) {
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Some(error.to_string()),
                _ => None,
            };
            if let Ok(mut active) = active.lock() {
                active.remove(&id);
            }
            say(&control, &LogReply::QueryDone { id, error });
        };
        if let Err(error) = std::thread::Builder::new()
            .stack_size(STACK_BYTES)
            .spawn(work)
        {
            self.cancel(id);
            say(
                &self.control,
                &LogReply::QueryDone {
                    id,
                    error: Some(error.to_string()),
                },
            );
        }
    }
}

struct Reader {
    folder: PathBuf,
    query: LogsRequest,
    bell: Arc<Bell>,
    cancelled: Arc<AtomicBool>,
}

impl Reader {
    fn run(&self, output: File) -> io::Result<()> {
        let mut output = BufWriter::new(output);
        let mut seen = self.bell.count();
        let mut units: Vec<UnitReader> = self
            .units()
            .into_iter()
            .map(|unit| self.open(unit))
            .collect();
        self.history(&mut units, &mut output)?;
        output.flush()?;
        while self.query.follow && !self.cancelled.load(Ordering::Relaxed) {
            self.bell.wait(seen);
            seen = self.bell.count();
            for unit in self.units() {
                if !units.iter().any(|known| known.unit == unit) {
                    units.push(self.open(unit));
                }
            }
            self.merge(&mut units, &mut |unit, record| {
                self.write(&mut output, unit, record)
            })?;
            output.flush()?;
            // A client that only listens is noticed to be gone when nothing can be written to it.
            if sys::poll::hung_up(output.get_ref()) {
                return Ok(());
            }
        }
        Ok(())
    }

    fn units(&self) -> Vec<String> {
        if !self.query.units.is_empty() {
            return self.query.units.clone();
        }
        let Ok(entries) = fs::read_dir(&self.folder) else {
            return Vec::new();
        };
        let mut names: Vec<String> = entries
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    fn open(&self, unit: String) -> UnitReader {
        let mut reader = UnitReader::new(self.folder.join(&unit), unit);
        reader.start(self.query.since_ms, self.query.tail);
        reader
    }

    fn history(&self, units: &mut [UnitReader], output: &mut impl Write) -> io::Result<()> {
        let Some(tail) = self.query.tail else {
            return self.merge(units, &mut |unit, record| self.write(output, unit, record));
        };
        let tail = usize::try_from(tail).unwrap_or(usize::MAX);
        let mut last: VecDeque<Vec<u8>> = VecDeque::new();
        self.merge(units, &mut |unit, record| {
            if tail > 0 {
                let mut line = Vec::new();
                self.write(&mut line, unit, record)?;
                if last.len() == tail {
                    last.pop_front();
                }
                last.push_back(line);
            }
            Ok(())
        })?;
        last.iter().try_for_each(|line| output.write_all(line))
    }

    /// All that is there, the oldest line of any unit first.
    fn merge(
        &self,
        units: &mut [UnitReader],
        take: &mut impl FnMut(&str, &Record<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        while !self.cancelled.load(Ordering::Relaxed) {
            for unit in units.iter_mut() {
                unit.fill()?;
            }
            let oldest = units
                .iter_mut()
                .filter(|unit| unit.next.is_some())
                .min_by_key(|unit| unit.next_time());
            let Some(unit) = oldest else { return Ok(()) };
            let Some(line) = unit.next.take() else {
                return Ok(());
            };
            let Some(record) = Record::parse(&line) else {
                continue;
            };
            let wanted = self
                .query
                .since_ms
                .is_none_or(|since| record.time_ms >= since)
                && self
                    .query
                    .until_ms
                    .is_none_or(|until| record.time_ms < until);
            if wanted {
                take(&unit.unit, &record)?;
            }
        }
        Ok(())
    }

    fn write(&self, output: &mut impl Write, unit: &str, record: &Record<'_>) -> io::Result<()> {
        if self.query.json {
            serde_json::to_writer(&mut *output, &record.to_line(unit))?;
            return output.write_all(b"\n");
        }
        if self.query.prefix {
            write!(output, "{} {unit}: ", time_text(record.time_ms))?;
        }
        if record.stream == crate::record::StreamKind::System {
            output.write_all(b"-- ")?;
        }
        output.write_all(record.message)?;
        if record.partial {
            Ok(())
        } else {
            output.write_all(b"\n")
        }
    }
}

/// RFC 3339 in UTC, with milliseconds.
fn time_text(time_ms: i64) -> String {
    let (days, in_day) = (
        time_ms.div_euclid(86_400_000),
        time_ms.rem_euclid(86_400_000),
    );
    // Days to civil date (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute) = (in_day / 3_600_000, in_day / 60_000 % 60);
    let (second, millisecond) = (in_day / 1000 % 60, in_day % 1000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millisecond:03}Z")
}

/// The lines of one unit, in order, over all its files, and on as they grow and turn over.
struct UnitReader {
    unit: String,
    folder: PathBuf,
    file: Option<BufReader<File>>,
    /// Files that come before `current`, oldest first.
    older: VecDeque<PathBuf>,
    inode: u64,
    /// Bytes of a line whose end is not written yet.
    pending: Vec<u8>,
    next: Option<Vec<u8>>,
}

impl UnitReader {
    fn new(folder: PathBuf, unit: String) -> Self {
        Self {
            unit,
            folder,
            file: None,
            older: VecDeque::new(),
            inode: 0,
            pending: Vec::new(),
            next: None,
        }
    }

    /// Begin where what is asked for begins, so that little is read for a few lines of a large log.
    fn start(&mut self, since_ms: Option<i64>, tail: Option<u64>) {
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
        if let (Some(offset), Some(file)) = (skip, &mut self.file) {
            // Cannot be beyond the end: the offset was found in this file.
            let _ = file.seek(SeekFrom::Start(offset));
        }
    }

    fn open_next(&mut self) -> bool {
        while let Some(path) = self.older.pop_front() {
            if let Ok(file) = File::open(&path) {
                self.inode = file.metadata().map_or(0, |found| found.ino());
                self.file = Some(BufReader::new(file));
                return true;
            }
        }
        false
    }

    /// See that `next` holds the next line, if there is one.
    fn fill(&mut self) -> io::Result<()> {
        while self.next.is_none() {
            if let Some(file) = &mut self.file
                && file.read_until(b'\n', &mut self.pending)? > 0
            {
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

    fn next_time(&self) -> i64 {
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

    #[test]
    fn times_are_rfc_3339() {
        assert_eq!(time_text(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(time_text(1_709_210_096_789), "2024-02-29T12:34:56.789Z");
        assert_eq!(time_text(-1), "1969-12-31T23:59:59.999Z");
    }

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
}
