//! What is wrong is said with step and path.

use crate::harness::Machine;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use sys::pidfd::Ended;
use unit::{Mount, MountKind};

pub(crate) fn a_missing_image_is_named(machine: &mut Machine) {
    let outcome = machine.launch("cwd").run();
    let failure = outcome.failure();
    assert_eq!(
        (failure.step.as_str(), failure.path.as_str()),
        ("image", "docker.io/library/probe:1")
    );
    assert_eq!(outcome.ended, Ended::Code(125));
}

pub(crate) fn a_missing_command_says_where_it_was_looked_for(machine: &mut Machine) {
    machine.image().commit();
    let launch = machine.launch("").change(|container| {
        container.entrypoint = Some(vec!["redis-server".into()]);
        container.env.insert("PATH".into(), "/usr/bin:/bin".into());
    });
    let outcome = launch.run();
    let failure = outcome.failure();
    assert_eq!(
        (failure.step.as_str(), failure.path.as_str(), failure.errno),
        ("exec", "redis-server", 0)
    );
    assert_eq!(
        failure.message,
        "command not found in image docker.io/library/probe:1 (looked in /usr/bin:/bin)"
    );
    assert_eq!(outcome.ended, Ended::Code(127));
    let nothing = launch.change(|container| container.entrypoint = Some(Vec::new()));
    let failure = nothing.failure();
    assert!(
        failure.step == "command" && failure.message.contains("set container.command"),
        "{failure:?}"
    );
}

pub(crate) fn what_cannot_be_executed_says_why(machine: &mut Machine) {
    let image = machine.image();
    let file = |name: &str, text: &[u8], mode: u32| {
        let path = image.file(name, "");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    };
    file("bin/plain", b"echo", 0o644);
    file("bin/script", b"#!/bin/bash\n", 0o755);
    file("bin/of-plain", b"#!/bin/plain\n", 0o755);
    file("bin/text", b"echo hello", 0o755);
    let mut arm = [0u8; 64];
    arm[..6].copy_from_slice(b"\x7fELF\x02\x01");
    arm[16..20].copy_from_slice(&[2, 0, 183, 0]);
    file("bin/arm", &arm, 0o755);
    image.commit();
    for (command, path, expected, errno) in [
        (
            "plain",
            "/bin/plain",
            "not executable: nobody may execute it (mode 0644)",
            13,
        ),
        (
            "of-plain",
            "/bin/of-plain",
            "names /bin/plain, which is not executable",
            13,
        ),
        ("script", "/bin/script", "names /bin/bash", 2),
        ("text", "/bin/text", "no ELF header", 8),
        ("arm", "/bin/arm", "for arm64", 8),
        ("/bin", "/bin", "is a folder", 0),
    ] {
        let launch = machine
            .launch("")
            .change(|container| container.entrypoint = Some(vec![command.into()]));
        let outcome = launch.run();
        let failure = outcome.failure();
        assert_eq!(
            (failure.step.as_str(), failure.path.as_str(), failure.errno),
            ("exec", path, errno),
            "{failure:?}"
        );
        assert!(failure.message.contains(expected), "{failure:?}");
        assert_eq!(outcome.ended, Ended::Code(126));
    }
}

pub(crate) fn an_unknown_user_is_named(machine: &mut Machine) {
    machine.image().commit();
    let failure = machine
        .launch("cwd")
        .change(|container| container.user = Some("ghost".into()))
        .failure();
    assert_eq!(
        (failure.step.as_str(), failure.path.as_str()),
        ("user", "/etc/passwd")
    );
    assert!(failure.message.contains("no user ghost"), "{failure:?}");
}

pub(crate) fn a_missing_bind_source_is_named(machine: &mut Machine) {
    machine.image().commit();
    let mount = Mount {
        kind: MountKind::Bind {
            source: "/no/such/place".into(),
        },
        target: "/mnt".into(),
        read_only: false,
        options: unit::MountOptions::default(),
    };
    let failure = machine.launch("cwd").mount(mount).failure();
    assert_eq!(
        (failure.step.as_str(), failure.path.as_str()),
        ("mount", "/no/such/place")
    );
    assert!(
        failure.message.contains("does not exist on the machine"),
        "{failure:?}"
    );
}

pub(crate) fn a_volume_on_a_file_is_refused(machine: &mut Machine) {
    let image = machine.image();
    image.file("data", "a file");
    image.commit();
    let mount = Mount {
        kind: MountKind::Volume {
            name: "data".into(),
        },
        target: "/data".into(),
        read_only: false,
        options: unit::MountOptions::default(),
    };
    let failure = machine.launch("cwd").mount(mount).failure();
    assert_eq!(
        (failure.step.as_str(), failure.path.as_str()),
        ("mount", "/data")
    );
    assert_eq!(failure.message, "must be a folder in the image");
}

pub(crate) fn a_broken_specification_is_reported(machine: &mut Machine) {
    let outcome = machine.launch("").start_with(b"{").finish();
    assert_eq!(outcome.failure().step, "spec");
}

