//! Disks that are not as they should be: foreign, full, damaged.

use qemu::{DiskInterface, FindingKind};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Duration;
use vm::{Checks, Guest, Setup, StatePartition, container, digest, measured};

const PORT: u16 = 7001;
const MIB: u64 = 1 << 20;
const NEARLY_FULL: &str = "THE STATE PARTITION IS NEARLY FULL";

fn keeper() -> (String, String) {
    container(
        "keeper",
        "command = [\"--protected-mode\", \"no\", \"--appendonly\", \"yes\", \"--appendfsync\", \"always\"]\n\
         volumes = [\"keeper-data:/data\"]\n[[ports]]\npublish = \"7001:6379\"\n",
    )
}

pub(crate) fn foreign_disks_are_never_written() {
    const SCENARIO: &str = "foreign";
    let mut checks = Checks::of(SCENARIO);
    let setup = Setup::named(SCENARIO)
        .memory(192 * MIB)
        .units([keeper()])
        .port(PORT);
    let [noise, table, ext4] = ["noise.raw", "table.raw", "ext4.raw"].map(|name| setup.file(name));
    // No table at all; a table with somebody else's partitions; a file system on the whole disk.
    let bytes: Vec<u8> = (0..4 * MIB)
        .flat_map(|at| at.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes())
        .collect();
    std::fs::write(&noise, bytes).unwrap();
    foreign_table(&table);
    File::create(&ext4).unwrap().set_len(64 * MIB).unwrap();
    let made = std::process::Command::new("mkfs.ext4")
        .args(["-q", "-F"])
        .arg(&ext4)
        .status()
        .unwrap();
    assert!(made.success());
    let disks = [noise, table, ext4];
    let before = disks.each_ref().map(|path| digest(path));
    let setup = disks.iter().fold(setup, Setup::disk);
    let guest = setup.boot();
    checks.that("the machine runs from memory", || {
        guest.ready();
        guest.answers(PORT);
    });
    checks.that("each foreign disk is named, with what to do", || {
        let line = guest.says("stage state failed");
        for disk in ["vda", "vdb", "vdc"] {
            assert!(line.contains(disk), "{line}");
        }
        assert!(
            line.contains("left untouched") && line.contains("write the disk image"),
            "{line}"
        );
        guest.says("STATE IS IN MEMORY");
    });
    checks.that(
        "too little memory for that is named, with the least",
        || {
            let line = guest.says("TOO LITTLE MEMORY");
            let told = guest.told(&["status"]);
            for word in ["191.5 MiB", "without a state partition 256.0 MiB"] {
                assert!(line.contains(word), "{line}");
                assert!(told.contains(word), "{told}");
            }
        },
    );
    checks.that("power-off is in order", || {
        guest.power_off();
        guest.serial_log_is_clean(&[FindingKind::BootStage]);
    });
    drop(guest);
    let guest = Setup::named(SCENARIO)
        .disk(&disks[1])
        .own_disk_behind(DiskInterface::Nvme, 1 << 30)
        .units([keeper()])
        .port(PORT)
        .boot();
    checks.that(
        "beside a foreign disk, one that comes later is waited for",
        || {
            guest.ready();
            guest.answers(PORT);
            guest.has_said(&["stage state ok", "nvme0n1p3: file system is now"]);
        },
    );
    checks.that("power-off of that machine is in order", || {
        guest.power_off();
        guest.serial_log_is_clean(&[]);
    });
    checks.that("no byte of a foreign disk has changed", || {
        assert_eq!(disks.each_ref().map(|path| digest(path)), before);
    });
    checks.end();
}

