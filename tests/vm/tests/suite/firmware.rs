//! The disk image by UEFI firmware, as a server or a cloud boots it; and, on that machine, a container from inside.

use crate::inside;
use sys::memory::LEAST_BY_FIRMWARE;
use vm::{Checks, Setup, StatePartition, container};

const SCENARIO: &str = "firmware";
const PORT: u16 = 7001;

#[test]
fn the_disk_image_boots_by_firmware_and_its_containers_see_only_what_they_should() {
    let plain = container("redis", "[[ports]]\npublish = \"7001:6379\"\n");
    let mut checks = Checks::of(SCENARIO);
    let guest = Setup::named(SCENARIO)
        .by_firmware()
        .memory(LEAST_BY_FIRMWARE)
        .own_disk(2 << 30)
        .units([plain, inside::confined()])
        .port(PORT)
        .boot();
    checks.that(
        "OVMF starts the release on the disk, and all units get ready",
        || {
            assert_eq!(guest.ready().units, 2);
            guest.answers(PORT);
        },
    );
    checks.that("the state partition of that disk is used", || {
        let console = guest.console();
        assert!(console.contains("file system is now"), "{console}");
        assert!(!console.contains("STATE IS IN MEMORY"), "{console}");
    });
    inside::rules(&mut checks, &guest);
    checks.that("power-off is in order, and the disk clean", || {
        let took = guest.power_off();
        vm::measured(SCENARIO, "power-off, wall time", took);
        guest.serial_log_is_clean(&[]);
        StatePartition::of(guest.disk()).is_clean();
    });
    checks.end();
}
