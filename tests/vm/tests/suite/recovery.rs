//! What a machine comes back from: a panic of PID 1, a power cut in the middle of its housekeeping, a disk that does not
//! answer any more (PID 1 waits for it, the watchdog does not), and helpers that hang. One disk goes through all of it.
//!
//! ```text
//! keelson.panic=ready: last gasp, reboot ─▶ cut ─▶ boot, cut while modules go to the state partition
//!   ─▶ boot: netd hangs, watchdog, modules, seed ─▶ the disk hangs ─▶ reset by the watchdog
//!   ─▶ boot: power-off while a unit is being prepared, watchdog stopped
//! ```

use crate::modules;
use qemu::{DiskPace, FindingKind, Wait, Watchdog};
use std::time::{Duration, Instant};
use vm::{Checks, Guest, Setup, StatePartition, container, measured, progress, until};

const SCENARIO: &str = "recovery";
const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;
const WATCHDOG_S: u64 = 8;
/// Far more than any of it takes.
const PATIENCE: Duration = Duration::from_secs(90);
const GASP: &str = "keelson: PID 1 can't go on: panic at ";
/// How long the shelf is being filled, about: a cut comes in the middle.
const SHELF_BEGUN: Duration = Duration::from_millis(300);

/// `diary` writes down, without seeing to it that it is on the disk, when it runs in a boot that is to panic; `waiter` is
/// prepared for four seconds at most; `probe` has the machine's cgroups, modules and state in it.
fn setup() -> Setup {
    let diary = container(
        "diary",
        "entrypoint = [\"sh\", \"-c\", \"grep -o 'keelson.panic=[a-z]*' /proc/cmdline >> /data/diary; exec sleep infinity\"]\n\
         user = \"0\"\nstop_signal = \"SIGKILL\"\nvolumes = [\"diary-data:/data\"]\n",
    );
    let waiter = container("waiter", "[service]\nstart_timeout = \"4s\"\n");
    let forgotten = container("forgotten", "[service]\nrestart = \"unless-stopped\"\n");
    Setup::named(SCENARIO)
        .units([diary, waiter, forgotten, probe()])
        .watchdog(Watchdog::I6300esb)
        // After a power-off the machine is there to be looked at.
        .qemu_arguments(&["-action", "shutdown=pause"])
        .hot_plug_slot()
        .kernel_argument("loglevel=7")
        .kernel_argument("keelson.hostname=wren.example")
        .kernel_argument("nvme-core.io_timeout=77")
        .kernel_argument(&format!("keelson.watchdog={WATCHDOG_S}"))
        // The seed of the last boot is all that there is at the begin.
        .kernel_argument("random.trust_cpu=off random.trust_bootloader=off")
}

fn probe() -> (String, String) {
    container(
        "probe",
        "entrypoint = [\"sleep\", \"infinity\"]\nuser = \"0\"\nstop_signal = \"SIGKILL\"\n\
         volumes = [\"/sys/fs/cgroup:/machine/cgroup\", \"/usr/lib/modules:/machine/modules:ro\", \
         \"/run/keelson:/run/keelson\", \"/var/machine:/machine/state:ro\"]\n[network]\nmode = \"host\"\n",
    )
}

