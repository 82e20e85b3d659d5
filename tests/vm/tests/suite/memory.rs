//! Machines with very little memory.

use qemu::{BootFrom, Firmware, Machine, MachineOptions, Release};
use std::time::Duration;
use sys::memory::LEAST;
use vm::{Checks, Guest, Setup, StatePartition, container, progress, times};

const SCENARIO: &str = "memory";
const PORT: u16 = 7001;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// Far longer than a boot; a machine without memory is in the kernel's killer for ever.
const PATIENCE: Duration = Duration::from_secs(60);

fn setup() -> Setup {
    bare(LEAST).own_disk(GIB)
}

fn bare(memory: u64) -> Setup {
    Setup::named(SCENARIO)
        .memory(memory)
        .units([container("redis", "[[ports]]\npublish = \"7001:6379\"\n")])
        .port(PORT)
}

pub(crate) fn a_machine_of_128_mib_with_a_disk_runs_one_unit() {
    assert_eq!(LEAST, 128 * MIB, "the documented minimum");
    let mut checks = Checks::of(SCENARIO);
    let guest = setup().boot();
    checks.that(
        "it gets ready and answers, the first boot's load of the image included",
        || {
            guest.ready();
            guest.answers(PORT);
            tell_memory(&guest);
        },
    );
    checks.that("all that an operator does works", || {
        guest.told(&["ps"]);
        guest.told(&["restart", "redis"]);
        guest.answers(PORT);
        assert_eq!(guest.shell("redis", "redis-cli ping"), "PONG");
        guest.told(&["logs", "redis"]);
    });
    checks.that("the machine is well: the least is enough", || {
        let told = guest.told(&["status"]);
        assert!(told.contains("well"), "{told}");
        guest.has_not_said(&["TOO LITTLE MEMORY"]);
    });
    checks.that("power-off is in order, and the disk clean", || {
        guest.power_off();
        guest.serial_log_is_clean(&[]);
        StatePartition::of(guest.disk()).is_clean();
    });
    drop(guest);
    for mib in [120, 112, 104, 96, 88].into_iter().take(times(0, 5)) {
        attempt(
            &format!("{mib} MiB with a disk"),
            setup().kernel_argument(&format!("mem={mib}M")),
        );
    }
    for mib in [224, 192, 160, 128].into_iter().take(times(0, 4)) {
        attempt(&format!("{mib} MiB without a disk"), bare(mib * MIB));
    }
    checks.end();
}

/// Does it get ready? Printed, not asserted: below the minimum nothing is promised.
fn attempt(what: &str, setup: Setup) {
    let guest = setup.boot();
    match guest.machine.wait_ready(PATIENCE) {
        Ok(_) => {
            progress(SCENARIO, &format!("{what}: ready"));
            tell_memory(&guest);
        }
        Err(_) => progress(SCENARIO, &format!("{what}: not ready")),
    }
    guest.machine.cut_power().unwrap();
}

fn tell_memory(guest: &Guest) {
    let memory = guest.shell(
        "redis",
        "grep -E '^Mem(Total|Available)' /proc/meminfo | tr -s '\\n ' ' '",
    );
    progress(SCENARIO, &memory);
}

pub(crate) fn less_memory_than_the_minimum_is_refused_and_the_minimum_named() {
    let release = BootFrom::Release(Release {
        kernel: "/nonexistent/vmlinuz".into(),
        initramfs: "/nonexistent/initramfs".into(),
        command_line: String::new(),
    });
    let firmware = BootFrom::Firmware(Firmware {
        code: "/nonexistent/code".into(),
        variables: "/nonexistent/variables".into(),
    });
    for (boot, bytes, least) in [
        (release, 64 * MIB, "128.0 MiB is the least"),
        (firmware, 128 * MIB, "320.0 MiB is the least"),
    ] {
        let folder = format!("keelson-no-memory-{}", std::process::id());
        let options = MachineOptions::new(std::env::temp_dir().join(folder), boot);
        let error = Machine::boot(options.memory(bytes))
            .unwrap_err()
            .to_string();
        assert!(error.contains(least), "{error}");
    }
}
