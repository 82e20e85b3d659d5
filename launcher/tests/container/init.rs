//! A container with a first process of ours.

use crate::harness::{IMAGE, Launch, Machine, Running};
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use sys::pidfd::{self, Ended};
use unit::LaunchReport;

fn with_init(machine: &mut Machine, probe: &str) -> Launch {
    machine.image().commit();
    machine
        .launch(probe)
        .change(|container| container.init = true)
}

/// Once the command says that it is up.
fn up(launch: &Launch) -> Running {
    let mut running = launch.start();
    let reports = running.reports();
    assert!(
        matches!(reports.as_slice(), [LaunchReport::Prepared { .. }]),
        "{reports:?}"
    );
    running
}

/// The next line of its output, byte by byte, so that the rest is there for others.
fn line(running: &mut Running) -> String {
    let (mut line, mut byte) = (Vec::new(), [0]);
    while running.stdout.read_exact(&mut byte).is_ok() && byte != *b"\n" {
        line.extend(byte);
    }
    String::from_utf8_lossy(&line).into_owned()
}

pub(crate) fn the_commands_status_is_the_containers(machine: &mut Machine) {
    let outcome = with_init(machine, "cat /proc/1/comm -- exit 7").run();
    assert_eq!(outcome.stdout, "init\n");
    assert_eq!(outcome.ended, Ended::Code(7));
}

pub(crate) fn every_signal_is_handed_on(machine: &mut Machine) {
    // SIGHUP, SIGQUIT, SIGUSR1, SIGTERM, SIGTSTP, SIGTTOU, SIGWINCH, SIGRTMIN and one further.
    let signals = [1, 3, 10, 15, 20, 22, 28, 34, 37];
    let launch = with_init(machine, &format!("signals {}", signals.len()));
    let mut running = up(&launch);
    assert_eq!(line(&mut running), "waiting");
    for signal in signals {
        pidfd::signal(running.child.pidfd.as_fd(), signal).unwrap();
        assert_eq!(line(&mut running), signal.to_string());
    }
    assert_eq!(running.finish().ended, Ended::Code(0));
}

pub(crate) fn a_signal_without_a_handler_ends_the_command(machine: &mut Machine) {
    for signal in [15, 37] {
        let launch = with_init(machine, "echo up -- sleep");
        let mut running = up(&launch);
        assert_eq!(line(&mut running), "up");
        pidfd::signal(running.child.pidfd.as_fd(), signal).unwrap();
        assert_eq!(running.finish().ended, Ended::Code(128 + signal));
    }
}

pub(crate) fn what_is_left_without_a_parent_is_reaped(machine: &mut Machine) {
    let answers = with_init(machine, "orphans 40 -- zombies").run().answers();
    assert_eq!(answers, ["left", "0"]);
    // Without it they stay.
    let answers = machine.answers("orphans 40 -- zombies");
    assert_eq!(answers, ["left", "40"]);
}

pub(crate) fn the_first_process_has_no_more_than_the_command(machine: &mut Machine) {
    let script = "cat /proc/1/status -- cat /proc/self/status -- ls /proc/1/fd -- env A -- cat /proc/1/environ \
                  -- write /proc/1/exe x -- write /proc/1/fd/1 through-the-first:";
    for user in [None, Some("app")] {
        let launch = with_init(machine, script).change(|container| {
            container.user = user.map(str::to_owned);
            container.env.insert("A".into(), "unit".into());
        });
        let lines = launch.run().answers();
        for field in [
            "Uid",
            "Gid",
            "Groups",
            "CapInh",
            "CapPrm",
            "CapEff",
            "CapBnd",
            "CapAmb",
            "NoNewPrivs",
        ] {
            let values: Vec<&str> = lines
                .iter()
                .filter_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
                .collect();
            assert!(
                matches!(values.as_slice(), [first, command] if first == command),
                "{field}: {values:?}"
            );
        }
        let rest = &lines[lines.len() - 5..];
        assert_eq!(rest[..2], ["0 1 2", "unit"], "{rest:?}");
        assert!(rest[2].contains("A=unit\0"), "{rest:?}");
        // On the machine it is on a read-only root; here it is at least in use.
        let refused = if user.is_none() {
            ["errno 26", "errno 30"]
        } else {
            ["errno 13", "errno 30"]
        };
        assert!(refused.contains(&rest[3].as_str()), "{rest:?}");
        assert_eq!(rest[4], "through-the-first:ok");
    }
}

pub(crate) fn a_command_joins_it_as_any_other(machine: &mut Machine) {
    let launch = with_init(machine, "echo up -- sleep");
    let mut running = up(&launch);
    assert_eq!(line(&mut running), "up");
    let spec = launch.exec_spec("cat /proc/1/comm -- orphans 3 -- zombies");
    let answers = launch.exec(&running, &spec, None).finish().answers();
    assert_eq!(answers, ["init", "left", "0"]);
    running.kill();
}

pub(crate) fn a_command_that_cannot_be_executed_is_reported(machine: &mut Machine) {
    let image = machine.image();
    let path = image.file("bin/script", "#!/bin/bash\n");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    image.commit();
    for (command, status, expected) in [
        ("script", 126, "names /bin/bash".to_owned()),
        (
            "no-such",
            127,
            format!("command not found in image {IMAGE}"),
        ),
    ] {
        let launch = machine.launch("").change(|container| {
            container.init = true;
            container.entrypoint = Some(vec![command.into()]);
        });
        let outcome = launch.run();
        let failure = outcome.failure();
        assert_eq!(failure.step, "exec");
        assert!(failure.message.contains(&expected), "{failure:?}");
        assert_eq!(outcome.ended, Ended::Code(status));
    }
}