pub(crate) fn a_machine_comes_back_from_a_panic_a_cut_and_a_disk_that_hangs() {
    let mut checks = Checks::of(SCENARIO);
    last_gasp(&mut checks);
    let disk = setup().file("disk.raw");
    let guest = setup().disk(disk).boot();
    checks.that(
        "the power goes while modules are on their way to the disk",
        || {
            guest.says("keelson: stage more-drivers ok");
            std::thread::sleep(SHELF_BEGUN);
            guest.machine.cut_power().unwrap();
            guest.serial_log_is_clean(&[]);
        },
    );
    let guest = guest.boot_again();
    checks.that("it gets ready, and what the panic saved is there", || {
        guest.ready();
        let diary = guest.shell("diary", "cat /data/diary");
        assert!(diary.contains("keelson.panic=ready"), "{diary:?}");
    });
    checks.that("keelson.hostname= is the name of this boot", || {
        let name = guest.shell("probe", "cat /run/keelson/etc/upper/hostname");
        assert_eq!(name, "wren.example");
    });
    checks.that("huge pages go to who asks for them", || {
        assert_eq!(crate::huge_pages(&guest, "probe"), "madvise");
    });
    let armed = watchdog_is_armed(&mut checks, &guest);
    modules::rules(&mut checks, &guest);
    checks.that(
        "a module has its parameter of the kernel command line",
        || {
            let timeout = "cat /sys/module/nvme_core/parameters/io_timeout";
            assert_eq!(guest.shell("probe", timeout), "77");
        },
    );
    let seed = seed_rules(&mut checks, &guest);
    netd_hangs(&mut checks, &guest);
    checks.that("a PID 1 that executes itself anew goes on feeding", || {
        guest.told(&["reexec"]);
        assert!(is_counting(&guest), "it was stopped");
        guest.has_not_said(&["did not stop"]);
    });
    checks.that("a fed watchdog leaves the machine alone", || {
        let long = Duration::from_secs(WATCHDOG_S + 4);
        std::thread::sleep(long.saturating_sub(armed.elapsed()));
        guest.has_begun_once();
        assert!(is_counting(&guest), "it has stopped counting");
    });
    disk_hangs(&mut checks, &guest);
    checks.that("the next boot says who ended the last one", || {
        guest.ready();
        // A long line: the kernel may print another one into its middle.
        guest.says("the watchdog has ended the last boot");
        guest.says("a disk did not answer");
    });
    checks.that(
        "the seed of the boot that was cut off is not used again",
        || {
            let after = seed_rules(&mut Checks::of(SCENARIO), &guest);
            assert!(after.is_some() && after != seed, "{seed:?}");
        },
    );
    power_off_while_preparing(&mut checks, &guest);
    checks.that("the serial log is clean, and the disk too", || {
        guest.machine.cut_power().unwrap();
        guest.serial_log_is_clean(&[]);
        StatePartition::of(guest.disk()).is_clean();
    });
    checks.end();
}

fn last_gasp(checks: &mut Checks) {
    let guest = setup()
        .own_disk(GIB)
        .kernel_argument("keelson.panic=ready")
        .boot();
    let says = |text: &str| {
        let wait = Wait::for_text(text, PATIENCE).over_panic();
        let line = guest.machine.wait(&wait.since(guest.machine.boot_start()));
        line.unwrap_or_else(|error| panic!("{error}"))
    };
    checks.that("a panic of PID 1 says where and why", || {
        let line = says(GASP);
        for words in [
            "init/src/",
            "keelson.panic=ready on the kernel command line",
        ] {
            assert!(line.text.contains(words), "{line:?}");
        }
    });
    checks.that("it reboots after having let it be read", || {
        let gasp = says(GASP);
        guest.machine.begin_boot();
        let next = says("keelson: init ");
        measured(SCENARIO, "panic to the next init", next.at - gasp.at);
        assert!(next.at - gasp.at >= Duration::from_secs(5), "{next:?}");
        guest.machine.cut_power().unwrap();
        guest.serial_log_is_clean(&[FindingKind::ProgramPanic]);
    });
}

/// Answers the seed for the next boot.
fn seed_rules(checks: &mut Checks, guest: &Guest) -> Option<String> {
    let mut seed = None;
    checks.that("the random seed counts, once, and is nobody else's", || {
        let line = guest.says("random seed: Credited");
        progress(SCENARIO, line.trim());
        let mode = guest.shell("probe", "stat -c %a:%s /machine/state/seed");
        assert_eq!(mode, "600:32");
        seed = Some(guest.shell("probe", "sha256sum /machine/state/seed"));
    });
    seed
}

// --- the watchdog ------------------------------------------------------------------------------------------------------

fn watchdog_is_armed(checks: &mut Checks, guest: &Guest) -> Instant {
    checks.that("a watchdog that is there is armed", || {
        let line = guest.says("keelson: watchdog: ");
        let words = format!("resets the machine after {WATCHDOG_S} s of silence");
        assert!(line.contains(&words), "{line}");
        assert!(is_counting(guest), "it does not count");
    });
    Instant::now()
}