/// A GUID partition table of another system: its file system has our partition's type, and another name.
fn foreign_table(path: &std::path::Path) {
    use sys::gpt::{self, Guid, Table};
    let bytes = 64 * MIB;
    let id = |number: u8| Guid([number; 16]);
    let mut table = Table::new(id(1), bytes, 512).unwrap();
    assert!(table.append(gpt::STATE, id(2), "var", Some(32 * MIB)));
    let layout = table.layout();
    let disk = File::create(path).unwrap();
    disk.set_len(bytes).unwrap();
    disk.write_all_at(&layout.mbr, 0).unwrap();
    for (offset, bytes) in [layout.backup, layout.primary] {
        disk.write_all_at(&bytes, offset).unwrap();
    }
}

/// Their disks come after their drivers, by themselves, and need a driver of their own.
pub(crate) fn disks_of_scsi_and_sata_controllers_hold_the_state() {
    const SCENARIO: &str = "controllers";
    let mut checks = Checks::of(SCENARIO);
    for (interface, name) in [
        (DiskInterface::VirtioScsi, "virtio-scsi"),
        (DiskInterface::Ahci, "AHCI"),
    ] {
        let guest = Setup::named(SCENARIO)
            .own_disk_behind(interface, 1 << 30)
            .units([keeper()])
            .port(PORT)
            .boot();
        checks.that(&format!("a disk behind {name} holds the state"), || {
            guest.ready();
            guest.answers(PORT);
            guest.has_said(&["stage state ok", "sda3: file system is now"]);
        });
        checks.that("power-off is in order, and the log is clean", || {
            guest.power_off();
            guest.serial_log_is_clean(&[]);
        });
    }
    let guest = Setup::named(SCENARIO)
        .own_disk(1 << 30)
        .own_disk_behind(DiskInterface::VirtioScsi, 1 << 30)
        .kernel_argument("keelson.state=/dev/vda")
        .boot();
    checks.that("of two, the one that was asked for holds the state", || {
        guest.ready();
        guest.has_said(&["stage state ok", "vda3: file system is now"]);
        guest.has_not_said(&["both hold a state partition"]);
        guest.power_off();
    });
    drop(guest);
    let guest = Setup::named(SCENARIO)
        .own_disk(1 << 30)
        .own_disk_behind(DiskInterface::VirtioScsi, 1 << 30)
        .boot();
    checks.that("where two do, and none was asked for, that is said", || {
        guest.ready();
        let line = guest.says("both hold a state partition");
        for word in ["/dev/sda", "/dev/vda", "keelson.state="] {
            assert!(line.contains(word), "{line}");
        }
        guest.power_off();
    });
    checks.end();
}

