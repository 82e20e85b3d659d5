//! The file system on the state partition: its superblock, its repair, its growth.

use super::partition::Found;
use crate::console;
use crate::stage::StageError;
use std::ffi::CString;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::AsFd;
use std::path::Path;
use sys::clock::since_boot_ms;
use sys::clone::{Spawn, spawn};
use sys::pidfd::Ended;

/// What the ext4 superblock says (fs/ext4/ext4.h, `struct ext4_super_block`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Superblock {
    clean: bool,
    block_size: u64,
    blocks: u64,
}

impl Superblock {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let u16_at = |at: usize| Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
        let u32_at = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        const MAGIC: u16 = 0xef53;
        const STATE_VALID: u16 = 1;
        const STATE_ERRORS: u16 = 2;
        const INCOMPAT_RECOVER: u32 = 4;
        const INCOMPAT_64BIT: u32 = 0x80;
        if u16_at(56)? != MAGIC {
            return None;
        }
        let state = u16_at(58)?;
        let incompat = u32_at(96)?;
        let high = if incompat & INCOMPAT_64BIT != 0 {
            u32_at(336)?
        } else {
            0
        };
        Some(Self {
            clean: state & STATE_VALID != 0
                && state & STATE_ERRORS == 0
                && incompat & INCOMPAT_RECOVER == 0,
            block_size: 1024u64.checked_shl(u32_at(24)?)?,
            blocks: u64::from(u32_at(4)?) | u64::from(high) << 32,
        })
    }

    fn read(device: &Path) -> Option<Self> {
        let mut bytes = [0; 1024];
        let mut file = File::open(device).ok()?;
        file.seek(SeekFrom::Start(1024)).ok()?;
        file.read_exact(&mut bytes).ok()?;
        Self::parse(&bytes)
    }
}

/// Exit status of e2fsck(8), a sum of bits.
const FSCK_CORRECTED: i32 = 1 | 2;
const FSCK_UNCORRECTED: i32 = 4;
/// "Operational error": without a superblock nothing is done unasked; a full check looks for a copy of it.
const FSCK_UNREADABLE: i32 = 8;
/// e2fsck gives up after it has put back a superblock from a copy that was made while mounted (the copy asks for the
/// journal again); the next one finds the superblock and repairs the rest.
const FULL_CHECKS_MAX: usize = 2;
/// Of what e2fsck says, which may be megabytes about a badly damaged disk, the end is kept: it has the outcome.
const FSCK_OUTPUT_MAX: usize = 2048;

/// Run e2fsck where the file system was not left clean: first what is safe to do unasked, then everything.
pub(super) fn check(device: &Path) -> Result<(), StageError> {
    if Superblock::read(device).is_some_and(|found| found.clean) {
        return Ok(());
    }
    let name = device.display();
    match e2fsck(device, c"-p")? {
        0 => Ok(()),
        code if code & !FSCK_CORRECTED == 0 => {
            console::say(format_args!(
                "{name}: was not left clean, and has been put right"
            ));
            Ok(())
        }
        code if code & (FSCK_UNCORRECTED | FSCK_UNREADABLE) != 0 => {
            console::warn(format_args!(
                "{name}: damaged beyond the usual: repairing all of it, look into /var/lost+found"
            ));
            let mut code = FSCK_UNCORRECTED;
            for _ in 0..FULL_CHECKS_MAX {
                code = e2fsck(device, c"-fy")?;
                if code & !FSCK_CORRECTED == 0 {
                    return Ok(());
                }
            }
            Err(StageError::text(format!(
                "{name}: beyond repair (e2fsck: status {code}); left as it is: restore it, or write the disk image anew"
            )))
        }
        code => Err(StageError::text(format!(
            "{name}: e2fsck: status {code}; left as it is"
        ))),
    }
}

