//! Machines with very little memory.

use std::time::Duration;
use vm::{Checks, Guest, Setup, StatePartition, container, progress, times};

const SCENARIO: &str = "memory";
const PORT: u16 = 7001;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// Far longer than a boot; a machine without memory is in the kernel's killer for ever.
const PATIENCE: Duration = Duration::from_secs(60);

fn setup() -> Setup {
    Setup::named(SCENARIO)
        .memory(qemu::MEMORY_MIN)
        .own_disk(GIB)
        .units([container("redis", "[[ports]]\npublish = \"7001:6379\"\n")])
        .port(PORT)
}

#[test]
fn a_machine_of_128_mib_with_a_disk_runs_one_unit() {
    assert_eq!(qemu::MEMORY_MIN, 128 * MIB, "the documented minimum");
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
    checks.that("power-off is in order, and the disk clean", || {
        guest.power_off();
        guest.serial_log_is_clean(&[]);
        StatePartition::of(guest.disk()).is_clean();
    });
    drop(guest);
    for mib in [120, 112, 104, 96, 88].into_iter().take(times(0, 5)) {
        let guest = setup().kernel_argument(&format!("mem={mib}M")).boot();
        let outcome = match guest.machine.wait_ready(PATIENCE) {
            Ok(_) => "ready",
            Err(_) => "not ready",
        };
        progress(SCENARIO, &format!("{mib} MiB: {outcome}"));
        guest.machine.cut_power().unwrap();
    }
    checks.end();
}

fn tell_memory(guest: &Guest) {
    let memory = guest.shell(
        "redis",
        "grep -E '^Mem(Total|Available)' /proc/meminfo | tr -s '\\n ' ' '",
    );
    progress(SCENARIO, &memory);
}

#[test]
fn less_memory_than_the_minimum_is_refused_and_the_minimum_named() {
    let options = qemu::MachineOptions::new(
        std::env::temp_dir().join(format!("keelson-no-memory-{}", std::process::id())),
        qemu::BootFrom::Release(qemu::Release {
            kernel: "/nonexistent/vmlinuz".into(),
            initramfs: "/nonexistent/initramfs".into(),
            command_line: String::new(),
        }),
    );
    let error = qemu::Machine::boot(options.memory(64 * MIB))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("64.0 MiB") && error.contains("128.0 MiB"),
        "{error}"
    );
}
