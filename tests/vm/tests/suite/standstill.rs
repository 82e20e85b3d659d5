//! Boots that come to nothing before PID 1 are begun again, and boots on a busy build host get to their units.

use qemu::FindingKind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use vm::{Checks, Setup, container, progress, times};

/// Beside the emulator, as a compiler would.
const BUSY_LOOPS: usize = 2;

pub(crate) fn a_boot_that_comes_to_nothing_is_begun_again_twice() {
    const SCENARIO: &str = "no-init";
    let mut checks = Checks::of(SCENARIO);
    let guest = Setup::named(SCENARIO)
        .kernel_argument("rdinit=/there-is-none")
        .boot();
    checks.that("it is switched on three times and no more", || {
        assert_eq!(guest.machine.begun_again(), 2);
    });
    checks.that("its end is told as one before init", || {
        let error = guest.machine.wait_for("keelson: init ", Duration::ZERO);
        let error = error.unwrap_err().to_string();
        assert!(error.contains("before init started"), "{error}");
    });
    checks.end();
}

pub(crate) fn boots_beside_busy_loops_get_to_their_units() {
    const SCENARIO: &str = "busy";
    let boots = times(2, 100);
    let mut checks = Checks::of(SCENARIO);
    let over = AtomicBool::new(false);
    let (mut seconds, mut begun_again) = (Vec::new(), 0);
    std::thread::scope(|scope| {
        for _ in 0..BUSY_LOOPS {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        for boot in 1..=boots {
            checks.that(&format!("boot {boot}"), || {
                let guest = Setup::named(SCENARIO).units([container("one", "")]).boot();
                begun_again += guest.machine.begun_again();
                seconds.push(guest.ready().wall.as_secs_f32());
                // It has no disk.
                guest.serial_log_is_clean(&[FindingKind::BootStage]);
            });
        }
        over.store(true, Ordering::Relaxed);
    });
    seconds.sort_by(f32::total_cmp);
    let median = seconds.get(seconds.len() / 2).copied().unwrap_or_default();
    let slowest = seconds.last().copied().unwrap_or_default();
    progress(
        SCENARIO,
        &format!(
            "{} of {boots} boots got to their units beside {BUSY_LOOPS} busy loops, {begun_again} begun again; \
             since QEMU's start: median {median:.1} s, slowest {slowest:.1} s",
            seconds.len()
        ),
    );
    checks.end();
}