fn e2fsck(device: &Path, mode: &std::ffi::CStr) -> Result<i32, StageError> {
    let failed = |error: std::io::Error| StageError::io("e2fsck", error);
    let program = CString::new(format!("{}/e2fsck", sys::paths::PROGRAMS)).unwrap_or_default();
    let device = CString::new(device.as_os_str().as_encoded_bytes()).unwrap_or_default();
    let null = File::open("/dev/null").map_err(failed)?;
    // It writes its lines in pieces, and each would be a line of the kernel's log.
    let (mut output, written) = std::io::pipe().map_err(failed)?;
    let child = spawn(&Spawn {
        namespaces: 0,
        cgroup: None,
        program: &program,
        arguments: &[c"e2fsck", mode, &device],
        environment: &[],
        descriptors: &[
            (null.as_fd(), 0),
            (written.as_fd(), 1),
            (written.as_fd(), 2),
        ],
    })
    .map_err(failed)?;
    drop(written);
    let said = last_lines(&mut output).map_err(failed)?;
    let ended = sys::pidfd::wait(child.pidfd.as_fd()).map_err(failed)?;
    for line in said.lines().filter(|line| !line.trim().is_empty()) {
        match ended {
            Ended::Code(0) => log::info!("e2fsck: {line}"),
            _ => log::warn!("e2fsck: {line}"),
        }
    }
    match ended {
        Ended::Code(127) => Err(StageError::text("e2fsck is not part of this release")),
        Ended::Code(code) => Ok(code),
        Ended::Signal(signal) => Err(StageError::text(format!(
            "e2fsck was killed by {}",
            unit::signal::display(signal)
        ))),
    }
}

fn last_lines(output: &mut impl Read) -> std::io::Result<String> {
    let (mut said, mut buffer) = (Vec::new(), [0; FSCK_OUTPUT_MAX]);
    let mut cut = false;
    loop {
        let bytes = output.read(&mut buffer)?;
        if bytes == 0 {
            break;
        }
        said.extend_from_slice(buffer.get(..bytes).unwrap_or_default());
        let over = said.len().saturating_sub(FSCK_OUTPUT_MAX);
        cut |= over > 0;
        said.drain(..over);
    }
    let text = String::from_utf8_lossy(&said);
    let whole = match text.split_once('\n') {
        Some((_, rest)) if cut => rest,
        _ => &text,
    };
    Ok(whole.to_owned())
}

/// Let the mounted file system fill its partition.
pub(super) fn grow(found: &Found) -> Result<(), StageError> {
    let Some(superblock) = Superblock::read(&found.device) else {
        return Ok(());
    };
    let bytes = found
        .partition
        .sectors()
        .saturating_mul(u64::from(found.sector_size));
    let blocks = bytes.checked_div(superblock.block_size).unwrap_or(0);
    if blocks <= superblock.blocks {
        return Ok(());
    }
    let start = since_boot_ms();
    let root =
        File::open(sys::paths::STATE).map_err(|error| StageError::io(sys::paths::STATE, error))?;
    sys::block::grow_ext4(&root, blocks).map_err(|error| {
        StageError::io(
            format!(
                "{}: the file system can't grow to {} MiB",
                found.device.display(),
                bytes >> 20
            ),
            error,
        )
    })?;
    let took = since_boot_ms().saturating_sub(start);
    console::say(format_args!(
        "{}: file system is now {} MiB ({took} ms)",
        found.device.display(),
        bytes >> 20
    ));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Superblock;

    #[test]
    fn a_superblock_that_needs_recovery_is_not_clean() {
        let mut bytes = vec![0; 1024];
        bytes[56..58].copy_from_slice(&0xef53u16.to_le_bytes());
        bytes[58] = 1;
        bytes[24] = 2;
        bytes[4] = 100;
        assert_eq!(
            Superblock::parse(&bytes),
            Some(Superblock {
                clean: true,
                block_size: 4096,
                blocks: 100
            })
        );
        bytes[96] = 4;
        assert!(!Superblock::parse(&bytes).unwrap().clean);
        bytes[56] = 0;
        assert_eq!(Superblock::parse(&bytes), None);
        assert_eq!(Superblock::parse(&bytes[..100]), None);
    }
}
