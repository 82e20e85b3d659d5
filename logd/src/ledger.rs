//! What was written and has not been taken out of its pipe, for the next logd.
//!
//! A line is written first, and taken after that. Whoever is killed in between would leave a line that is in both, and
//! neither file nor pipe tells. So it is noted, in numbers that outlive us (a file in memory, mapped):
//!
//! ```text
//! begin    SLOT's next BYTES go to the end of this file: INODE, OFFSET
//!            ↳ the records are written. What of them is in the file says how much of the pipe is: see `consumed`
//! written  BYTES of SLOT are to be taken
//!            ↳ splice(2) takes them; the kernel adds to TAKEN what it moves, in the same system call
//! ```
//!
//! Of one file and one pipe at a time: logd is single-threaded where it writes. Each pipe has a slot, known by the pipe's own
//! inode, so that it is found whoever lends it again. Power cuts need none of this: pipes don't outlive them.

use crate::record::{Record, StreamKind};
use crate::unit_log::{CURRENT, cut_to_whole_records};
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use sys::shared::Words;

/// Pipes that can be told apart; those beyond it share one slot, and may have their last lines twice after a kill. Twice
/// what a machine of a thousand units has; only those that were ever used take memory.
const SLOTS_MAX: usize = 8192;

const WRITING: usize = 0;
const INODE: usize = 1;
const OFFSET: usize = 2;
const BYTES: usize = 3;
const USED: usize = 4;
const HEAD_WORDS: usize = 8;

/// Words of a slot.
const PIPE: usize = 0;
const TO_TAKE: usize = 1;
const TAKEN: usize = 2;
const SLOT_WORDS: usize = 3;

/// A pipe's place in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot(usize);

impl Slot {
    fn word(self, which: usize) -> usize {
        HEAD_WORDS + self.0 * SLOT_WORDS + which
    }
}

/// Where records go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) inode: u64,
    pub(crate) offset: u64,
}

#[derive(Debug)]
pub(crate) struct Ledger {
    words: Words,
    /// What was taken goes here, over what was before: nobody reads it.
    sink: OwnedFd,
    /// Slots of pipes that were lent to a logd before us, by the pipe's inode.
    known: HashMap<u64, Slot>,
    /// Slots of nobody.
    free: Vec<Slot>,
}

impl Ledger {
    /// Made if it is not there. `folder`: the logs, of which the file that was being written is seen to.
    pub(crate) fn open(path: &Path, folder: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let ledger = Self::on(&options.open(path)?)?;
        ledger.settle(folder)?;
        Ok(ledger)
    }

    /// One that does not outlive us.
    pub(crate) fn of_our_own() -> io::Result<Self> {
        Self::on(&File::from(sys::memfd::open("ledger")?))
    }

    fn on(file: &File) -> io::Result<Self> {
        let words = Words::map(file, Slot(SLOTS_MAX + 1).word(0))?;
        let used = usize::try_from(words.get(USED)).map_or(SLOTS_MAX, |used| used.min(SLOTS_MAX));
        let slots = (0..used).map(|number| (words.get(Slot(number).word(PIPE)), Slot(number)));
        let (known, free): (Vec<_>, Vec<_>) = slots.partition(|(pipe, _)| *pipe != 0);
        Ok(Self {
            words,
            sink: sys::memfd::open("taken")?,
            known: known.into_iter().collect(),
            free: free.into_iter().map(|(_, slot)| slot).collect(),
        })
    }

    /// The slot of a pipe that was lent. What was written of it is taken first, where a logd was killed before it could.
    pub(crate) fn claim(&mut self, pipe: &File) -> io::Result<Slot> {
        let inode = pipe.metadata()?.ino();
        let slot = match self.known.remove(&inode) {
            Some(slot) => slot,
            None => {
                let slot = self.free_slot();
                self.words.set(slot.word(TO_TAKE), 0);
                self.words.set(slot.word(TAKEN), 0);
                self.words.set(slot.word(PIPE), inode);
                slot
            }
        };
        self.take(slot, pipe)?;
        Ok(slot)
    }

    fn free_slot(&mut self) -> Slot {
        if let Some(slot) = self.free.pop() {
            return slot;
        }
        let used = usize::try_from(self.words.get(USED)).unwrap_or(SLOTS_MAX);
        if used < SLOTS_MAX {
            self.words.set(USED, self.words.get(USED) + 1);
            return Slot(used);
        }
        // A pipe that PID 1 has given up while there was no logd.
        let forgotten = self.known.keys().next().copied();
        let forgotten = forgotten.and_then(|pipe| self.known.remove(&pipe));
        forgotten.unwrap_or(Slot(SLOTS_MAX))
    }

