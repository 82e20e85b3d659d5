//! Images that try to lead the launcher out of the root.

use crate::harness::Machine;
use std::fs;
use std::path::Path;
use unit::{Mount, MountKind};

fn volume(target: &str) -> Mount {
    Mount {
        kind: MountKind::Volume {
            name: "data".into(),
        },
        target: target.into(),
        read_only: false,
        options: unit::MountOptions::default(),
    }
}

pub(crate) fn links_in_the_image_never_lead_out(machine: &mut Machine) {
    let image = machine.image();
    let outside = machine.state.join("outside");
    fs::create_dir_all(&outside).unwrap();
    fs::rename(image.top().join("etc"), image.top().join("real-etc")).unwrap();
    let up = format!("../../../../../../../..{}", outside.display());
    image.link("etc", &up);
    image.folder(outside.strip_prefix("/").unwrap().to_str().unwrap());
    image.commit();
    let answers = machine.answers(&format!("cat {}/hostname", outside.display()));
    assert_eq!(answers, ["web-1"], "made at the same path inside");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}

pub(crate) fn a_link_to_nowhere_in_place_of_a_folder_is_named(machine: &mut Machine) {
    let image = machine.image();
    fs::rename(image.top().join("etc"), image.top().join("real-etc")).unwrap();
    image.link("etc", "/nowhere");
    image.commit();
    let failure = machine.launch("cwd").failure();
    assert_eq!(
        (failure.step.as_str(), failure.path.as_str(), failure.errno),
        ("etc", "/etc/hosts", 40)
    );
    assert!(failure.message.contains("leads nowhere"), "{failure:?}");
}

pub(crate) fn a_link_in_place_of_a_system_folder_is_refused(machine: &mut Machine) {
    for name in ["proc", "dev", "sys"] {
        let image = machine.image();
        image.link(name, "/var");
        image.commit();
        let failure = machine.launch("cwd").failure();
        assert_eq!(
            (failure.step.as_str(), failure.path.clone()),
            (name, format!("/{name}"))
        );
        assert!(
            failure.message.contains("symbolic link in the image"),
            "{failure:?}"
        );
    }
}

pub(crate) fn a_volume_through_a_link_stays_inside(machine: &mut Machine) {
    let image = machine.image();
    let outside = machine.state.join("outside");
    fs::create_dir_all(&outside).unwrap();
    image.link("data", outside.to_str().unwrap());
    image.folder(outside.strip_prefix("/").unwrap().to_str().unwrap());
    image.commit();
    let probe = "write /data/file x";
    let launch = machine.launch(probe).mount(volume("/data"));
    assert_eq!(launch.run().answers(), ["ok"]);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    assert!(machine.state.join("volumes/data/data/file").exists());
}

pub(crate) fn a_target_that_leads_into_proc_is_refused(machine: &mut Machine) {
    let image = machine.image();
    image.link("data", "/proc/self");
    image.link("magic", "/proc/1/root");
    image.commit();
    let failure = machine.launch("cwd").mount(volume("/data/attr")).failure();
    assert_eq!(
        (failure.step.as_str(), failure.path.as_str()),
        ("mount", "/data/attr")
    );
    assert!(failure.message.contains("into /proc"), "{failure:?}");
    let failure = machine.launch("cwd").mount(volume("/magic/etc")).failure();
    assert_eq!((failure.step.as_str(), failure.errno), ("mount", 40));
}

pub(crate) fn a_working_directory_through_a_descriptor_is_refused(machine: &mut Machine) {
    machine.image().commit();
    for number in 3..12 {
        let path = format!("/proc/self/fd/{number}");
        let launch = machine
            .launch("cwd")
            .change(|container| container.working_dir = Some(path.clone()));
        let failure = launch.failure();
        assert_eq!(failure.step, "working_dir", "{failure:?}");
    }
}

pub(crate) fn a_resolv_conf_that_leads_nowhere_is_replaced(machine: &mut Machine) {
    let image = machine.image();
    image.link("etc/resolv.conf", "../run/systemd/resolve/stub-resolv.conf");
    image.commit();
    assert_eq!(
        machine.answers("cat /etc/resolv.conf"),
        ["nameserver 10.0.0.1"]
    );
    assert!(!Path::new("/run/systemd/resolve/stub-resolv.conf").exists());
}
