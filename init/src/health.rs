//! The machine itself, beside its units: what an operator has to look at, each with what to do about it.
//!
//! ```text
//! memory, state partition ─▶ Health ─▶ warnings ─┬▶ the console, once, at boot
//!                                                └▶ `keelctl status` and `top`, for as long as they hold
//! ```
//! To add one: a fact in [`Health`], and a function in [`Health::warnings`] that makes a line of it.

use crate::stage::Boot;
use std::path::Path;
use sys::memory::{FIRMWARE_BYTES_MAX, LEAST, LEAST_WITHOUT_DISK};
use sys::space::Space;
use unit::bytes::display;

/// Below so many bytes the state partition is called nearly full: what the logs of one unit may take with the defaults
/// (`logging.max_size` times `max_files`), and a layer of a small image.
const STATE_FREE_MIN: u64 = 64 << 20;
/// Below this share as well: with less, ext4 finds no long stretches any more, and everything gets slow (mke2fs(8) keeps
/// as much in reserve by default).
const STATE_FREE_MIN_PERCENT: u64 = 5;

/// Where the state is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StateHome {
    Disk,
    /// There is no partition for it, or none that can be used.
    Memory,
    /// It was asked for on the kernel command line.
    MemoryByWish,
}

/// The facts, as they are now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Health {
    pub state: StateHome,
    /// Of the state; none: it can't be told.
    pub space: Option<Space>,
    /// Bytes; none: it can't be told.
    memory: Option<u64>,
}

impl Health {
    pub(crate) fn of(boot: &Boot) -> Self {
        Self {
            state: boot.state_home(),
            space: sys::space::space(Path::new(sys::paths::STATE)).ok(),
            memory: sys::memory::installed(),
        }
    }

    /// One line each.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let memory = self.memory.and_then(|bytes| too_little(bytes, self.state));
        let space = self.space.and_then(|space| nearly_full(space, self.state));
        [lost(self.state), memory, space]
            .into_iter()
            .flatten()
            .collect()
    }
}

fn lost(state: StateHome) -> Option<String> {
    (state == StateHome::Memory).then(|| {
        "STATE IS IN MEMORY: images, volumes, logs and addresses are lost at the next boot; the console says why at the \
         stage `state`"
            .to_owned()
    })
}

/// What is said while it is not yet known where the state is: with less than this the boot may not come that far.
pub(crate) fn too_little_for_anything() -> Option<String> {
    sys::memory::installed().and_then(|bytes| too_little(bytes, StateHome::Disk))
}

/// Behind the name of who was killed for it.
pub(crate) fn memory_ran_out(health: &Health) -> String {
    let has = health
        .memory
        .map_or_else(String::new, |bytes| format!(" of {}", display(bytes)));
    let advice = match health.state {
        StateHome::Disk => {
            "give the machine more memory, or its containers limits (`resources.memory`)"
        }
        StateHome::Memory | StateHome::MemoryByWish => {
            "images are unpacked in memory: give the machine a disk that was written from the disk image, or more memory"
        }
    };
    format!(": the machine's memory{has} ran out; {advice}")
}

fn too_little(memory: u64, state: StateHome) -> Option<String> {
    let least = match state {
        StateHome::Disk => LEAST,
        StateHome::Memory | StateHome::MemoryByWish => LEAST_WITHOUT_DISK,
    };
    if memory.saturating_add(FIRMWARE_BYTES_MAX) >= least {
        return None;
    }
    let (has, with, without) = (display(memory), display(LEAST), display(LEAST_WITHOUT_DISK));
    Some(match state {
        StateHome::Disk => format!(
            "TOO LITTLE MEMORY: the machine has {has}, and {with} are the least with a state partition ({without} \
             without): units will be killed or not start; give the machine more memory"
        ),
        StateHome::Memory | StateHome::MemoryByWish => format!(
            "TOO LITTLE MEMORY: the machine has {has}, and without a state partition {without} are the least, since \
             images are unpacked in memory ({with} with one): give the machine more memory, or a disk that was written \
             from the disk image"
        ),
    })
}

