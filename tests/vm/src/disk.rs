//! A machine's disk as the build host sees it while the machine is off.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
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
        let copy = self.copied_out();
        let output = Command::new("e2fsck")
            .args(["-fn"])
            .arg(&copy)
            .output()
            .unwrap();
        let _ = std::fs::remove_file(&copy);
        assert!(
            output.status.success(),
            "e2fsck -fn: {}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stdout)
        );
    }

    /// e2fsck takes no offset; holes stay holes.
    fn copied_out(&self) -> PathBuf {
        let copy = self.disk.with_extension("state");
        let source = File::open(&self.disk).unwrap();
        let target = File::create(&copy).unwrap();
        target.set_len(self.bytes).unwrap();
        let mut piece = vec![0; PIECE_BYTES];
        let mut done = 0;
        while done < self.bytes {
            let length =
                usize::try_from((self.bytes - done).min(PIECE_BYTES as u64)).unwrap_or(PIECE_BYTES);
            source
                .read_exact_at(&mut piece[..length], self.start + done)
                .unwrap();
            if piece[..length].iter().any(|byte| *byte != 0) {
                target.write_all_at(&piece[..length], done).unwrap();
            }
            done += length as u64;
        }
        copy
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

/// A number that another content of the file would not have (FNV-1a, 64 bits: nobody is trying to deceive us here).
///
/// # Panics
/// When it can't be read.
#[must_use]
pub fn digest(path: &Path) -> u64 {
    let mut file = File::open(path).unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
    let mut piece = vec![0; PIECE_BYTES];
    let mut sum = 0xcbf2_9ce4_8422_2325_u64;
    loop {
        let bytes = file.read(&mut piece).unwrap();
        if bytes == 0 {
            return sum;
        }
        for byte in &piece[..bytes] {
            sum = (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