pub(crate) fn a_launch_that_is_called_off_says_so(machine: &mut Machine) {
    machine.image().commit();
    let launch = machine.launch("cwd");
    let spec = serde_json::to_vec(&launch.spec).unwrap();
    let failure = launch.start_told(&spec, |_| {}).finish().failure();
    assert_eq!(failure.step, "network");
    assert!(failure.message.contains("called the launch off"));
}

pub(crate) fn a_network_that_does_not_come_is_never_the_machines_own(machine: &mut Machine) {
    machine.image().commit();
    let launch = machine.launch("cwd");
    let spec = serde_json::to_vec(&launch.spec).unwrap();
    let go = br#"{"hosts":"","resolv_conf":""}"#;
    let without_namespace = |init: std::os::fd::BorrowedFd<'_>| {
        sys::socket::send(init, go, &[]).unwrap();
    };
    let failure = launch
        .start_told(&spec, without_namespace)
        .finish()
        .failure();
    assert_eq!(failure.step, "network");
    assert!(failure.message.contains("no network namespace"));
}

pub(crate) fn a_file_capability_that_containers_do_not_get_is_named(machine: &mut Machine) {
    let image = machine.image();
    // Version 2, effective: cap_ipc_lock and cap_chown, of which containers have the second.
    let words = [0x0200_0001_u32, 1 << 14 | 1, 0, 0, 0];
    let data: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    for name in ["bin/vault", "bin/locked"] {
        let path = image.file(name, "");
        fs::copy("/proc/self/exe", &path).unwrap();
        let file = fs::File::open(&path).unwrap();
        sys::xattr::set(file.as_fd(), c"security.capability", &data).unwrap();
    }
    let script = image.file("bin/script", "#!/bin/locked x\n");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    image.commit();
    for (command, expected, user, init) in [
        (
            "vault",
            "its file capability cap_ipc_lock is not",
            None,
            false,
        ),
        ("vault", "(`setcap -r /bin/vault`)", Some("app"), true),
        (
            "script",
            "names /bin/locked, whose file capability cap_ipc_lock",
            None,
            false,
        ),
    ] {
        let launch = machine.launch("").change(|container| {
            container.entrypoint = Some(vec![command.into(), "server".into()]);
            container.user = user.map(str::to_owned);
            container.init = init;
        });
        let failure = launch.failure();
        assert_eq!(
            (failure.step.as_str(), failure.errno),
            ("exec", 1),
            "{failure:?}"
        );
        assert!(failure.message.contains(expected), "{failure:?}");
    }
}

pub(crate) fn what_is_too_large_for_the_kernel_is_named(machine: &mut Machine) {
    machine.image().commit();
    let long = "x".repeat(150 << 10);
    let many = "y".repeat(120 << 10);
    for init in [false, true] {
        let launch = machine
            .launch("cwd")
            .change(|container| container.init = init);
        let one = launch.change(|container| {
            container.env.insert("SETTINGS".into(), long.clone());
        });
        let failure = one.failure();
        assert_eq!((failure.step.as_str(), failure.errno), ("exec", 7));
        let expected = "the variable SETTINGS is too long: 151 KiB";
        assert!(failure.message.contains(expected), "{failure:?}");
        let launch = machine.launch("cwd").change(|container| {
            container.init = init;
            let words = (0..80).map(|_| many.clone());
            container.command = Some(
                ["sh".to_owned(), "-c".to_owned()]
                    .into_iter()
                    .chain(words)
                    .collect(),
            );
            container.entrypoint = Some(vec!["probe".into()]);
        });
        let failure = launch.failure();
        assert_eq!(failure.errno, 7);
        let expected = "its arguments are too large: 96";
        assert!(failure.message.contains(expected), "{failure:?}");
        assert!(
            failure
                .message
                .contains("the largest is argument 3, \"yyyy"),
            "{failure:?}"
        );
    }
}

pub(crate) fn a_command_in_one_word_is_shown_as_an_array(machine: &mut Machine) {
    machine.image().commit();
    for name in ["sleep 1d", "/bin/sleep 1d"] {
        let launch = machine
            .launch("")
            .change(|container| container.entrypoint = Some(vec![name.into()]));
        let outcome = launch.run();
        let failure = outcome.failure();
        let program = name.split(' ').next().unwrap();
        let expected = format!("words of their own: [\"{program}\", \"1d\"]");
        assert!(failure.message.contains(&expected), "{failure:?}");
        assert_eq!(outcome.ended, Ended::Code(127));
    }
}

pub(crate) fn a_program_in_a_mount_without_exec_says_so(machine: &mut Machine) {
    let image = machine.image();
    let path = image.file("srv/program", "#!/bin/sh\n");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    image.commit();
    let mount = Mount {
        kind: MountKind::Volume { name: "srv".into() },
        target: "/srv".into(),
        read_only: false,
        options: unit::MountOptions {
            exec: Some(false),
            ..unit::MountOptions::default()
        },
    };
    let launch = machine.launch("").mount(mount);
    let launch =
        launch.change(|container| container.entrypoint = Some(vec!["/srv/program".into()]));
    let failure = launch.failure();
    assert!(
        failure
            .message
            .contains("say `exec` in the mount's options"),
        "{failure:?}"
    );
}
