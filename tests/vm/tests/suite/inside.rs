//! What a container sees of itself and of the machine: read from inside, by `keelctl exec` and by its own process.

use vm::{Checks, Guest, container};

/// Docker's fourteen capabilities, as the mask of /proc/PID/status (capabilities(7)).
const DEFAULT_CAPABILITIES: &str = "00000000a80425fb";
const NO_CAPABILITIES: &str = "0000000000000000";

/// A container with every limit.
pub(crate) fn confined() -> (String, String) {
    container(
        "confined",
        "entrypoint = [\"sleep\", \"infinity\"]\nuser = \"1000:1001\"\nhostname = \"cell\"\nstop_signal = \"SIGKILL\"\n\
         tmpfs = [\"/scratch:size=1M\"]\nvolumes = [\"cell-data:/data\"]\n\
         [env]\nGREETING = \"hello\"\n\
         [resources]\nmemory = \"64M\"\ncpus = 0.5\npids = 50\n[security]\nread_only = true\n",
    )
}

/// On a machine with the units `confined` and `redis`, which has no limits.
pub(crate) fn rules(checks: &mut Checks, guest: &Guest) {
    checks.that("limits are in force inside", || {
        let file = |name: &str| guest.shell("confined", &format!("cat /sys/fs/cgroup/{name}"));
        assert_eq!(file("memory.max"), (64 << 20).to_string());
        assert_eq!(file("cpu.max"), "50000 100000");
        assert_eq!(file("pids.max"), "50");
        let pids = guest.shell("redis", "cat /sys/fs/cgroup/pids.max");
        assert_eq!(pids, "4096", "the default of docs/units.md");
    });
    checks.that(
        "user, group, host name and environment are the unit's",
        || {
            let seen = guest.shell("confined", "id -u; id -g; hostname; echo $GREETING");
            assert_eq!(seen, "1000\n1001\ncell\nhello");
        },
    );
    checks.that(
        "capabilities are Docker's default, and none is in effect for a user",
        || {
            let field = |unit: &str, name: &str| {
                guest.shell(unit, &format!("grep ^{name}: /proc/1/status | cut -f2"))
            };
            assert_eq!(field("confined", "CapBnd"), DEFAULT_CAPABILITIES);
            assert_eq!(field("confined", "CapEff"), NO_CAPABILITIES);
            assert_eq!(field("confined", "NoNewPrivs"), "1");
            assert_eq!(field("redis", "CapBnd"), DEFAULT_CAPABILITIES);
            // An exec gets no more than its container.
            let exec = guest.shell(
                "confined",
                "grep -E '^(CapBnd|CapEff|NoNewPrivs):' /proc/self/status | cut -f2",
            );
            assert_eq!(
                exec,
                format!("{NO_CAPABILITIES}\n{DEFAULT_CAPABILITIES}\n1")
            );
        },
    );
    checks.that(
        "the container has its own processes, host name, network and cgroup root",
        || {
            assert_eq!(guest.shell("confined", "cat /proc/1/comm"), "sleep");
            assert_eq!(guest.shell("confined", "cat /proc/1/cgroup"), "0::/");
            let links = guest.shell("confined", "ls /sys/class/net | tr '\\n' ' '");
            assert_eq!(links, "eth0 lo");
            let others = guest.shell("confined", "ps | grep -c '[r]edis-server' || true");
            assert_eq!(others, "0");
        },
    );
    checks.that("the root is read-only, and only mounts can be written", || {
        let script = "for place in / /etc /usr; do touch $place/x 2>/dev/null && echo $place; done; \
                      for place in /data /scratch /tmp /run /dev/shm; do touch $place/x || echo no $place; done; true";
        let seen = guest.shell("confined", script);
        // A volume belongs to root until the image says otherwise, and /run is root's.
        let wrong: Vec<&str> = seen.lines().filter(|line| line.starts_with('/')).collect();
        assert!(wrong.is_empty(), "{seen}");
        let full = guest.keelctl(&["exec", "confined", "dd", "if=/dev/zero", "of=/scratch/full", "bs=64k", "count=32"]);
        assert!(!full.success(), "2 MiB went into a tmpfs of 1 MiB");
    });
    checks.that("what tells about the machine is masked or read-only", || {
        let script = "for file in /proc/kcore /proc/keys /proc/timer_list /proc/interrupts; do \
                        [ -e $file ] && [ -n \"$(head -c 1 $file 2>/dev/null)\" ] && echo $file; done; \
                      for folder in /proc/acpi /proc/scsi /sys/firmware; do ls -A $folder 2>/dev/null; done; \
                      for file in /proc/sysrq-trigger /proc/sys/kernel/hostname /sys/fs/cgroup/memory.max; do \
                        (echo 1 > $file) 2>/dev/null && echo written $file; done; true";
        let seen = guest.told(&["exec", "-u", "0", "confined", "sh", "-c", script]);
        assert_eq!(seen, "");
    });
    checks.that("no path of the machine shows", || {
        let mounts = guest.shell("confined", "cat /proc/self/mountinfo");
        for line in mounts.lines() {
            let point = line.split(' ').nth(4).unwrap_or_default();
            assert!(!point.starts_with("/var") || point == "/var/tmp", "{line}");
        }
        let places = guest.shell(
            "confined",
            "ls -d /var/images /var/volumes /usr/lib/keelson /run/keelson 2>/dev/null; true",
        );
        assert_eq!(places, "");
        let disks = guest.shell("confined", "ls /dev");
        assert!(!disks.contains("vda") && !disks.contains("kmsg"), "{disks}");
    });
    checks.that(
        "the machine's disk cannot be opened by its number either",
        || {
            let script = "mknod /dev/disk b 254 0 && head -c 1 /dev/disk | wc -c";
            let opened = guest.keelctl(&["exec", "-u", "0", "redis", "sh", "-c", script]);
            assert!(!opened.stdout.contains('1'), "{opened:?}");
        },
    );
    checks.that(
        "containers find each other and the outside by address",
        || {
            let address = guest.status("redis").address.unwrap();
            let answer = guest.shell("confined", &format!("redis-cli -h {address} ping"));
            assert_eq!(answer, "PONG");
            let hosts = guest.shell("confined", "cat /etc/hosts");
            assert!(hosts.contains("cell"), "{hosts}");
        },
    );
    checks.that(
        "a container that starts when the network is up has its resolvers",
        || {
            guest.says("stage network ok");
            guest.told(&["restart", "confined"]);
            let resolver = guest.shell("confined", "cat /etc/resolv.conf");
            assert!(resolver.contains("nameserver"), "{resolver}");
        },
    );
    checks.that("a fork bomb ends at the limit and touches nobody", || {
        let script = "i=0; while [ $i -lt 80 ]; do sleep 5 & i=$((i+1)); done 2>&1; true";
        let bomb = guest.keelctl(&["exec", "confined", "sh", "-c", script]);
        let said = format!("{}{}", bomb.stdout, bomb.stderr);
        assert!(said.contains("fork"), "{said}");
        assert_eq!(guest.status("redis").state, "running");
        assert_eq!(guest.shell("redis", "redis-cli ping"), "PONG");
    });
}