/// The card's own register, read from outside while the machine stands still: bit 1 of byte 0x68 of its PCI configuration
/// (Intel 6300ESB datasheet, "WDT Lock Register").
fn is_counting(guest: &Guest) -> bool {
    const CARD: &str = "8086:25ab";
    const LOCK_REGISTER: u32 = 0x68;
    let monitor = |command: &str| guest.machine.monitor(command).unwrap();
    let stopped = monitor("info status").contains("paused");
    if !stopped {
        monitor("stop");
    }
    let devices = monitor("info pci");
    let lines: Vec<&str> = devices.lines().collect();
    let card = lines.iter().position(|line| line.contains(CARD));
    let place = card.and_then(|line| {
        lines[..line]
            .iter()
            .rev()
            .find(|line| line.contains("device"))
    });
    let numbers: Vec<u32> = place
        .unwrap_or_else(|| panic!("no {CARD} in {devices}"))
        .split([' ', ','])
        .filter_map(|word| word.parse().ok())
        .collect();
    let [bus, device] = numbers[..] else {
        panic!("{devices}")
    };
    let address = 1 << 31 | bus << 16 | device << 11 | LOCK_REGISTER;
    assert_eq!(monitor(&format!("o /w 0xcf8 {address:#x}")), "");
    let said = monitor("i /b 0xcfc");
    let byte = said.rsplit("0x").next().unwrap_or_default();
    let byte = u32::from_str_radix(byte.trim(), 16).unwrap_or_else(|_| panic!("{said}"));
    if !stopped {
        monitor("cont");
    }
    byte & 2 != 0
}

fn disk_hangs(checks: &mut Checks, guest: &Guest) {
    checks.that(
        "PID 1 that waits for a disk for ever is reset by the watchdog",
        || {
            guest.machine.set_disk(0, DiskPace::Hanging).unwrap();
            let mut events = guest.machine.events().unwrap();
            guest.machine.begin_boot();
            let start = Instant::now();
            std::thread::scope(|scope| {
                // What an operator is told is on the disk first.
                let stop = ["--timeout", "12s", "stop", "forgotten"];
                let stop = scope.spawn(move || guest.keelctl(&stop));
                let data = events.next("WATCHDOG", PATIENCE).unwrap();
                measured(SCENARIO, "a hanging disk to the reset", start.elapsed());
                assert_eq!(data["action"], "reset");
                drop(events);
                guest.machine.set_disk(0, DiskPace::Usual).unwrap();
                assert!(!stop.join().unwrap().success(), "an answer nobody can give");
            });
        },
    );
}

// --- a helper that hangs -----------------------------------------------------------------------------------------------

fn netd(guest: &Guest, script: &str) {
    guest.shell(
        "probe",
        &format!("cd /machine/cgroup/system/netd && {script}"),
    );
}

const FREEZE: &str = "echo 1 > cgroup.freeze && until grep -q 'frozen 1' cgroup.events; do :; done";

fn netd_hangs(checks: &mut Checks, guest: &Guest) {
    let start = || guest.keelctl(&["start", "waiter"]);
    checks.that("a unit that is being prepared is stopped at once", || {
        guest.told(&["stop", "waiter"]);
        netd(guest, FREEZE);
        std::thread::scope(|scope| {
            let started = scope.spawn(start);
            guest.gets("waiter", "preparing");
            guest.told(&["stop", "waiter"]);
            assert_eq!(guest.status("waiter").state, "inactive");
            assert!(!started.join().unwrap().success());
        });
    });
    checks.that("one that can't be prepared in its time has failed", || {
        let finished = start();
        assert!(!finished.success(), "{finished:?}");
        let why = "its image and network were not there within start_timeout";
        assert!(finished.stderr.contains(why), "{finished:?}");
    });
    checks.that(
        "a launcher that stands by goes on when netd is killed and comes back",
        || {
            until("it is being prepared again", PATIENCE, || {
                let status = guest.status("waiter");
                let preparing = status.state == "preparing";
                preparing.then_some(()).ok_or(status.state)
            });
            netd(guest, "echo 1 > cgroup.kill; echo 0 > cgroup.freeze");
            guest.says("netd was killed by SIGKILL");
            guest.gets("waiter", "running");
            assert_eq!(guest.shell("waiter", "redis-cli ping"), "PONG");
        },
    );
}