fn nearly_full(space: Space, state: StateHome) -> Option<String> {
    let percent = |part: u64, whole: u64| {
        let share = u128::from(part).saturating_mul(100);
        share < u128::from(whole).saturating_mul(STATE_FREE_MIN_PERCENT.into())
    };
    let few_bytes = percent(space.available, space.bytes)
        || (state == StateHome::Disk && space.available < STATE_FREE_MIN);
    let few_files = percent(space.files_free, space.files);
    let (free, whole) = (display(space.available), display(space.bytes));
    let what = match state {
        StateHome::Disk => "THE STATE PARTITION IS NEARLY FULL",
        StateHome::Memory | StateHome::MemoryByWish => {
            "THE STATE, WHICH IS IN MEMORY, IS NEARLY FULL"
        }
    };
    let left = match (few_bytes, few_files) {
        (true, _) => format!("{free} of {whole} are free"),
        (false, true) => format!(
            "{} of {} files (inodes) are free",
            space.files_free, space.files
        ),
        (false, false) => return None,
    };
    let advice = match state {
        StateHome::Disk => {
            "delete what containers no longer need in their volumes (`keelctl exec`), or enlarge the disk: the next boot \
             takes the space"
        }
        StateHome::Memory | StateHome::MemoryByWish => {
            "give the machine a disk that was written from the disk image, or more memory: half of it is for the state"
        }
    };
    Some(format!("{what}: {left}; {advice}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;

    fn disk(bytes: u64, available: u64) -> Space {
        Space {
            bytes,
            free: available,
            available,
            files: 1000,
            files_free: 1000,
            in_memory: false,
        }
    }

    #[test]
    fn too_little_memory_names_both_numbers_and_what_to_do() {
        let line = too_little(119 * MIB, StateHome::Disk).unwrap();
        for word in ["119.0 MiB", "128.0 MiB", "256.0 MiB", "more memory"] {
            assert!(line.contains(word), "no {word}: {line}");
        }
        let line = too_little(191 * MIB, StateHome::Memory).unwrap();
        for word in ["191.0 MiB", "256.0 MiB", "disk image"] {
            assert!(line.contains(word), "no {word}: {line}");
        }
    }

    #[test]
    fn a_machine_sold_with_the_least_is_not_warned_of_what_its_firmware_keeps() {
        // Measured: 128 MiB with SeaBIOS, 256 MiB with OVMF.
        assert_eq!(too_little(127 * MIB + MIB / 2, StateHome::Disk), None);
        assert_eq!(too_little(249 * MIB + MIB / 2, StateHome::Memory), None);
        assert_eq!(too_little(249 * MIB + MIB / 2, StateHome::Disk), None);
        assert!(too_little(120 * MIB, StateHome::Disk).is_some());
        assert!(too_little(127 * MIB, StateHome::MemoryByWish).is_some());
    }

    #[test]
    fn a_state_partition_with_few_free_bytes_or_a_small_share_is_nearly_full() {
        for (space, is_full) in [
            (disk(GIB, 64 * MIB), false),
            (disk(GIB, 64 * MIB - 1), true),
            (disk(100 * GIB, 5 * GIB), false),
            (disk(100 * GIB, 5 * GIB - 1), true),
            (disk(u64::MAX, u64::MAX), false),
        ] {
            let line = nearly_full(space, StateHome::Disk);
            assert_eq!(line.is_some(), is_full, "{space:?}");
        }
        let line = nearly_full(disk(GIB, 40 * MIB), StateHome::Disk).unwrap();
        for word in ["40.0 MiB of 1.0 GiB", "enlarge the disk"] {
            assert!(line.contains(word), "no {word}: {line}");
        }
    }

    #[test]
    fn a_file_system_out_of_files_is_nearly_full() {
        let files = |files, files_free| Space {
            files,
            files_free,
            ..disk(GIB, GIB / 2)
        };
        let line = nearly_full(files(1000, 49), StateHome::Disk).unwrap();
        assert!(line.contains("49 of 1000 files"), "{line}");
        assert_eq!(nearly_full(files(1000, 50), StateHome::Disk), None);
        // As many as there is room for (btrfs).
        assert_eq!(nearly_full(files(0, 0), StateHome::Disk), None);
    }

    #[test]
    fn a_small_state_in_memory_is_not_full_for_its_size() {
        let small = disk(100 * MIB, 60 * MIB);
        assert_eq!(nearly_full(small, StateHome::Memory), None);
        let line = nearly_full(disk(100 * MIB, 4 * MIB), StateHome::Memory).unwrap();
        assert!(line.contains("in memory".to_uppercase().as_str()), "{line}");
    }

    #[test]
    fn who_was_killed_for_memory_says_how_much_there_is() {
        let health = |state| Health {
            state,
            space: None,
            memory: Some(200 * MIB),
        };
        let line = memory_ran_out(&health(StateHome::Memory));
        assert!(
            line.contains("200.0 MiB") && line.contains("unpacked in memory"),
            "{line}"
        );
        let line = memory_ran_out(&health(StateHome::Disk));
        assert!(
            line.contains("200.0 MiB") && line.contains("resources.memory"),
            "{line}"
        );
    }

    #[test]
    fn a_state_in_memory_is_a_warning_unless_it_was_asked_for() {
        let health = |state| Health {
            state,
            space: Some(disk(GIB, GIB)),
            memory: Some(GIB),
        };
        assert_eq!(health(StateHome::Disk).warnings(), [""; 0]);
        assert_eq!(health(StateHome::MemoryByWish).warnings(), [""; 0]);
        let warnings = health(StateHome::Memory).warnings();
        assert!(
            warnings.len() == 1 && warnings[0].contains("lost at the next boot"),
            "{warnings:?}"
        );
    }
}