pub(crate) fn a_full_and_then_damaged_state_partition_is_survived() {
    const SCENARIO: &str = "damage";
    let mut checks = Checks::of(SCENARIO);
    let filler = container(
        "filler",
        "entrypoint = [\"sleep\", \"infinity\"]\nstop_signal = \"SIGKILL\"\nuser = \"0\"\nvolumes = [\"filler-data:/filler\"]\n",
    );
    let guest = Setup::named(SCENARIO)
        .own_disk(1 << 30)
        .units([keeper(), filler])
        .port(PORT)
        .boot();
    guest.ready();
    guest.answers(PORT);
    let redis = guest.redis(PORT);
    redis.cli(&["SET", "kept", "before-it-was-full"]).unwrap();
    full(&mut checks, &guest);
    checks.that("a power cut with a full disk is survived", || {
        guest.machine.cut_power().unwrap()
    });
    checks.that("the serial log is clean", || {
        guest.serial_log_is_clean(&[FindingKind::Unit])
    });
    let guest = guest.boot_again();
    checks.that(
        "a machine with a full disk boots, and space can be given back",
        || {
            guest.booted();
            let line = guest.says(NEARLY_FULL);
            assert!(line.contains("enlarge the disk"), "{line}");
            guest.shell("filler", "rm -f /filler/*");
            let told = guest.told(&["status"]);
            assert!(!told.contains(NEARLY_FULL), "{told}");
            guest.told(&["restart", "keeper"]);
            guest.answers(PORT);
            kept(&guest);
            guest.power_off();
        },
    );
    // Neither is what a crash leaves: the first superblock, then all of them.
    checks.that("a destroyed superblock is repaired from its copies", || {
        StatePartition::of(guest.disk()).overwrite(1024, &[0xa5; 1024]);
    });
    let guest = guest.boot_again();
    checks.that("nothing is lost by that", || {
        guest.ready();
        guest.answers(PORT);
        kept(&guest);
        guest.has_said(&["repairing all of it"]);
        guest.power_off();
        // e2fsck says WARNING: of its own, between its two runs.
        guest.serial_log_is_clean(&[FindingKind::KernelWarning]);
        StatePartition::of(guest.disk()).is_clean();
    });
    let state = StatePartition::of(guest.disk());
    // No superblock anywhere: a group of 4 KiB blocks is 128 MiB, its copy of superblock and descriptors at its begin.
    for group in 0..state.bytes.div_ceil(128 * MIB) {
        let begin = group * 128 * MIB;
        let length = (4 * MIB).min(state.bytes - begin);
        state.overwrite(begin, &vec![0x5a; usize::try_from(length).unwrap()]);
    }
    let before = digest(guest.disk());
    let guest = guest.boot_again();
    checks.that(
        "beyond repair, the machine runs from memory and says what to do",
        || {
            guest.booted();
            guest.answers(PORT);
            guest.says("STATE IS IN MEMORY");
            let line = guest.says("stage state failed");
            assert!(
                line.contains("beyond repair") && line.contains("write the disk image anew"),
                "{line}"
            );
            guest.told(&["ps"]);
        },
    );
    checks.that("power-off is in order", || {
        guest.power_off();
        guest.serial_log_is_clean(&[FindingKind::BootStage, FindingKind::KernelWarning]);
        assert_eq!(
            digest(guest.disk()),
            before,
            "what can't be repaired is left as it is"
        );
    });
    checks.end();
}

fn kept(guest: &Guest) {
    let kept = guest.redis(PORT).cli(&["GET", "kept"]).unwrap();
    assert_eq!(kept, "before-it-was-full");
}

fn full(checks: &mut Checks, guest: &Guest) {
    checks.that(
        "a container that fills the disk gets the error itself",
        || {
            let start = std::time::Instant::now();
            // On the disk, and not in memory alone: its plug will be pulled.
            let script = "dd if=/dev/zero of=/filler/big bs=1M; dd if=/dev/zero of=/filler/small bs=4k; \
                          status=$?; sync; exit $status";
            let filled = guest.machine.keelctl_with(
                &["exec", "filler", "sh", "-c", script],
                b"",
                Duration::from_secs(300),
            );
            let filled = filled.unwrap();
            measured("damage", "filling the disk, wall time", start.elapsed());
            assert!(!filled.success(), "{filled:?}");
            assert!(filled.stderr.contains("No space left"), "{filled:?}");
        },
    );
    checks.that(
        "the system answers with a full disk, and units go on",
        || {
            assert_eq!(guest.status("keeper").state, "running");
            assert_eq!(
                guest.redis(PORT).cli(&["GET", "kept"]).unwrap(),
                "before-it-was-full"
            );
            guest.told(&["logs", "keeper"]);
            let told = guest.told(&["status"]);
            assert!(
                told.contains("degraded") && told.contains(NEARLY_FULL),
                "{told}"
            );
        },
    );
    checks.that(
        "a load into a full store says that the disk is full",
        || {
            let archive = std::fs::read(vm::demo_archive()).unwrap();
            let renamed = crate::archives::with_path(&archive, "etc/harmless");
            let finished = guest
                .machine
                .keelctl_with(&["image", "load", "-"], &renamed, Duration::from_secs(60))
                .unwrap();
            assert!(!finished.success(), "{finished:?}");
            for words in ["no space left", "a larger disk"] {
                assert!(finished.stderr.contains(words), "{finished:?}");
            }
        },
    );
}
