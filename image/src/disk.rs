//! The disk image: a GUID partition table, the EFI system partition, the state partition (docs/architecture.md, "The
//! disk"). Written small and sparse; it grows on the machine.

use crate::error::{BuildError, at, content};
use crate::{cpio, digest, esp, sparse, state};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use sys::gpt::{self, Guid, Table};

const SECTOR: u32 = 512;
/// Counted up when this code writes another disk for the same files, so that a disk made before is not kept.
pub(crate) const FORMAT: u32 = 2;
/// Reserved for machines without UEFI.
const BIOS_BOOT_BYTES: u64 = 1 << 20;
/// Tables and alignment at both ends.
const BORDER_BYTES: u64 = 2 << 20;

/// The smallest disk, and the size of the image that is shipped.
pub const BYTES: u64 = BORDER_BYTES + BIOS_BOOT_BYTES + esp::BYTES + state::BYTES;

/// Write the disk image. `files` are those of the EFI system partition.
pub(crate) fn write(path: &Path, files: &esp::Files<'_>, bytes: u64) -> Result<(), BuildError> {
    if bytes < BYTES {
        return Err(BuildError::DiskSize {
            asked: bytes,
            least: BYTES,
        });
    }
    let temporary = path.with_extension("incoming");
    let _ = std::fs::remove_file(&temporary);
    let disk = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&temporary)
        .map_err(at(&temporary))?;
    disk.set_len(BYTES).map_err(at(&temporary))?;
    let table = table(files.version).map_err(|problem| content(path, problem))?;
    write_table(&disk, &temporary, &table)?;
    let start = |number: usize| {
        table
            .partitions
            .get(number)
            .map_or(0, |partition| partition.first * u64::from(SECTOR))
    };
    esp::write(&disk, &temporary, start(1), files)?;
    let state_file = path.with_extension("state");
    state::make(
        &state_file,
        &identity("state file system", files.version).to_string(),
        cpio::date(),
    )?;
    sparse::copy(&state_file, &disk, &temporary, start(2))?;
    std::fs::remove_file(&state_file).map_err(at(&state_file))?;
    disk.set_len(bytes).map_err(at(&temporary))?;
    std::fs::rename(&temporary, path).map_err(at(path))
}

/// Identities that follow from the version: the same image has the same bytes. Nothing on the machine depends on their
/// being different from another machine's.
fn identity(of: &str, version: &str) -> Guid {
    Guid(digest::id(&["keelson", version, of]))
}

fn table(version: &str) -> Result<Table, String> {
    let mut table =
        Table::new(identity("disk", version), BYTES, SECTOR).map_err(|error| error.to_string())?;
    let partitions = [
        (gpt::BIOS_BOOT, "bios-boot", Some(BIOS_BOOT_BYTES)),
        (gpt::EFI_SYSTEM, "keelson-esp", Some(esp::BYTES)),
        (gpt::STATE, gpt::STATE_NAME, Some(state::BYTES)),
    ];
    for (kind, name, bytes) in partitions {
        if !table.append(kind, identity(name, version), name, bytes) {
            return Err(format!("no room for partition {name}"));
        }
    }
    Ok(table)
}

fn write_table(disk: &File, path: &Path, table: &Table) -> Result<(), BuildError> {
    let layout = table.layout();
    disk.write_all_at(&layout.mbr, 0).map_err(at(path))?;
    for (offset, bytes) in [layout.backup, layout.primary] {
        disk.write_all_at(&bytes, offset).map_err(at(path))?;
    }
    Ok(())
}

