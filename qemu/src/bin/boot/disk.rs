//! The disk of the machine that `cargo boot` starts: made once, kept from boot to boot, never made smaller.
//!
//! ```text
//! no --disk          target/keelson/run/disk.raw: made from the disk image; its release is brought up to date
//! --disk FILE        as it is; nothing on it is touched but by the machine
//! --disk-size SIZE   a missing one is made, a smaller one grown (the machine takes the space at its boot)
//! ```

use image::{Artefacts, BuildError};
use qemu::{Disk, DiskFormat};
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use sys::gpt::{self, Partition};

/// Size of a disk that is made when nothing is said: what a small cloud VM has. It is sparse.
const BYTES_DEFAULT: u64 = 8 << 30;
const SECTOR: u32 = 512;
/// Copied at once; a piece of zeros is not written over zeros, so that the file stays sparse.
const PIECE_BYTES: usize = 1 << 20;

/// What is done about the disk.
#[derive(Clone, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) named: Option<&'a Path>,
    pub(crate) bytes: Option<u64>,
    pub(crate) run_folder: &'a Path,
}

#[derive(Debug)]
pub(crate) enum DiskError {
    Missing {
        path: PathBuf,
    },
    TooSmall {
        path: PathBuf,
        bytes: u64,
        asked: u64,
    },
    NotRaw {
        path: PathBuf,
    },
    /// Its table is not the one we make.
    Foreign {
        path: PathBuf,
        problem: String,
    },
    Build(BuildError),
    Io {
        path: PathBuf,
        source: io::Error,
    },
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { path } => write!(
                f,
                "{}: no such disk; with --disk-size SIZE it is made, without --disk the machine has one of its own",
                path.display()
            ),
            Self::TooSmall { path, bytes, asked } => write!(
                f,
                "{} has {} already and is not made smaller to {}: move it away, or leave --disk-size out",
                path.display(),
                unit::bytes::display(*bytes),
                unit::bytes::display(*asked)
            ),
            Self::NotRaw { path } => {
                write!(
                    f,
                    "{}: only raw disks are made and grown here; use qemu-img for others",
                    path.display()
                )
            }
            Self::Foreign { path, problem } => {
                write!(
                    f,
                    "{}: {problem}; move it away, and the next boot makes a new one",
                    path.display()
                )
            }
            Self::Build(error) => error.fmt(f),
            Self::Io { path, source } => write!(f, "{}: {source}", path.display()),
        }
    }
}

impl std::error::Error for DiskError {}

fn at(path: &Path) -> impl FnOnce(io::Error) -> DiskError {
    let path = path.to_owned();
    move |source| DiskError::Io { path, source }
}

/// Whether the request can be met, as far as that is known without an image.
pub(crate) fn check(request: &Request<'_>) -> Result<(), DiskError> {
    match (request.named, request.bytes) {
        (Some(path), None) if !path.exists() => Err(DiskError::Missing {
            path: path.to_owned(),
        }),
        (named, Some(asked)) => {
            let own = request.run_folder.join("disk.raw");
            let disk = Disk::at(named.unwrap_or(&own));
            raw_only(&disk)?;
            check_size(&disk.path, asked)
        }
        (Some(_) | None, None) => Ok(()),
    }
}

