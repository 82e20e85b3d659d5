//! A machine's disk as the build host sees it while the machine is off.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use sys::gpt;

const SECTOR: u32 = 512;
const PIECE_BYTES: usize = 1 << 20;

/// The state partition of a disk file.
#[derive(Debug)]
pub struct StatePartition {
    disk: PathBuf,
    /// Bytes from the disk's begin.
    pub start: u64,
    pub bytes: u64,
}

impl StatePartition {
    /// # Panics
    /// When the disk has none.
    #[must_use]
    pub fn of(disk: &Path) -> Self {
        let mut file = File::open(disk).unwrap();
        let bytes = file.metadata().unwrap().len();
        let (table, _) = gpt::read(&mut file, bytes, SECTOR).unwrap();
        let partition = table.state().expect("the disk has a state partition");
        Self {
            disk: disk.to_owned(),
            start: partition.first * u64::from(SECTOR),
            bytes: partition.sectors() * u64::from(SECTOR),
        }
    }

    /// Look at the whole file system, changing nothing.
    ///
    /// # Panics
    /// When e2fsck finds anything.
    pub fn is_clean(&self) {
        // "unix_io" of libext2fs takes an offset behind a question mark.
        let place = format!("{}?offset={}", self.disk.display(), self.start);
        let output = Command::new("e2fsck")
            .args(["-fn", &place])
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "e2fsck -fn: {}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stdout)
        );
    }

    /// Write over it.
    ///
    /// # Panics
    /// When that fails.
    pub fn overwrite(&self, offset: u64, bytes: &[u8]) {
        assert!(offset + bytes.len() as u64 <= self.bytes);
        let file = OpenOptions::new().write(true).open(&self.disk).unwrap();
        file.write_all_at(bytes, self.start + offset).unwrap();
    }
}

/// A number that another content of the file would not have (FNV-1a over words of 8 bytes: nobody is trying to deceive us
/// here, and the disks are large).
///
/// # Panics
/// When it can't be read.
#[must_use]
pub fn digest(path: &Path) -> u64 {
    const WORD: usize = size_of::<u64>();
    let mut file = File::open(path).unwrap();
    let mut piece = vec![0; PIECE_BYTES];
    let mut sum = 0xcbf2_9ce4_8422_2325_u64;
    loop {
        let bytes = file.read(&mut piece).unwrap();
        if bytes == 0 {
            return sum;
        }
        // Disks are whole sectors; the end of any other file is filled up with zeros.
        piece[bytes..].fill(0);
        for word in piece[..bytes.next_multiple_of(WORD)].chunks_exact(WORD) {
            let word = word.try_into().map_or(0, u64::from_le_bytes);
            sum = (sum ^ word).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
