//! Kernel modules that no device asked for at the boot: out of memory, on the state partition, and loaded from there when
//! something asks.

use std::time::{Duration, Instant};
use vm::{Checks, Guest};

const TIMEOUT: Duration = Duration::from_secs(60);

/// On a machine with a state partition, a free hot-plug slot, and the unit `probe`.
pub(crate) fn rules(checks: &mut Checks, guest: &Guest) {
    let live = |module: &str| {
        let file = format!("/sys/module/{module}/initstate");
        guest.shell("probe", &format!("cat {file} 2>/dev/null || true")) == "live"
    };
    checks.that("modules that no device asked for leave the memory", || {
        let started = Instant::now();
        let count = || {
            let script = "ls /machine/modules/*/modules.dep > /dev/null && find /machine/modules -name '*.ko*' | wc -l";
            guest.shell("probe", script).parse::<u32>().unwrap()
        };
        while count() > 0 {
            assert!(started.elapsed() < TIMEOUT, "{} are still there", count());
            std::thread::sleep(Duration::from_millis(200));
        }
    });
    checks.that("the kernel gets a module that it asks for", || {
        assert!(!live("dummy"), "loaded before anybody asked for it");
        // Making a link of a kind that the kernel lacks has it run modprobe.
        let script = "busybox unshare -U -r -n busybox ip link add d0 type dummy";
        guest.shell("probe", script);
        assert!(live("dummy"));
    });
    checks.that(
        "a device that comes while the machine runs gets its driver",
        || {
            assert!(!live("nvme"), "loaded before its device came");
            guest
                .machine
                .monitor("device_add nvme,id=late,serial=late,bus=slot0")
                .unwrap();
            let started = Instant::now();
            while !live("nvme") {
                assert!(started.elapsed() < TIMEOUT, "{}", guest.console());
                std::thread::sleep(Duration::from_millis(200));
            }
        },
    );
}