/// Make a machine's disk of `bytes` bytes from the image: a sparse copy with empty space behind it, which the machine
/// takes at its first boot.
///
/// # Errors
/// When the image can't be read, `path` can't be written, or `bytes` is less than the image has.
pub fn create(image: &Path, path: &Path, bytes: u64) -> Result<(), BuildError> {
    let least = image.metadata().map_err(at(image))?.len();
    if bytes < least {
        return Err(BuildError::DiskSize {
            asked: bytes,
            least,
        });
    }
    // Half a disk would be used from then on.
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".incoming");
    let temporary = PathBuf::from(temporary);
    let _ = std::fs::remove_file(&temporary);
    let disk = File::create_new(&temporary).map_err(at(&temporary))?;
    disk.set_len(bytes).map_err(at(&temporary))?;
    sparse::copy(image, &disk, &temporary, 0)?;
    std::fs::rename(&temporary, path).map_err(at(path))
}

/// Make a qcow2 file of a disk.
///
/// # Errors
/// When qemu-img fails.
pub fn qcow2(raw: &Path, path: &Path) -> Result<(), BuildError> {
    host::packages::ensure(&[host::packages::Need::Qemu])?;
    let mut command = std::process::Command::new("qemu-img");
    command
        .args(["convert", "-f", "raw", "-O", "qcow2"])
        .arg(raw)
        .arg(path);
    host::run::output(&mut command)?;
    Ok(())
}

/// Read `8G`, `512M`, `1T` or a number of bytes (powers of 1024).
///
/// # Errors
/// What is wrong with the text.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match &text[digits.len()..] {
        "" | "B" => 1,
        "K" | "KiB" => 1 << 10,
        "M" | "MiB" => 1 << 20,
        "G" | "GiB" => 1 << 30,
        "T" | "TiB" => 1u64 << 40,
        unit => return Err(format!("unknown unit {unit:?}; use K, M, G or T")),
    };
    let number: u64 = digits
        .parse()
        .map_err(|_| format!("{text:?} is not a size such as 8G"))?;
    number
        .checked_mul(factor)
        .ok_or_else(|| format!("{text} is too large"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_1024() {
        assert_eq!(parse_size("8G"), Ok(8 << 30));
        assert_eq!(parse_size("512"), Ok(512));
        assert!(parse_size("8X").is_err());
        assert!(parse_size("99999999999T").is_err());
        assert!(parse_size("").is_err());
    }

    #[test]
    fn disk_has_the_partitions_of_the_architecture_and_comes_out_the_same_twice() {
        let folder = std::env::temp_dir().join(format!("keelson-disk-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let files = esp::Files {
            loader: b"loader",
            release: &[9; 100_000],
            version: "1.2.3",
        };
        let paths = ["one.raw", "two.raw"].map(|name| folder.join(name));
        for path in &paths {
            write(path, &files, BYTES).unwrap();
        }
        assert!(
            std::fs::read(&paths[0]).unwrap() == std::fs::read(&paths[1]).unwrap(),
            "the two disks differ"
        );
        let grown = folder.join("grown.raw");
        let interrupted = folder.join("grown.raw.incoming");
        std::fs::write(&interrupted, b"half").unwrap();
        create(&paths[0], &grown, 4 << 30).unwrap();
        assert!(!interrupted.exists());
        let mut disk = File::open(&grown).unwrap();
        let (table, health) = gpt::read(&mut disk, 4 << 30, SECTOR).unwrap();
        assert_eq!(health, gpt::Health::Sound);
        let sizes: Vec<u64> = table
            .partitions
            .iter()
            .map(|partition| (partition.sectors() * 512) >> 20)
            .collect();
        assert_eq!(sizes, [1, 512, 128]);
        let esp_start = table.partitions[1].first * 512;
        let release = esp::read_file(&grown, esp_start, "EFI/Linux/keelson_1.2.3.efi").unwrap();
        assert_eq!(release, files.release);
        let on_disk = std::os::unix::fs::MetadataExt::blocks(&grown.metadata().unwrap()) * 512;
        assert!(on_disk < 64 << 20, "{on_disk} bytes of a sparse file");
        assert!(matches!(
            create(&paths[0], &grown, 1 << 20),
            Err(BuildError::DiskSize { .. })
        ));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
