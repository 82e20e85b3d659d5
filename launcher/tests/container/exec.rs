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
        .exec(&running, &launch.exec_spec("exit 42"), None)
        .finish();
    assert_eq!(outcome.ended, Ended::Code(42));
    running.kill();
}

pub(crate) fn a_terminal_is_the_commands_own(machine: &mut Machine) {
    let (launch, running) = container(machine);
    let mut spec = launch.exec_spec("tty -- env TERM -- write /dev/tty t -- line");
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
    let mut spec = launch.exec_spec("");
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
    let mut exec = launch.exec(&running, &launch.exec_spec("sleep"), None);
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

/// What is there beside the container's first process, the command that looks and its reaper.
fn left(launch: &Launch, running: &Running) -> Vec<String> {
    let spec = launch.exec_spec("ps");
    let all = launch.exec(running, &spec, None).finish().answers();
    let mut all: Vec<String> = all[0].split(' ').map(str::to_owned).collect();
    for own in ["probe:S", "probe:R", "launcher:S"] {
        let at = all.iter().position(|process| process == own);
        all.remove(at.unwrap_or_else(|| panic!("no {own} in {all:?}")));
    }
    all
}

/// Without groups, and with one of their own where there is cgroup v2: `act` ends a command that has left processes behind.
fn ends_clean(machine: &mut Machine, probe: &str, act: fn(&Running, Option<&Group>), code: i32) {
    let group = Group::new();
    for group in [None, group.as_ref()] {
        let (mut launch, mut running) = container(machine);
        if let Some(group) = group {
            running.kill();
            launch = launch.in_group(group);
            running = launch.start();
            running.reports();
        }
        let spec = launch.exec_spec(probe);
        let mut exec = launch.exec(&running, &spec, None);
        exec.reports();
        exec.until("left");
        act(&exec, group);
        // The pipes end with the last of its processes, and it ends after them.
        let outcome = exec.finish();
        if let Some(group) = group {
            group.renew_step();
        }
        assert_eq!(outcome.ended, Ended::Code(code), "{group:?} {outcome:?}");
        let launch = launch.in_same_group(group);
        assert_eq!(left(&launch, &running), [""; 0], "{group:?}");
        running.kill();
    }
}

pub(crate) fn what_a_command_leaves_behind_ends_with_it_and_is_reaped(machine: &mut Machine) {
    ends_clean(machine, "leave", |_, _| {}, 0);
}

pub(crate) fn a_command_that_is_to_end_takes_all_it_has_started_along(machine: &mut Machine) {
    let ask = |exec: &Running, _: Option<&Group>| {
        pidfd::signal(exec.child.pidfd.as_fd(), 15).unwrap();
    };
    ends_clean(machine, "leave -- sleep", ask, 137);
}

pub(crate) fn a_killed_group_leaves_no_zombies(machine: &mut Machine) {
    let kill = |exec: &Running, group: Option<&Group>| match group {
        Some(group) => group.kill_step(),
        None => pidfd::signal(exec.child.pidfd.as_fd(), 15).unwrap(),
    };
    ends_clean(machine, "leave -- sleep", kill, 137);
}

pub(crate) fn a_command_is_killed_for_memory_before_the_container(machine: &mut Machine) {
    let (launch, running) = container(machine);
    let scores = "cat /proc/1/oom_score_adj -- cat /proc/self/oom_score_adj";
    let spec = launch.exec_spec(scores);
    let answers = launch.exec(&running, &spec, None).finish().answers();
    assert_eq!(answers, ["0", "1000"]);
    running.kill();
}

pub(crate) fn the_reaper_cannot_be_looked_into(machine: &mut Machine) {
    let (launch, running) = container(machine);
    let ps = launch.exec_spec("sleep");
    let mut sleeps = launch.exec(&running, &ps, None);
    sleeps.reports();
    // The container's first process is 1; the reaper comes before its command.
    let looks = "cat /proc/2/comm -- cat /proc/2/exe -- cat /proc/2/environ -- cat /proc/2/mem -- cat /proc/2/status";
    let spec = launch.exec_spec(looks);
    let answers = launch.exec(&running, &spec, None).finish().answers();
    assert_eq!(
        answers[..4],
        ["launcher", "errno 13", "errno 13", "errno 13"],
        "{answers:?}"
    );
    let kill_only = "CapEff:\t0000000000000020";
    assert!(answers.iter().any(|line| line == kill_only), "{answers:?}");
    sleeps.kill();
    running.kill();
}

pub(crate) fn nobody_but_the_reaper_is_between_its_starter_and_a_command(machine: &mut Machine) {
    let (launch, running) = container(machine);
    let mut exec = launch.exec(&running, &launch.exec_spec("sleep"), None);
    exec.reports();
    let launcher = exec.child.pid;
    let read = |path: String| std::fs::read_to_string(path).unwrap();
    let children = read(format!("/proc/{launcher}/task/{launcher}/children"));
    let command: i32 = children.trim().parse().expect("one child");
    assert_eq!(read(format!("/proc/{command}/comm")), "probe\n");
    let children = read(format!("/proc/{command}/task/{command}/children"));
    assert_eq!(children, "");
    let link = |name: &str| {
        let of = |pid: i32| std::fs::read_link(format!("/proc/{pid}/ns/{name}")).unwrap();
        (of(launcher), of(running.child.pid))
    };
    for name in ["pid", "net", "mnt", "uts", "ipc"] {
        let (launcher, container) = link(name);
        assert_eq!(launcher, container);
    }
    // Nothing of the machine's is left open, and not the command's streams either.
    let open = std::fs::read_dir(format!("/proc/{launcher}/fd")).unwrap();
    assert_eq!(open.count(), 0);
    exec.kill();
    running.kill();
}

pub(crate) fn only_its_starter_can_ask_a_command_to_end(machine: &mut Machine) {
    let (launch, running) = container(machine);
    let mut exec = launch.exec(&running, &launch.exec_spec("sleep"), None);
    exec.reports();
    // All that end a process by default, real-time signals included; the container's first process is 1, the reaper 2.
    let signals: Vec<String> = [1, 2, 3, 6, 10, 13, 14, 15, 17, 24, 32, 34, 64]
        .map(|signal| format!("signal 2 {signal}"))
        .into();
    let probe = format!("cat /proc/2/comm -- {}", signals.join(" -- "));
    let spec = launch.exec_spec(&probe);
    let answers = launch.exec(&running, &spec, None).finish().answers();
    assert_eq!(answers[0], "launcher");
    assert!(answers[1..].iter().all(|answer| answer == "sent"));
    let spec = launch.exec_spec("cat /proc/2/comm -- cat /proc/3/comm");
    let answers = launch.exec(&running, &spec, None).finish().answers();
    assert_eq!(answers, ["launcher", "probe"]);
    pidfd::signal(exec.child.pidfd.as_fd(), 15).unwrap();
    assert_eq!(exec.finish().ended, Ended::Code(137));
    running.kill();
}

pub(crate) fn it_ends_with_its_container(machine: &mut Machine) {
    let (launch, running) = container(machine);
    let mut exec = launch.exec(&running, &launch.exec_spec("leave -- sleep"), None);
    exec.reports();
    exec.until("left");
    pidfd::signal(running.child.pidfd.as_fd(), 9).unwrap();
    // The kernel has the first process wait for all others.
    assert_eq!(exec.finish().ended, Ended::Signal(9));
    assert_eq!(running.finish().ended, Ended::Signal(9));
}

pub(crate) fn nobody_joins_a_container_from_outside(machine: &mut Machine) {
    let (launch, running) = container(machine);
    let spec = launch.exec_spec("exit 0");
    let outcome = launch.exec_outside(&running, &spec).finish();
    let failure = outcome.failure();
    assert_eq!(failure.step, "join");
    assert_eq!(outcome.ended, Ended::Code(125));
    running.kill();
}
