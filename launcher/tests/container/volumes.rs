//! What outlives a container, and what does not.

use crate::harness::{Launch, Machine};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use unit::{LaunchReport, Mount, MountKind};

fn mount(kind: MountKind, target: &str) -> Mount {
    Mount {
        kind,
        target: target.to_owned(),
        read_only: false,
        options: unit::MountOptions::default(),
    }
}

fn named(name: &str) -> MountKind {
    MountKind::Volume {
        name: name.to_owned(),
    }
}

pub(crate) fn a_volume_takes_over_the_images_content_once(machine: &mut Machine) {
    let image = machine.image();
    image.file("var/lib/app/seed", "from the image");
    let folder = image.folder("var/lib/app");
    chown(&folder, Some(1000), Some(1001)).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o750)).unwrap();
    image.commit();
    let data = |probe: &str| {
        machine
            .launch(probe)
            .mount(mount(named("data"), "/var/lib/app"))
            .run()
            .answers()
    };
    let answers = data(
        "cat /var/lib/app/seed -- stat /var/lib/app -- write /var/lib/app/seed kept-in-volume",
    );
    assert_eq!(answers[0], "from the image");
    assert!(answers[1].starts_with("40750 1000:1001"), "{answers:?}");
    assert_eq!(data("cat /var/lib/app/seed"), ["kept-in-volume"]);
    assert!(!machine.state.join("volumes/data/filling").exists());
}

pub(crate) fn an_images_volume_belongs_to_the_unit(machine: &mut Machine) {
    let mut image = machine.image();
    image.config["Volumes"] = serde_json::json!({ "/data": {} });
    image.commit();
    machine.answers("write /data/file x");
    assert!(machine.state.join("volumes/web@1:data/data/file").exists());
    let launch = machine
        .launch("ls /data")
        .mount(mount(named("own"), "/data"));
    assert_eq!(
        launch.run().answers(),
        [""],
        "the unit's own mount replaces it"
    );
}

pub(crate) fn a_bind_shows_the_machines_folder_and_can_be_read_only(machine: &mut Machine) {
    machine.image().commit();
    let source = machine.state.join("source");
    fs::create_dir_all(&source).unwrap();
    fs::write(source.join("file"), "machine's").unwrap();
    let bind = |path: &std::path::Path| MountKind::Bind {
        source: path.to_str().unwrap().to_owned(),
    };
    let probe = "cat /mnt/file -- write /mnt/new x -- cat /one -- write /one x";
    let mut launch = machine
        .launch(probe)
        .mount(mount(bind(&source), "/mnt"))
        .mount(mount(bind(&source.join("file")), "/one"));
    launch.spec.mounts[1].read_only = true;
    assert_eq!(
        launch.run().answers(),
        ["machine's", "ok", "machine's", "errno 30"]
    );
    assert!(source.join("new").exists());
    let whole = machine
        .launch("ls /host/tmp -- cat /host/proc/1/comm")
        .mount(mount(MountKind::Bind { source: "/".into() }, "/host"));
    assert!(
        whole.run().answers()[0].split(' ').count() >= 1,
        "a bind of / does not contain the container itself"
    );
}

pub(crate) fn a_tmpfs_has_its_size_and_mode(machine: &mut Machine) {
    machine.image().commit();
    let tmpfs = MountKind::Tmpfs {
        size: 8192,
        mode: 0o1770,
    };
    let long = "x".repeat(9000);
    let probe = format!("stat /scratch -- write /scratch/a x -- write /scratch/b {long}");
    let answers = machine
        .launch(&probe)
        .mount(mount(tmpfs, "/scratch"))
        .run()
        .answers();
    assert!(answers[0].starts_with("41770 0:0"), "{answers:?}");
    assert_eq!(answers[1..], ["ok", "errno 28"]);
}

pub(crate) fn the_writable_layer_is_kept_until_the_image_changes(machine: &mut Machine) {
    machine.image().commit();
    machine.answers("write /kept x");
    assert_eq!(machine.answers("cat /kept"), ["x"]);
    let image = machine.image();
    image.file("new", "image");
    image.commit();
    assert_eq!(
        machine.answers("cat /kept -- cat /new"),
        ["errno 2", "image"]
    );
}

