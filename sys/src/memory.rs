//! The machine's memory: how much there is (proc_meminfo(5), /proc/iomem), and the least that Keelson needs.
//!
//! The least are measured: `KEELSON_LONG=1 cargo test -p vm memory` goes downwards from them (docs/proofs.md).

use std::fs;

/// With a state partition: below it, the release, unpacked, and its programs leave nothing for a unit.
pub const LEAST: u64 = 128 << 20;
/// Without a state partition the images are unpacked in memory as well, and so is all that is written.
pub const LEAST_WITHOUT_DISK: u64 = 256 << 20;
/// Under UEFI firmware, which holds the release twice, its kernel unpacked and itself at the same time. With less,
/// nothing of ours ever runs: the firmware says `Out of resources`. Measured with OVMF: 256 MiB never, 272 MiB sometimes
/// (it depends on how the memory is cut up), 280 MiB always; and a release may grow.
pub const LEAST_BY_FIRMWARE: u64 = 320 << 20;

/// What firmware keeps for itself of the memory that a machine is sold with. Measured: SeaBIOS 0.5 MiB, OVMF 6.5 MiB.
pub const FIRMWARE_BYTES_MAX: u64 = 7 << 20;

/// What the machine has, but for what its firmware keeps. `None`: the caller is not root.
#[must_use]
pub fn installed() -> Option<u64> {
    let bytes = system_ram(&fs::read_to_string("/proc/iomem").ok()?);
    (bytes > 0).then_some(bytes)
}

/// What the kernel has to give: `MemTotal`, which is [`installed`] without the kernel itself.
#[must_use]
pub fn total() -> Option<u64> {
    kibibytes(&fs::read_to_string("/proc/meminfo").ok()?, "MemTotal")
}

/// Free pages that the processors keep at hand, in bytes. The kernel counts them neither as free nor as available, though
/// they are both: it takes them back when memory runs short (`count` of the `pagesets` in /proc/zoneinfo, proc(5)).
#[must_use]
pub fn at_hand() -> Option<u64> {
    Some(pages_at_hand(&fs::read_to_string("/proc/zoneinfo").ok()?).saturating_mul(PAGE))
}

/// Of x86_64.
const PAGE: u64 = 4096;

fn pages_at_hand(zoneinfo: &str) -> u64 {
    let counts = zoneinfo.lines().filter_map(|line| {
        line.trim_start()
            .strip_prefix("count:")?
            .trim()
            .parse::<u64>()
            .ok()
    });
    counts.fold(0, u64::saturating_add)
}

/// The value of `KEY:   123 kB`, in bytes: /proc/meminfo, /proc/PID/smaps_rollup.
#[must_use]
pub fn kibibytes(text: &str, key: &str) -> Option<u64> {
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    let number: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    number.checked_mul(1024)
}

/// The sum of the ranges `00100000-07fdffff : System RAM`. What is indented lies within another range. Who may not see
/// them reads zeros.
fn system_ram(iomem: &str) -> u64 {
    let ranges = iomem.lines().filter_map(|line| {
        let (first, last) = line.strip_suffix(" : System RAM")?.split_once('-')?;
        let number = |text| u64::from_str_radix(text, 16).ok();
        match number(last)?.checked_sub(number(first)?)? {
            0 => None,
            length => length.checked_add(1),
        }
    });
    ranges.fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_not_mistaken_for_a_longer_one() {
        let rollup = "00400000-7fff rollup\nRss:    900 kB\nPss:    12 kB\nPss_Dirty:   8 kB\n";
        assert_eq!(kibibytes(rollup, "Pss"), Some(12 << 10));
        assert_eq!(kibibytes(rollup, "Swap"), None);
    }

    #[test]
    fn pages_at_hand_are_those_of_every_processor_and_zone() {
        let zoneinfo = "Node 0, zone    DMA32\n  pages free     472301\n        high     16765\n  pagesets\n    cpu: 0\n              \
            count:    6803\n              high:     6985\n    cpu: 1\n              count:    2248\n              high:     6985\n";
        assert_eq!(pages_at_hand(zoneinfo), 6803 + 2248);
    }

    #[test]
    fn all_ranges_of_ram_count_once() {
        let iomem = "00000000-00000fff : Reserved\n00001000-0009fbff : System RAM\n\
            00100000-07fdffff : System RAM\n  02a00000-03bfffff : Kernel code\nb0000000-bfffffff : PCI MMCONFIG\n";
        assert_eq!(
            system_ram(iomem),
            (0x9fc00 - 0x1000) + (0x7fe_0000 - 0x10_0000)
        );
        let hidden = "00000000-00000000 : System RAM\n00000000-00000000 : System RAM\n";
        assert_eq!(system_ram(hidden), 0);
    }

    #[test]
    fn a_machine_has_more_memory_than_its_kernel_gives() {
        let total = total().unwrap();
        assert!(total > 0);
        // Only root sees the ranges.
        if let Some(installed) = installed() {
            assert!(installed > total, "{installed} {total}");
        }
    }
}
