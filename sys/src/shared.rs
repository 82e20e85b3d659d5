//! Numbers in a file that outlive whoever writes them (mmap(2), `MAP_SHARED`).
//!
//! A process that is killed leaves them as its last instruction left them: they are the file's, not its own.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicU64, Ordering};

/// A file's content as numbers of 64 bits.
#[derive(Debug)]
pub struct Words {
    first: NonNull<AtomicU64>,
    count: usize,
}

impl Words {
    /// The first `count` words of a file, which is made as long as they need; those that were not there are 0.
    ///
    /// Nobody may shorten the file as long as this lives: whoever touches what is gone gets SIGBUS.
    ///
    /// # Errors
    /// As ftruncate(2) and mmap(2); `InvalidInput` for none or too many.
    pub fn map(file: &File, count: usize) -> io::Result<Self> {
        let bytes = count.checked_mul(size_of::<AtomicU64>());
        let bytes = bytes
            .filter(|bytes| *bytes > 0)
            .ok_or(io::ErrorKind::InvalidInput)?;
        file.set_len(u64::try_from(bytes).map_err(|_| io::ErrorKind::InvalidInput)?)?;
        // SAFETY: a new mapping, at a place that the kernel chooses, touches no memory that there is.
        let address = unsafe {
            libc::mmap(
                null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let first = NonNull::new(address.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { first, count })
    }

    fn word(&self, index: usize) -> Option<&AtomicU64> {
        if index >= self.count {
            return None;
        }
        // SAFETY: within the mapping, which is as long as `count` words and lives as long as `self`; mmap(2) aligns it to a
        // page, and every pattern of bits is a number.
        Some(unsafe { self.first.add(index).as_ref() })
    }

    /// 0 for what is beyond the end.
    #[must_use]
    pub fn get(&self, index: usize) -> u64 {
        self.word(index)
            .map_or(0, |word| word.load(Ordering::Acquire))
    }

    /// In the order of the calls, for whoever looks after this process is gone. What is beyond the end is ignored.
    pub fn set(&self, index: usize, value: u64) {
        if let Some(word) = self.word(index) {
            word.store(value, Ordering::Release);
        }
    }

    /// For a system call that writes into it.
    pub(crate) fn pointer(&self, index: usize) -> Option<*mut u64> {
        self.word(index).map(AtomicU64::as_ptr)
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours alone, and nobody can have a reference into it any more.
        unsafe { libc::munmap(self.first.as_ptr().cast(), self.count * size_of::<u64>()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_the_file() {
        let file = File::from(crate::memfd::open("words").unwrap());
        let words = Words::map(&file, 600).unwrap();
        assert_eq!((words.get(599), words.get(600)), (0, 0));
        words.set(599, 7);
        words.set(600, 8);
        drop(words);
        let words = Words::map(&file, 700).unwrap();
        assert_eq!((words.get(599), words.get(600)), (7, 0));
        assert!(Words::map(&file, 0).is_err());
    }
}
