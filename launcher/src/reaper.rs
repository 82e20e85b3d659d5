//! Who stays with a command in a running container, in the container's PID namespace, and reaps whatever it leaves behind.
//!
//! ```text
//! launcher exec ── setns, fork ──▶ reaper ── clone3 into the command's group ──▶ command ── … ──▶ what it has started
//!    │  ▲                            │  child subreaper: orphans come to it, not to the container's first process
//!    │  └── how the command ended ───┘
//!    └── cgroup.kill ─▶ what is left ─▶ reaped ─▶ the reaper ends ─▶ the launcher ends with the command's status
//! ```
//!
//! Invariants: the reaper and the launcher are outside of the command's group, so that a command which is killed at its
//! time limit is reaped too; the reaper keeps no descriptor of the command's, and no privilege.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use sys::caps::{self, Capabilities};
use sys::clone::Child;
use sys::pidfd::Ended;

/// How a command ended, as it goes to the launcher: whether by a signal, and its number or the exit status.
const RECORD_BYTES: usize = 8;
/// Where the reaper keeps the pipe to the launcher, its only descriptor.
const TELL: RawFd = 3;

/// In the reaper, when the command has been started: until nothing of it is left.
pub(crate) fn stay(command: &Child, tell: &OwnedFd) -> ! {
    let status = match try_stay(command, tell) {
        Ok(()) => 0,
        // The launcher hears of an end without a word, and kills what there is.
        Err(_) => 125,
    };
    sys::program::exit_at_once(status)
}

fn try_stay(command: &Child, tell: &OwnedFd) -> std::io::Result<()> {
    let parent = sys::program::parent();
    // Whoever reads what the command writes must see its end with its end, and a terminal must hang up.
    sys::descriptor::place(&[(tell.as_fd(), TELL)])?;
    sys::program::close_from(TELL.cast_unsigned() + 1)?;
    for standard in 0..TELL {
        drop(sys::descriptor::inherited(standard));
    }
    caps::limit_bounding_set(Capabilities::NONE)?;
    caps::set(Capabilities::NONE)?;
    sys::credentials::set_no_new_privileges()?;
    sys::program::die_with_parent(parent)?;
    let mut tell = File::from(sys::descriptor::inherited(TELL)?);
    while let Some((pid, ended)) = sys::pidfd::wait_any()? {
        if pid == command.pid {
            tell.write_all(&record(ended))?;
        }
    }
    Ok(())
}

/// In the launcher: how the command ended, once everything that it had started is gone.
pub(crate) fn follow(
    reaper: &Child,
    told: OwnedFd,
    group: Option<BorrowedFd<'_>>,
) -> std::io::Result<Ended> {
    let mut record = [0; RECORD_BYTES];
    let known = File::from(told).read_exact(&mut record).is_ok();
    if let Some(group) = group {
        // The group of a container that has ended may be gone.
        let _ = sys::cgroup::kill(group);
    }
    let end = sys::pidfd::wait(reaper.pidfd.as_fd())?;
    Ok(if known { ended(record) } else { end })
}

fn record(ended: Ended) -> [u8; RECORD_BYTES] {
    let (signal, number) = match ended {
        Ended::Code(code) => (0_i32, code),
        Ended::Signal(signal) => (1, signal),
    };
    let mut record = [0; RECORD_BYTES];
    let (first, second) = record.split_at_mut(RECORD_BYTES / 2);
    first.copy_from_slice(&signal.to_ne_bytes());
    second.copy_from_slice(&number.to_ne_bytes());
    record
}

fn ended(record: [u8; RECORD_BYTES]) -> Ended {
    let [a, b, c, d, e, f, g, h] = record;
    let number = i32::from_ne_bytes([e, f, g, h]);
    match i32::from_ne_bytes([a, b, c, d]) {
        0 => Ended::Code(number),
        _ => Ended::Signal(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_goes_through_the_pipe_as_it_is() {
        for end in [Ended::Code(0), Ended::Code(255), Ended::Signal(9)] {
            assert_eq!(ended(record(end)), end);
        }
    }
}