/// A disk that is there is not made smaller.
fn check_size(path: &Path, asked: u64) -> Result<(), DiskError> {
    match path.metadata() {
        Ok(about) if asked < about.len() => Err(DiskError::TooSmall {
            path: path.to_owned(),
            bytes: about.len(),
            asked,
        }),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// The machine's disk, made or grown as asked. [`check`] has been passed.
pub(crate) fn ready(request: &Request<'_>, artefacts: &Artefacts) -> Result<Disk, DiskError> {
    let own = request.run_folder.join("disk.raw");
    let path = request.named.unwrap_or(&own);
    let disk = Disk::at(path);
    let image = artefacts.disk.as_deref().unwrap_or(Path::new("disk.raw"));
    if !path.exists() {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(at(parent))?;
        }
        let bytes = request.bytes.unwrap_or(BYTES_DEFAULT);
        let step = host::progress::step(&format!("make the disk {}", path.display()));
        image::disk::create(image, path, bytes).map_err(DiskError::Build)?;
        step.done(&unit::bytes::display(bytes));
    } else if let Some(asked) = request.bytes {
        grow(&disk, asked)?;
    }
    if request.named.is_none() {
        bring_up_to_date(path, image, artefacts)?;
    }
    Ok(disk)
}

fn raw_only(disk: &Disk) -> Result<(), DiskError> {
    match disk.format {
        DiskFormat::Raw => Ok(()),
        DiskFormat::Qcow2 => Err(DiskError::NotRaw {
            path: disk.path.clone(),
        }),
    }
}

fn grow(disk: &Disk, asked: u64) -> Result<(), DiskError> {
    let path = &disk.path;
    check_size(path, asked)?;
    let file = OpenOptions::new()
        .write(true)
        .open(path)
        .map_err(at(path))?;
    file.set_len(asked).map_err(at(path))
}

/// The release on our own disk is the one that was built: its EFI system partition is copied again when that has changed.
/// The state partition stays as it is.
fn bring_up_to_date(path: &Path, image: &Path, artefacts: &Artefacts) -> Result<(), DiskError> {
    let stamp = path.with_extension("release");
    let release = fs::metadata(&artefacts.release)
        .and_then(|about| about.modified())
        .map_err(at(&artefacts.release))?;
    let now = format!("{release:?}\n");
    if fs::read_to_string(&stamp).is_ok_and(|then| then == now) {
        return Ok(());
    }
    let source = File::open(image).map_err(at(image))?;
    let target = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .map_err(at(path))?;
    let from = system_partition(&source, image)?;
    let to = system_partition(&target, path)?;
    if from.sectors() != to.sectors() {
        let problem =
            "its EFI system partition has another size than that of this release".to_owned();
        return Err(DiskError::Foreign {
            path: path.to_owned(),
            problem,
        });
    }
    copy(&source, from.first, &target, to.first, from.sectors()).map_err(at(path))?;
    target.sync_all().map_err(at(path))?;
    fs::write(&stamp, now).map_err(at(&stamp))
}

fn system_partition(disk: &File, path: &Path) -> Result<Partition, DiskError> {
    let bytes = disk.metadata().map_err(at(path))?.len();
    let foreign = |problem: String| DiskError::Foreign {
        path: path.to_owned(),
        problem,
    };
    // A table of a disk that was grown since the last boot is at its old end, which counts as one good copy.
    let (table, _) =
        gpt::read(&mut &*disk, bytes, SECTOR).map_err(|error| foreign(error.to_string()))?;
    let found = table
        .partitions
        .into_iter()
        .find(|partition| partition.kind == gpt::EFI_SYSTEM);
    found.ok_or_else(|| foreign("it has no EFI system partition".to_owned()))
}

fn copy(source: &File, from: u64, target: &File, to: u64, sectors: u64) -> io::Result<()> {
    let (mut ours, mut theirs) = (vec![0; PIECE_BYTES], vec![0; PIECE_BYTES]);
    let sector = u64::from(SECTOR);
    let end = sectors * sector;
    let mut done = 0;
    while done < end {
        let piece = usize::try_from(end - done)
            .unwrap_or(PIECE_BYTES)
            .min(PIECE_BYTES);
        source.read_exact_at(&mut ours[..piece], from * sector + done)?;
        target.read_exact_at(&mut theirs[..piece], to * sector + done)?;
        if ours[..piece] != theirs[..piece] {
            target.write_all_at(&ours[..piece], to * sector + done)?;
        }
        done += piece as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder =
            std::env::temp_dir().join(format!("keelson-boot-disk-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn a_disk_is_grown_but_never_made_smaller() {
        let folder = folder("grow");
        let path = folder.join("disk.raw");
        File::create(&path).unwrap().set_len(4 << 20).unwrap();
        grow(&Disk::at(&path), 8 << 20).unwrap();
        assert_eq!(path.metadata().unwrap().len(), 8 << 20);
        let error = grow(&Disk::at(&path), 4 << 20).unwrap_err().to_string();
        assert!(error.contains("has 8.0 MiB already"), "{error}");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_copied_partition_has_the_same_bytes_and_its_neighbours_stay() {
        let folder = folder("copy");
        let (a, b) = (folder.join("a"), folder.join("b"));
        fs::write(&a, [7; 4096]).unwrap();
        fs::write(&b, [9; 8192]).unwrap();
        let target = OpenOptions::new().read(true).write(true).open(&b).unwrap();
        copy(&File::open(&a).unwrap(), 2, &target, 4, 6).unwrap();
        let bytes = fs::read(&b).unwrap();
        assert!(
            bytes[..2048]
                .iter()
                .chain(&bytes[2048 + 3072..])
                .all(|byte| *byte == 9)
        );
        assert!(bytes[2048..2048 + 3072].iter().all(|byte| *byte == 7));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_named_disk_that_is_missing_is_an_error_unless_its_size_is_given() {
        let mut request = Request {
            named: Some(Path::new("/nonexistent/disk.raw")),
            bytes: None,
            run_folder: Path::new("/"),
        };
        let error = check(&request).unwrap_err().to_string();
        assert!(error.contains("--disk-size"), "{error}");
        request.bytes = Some(8 << 30);
        check(&request).unwrap();
        request.named = Some(Path::new("/nonexistent/disk.qcow2"));
        assert!(
            check(&request)
                .unwrap_err()
                .to_string()
                .contains("qemu-img")
        );
    }
}
