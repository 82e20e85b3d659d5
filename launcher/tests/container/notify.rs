//! The notify socket, and containers of steps beside a run.

use crate::harness::Machine;
use std::path::PathBuf;
use unit::{LaunchRoot, NOTIFY_SOCKET};

/// A socket of PID 1, as it makes one for each run.
fn socket(machine: &Machine) -> (std::os::fd::OwnedFd, PathBuf) {
    let path = machine.state.join("notify");
    (sys::datagram::listen(&path).unwrap(), path)
}

pub(crate) fn every_user_of_the_container_can_say_something(machine: &mut Machine) {
    machine.image().commit();
    let (ours, path) = socket(machine);
    for (user, read_only) in [("0", false), ("1000:1000", true)] {
        let probe = format!("env NOTIFY_SOCKET -- send {NOTIFY_SOCKET} READY=1");
        let mut launch = machine.launch(&probe).change(|container| {
            container.user = Some(user.to_owned());
            container.read_only = read_only;
        });
        launch.spec.notify_socket = Some(path.to_string_lossy().into_owned());
        launch.spec.environment = vec![format!("NOTIFY_SOCKET={NOTIFY_SOCKET}")];
        assert_eq!(launch.run().answers(), [NOTIFY_SOCKET, "ok"], "{user}");
        let mut buffer = [0; 16];
        let heard = sys::datagram::receive(std::os::fd::AsFd::as_fd(&ours), &mut buffer).unwrap();
        assert_eq!(&buffer[..heard.bytes], b"READY=1");
    }
}

pub(crate) fn a_mount_in_the_place_of_the_notify_socket_is_refused(machine: &mut Machine) {
    machine.image().commit();
    let (_ours, path) = socket(machine);
    let mut launch = machine.launch("cwd").mount(unit::Mount {
        kind: unit::MountKind::Tmpfs {
            size: 4096,
            mode: 0o755,
        },
        target: NOTIFY_SOCKET.to_owned(),
        read_only: false,
        options: unit::MountOptions::default(),
    });
    launch.spec.notify_socket = Some(path.to_string_lossy().into_owned());
    let failure = launch.failure();
    assert_eq!(
        (failure.step.as_str(), failure.path.as_str()),
        ("mount", NOTIFY_SOCKET)
    );
}

pub(crate) fn what_a_step_writes_to_its_root_is_gone_with_it(machine: &mut Machine) {
    let image = machine.image();
    image.file("data/a", "image");
    image.commit();
    assert_eq!(machine.answers("write /kept unit"), ["ok"]);
    for way in ["one-by-one", "page"] {
        let mut step =
            machine.launch("cat /data/a -- cat /kept -- write /data/a steps -- cat /data/a");
        step.spec.root = LaunchRoot::Scratch;
        step.options
            .extend(["--overlay".to_owned(), way.to_owned()]);
        let answers = step.run().answers();
        assert_eq!(answers, ["image", "errno 2", "ok", "steps"], "{way}");
    }
    let answers = machine.answers("cat /data/a -- cat /kept");
    assert_eq!(answers, ["image", "unit"], "the unit's own is as it was");
}

pub(crate) fn a_step_can_run_while_the_units_container_does(machine: &mut Machine) {
    machine.image().commit();
    let mut unit = machine.launch("sleep").start();
    unit.reports();
    let mut step = machine.launch("write /x y -- cat /x");
    step.spec.root = LaunchRoot::Scratch;
    assert_eq!(step.run().answers(), ["ok", "y"]);
    sys::pidfd::signal(std::os::fd::AsFd::as_fd(&unit.child.pidfd), 9).unwrap();
    unit.finish();
}