pub(crate) fn programs_in_a_tmpfs_run_where_the_unit_says_so(machine: &mut Machine) {
    machine.image().commit();
    let options = |exec| unit::MountOptions {
        exec,
        ..unit::MountOptions::default()
    };
    for (target, exec, runs) in [
        ("/scratch", None, false),
        ("/scratch", Some(true), true),
        ("/run", None, true),
        ("/run", Some(false), false),
        ("/run/service", None, true),
    ] {
        let tmpfs = MountKind::Tmpfs {
            size: 64 << 20,
            mode: 0o1777,
        };
        let mut mount = mount(tmpfs, target);
        mount.options = options(exec);
        let probe = format!("run {target} -- options {target}");
        let answers = machine.launch(&probe).mount(mount).run().answers();
        let (ran, flags) = if runs {
            ("ran", "rw,nosuid,nodev")
        } else {
            ("errno 13", "rw,nosuid,nodev,noexec")
        };
        assert_eq!(answers[0], ran, "{target} {exec:?}");
        assert!(answers[1].starts_with(flags), "{answers:?}");
        assert!(runs != answers[1].contains("noexec"), "{answers:?}");
    }
}

pub(crate) fn programs_run_in_a_tmpfs_that_a_link_leads_to_run(machine: &mut Machine) {
    let image = machine.image();
    image.link("var/run", "../run");
    image.commit();
    for (target, read_only, runs) in [
        ("/var/run", true, true),
        ("/var/run/service", false, true),
        ("/var/lib", true, false),
    ] {
        let tmpfs = MountKind::Tmpfs {
            size: 64 << 20,
            mode: 0o1777,
        };
        let launch = machine
            .launch(&format!("run {target}"))
            .mount(mount(tmpfs, target))
            .change(|container| container.read_only = read_only);
        let expected = if runs { "ran" } else { "errno 13" };
        assert_eq!(launch.run().answers()[0], expected, "{target}");
    }
}

pub(crate) fn programs_run_where_a_read_only_root_is_writable(machine: &mut Machine) {
    machine.image().commit();
    let launch = machine
        .launch("run /run -- run /tmp -- run /var/tmp -- options /run")
        .change(|container| container.read_only = true);
    let answers = launch.run().answers();
    assert_eq!(answers[..3], ["ran", "ran", "ran"]);
    assert!(answers[3].starts_with("rw,nosuid,nodev"), "{answers:?}");
}

pub(crate) fn options_of_a_mount_are_the_units(machine: &mut Machine) {
    machine.image().commit();
    let mut data = mount(named("data"), "/data");
    data.options = unit::MountOptions {
        exec: Some(false),
        nosuid: true,
        nodev: true,
        noatime: true,
    };
    let launch = machine.launch("run /data -- options /data").mount(data);
    let answers = launch.run().answers();
    assert_eq!(answers[0], "errno 13");
    assert!(
        answers[1].starts_with("rw,nosuid,nodev,noexec,noatime"),
        "{answers:?}"
    );
}

/// Notes of the run, and what the probe answered.
fn noted(launch: &Launch) -> (Vec<String>, Vec<String>) {
    let outcome = launch.run();
    let answers = outcome.answers();
    match outcome.reports.into_iter().next() {
        Some(LaunchReport::Prepared { notes, .. }) => (notes, answers),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn a_volume_of_the_image_in_a_mount_of_the_units_is_not_made(machine: &mut Machine) {
    let mut image = machine.image();
    image.file("srv/home/.state/seed", "from the image");
    image.link("house", "srv/home");
    image.config["Volumes"] = serde_json::json!({
        "/house/.state/": {}, "/srv/../srv/home/deep/er": {}, "/other": {}, "/house": {}, "/housely": {},
    });
    image.commit();
    for target in ["/house", "/srv/home", "/srv"] {
        let name = format!("of{}", target.replace('/', "-"));
        let launch = machine
            .launch("cat /house/.state/seed -- write /house/.state/new x -- write /other/new x")
            .mount(mount(named(&name), target));
        let (notes, answers) = noted(&launch);
        assert_eq!(answers, ["from the image", "ok", "ok"]);
        let [note] = notes.as_slice() else {
            panic!("{notes:?}")
        };
        assert!(
            note.contains(&format!("/house/.state (in {target})")) && !note.contains("other"),
            "{note}"
        );
        let data = machine.state.join("volumes").join(&name).join("data");
        let below = if target == "/srv" {
            "home/.state"
        } else {
            ".state"
        };
        assert!(data.join(below).join("new").exists(), "{target}");
        assert!(!machine.state.join("volumes/web@1:house-.state").exists());
        assert!(machine.state.join("volumes/web@1:other/data/new").exists());
    }
    // What is exactly the target of a mount is nobody's surprise.
    let launch = machine.launch("cwd").mount(mount(named("o"), "/other"));
    assert_eq!(noted(&launch).0, [""; 0]);
}
