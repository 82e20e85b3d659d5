//! One more process in a running container.

use crate::harness::{Group, Launch, Machine, Running};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use sys::pidfd::{self, Ended};
use unit::LaunchReport;

/// A container that sleeps.
fn container(machine: &mut Machine) -> (Launch, Running) {
    let mut image = machine.image();
    image.config["Env"] = serde_json::json!(["A=image"]);
    image.commit();
    let launch = machine.launch("sleep");
    let mut running = launch.start();
    assert!(matches!(
        running.reports().as_slice(),
        [LaunchReport::Prepared { .. }]
    ));
    (launch, running)
}

pub(crate) fn a_command_joins_with_the_same_restrictions(machine: &mut Machine) {
    let (launch, running) = container(machine);
    let mut spec = launch.exec_spec(
        &running,
        "cat /proc/self/status -- cat /proc/1/comm -- env A -- env B -- env HOME -- cwd -- fds -- write /dev/stdout again:",
    );
    spec.user = "app".into();
    spec.env = vec!["B=more".into()];
    spec.working_dir = "/var/lib".into();
    let lines = launch.exec(&running, &spec, None).finish().answers();
    let field = |name: &str| {
        let line = lines
            .iter()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_default().trim().to_owned()
    };
    assert_eq!(field("CapBnd"), "00000000a80425fb");
    assert_eq!(field("CapEff"), "0000000000000000");
    assert_eq!(field("NoNewPrivs"), "1");
    assert_eq!(field("Uid"), "1000\t1000\t1000\t1000");
    assert_eq!(field("Groups"), "2000");
    let rest = &lines[lines.len() - 7..];
    assert_eq!(
        rest,
        [
            "probe",
            "image",
            "more",
            "/home/app",
            "/var/lib",
            "0 1 2",
            "again:ok"
        ]
    );
    running.kill();
}

pub(crate) fn its_exit_status_is_passed_on(machine: &mut Machine) {
    let (launch, running) = container(machine);
    let outcome = launch
        .exec(&running, &launch.exec_spec(&running, "exit 42"), None)
        .finish();
    assert_eq!(outcome.ended, Ended::Code(42));
    running.kill();
}

pub(crate) fn a_terminal_is_the_commands_own(machine: &mut Machine) {
    let (launch, running) = container(machine);
    let mut spec = launch.exec_spec(&running, "tty -- env TERM -- write /dev/tty t -- line");
    spec.tty = true;
    spec.user = "app".into();
    let (ours, theirs) = sys::socket::stream_pair().unwrap();
    let mut exec = launch.exec(&running, &spec, Some(theirs.as_fd()));
    drop(theirs);
    let (_, mut descriptors) = sys::socket::receive(ours.as_fd(), &mut [0; 8]).unwrap();
    let mut master = File::from(descriptors.remove(0));
    assert!(matches!(
        exec.reports().as_slice(),
        [LaunchReport::Prepared { .. }]
    ));
    master.write_all(b"hello\n").unwrap();
    // At the end of the last process the terminal hangs up: EIO.
    let mut seen = Vec::new();
    let mut buffer = [0; 256];
    while let Ok(bytes @ 1..) = master.read(&mut buffer) {
        seen.extend_from_slice(&buffer[..bytes]);
    }
    let seen = String::from_utf8(seen).unwrap();
    for part in ["/dev/pts/0", "xterm", "ok", "hello"] {
        assert!(seen.contains(part), "{part} in {seen:?}");
    }
    assert_eq!(exec.finish().ended, Ended::Code(0));
    running.kill();
}

pub(crate) fn a_missing_command_is_reported(machine: &mut Machine) {
    let (launch, running) = container(machine);
    let mut spec = launch.exec_spec(&running, "");
    spec.argv = vec!["bash".into()];
    let outcome = launch.exec(&running, &spec, None).finish();
    let failure = outcome.failure();
    assert_eq!(
        (failure.step.as_str(), failure.path.as_str()),
        ("exec", "bash")
    );
    assert_eq!(outcome.ended, Ended::Code(127));
    running.kill();
}

pub(crate) fn a_killed_launcher_takes_its_command_along(machine: &mut Machine) {
    let (launch, running) = container(machine);
    let mut exec = launch.exec(&running, &launch.exec_spec(&running, "sleep"), None);
    assert!(matches!(
        exec.reports().as_slice(),
        [LaunchReport::Prepared { .. }]
    ));
    // The pipe of its output ends only when the command has ended too.
    let outcome = exec.kill();
    assert_eq!(outcome.ended, Ended::Signal(9));
    assert!(pidfd::signal(running.child.pidfd.as_fd(), 0).is_ok());
    running.kill();
}

/// The numbers of all processes in the container, but for the command that lists them and its reaper.
fn processes(launch: &Launch, running: &Running) -> Vec<u32> {
    let spec = launch.exec_spec(running, "ls /proc");
    let lines = launch.exec(running, &spec, None).finish().answers();
    let mut numbers: Vec<u32> = lines[0]
        .split_whitespace()
        .filter_map(|name| name.parse().ok())
        .collect();
    numbers.sort_unstable();
    // It came last.
    numbers.truncate(numbers.len() - 2);
    numbers
}

pub(crate) fn what_a_command_leaves_behind_is_gone_and_reaped(machine: &mut Machine) {
    let Some(group) = Group::new() else {
        return;
    };
    // Its first process never waits for a child.
    let (launch, running) = container(machine);
    let (path, folder) = group.beside("exec-1");
    let outcome = launch.exec_in(&running, "leave", &folder).finish();
    assert_eq!(outcome.ended, Ended::Code(0), "{outcome:?}");
    assert_eq!(outcome.stdout, "true\nleft\n");
    assert_eq!(processes(&launch, &running), [1]);
    std::fs::remove_dir(path).unwrap();
    running.kill();
}

pub(crate) fn what_is_killed_with_its_group_is_reaped(machine: &mut Machine) {
    let Some(group) = Group::new() else {
        return;
    };
    let (launch, running) = container(machine);
    let (path, folder) = group.beside("exec-2");
    let mut exec = launch.exec_in(&running, "leave hung", &folder);
    assert!(matches!(
        exec.reports().as_slice(),
        [LaunchReport::Prepared { .. }]
    ));
    // Both are there when the first line is.
    exec.read_line();
    std::fs::write(path.join("cgroup.kill"), "1").unwrap();
    let outcome = exec.finish();
    assert_eq!(outcome.ended, Ended::Code(128 + 9), "{outcome:?}");
    assert_eq!(processes(&launch, &running), [1]);
    std::fs::remove_dir(path).unwrap();
    running.kill();
}
