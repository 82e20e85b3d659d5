//! The random seed that a machine carries from boot to boot, so that its first random numbers are as good as its last.
//!
//! ```text
//! /var/machine/seed of the last boot ─▶ replaced by another, on the disk ─▶ stirred into the kernel's pool, and counted
//! ```
//! The order is the point: a seed that is counted must never come again, so it is gone before it is used, whatever moment
//! the power is cut at. What replaces it is made of it by a one-way function: whoever reads the disk later learns nothing
//! about this boot.
//!
//! Where the kernel's pool is ready when PID 1 is (the processor has random numbers, or the firmware gave some), the seed
//! is used when the boot is over: nobody waits for it, and a write that has to be on the disk is slow. Where it is not,
//! the stage `identity` uses it.

use crate::durable;
use sha2::{Digest, Sha256};
use std::io;
use std::path::Path;
use sys::random::{self, SEED_BYTES};

const FILE: &str = "/var/machine/seed";
/// So that the one-way function is ours alone.
const PURPOSE: &[u8] = b"keelson random seed";

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seeding {
    /// The last boot's seed counts, and there is another one for the next.
    Credited,
    /// There was none; there is one for the next boot.
    First,
    /// Neither is there one nor anything good to make one of.
    None,
}

/// Use the seed of the last boot, once.
///
/// # Errors
/// When it can't be replaced: then it was not used.
pub(crate) fn renew() -> io::Result<Seeding> {
    let fresh = random::good_bytes()?;
    let insecure = random::bytes()?;
    renew_at(Path::new(FILE), fresh, insecure, random::credit)
}

/// The kernel has no good random numbers yet.
pub(crate) fn is_needed() -> bool {
    random::good_bytes::<1>().is_ok_and(|bytes| bytes.is_none())
}

/// Leave another seed for the next boot: what has come into the pool since the last one is in it.
///
/// # Errors
/// When it can't be written.
pub(crate) fn save() -> io::Result<()> {
    match random::good_bytes()? {
        Some(fresh) => save_at(Path::new(FILE), fresh),
        None => Ok(()),
    }
}

fn renew_at(
    path: &Path,
    fresh: Option<[u8; SEED_BYTES]>,
    insecure: [u8; SEED_BYTES],
    credit: impl FnOnce([u8; SEED_BYTES]) -> io::Result<()>,
) -> io::Result<Seeding> {
    match (read(path)?, fresh) {
        (Some(seed), fresh) => {
            durable::write_secret(path, &next(&seed, &fresh.unwrap_or(insecure)))?;
            credit(seed)?;
            Ok(Seeding::Credited)
        }
        (None, Some(fresh)) => {
            durable::write_secret(path, &next(&[], &fresh))?;
            Ok(Seeding::First)
        }
        (None, None) => Ok(Seeding::None),
    }
}

fn save_at(path: &Path, fresh: [u8; SEED_BYTES]) -> io::Result<()> {
    let seed = read(path)?;
    let old = seed.as_ref().map_or(&[][..], |seed| &seed[..]);
    durable::write_secret(path, &next(old, &fresh))
}

/// One that has another length is none: a file that somebody has touched is not counted.
fn read(path: &Path) -> io::Result<Option<[u8; SEED_BYTES]>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(bytes.try_into().ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn next(seed: &[u8], fresh: &[u8; SEED_BYTES]) -> [u8; SEED_BYTES] {
    let mut hash = Sha256::new();
    for part in [PURPOSE, seed, fresh] {
        hash.update(part);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    fn place(name: &str) -> PathBuf {
        let folder =
            std::env::temp_dir().join(format!("keelson-seed-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        folder.join("seed")
    }

    fn unused(_: [u8; SEED_BYTES]) -> io::Result<()> {
        panic!("nothing to count")
    }

    #[test]
    fn a_seed_is_replaced_before_it_is_counted_and_nobody_else_reads_it() {
        let path = place("order");
        std::fs::write(&path, [7; SEED_BYTES]).unwrap();
        let done = renew_at(&path, None, [1; SEED_BYTES], |seed| {
            assert_eq!(seed, [7; SEED_BYTES]);
            let left = std::fs::read(&path).unwrap();
            assert!(left.len() == SEED_BYTES && left != seed, "{left:?}");
            Ok(())
        });
        assert_eq!(done.unwrap(), Seeding::Credited);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
    }

    #[test]
    fn one_that_can_not_be_replaced_is_not_counted() {
        let path = place("stuck");
        std::fs::write(&path, [7; SEED_BYTES]).unwrap();
        // What is written beside it can't be made.
        std::fs::create_dir_all(path.with_file_name("seed.new")).unwrap();
        renew_at(&path, Some([2; SEED_BYTES]), [1; SEED_BYTES], unused).unwrap_err();
        std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
    }

    #[test]
    fn what_is_no_seed_is_not_counted_and_none_is_made_of_bad_numbers() {
        let path = place("first");
        for content in [None, Some(&b"short"[..])] {
            let _ = std::fs::remove_file(&path);
            if let Some(content) = content {
                std::fs::write(&path, content).unwrap();
            }
            let none = renew_at(&path, None, [1; SEED_BYTES], unused).unwrap();
            assert_eq!(none, Seeding::None);
            let first = renew_at(&path, Some([2; SEED_BYTES]), [1; SEED_BYTES], unused);
            assert_eq!(first.unwrap(), Seeding::First);
            assert_eq!(std::fs::read(&path).unwrap().len(), SEED_BYTES);
        }
        std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
    }

    #[test]
    fn every_save_leaves_another_one() {
        let path = place("save");
        save_at(&path, [2; SEED_BYTES]).unwrap();
        let first = std::fs::read(&path).unwrap();
        save_at(&path, [2; SEED_BYTES]).unwrap();
        assert_ne!(std::fs::read(&path).unwrap(), first);
        std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
    }
}
