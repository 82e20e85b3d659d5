//! What a container sees of file systems.

use crate::harness::Machine;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use unit::LaunchRoot;

/// Mount point → (type, options of the mount, options of the file system), from proc_pid_mountinfo(5).
fn mounts(lines: &[String]) -> BTreeMap<String, (String, String, String)> {
    let parse = |line: &String| {
        let (mount, file_system) = line.split_once(" - ")?;
        let mount: Vec<&str> = mount.split(' ').collect();
        let file_system: Vec<&str> = file_system.split(' ').collect();
        let value = (
            file_system[0].to_owned(),
            mount[5].to_owned(),
            file_system[2].to_owned(),
        );
        Some((mount[4].to_owned(), value))
    };
    lines.iter().filter_map(parse).collect()
}

const MOUNTINFO: &str = "cat /proc/self/mountinfo";

pub(crate) fn every_container_has_the_standard_mounts(machine: &mut Machine) {
    machine.image().commit();
    let mounts = mounts(&machine.answers(MOUNTINFO));
    let expected = [
        ("/", "overlay", "rw"),
        ("/proc", "proc", "rw,nosuid,nodev,noexec"),
        ("/dev", "tmpfs", "rw,nosuid"),
        ("/dev/pts", "devpts", "rw,nosuid,noexec"),
        ("/dev/shm", "tmpfs", "rw,nosuid,nodev,noexec"),
        ("/dev/mqueue", "mqueue", "rw,nosuid,nodev,noexec"),
        ("/sys", "sysfs", "ro,nosuid,nodev,noexec"),
        ("/sys/fs/cgroup", "cgroup2", "ro,nosuid,nodev,noexec"),
        ("/etc/hosts", "tmpfs", "rw,nosuid"),
    ];
    for (target, kind, options) in expected {
        let (found_kind, found, _) = &mounts[target];
        assert_eq!(found_kind, kind, "{target}");
        assert!(found.starts_with(options), "{target}: {found}");
    }
    assert!(mounts["/dev/pts"].2.contains("ptmxmode=666"));
    assert!(mounts["/dev/shm"].2.contains("size=65536k"));
}

pub(crate) fn devices_and_links_are_those_of_the_oci_specification(machine: &mut Machine) {
    machine.image().commit();
    let answers = machine.answers("ls /dev -- stat /dev/null -- stat /dev/tty -- write /dev/null x -- write /dev/full x -- ls /dev/pts -- stat /dev/shm");
    assert_eq!(
        answers[0],
        "core fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero"
    );
    assert_eq!(answers[1], "20666 0:0 0");
    assert_eq!(answers[2], "20666 0:0 0");
    assert_eq!(answers[3], "ok");
    assert_eq!(answers[4], "errno 28");
    assert_eq!(answers[5], "ptmx");
    assert!(answers[6].starts_with("41777 0:0"));
}

pub(crate) fn nothing_of_the_machine_is_mounted(machine: &mut Machine) {
    machine.image().commit();
    let lines = machine.answers(MOUNTINFO);
    let targets: Vec<String> = mounts(&lines).into_keys().collect();
    let ours = |target: &&String| {
        ["/proc", "/dev", "/sys", "/etc/"]
            .iter()
            .any(|place| target.starts_with(place))
            || *target == "/"
    };
    assert_eq!(targets.iter().find(|target| !ours(target)), None);
    assert!(
        lines
            .iter()
            .all(|line| !line.contains("shared:") && !line.contains("master:")),
        "{lines:?}"
    );
    let answers = machine.answers("ls / -- cat /proc/1/comm -- ls /proc/sys/kernel/ns_last_pid");
    assert_eq!(answers[1], "probe", "it is PID 1");
    assert!(!answers[0].contains("images"), "{}", answers[0]);
}

pub(crate) fn masked_paths_tell_nothing(machine: &mut Machine) {
    machine.image().commit();
    let paths = [
        "/proc/kcore",
        "/proc/keys",
        "/proc/timer_list",
        "/proc/interrupts",
    ];
    for path in paths
        .iter()
        .filter(|path| std::path::Path::new(path).exists())
    {
        assert_eq!(
            machine.answers(&format!("stat {path}"))[0],
            "20666 0:0 0",
            "{path}"
        );
    }
    for path in ["/proc/acpi", "/proc/scsi", "/sys/firmware"] {
        if std::path::Path::new(path).exists() {
            let answers = machine.answers(&format!("ls {path} -- make {path}/x"));
            assert_eq!(answers, ["", "errno 30"], "{path}");
        }
    }
}