fn power_off_while_preparing(checks: &mut Checks, guest: &Guest) {
    checks.that(
        "a unit that is being prepared holds no power-off up",
        || {
            guest.told(&["stop", "waiter"]);
            netd(guest, FREEZE);
            std::thread::scope(|scope| {
                let started =
                    scope.spawn(|| guest.keelctl(&["--timeout", "30s", "start", "waiter"]));
                guest.gets("waiter", "preparing");
                let start = Instant::now();
                guest.machine.power_button().unwrap();
                guest.says("keelson: power off at");
                measured(SCENARIO, "power-off while preparing", start.elapsed());
                assert!(!started.join().unwrap().success());
            });
            guest.has_said(&["keelson: stage stop ok", "keelson: stage unmount ok"]);
        },
    );
    checks.that(
        "a machine that is switched off leaves no watchdog armed",
        || {
            until("the machine is off", PATIENCE, || {
                let status = guest.machine.monitor("info status").unwrap();
                let off = status.contains("shutdown");
                off.then_some(()).ok_or(status)
            });
            assert!(!is_counting(guest), "it goes on counting");
            guest.has_not_said(&["did not stop"]);
        },
    );
}

pub(crate) fn little_space_leaves_modules_in_memory_and_the_chip_sets_watchdog_is_fed() {
    const SCENARIO: &str = "little-space";
    /// It resets at the second time that it runs out.
    const WATCHDOG_S: u64 = 5;
    let mut checks = Checks::of(SCENARIO);
    let guest = Setup::named(SCENARIO)
        // The system's partition takes 512 MiB.
        .own_disk(760 * MIB)
        .units([probe()])
        .watchdog(Watchdog::Itco)
        .kernel_argument(&format!("keelson.watchdog={WATCHDOG_S}"))
        .hot_plug_slot()
        .boot();
    checks.that("the machine gets ready", || {
        guest.ready();
    });
    let armed = watchdog_line(&mut checks, &guest);
    checks.that(
        "where there is no room for modules, they stay in memory",
        || {
            let line = guest.says("modules that no device has asked for stay in memory");
            assert!(line.contains("MiB would be needed"), "{line}");
            let left = guest.shell("probe", "ls /machine/state/modules | wc -l");
            assert_eq!(left, "0", "half of them are there");
        },
    );
    checks.that("a device that comes gets its driver from there", || {
        let live = "cat /sys/module/nvme/initstate 2>/dev/null || true";
        assert_eq!(guest.shell("probe", live), "");
        guest
            .machine
            .monitor("device_add nvme,id=late,serial=late,bus=slot0")
            .unwrap();
        until("nvme is live", PATIENCE, || {
            let state = guest.shell("probe", live);
            (state == "live").then_some(()).ok_or(state)
        });
    });
    checks.that(
        "the machine lives longer than an unfed watchdog lets it",
        || {
            let long = Duration::from_secs(2 * WATCHDOG_S + 4);
            std::thread::sleep(long.saturating_sub(armed.elapsed()));
            guest.has_begun_once();
        },
    );
    checks.that("power-off is in order", || {
        guest.power_off();
        guest.serial_log_is_clean(&[]);
        StatePartition::of(guest.disk()).is_clean();
        guest.has_not_said(&["did not stop"]);
    });
    checks.end();
}

fn watchdog_line(checks: &mut Checks, guest: &Guest) -> Instant {
    checks.that("the chip set's watchdog is armed", || {
        guest.says("keelson: watchdog: resets the machine after");
        let identity = guest.shell("probe", "cat /sys/class/watchdog/watchdog0/identity");
        assert_eq!(identity, "iTCO_wdt");
    });
    Instant::now()
}
