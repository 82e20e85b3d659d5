//! A release with a unit in it, on a disk image (qcow2) that UEFI firmware boots, as a server or a cloud does; on that
//! machine, a container from inside; and then the same disk by `-kernel`.

use crate::inside;
use image::ImageOptions;
use std::path::Path;
use std::process::Command;
use sys::memory::LEAST_BY_FIRMWARE;
use vm::{Checks, Guest, Setup, StatePartition, build, container, demo_archive};

const SCENARIO: &str = "firmware";
const PORT: u16 = 7001;
const DISK: &str = "2G";

/// The release's unit: `/usr/lib/keelson/units`.
fn baked(folder: &Path) {
    let keeps = "command = [\"--protected-mode\", \"no\", \"--appendonly\", \"yes\"]\nvolumes = [\"baked-data:/data\"]\n\
                 [[ports]]\npublish = \"7001:6379\"\n";
    let (name, text) = container("redis", keeps);
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join(name), text).unwrap();
}

fn qemu_img(words: &[&str]) {
    let status = Command::new("qemu-img").args(words).status().unwrap();
    assert!(status.success(), "qemu-img {words:?}: {status}");
}

fn address(guest: &Guest) -> Option<String> {
    guest.status("redis").address
}

pub(crate) fn the_disk_image_boots_by_firmware_and_by_kernel_and_its_containers_see_only_what_they_should()
 {
    let mut checks = Checks::of(SCENARIO);
    let setup = || {
        let setup = Setup::named(SCENARIO).units([inside::confined()]);
        setup.memory(LEAST_BY_FIRMWARE).port(PORT)
    };
    let units = setup().file("units");
    baked(&units);
    let options = ImageOptions {
        units: vec![units],
        preload: vec![demo_archive()],
        qcow2: true,
        ..ImageOptions::default()
    };
    let artefacts = build(SCENARIO, options);
    let disk = setup().file("disk.qcow2");
    let image = artefacts.qcow2.as_ref().expect("a qcow2 file");
    std::fs::copy(image, &disk).unwrap();
    qemu_img(&["resize", "-q", "-f", "qcow2", disk.to_str().unwrap(), DISK]);
    let guest = setup().by_firmware().disk(&disk).boot();
    checks.that(
        "OVMF starts the release on the disk, and the units of both get ready",
        || {
            assert_eq!(guest.ready().units, 2);
            guest.answers(PORT);
            let source = guest.status("redis").source;
            assert_eq!(source, "/usr/lib/keelson/units/redis.container.toml");
            assert_eq!(guest.redis(PORT).ask("SET boot firmware").unwrap(), "+OK");
        },
    );
    checks.that("the state partition of that disk is used", || {
        guest.has_said(&["file system is now"]);
        guest.has_not_said(&["STATE IS IN MEMORY"]);
    });
    inside::rules(&mut checks, &guest);
    let before = address(&guest);
    checks.that("power-off is in order", || {
        let took = guest.power_off();
        vm::measured(SCENARIO, "power-off, wall time", took);
        guest.serial_log_is_clean(&[]);
    });
    drop(guest);
    let guest = setup().release(&artefacts).disk(&disk).boot();
    checks.that(
        "the same disk boots by -kernel, with volumes and addresses",
        || {
            assert_eq!(guest.ready().units, 2);
            guest.answers(PORT);
            let kept = guest.redis(PORT).cli(&["GET", "boot"]).unwrap();
            assert_eq!(kept, "firmware");
            assert!(before.is_some());
            assert_eq!(address(&guest), before);
        },
    );
    checks.that("power-off is in order, and the disk clean", || {
        guest.power_off();
        guest.serial_log_is_clean(&[]);
        let raw = disk.with_extension("raw");
        let [from, to] = [&disk, &raw].map(|path| path.to_str().unwrap());
        qemu_img(&["convert", "-f", "qcow2", "-O", "raw", from, to]);
        StatePartition::of(&raw).is_clean();
    });
    checks.end();
}
