//! What goes wrong before anything of ours has: units with mistakes, no disk, archives that are not what they say. One
//! machine without a disk meets all of it, and its one good unit must not notice.

use crate::archives;
use std::time::Duration;
use sys::memory::LEAST_WITHOUT_DISK;
use vm::{Checks, Guest, Setup, container, demo_archive};

use qemu::FindingKind;

const SCENARIO: &str = "bad-input";
const PORT: u16 = 7001;
const LOAD_TIMEOUT: Duration = Duration::from_secs(120);

fn setup() -> Setup {
    let file = |name: &str, text: &str| (format!("{name}.container.toml"), text.to_owned());
    Setup::named(SCENARIO)
        .memory(LEAST_WITHOUT_DISK)
        .units([
            container(
                "good",
                "volumes = [\"good-data:/data\"]\n[[ports]]\npublish = \"7001:6379\"\n",
            ),
            // Before it in the order of names is who keeps the port.
            container("rival", "[[ports]]\npublish = \"7001:6379\"\n"),
            file("typo", "[container]\niamge = \"redis\"\n"),
            file(
                "mistyped",
                "[container]\nimage = \"redis\"\n[resources]\npids = \"many\"\n",
            ),
            file("broken", "[container\nimage = \"redis\"\n"),
            container("absent", "entrypoint = [\"/no/such/program\"]\n"),
            file(
                "unknown",
                "[container]\nimage = \"example.com/no/such:1\"\n",
            ),
            container("needy", "[unit]\nrequires = [\"typo\"]\n"),
        ])
        .port(PORT)
}

pub(crate) fn bad_input_is_named_with_what_to_do_and_good_units_run() {
    let mut checks = Checks::of(SCENARIO);
    let guest = setup().boot();
    guest.booted();
    checks.that(
        "a machine without a disk runs from memory and says so aloud",
        || {
            guest.says("stage state failed");
            // And not "no disk has come": nothing could bring one, so none was waited for.
            guest.says("no disk: attach one that was written from the disk image");
            guest.says("STATE IS IN MEMORY");
            let told = guest.told(&["status"]);
            assert!(told.contains("STATE IS IN MEMORY"), "{told}");
            guest.has_not_said(&["TOO LITTLE MEMORY"]);
        },
    );
    checks.that("good units run beside bad ones", || {
        guest.answers(PORT);
        assert_eq!(guest.status("good").state, "running");
    });
    checks.that("where nothing is probed, no prober runs", || {
        let told = guest.told(&["top"]);
        assert!(told.contains("netd") && !told.contains("prober"), "{told}");
    });
    unit_rules(&mut checks, &guest);
    archive_rules(&mut checks, &guest);
    checks.that("the good unit was never touched", || {
        let good = guest.status("good");
        assert_eq!(
            (good.restarts, good.state.as_str()),
            (0, "running"),
            "{good:?}"
        );
        guest.answers(PORT);
    });
    checks.that("power-off is in order", || {
        guest.power_off();
        guest.serial_log_is_clean(&[FindingKind::BootStage, FindingKind::Unit]);
    });
    checks.end();
}

fn unit_rules(checks: &mut Checks, guest: &Guest) {
    let mistakes = [
        ("typo", "typo.container.toml:2:1", "`image`"),
        ("mistyped", "mistyped.container.toml:4:8", "pids"),
        ("broken", "broken.container.toml:1:11", "`]`"),
        ("rival", "rival.container.toml", "good"),
        ("needy", "needy.container.toml:4:", "typo"),
    ];
    for (unit, place, word) in mistakes {
        checks.that(
            &format!("the mistake of {unit} is on the console and in its status"),
            || {
                let console = guest.console();
                let line = console.lines().find(|line| line.contains(place));
                let line = line.unwrap_or_else(|| panic!("no line with {place}:\n{console}"));
                assert!(line.contains(word), "{line}");
                let told = guest.told(&["status", unit]);
                assert!(told.contains(place) && told.contains(word), "{told}");
                let status = guest.status(unit);
                assert_eq!(status.state, "failed", "{status:?}");
                let refused = guest.keelctl(&["start", unit]);
                assert_eq!(refused.status.code(), Some(1), "{refused:?}");
            },
        );
    }
    checks.that("a program that the image lacks is named", || {
        let status = guest.gets("absent", "backoff");
        assert!(status.reason.contains("/no/such/program"), "{status:?}");
    });
    checks.that(
        "an image that is not here is named, with how to load it",
        || {
            let status = guest.gets("unknown", "backoff");
            assert!(
                status.reason.contains("example.com/no/such:1"),
                "{status:?}"
            );
            assert!(status.reason.contains("keelctl image load"), "{status:?}");
        },
    );
}

fn archive_rules(checks: &mut Checks, guest: &Guest) {
    let whole = std::fs::read(demo_archive()).unwrap();
    let load = |archive: &[u8]| {
        guest
            .machine
            .keelctl_with(&["image", "load", "-"], archive, LOAD_TIMEOUT)
            .unwrap()
    };
    let refused = |archive: &[u8], words: &[&str]| {
        let before = guest.told(&["image", "ls", "--json"]);
        let finished = load(archive);
        assert_eq!(finished.status.code(), Some(1), "{finished:?}");
        for word in words {
            assert!(
                finished.stderr.contains(word),
                "no `{word}` in: {}",
                finished.stderr
            );
        }
        assert_eq!(
            guest.told(&["image", "ls", "--json"]),
            before,
            "the store has changed"
        );
    };
    checks.that("an archive that ends early is refused", || {
        refused(&whole[..whole.len() / 2], &["end"]);
    });
    checks.that(
        "an archive with one flipped bit in a layer is refused, and the layer named",
        || {
            let (forged, digest) = archives::with_flipped_bit(&whole);
            refused(&forged, &[&digest]);
        },
    );
    checks.that(
        "an archive whose layer was replaced is refused, and the layer named",
        || {
            let (forged, digest) = archives::with_replaced_layer(&whole);
            refused(&forged, &[&digest]);
        },
    );
    checks.that(
        "an archive for which memory has no room is refused, and why is said",
        || {
            let fill = "dd if=/dev/zero of=/data/big bs=1M";
            let filled = guest.keelctl(&["exec", "-u", "0", "good", "sh", "-c", fill]);
            assert!(filled.stderr.contains("No space left"), "{filled:?}");
            let archive = archives::with_path(&whole, "etc/no-room");
            refused(
                &archive,
                &[
                    "no space left in /var/images, which is in memory",
                    "256.0 MiB",
                ],
            );
            let told = guest.told(&["status"]);
            assert!(told.contains("IN MEMORY, IS NEARLY FULL"), "{told}");
            guest.told(&["exec", "-u", "0", "good", "rm", "/data/big"]);
        },
    );
    checks.that("what is no archive is refused", || {
        refused(
            b"this is not an archive, whatever its sender thinks of it",
            &[],
        );
        refused(b"", &[]);
    });
    checks.that(
        "a layer that would write outside of its folder does not",
        || {
            let outside = "../../../../../../../../var/units/planted.container.toml";
            let archive = archives::with_path(&whole, outside);
            let finished = load(&archive);
            assert!(!finished.success(), "{finished:?}");
            assert!(finished.stderr.contains(outside), "{finished:?}");
        },
    );
    checks.that("a good archive is loaded, and its unit can start", || {
        let finished = load(&archives::renamed(&whole, "example.com/no/such:1"));
        assert!(finished.success(), "{finished:?}");
        guest.told(&["start", "unknown"]);
        assert_eq!(guest.status("unknown").state, "running");
    });
}