    /// The pipe is at its end.
    pub(crate) fn release(&mut self, slot: Slot) {
        self.words.set(slot.word(PIPE), 0);
        if slot.0 < SLOTS_MAX {
            self.free.push(slot);
        }
    }

    /// Records of the next `bytes` of a pipe are about to be written there.
    pub(crate) fn begin(&self, slot: Slot, end: End, bytes: usize) {
        self.words.set(INODE, end.inode);
        self.words.set(OFFSET, end.offset);
        self.words.set(BYTES, as_word(bytes));
        self.words.set(WRITING, as_word(slot.0 + 1));
    }

    /// So many bytes of a pipe are done with. In this order: whoever reads it in between finds nothing to take, and the file
    /// still to be looked at.
    pub(crate) fn written(&self, slot: Slot, bytes: usize) {
        self.words.set(slot.word(TO_TAKE), 0);
        self.words.set(slot.word(TAKEN), 0);
        self.words.set(slot.word(TO_TAKE), as_word(bytes));
        self.words.set(WRITING, 0);
    }

    /// Take what was written. Never waits: what somebody else has taken, who has the pipe open as well, is gone.
    pub(crate) fn take(&self, slot: Slot, pipe: &File) -> io::Result<()> {
        loop {
            let taken = self.words.get(slot.word(TAKEN));
            let left = self.words.get(slot.word(TO_TAKE)).saturating_sub(taken);
            let left = usize::try_from(left).unwrap_or(usize::MAX);
            if left == 0 {
                return Ok(());
            }
            let (pipe, sink) = (pipe.as_fd(), self.sink.as_fd());
            match sys::splice::take(pipe, sink, &self.words, slot.word(TAKEN), left) {
                Ok(1..) => {}
                Ok(0) => break,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        self.words.set(slot.word(TO_TAKE), 0);
        Ok(())
    }

    /// A logd was killed while it wrote: see how far it has come.
    fn settle(&self, folder: &Path) -> io::Result<()> {
        let slot = usize::try_from(self.words.get(WRITING)).unwrap_or(0);
        let Some(slot) = slot.checked_sub(1).filter(|slot| *slot <= SLOTS_MAX) else {
            return Ok(());
        };
        let (inode, offset) = (self.words.get(INODE), self.words.get(OFFSET));
        let bytes = usize::try_from(self.words.get(BYTES)).unwrap_or(0);
        let done = match current_file(folder, inode) {
            Some(file) => consumed(&file, offset)?.min(bytes),
            None => 0,
        };
        self.written(Slot(slot), done);
        Ok(())
    }
}

fn as_word(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// The file of this inode, of those that are written to.
fn current_file(folder: &Path, inode: u64) -> Option<File> {
    let units = fs::read_dir(folder).ok()?;
    let mut files = units.flatten().map(|unit| unit.path().join(CURRENT));
    let path = files.find(|path| path.metadata().is_ok_and(|found| found.ino() == inode))?;
    let file = OpenOptions::new().read(true).append(true).open(path);
    file.ok()
}

/// Bytes of a pipe whose records are in the file, whole, from an offset on. Half a record is cut off.
fn consumed(file: &File, offset: u64) -> io::Result<usize> {
    let length = cut_to_whole_records(file)?;
    let bytes = usize::try_from(length.saturating_sub(offset)).unwrap_or(0);
    let mut text = vec![0; bytes];
    file.read_exact_at(&mut text, offset)?;
    let of_pipe = |record: Record<'_>| match (record.stream, record.partial) {
        // How many lines were dropped before.
        (StreamKind::System, _) => 0,
        (_, true) => record.message.len(),
        (_, false) => record.message.len() + 1,
    };
    let lines = text.split(|byte| *byte == b'\n');
    Ok(lines.filter_map(Record::parse).map(of_pipe).sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    struct Test {
        folder: std::path::PathBuf,
        log: File,
        pipe: File,
        writer: io::PipeWriter,
    }

    impl Test {
        fn new(name: &str) -> Self {
            let folder = format!("keelson-ledger-{name}-{}", std::process::id());
            let folder = std::env::temp_dir().join(folder);
            let _ = fs::remove_dir_all(&folder);
            fs::create_dir_all(folder.join("web")).unwrap();
            let mut log = File::create(folder.join("web").join(CURRENT)).unwrap();
            log.write_all(b"1 1 o before\n").unwrap();
            let (reader, writer) = io::pipe().unwrap();
            let pipe = File::from(OwnedFd::from(reader));
            Self {
                folder,
                log,
                pipe,
                writer,
            }
        }

        fn ledger(&self) -> Ledger {
            Ledger::open(&self.folder.join("ledger"), &self.folder).unwrap()
        }

        fn end(&self) -> End {
            let found = self.log.metadata().unwrap();
            End {
                inode: found.ino(),
                offset: found.len(),
            }
        }

        /// What is left in the pipe.
        fn rest(mut self) -> String {
            drop(self.writer);
            let mut text = String::new();
            self.pipe.read_to_string(&mut text).unwrap();
            let _ = fs::remove_dir_all(&self.folder);
            text
        }
    }

    #[test]
    fn what_a_killed_logd_has_written_is_taken_and_nothing_else() {
        let dropped = "9 1 s 3 lines were dropped\n";
        for (name, written, expected) in [
            ("nothing", String::new(), "one\ntwo\nthree"),
            ("half", "9 1 o on".to_owned(), "one\ntwo\nthree"),
            ("one", "9 1 o one\n9 1 o tw".to_owned(), "two\nthree"),
            ("dropped", format!("{dropped}9 1 o one\n"), "two\nthree"),
            ("all", "9 1 o one\n9 1 o two\n".to_owned(), "three"),
            ("piece", "9 1 o one\n9 1 O tw\n".to_owned(), "o\nthree"),
        ] {
            let mut test = Test::new(name);
            test.writer.write_all(b"one\ntwo\nthree").unwrap();
            let mut ledger = test.ledger();
            let slot = ledger.claim(&test.pipe).unwrap();
            ledger.begin(slot, test.end(), 8);
            test.log.write_all(written.as_bytes()).unwrap();
            drop(ledger);
            // One that is killed before the pipe is lent to it.
            drop(test.ledger());
            let mut ledger = test.ledger();
            let slot = ledger.claim(&test.pipe).unwrap();
            // And another after it has taken it.
            drop(ledger);
            assert_eq!(test.ledger().claim(&test.pipe).unwrap(), slot);
            assert_eq!(test.rest(), expected, "{name}");
        }
    }

    #[test]
    fn who_was_killed_while_it_took_is_gone_on_with() {
        let mut test = Test::new("taking");
        test.writer.write_all(b"one\ntwo\nthree").unwrap();
        let mut ledger = test.ledger();
        let slot = ledger.claim(&test.pipe).unwrap();
        ledger.written(slot, 8);
        let (pipe, sink) = (test.pipe.as_fd(), ledger.sink.as_fd());
        sys::splice::take(pipe, sink, &ledger.words, slot.word(TAKEN), 5).unwrap();
        drop(ledger);
        assert_eq!(test.ledger().claim(&test.pipe).unwrap(), slot);
        assert_eq!(test.rest(), "three");
    }

    #[test]
    fn each_pipe_has_its_own_slot_until_its_end() {
        let tests = ["a", "b", "c"].map(Test::new);
        let mut ledger = tests[0].ledger();
        let slots = tests
            .each_ref()
            .map(|test| ledger.claim(&test.pipe).unwrap());
        assert_eq!(slots, [Slot(0), Slot(1), Slot(2)]);
        ledger.release(slots[1]);
        drop(ledger);
        let mut ledger = tests[0].ledger();
        assert_eq!(ledger.claim(&tests[2].pipe).unwrap(), Slot(2));
        let other = Test::new("d");
        assert_eq!(ledger.claim(&other.pipe).unwrap(), Slot(1));
        assert_eq!(ledger.claim(&tests[0].pipe).unwrap(), Slot(0));
        ledger.words.set(USED, as_word(SLOTS_MAX));
        let beyond = Test::new("e");
        assert_eq!(ledger.claim(&beyond.pipe).unwrap(), Slot(SLOTS_MAX));
    }

    #[test]
    fn what_a_container_has_taken_itself_is_not_waited_for() {
        let mut test = Test::new("thief");
        test.writer.write_all(b"one\ntwo\n").unwrap();
        let mut ledger = test.ledger();
        let slot = ledger.claim(&test.pipe).unwrap();
        ledger.written(slot, 8);
        test.pipe.read_exact(&mut [0; 6]).unwrap();
        ledger.take(slot, &test.pipe).unwrap();
        test.writer.write_all(b"next\n").unwrap();
        ledger.take(slot, &test.pipe).unwrap();
        assert_eq!(test.rest(), "next\n");
    }
}