pub(crate) fn read_only_paths_cannot_be_written(machine: &mut Machine) {
    machine.image().commit();
    let answers = machine.answers("write /proc/sys/kernel/domainname x -- make /sys/fs/cgroup/x -- write /proc/self/comm mine -- write /proc/sysrq-trigger ?");
    assert_eq!(answers[..3], ["errno 30", "errno 30", "ok"]);
    // ENOENT: a kernel without it.
    assert!(
        ["errno 30", "errno 2"].contains(&answers[3].as_str()),
        "{answers:?}"
    );
}

pub(crate) fn etc_files_are_the_specifications_and_writable(machine: &mut Machine) {
    let image = machine.image();
    image.file("etc/hosts", "from the image");
    image.commit();
    let answers = machine.answers("cat /etc/hosts -- cat /etc/resolv.conf -- cat /etc/hostname -- write /etc/hosts mine -- stat /etc/resolv.conf");
    let expected = [
        "127.0.0.1 localhost",
        "10.0.0.2 web-1",
        "nameserver 10.0.0.1",
        "web-1",
        "ok",
        "100644 0:0 20",
    ];
    assert_eq!(answers, expected);
    let again = machine.answers("cat /etc/hosts");
    assert_eq!(again[0], "127.0.0.1 localhost", "new with each start");
}

pub(crate) fn a_read_only_root_is_read_only_but_for_scratch_places(machine: &mut Machine) {
    let image = machine.image();
    image.file("run/lock/keep", "kept");
    image.commit();
    let probe = "write /file x -- write /etc/new x -- write /tmp/x x -- write /run/x x -- write /var/tmp/x x -- cat /run/lock/keep -- stat /tmp -- write /etc/hosts x";
    let outcome = machine
        .launch(probe)
        .change(|container| container.read_only = true)
        .run();
    let answers = outcome.answers();
    assert_eq!(
        answers[..6],
        ["errno 30", "errno 30", "ok", "ok", "ok", "kept"]
    );
    assert!(answers[6].starts_with("41777"));
    assert_eq!(answers[7], "ok");
}

pub(crate) fn layers_lie_on_each_other_by_both_ways_of_mounting(machine: &mut Machine) {
    let mut image = machine.image();
    image.file("data/a", "lower");
    image.file("data/b", "lower");
    image.add_layer();
    image.file("data/a", "upper");
    image.commit();
    for way in ["one-by-one", "page"] {
        let mut launch = machine.launch("cat /data/a -- cat /data/b -- write /data/c x");
        launch
            .options
            .extend(["--overlay".to_owned(), way.to_owned()]);
        assert_eq!(launch.run().answers(), ["upper", "lower", "ok"], "{way}");
    }
    assert!(machine.state.join("containers/web@1/upper/data/c").exists());
}

pub(crate) fn an_image_without_layers_has_a_root(machine: &mut Machine) {
    machine.image_without_layers().commit();
    let failure = machine.launch("cwd").failure();
    assert_eq!(
        (failure.step.as_str(), failure.path.as_str()),
        ("exec", "/bin/probe")
    );
}

pub(crate) fn the_root_folder_is_the_images(machine: &mut Machine) {
    let mut image = machine.image();
    let base = image.top();
    std::os::unix::fs::chown(&base, Some(5), Some(6)).unwrap();
    std::fs::set_permissions(&base, std::fs::Permissions::from_mode(0o1771)).unwrap();
    // It says nothing of the root.
    image.add_layer();
    image.commit();
    for root in [LaunchRoot::Kept, LaunchRoot::Scratch, LaunchRoot::Kept] {
        let mut launch = machine.launch("stat /");
        launch.spec.root = root;
        let answers = launch.run().answers();
        assert!(
            answers[0].starts_with("41771 5:6 "),
            "{root:?}: {answers:?}"
        );
    }
    let image = machine.image();
    image.commit();
    let answers = machine.answers("stat /");
    assert!(answers[0].starts_with("40755 0:0 "), "{answers:?}");
}
