//! The EFI system partition: boot loader, its configuration, and one release as one file.
//!
//! ```text
//! EFI/BOOT/BOOTX64.EFI             systemd-boot, where firmware looks on a disk that it does not know
//! EFI/Linux/keelson_<version>.efi  the release (boot counters are added to the name by the updater)
//! loader/loader.conf
//! ```

use crate::error::{BuildError, at};
use fatfs::{FatType, FileSystem, FormatVolumeOptions, FsOptions};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// Room for four releases of four times today's size.
pub(crate) const BYTES: u64 = 512 << 20;

const LOADER_CONF: &str = "timeout 0\neditor no\n";

/// What goes onto the partition.
#[derive(Debug)]
pub(crate) struct Files<'a> {
    pub(crate) loader: &'a [u8],
    pub(crate) release: &'a [u8],
    pub(crate) version: &'a str,
}

/// Write the partition into `disk` at `offset`. Files have FAT's first date (1980), the volume id is fixed.
pub(crate) fn write(
    disk: &File,
    path: &Path,
    offset: u64,
    files: &Files<'_>,
) -> Result<(), BuildError> {
    fill(disk, offset, files).map_err(at(path))
}

fn fill(disk: &File, offset: u64, files: &Files<'_>) -> io::Result<()> {
    let mut window = Window {
        disk: disk.try_clone()?,
        offset,
        length: BYTES,
        place: 0,
    };
    let options = FormatVolumeOptions::new()
        .fat_type(FatType::Fat32)
        .bytes_per_cluster(4096)
        .volume_id(0x4b45_454c)
        .volume_label(*b"KEELSON    ");
    fatfs::format_volume(&mut window, options)?;
    let volume = FileSystem::new(window, FsOptions::new())?;
    let root = volume.root_dir();
    for folder in ["EFI", "EFI/BOOT", "EFI/Linux", "loader"] {
        root.create_dir(folder)?;
    }
    let release = format!("EFI/Linux/keelson_{}.efi", files.version);
    let contents = [
        ("EFI/BOOT/BOOTX64.EFI", files.loader),
        ("loader/loader.conf", LOADER_CONF.as_bytes()),
        (&release, files.release),
    ];
    for (name, bytes) in contents {
        let mut file = root.create_file(name)?;
        file.write_all(bytes)?;
        file.flush()?;
    }
    drop(root);
    volume.unmount()
}

/// A part of a file, as a file of its own.
struct Window {
    disk: File,
    offset: u64,
    length: u64,
    place: u64,
}

impl Window {
    fn room(&self, wanted: usize) -> usize {
        let left = self.length.saturating_sub(self.place);
        wanted.min(usize::try_from(left).unwrap_or(usize::MAX))
    }
}

impl Read for Window {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = self.room(buffer.len());
        let count = std::os::unix::fs::FileExt::read_at(
            &self.disk,
            &mut buffer[..room],
            self.offset + self.place,
        )?;
        self.place += count as u64;
        Ok(count)
    }
}

impl Write for Window {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let room = self.room(buffer.len());
        let count = std::os::unix::fs::FileExt::write_at(
            &self.disk,
            &buffer[..room],
            self.offset + self.place,
        )?;
        self.place += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Window {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let place = match to {
            SeekFrom::Start(place) => Some(place),
            SeekFrom::Current(step) => self.place.checked_add_signed(step),
            SeekFrom::End(step) => self.length.checked_add_signed(step),
        };
        self.place = place.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.place)
    }
}

/// The bytes of a file on the partition, for tests and for looking into an image.
#[cfg(test)]
pub(crate) fn read_file(disk: &Path, offset: u64, name: &str) -> io::Result<Vec<u8>> {
    let disk = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(disk)?;
    let window = Window {
        disk,
        offset,
        length: BYTES,
        place: 0,
    };
    let volume = FileSystem::new(window, FsOptions::new())?;
    let mut bytes = Vec::new();
    volume.root_dir().open_file(name)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}
