//! What a container may do, and who it is.

use crate::harness::{Group, Launch, Machine};

/// Fields of /proc/self/status.
fn status(launch: &Launch) -> impl Fn(&str) -> String + use<> {
    let lines = launch.run().answers();
    move |name: &str| {
        let line = lines
            .iter()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_default()
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    }
}

pub(crate) fn capabilities_are_dockers_for_root_and_none_for_a_user(machine: &mut Machine) {
    machine.image().commit();
    let launch = machine.launch("cat /proc/self/status");
    let (dockers, none) = ("00000000a80425fb", "0000000000000000");
    let root = status(&launch);
    for (name, value) in [
        ("CapBnd", dockers),
        ("CapPrm", dockers),
        ("CapEff", dockers),
        ("CapInh", none),
        ("CapAmb", none),
        ("NoNewPrivs", "1"),
        ("SigBlk", none),
        ("SigIgn", "0000000000001000"),
    ] {
        // The Rust runtime of the probe ignores SIGPIPE (bit 12) itself.
        assert_eq!(root(name), value, "{name}");
    }
    let user = status(&launch.change(|container| container.user = Some("app".into())));
    for (name, value) in [
        ("CapBnd", dockers),
        ("CapPrm", none),
        ("CapEff", none),
        ("CapInh", none),
    ] {
        assert_eq!(user(name), value, "{name}");
    }
}

pub(crate) fn names_are_the_containers_own(machine: &mut Machine) {
    machine.image().commit();
    let answers = machine.answers("cat /proc/sys/kernel/hostname -- cat /proc/sys/kernel/domainname -- cat /proc/self/cgroup -- cat /proc/self/oom_score_adj -- cat /proc/self/net/dev");
    assert_eq!(answers[..2], ["web-1", "(none)"]);
    assert!(answers.contains(&"0".to_owned()));
    assert!(
        answers
            .iter()
            .any(|line| line.trim_start().starts_with("lo:"))
    );
}

pub(crate) fn user_group_and_home_come_from_the_image(machine: &mut Machine) {
    let mut image = machine.image();
    image.config["User"] = "app".into();
    image.commit();
    let ids = |user: Option<&str>| {
        let launch = machine.launch("cat /proc/self/status -- env HOME");
        let launch = launch.change(|container| container.user = user.map(str::to_owned));
        let home = launch.run().answers().pop().unwrap();
        let field = status(&launch);
        (field("Uid"), field("Gid"), field("Groups"), home)
    };
    let text = |uid: &str, gid: &str, groups: &str, home: &str| {
        let four = |id: &str| [id; 4].join(" ");
        (four(uid), four(gid), groups.to_owned(), home.to_owned())
    };
    assert_eq!(ids(None), text("1000", "1001", "2000", "/home/app"));
    assert_eq!(
        ids(Some("app:other")),
        text("1000", "3000", "", "/home/app")
    );
    assert_eq!(ids(Some("4242:17")), text("4242", "17", "", "/"));
    assert_eq!(ids(Some("root")), text("0", "0", "", "/root"));
}

pub(crate) fn a_user_may_open_standard_output_again(machine: &mut Machine) {
    machine.image().commit();
    let launch = machine.launch("write /dev/stdout by-its-path: -- write /dev/stderr and-error");
    let outcome = launch
        .change(|container| container.user = Some("app".into()))
        .run();
    assert_eq!(outcome.answers(), ["by-its-path:ok", "ok"]);
    assert_eq!(outcome.stderr, "and-error");
}

pub(crate) fn who_was_root_may_open_standard_output_again(machine: &mut Machine) {
    machine.image().commit();
    let script = "drop 4321 -- write /dev/stdout out: -- write /dev/stderr err: -- cat /dev/stdout";
    let launch = machine.launch(script);
    let outcome = launch.run();
    // To write there is all that it may.
    assert_eq!(outcome.answers(), ["dropped", "out:ok", "ok", "errno 13"]);
    assert_eq!(outcome.stderr, "err:");
    let launch = machine.launch("sleep");
    let mut running = launch.start();
    running.reports();
    let spec = launch.exec_spec(script);
    let command = launch.exec(&running, &spec, None).finish();
    assert_eq!(command.answers(), ["dropped", "out:ok", "ok", "errno 13"]);
    running.kill();
}

pub(crate) fn environment_umask_and_working_directory_are_set(machine: &mut Machine) {
    let mut image = machine.image();
    image.config["Env"] = serde_json::json!(["A=image", "B=image", "PATH=/bin:/sbin"]);
    image.config["WorkingDir"] = "/made/on/demand".into();
    image.commit();
    let probe = "env A -- env B -- env PATH -- env HOSTNAME -- env container -- env HOME -- \
        cwd -- write file x -- stat file -- stat .";
    let launch = machine.launch(probe).change(|container| {
        container.env.insert("B".into(), "unit".into());
    });
    let answers = launch.run().answers();
    assert_eq!(
        answers[..6],
        ["image", "unit", "/bin:/sbin", "web-1", "keelson", "/root"]
    );
    assert_eq!(answers[6..9], ["/made/on/demand", "ok", "100644 0:0 1"]);
    assert!(answers[9].starts_with("40755 0:0"));
    let launch = launch.change(|container| container.working_dir = Some("/var".into()));
    assert_eq!(launch.run().answers()[6], "/var");
}

pub(crate) fn no_descriptor_is_left_open(machine: &mut Machine) {
    machine.image().commit();
    assert_eq!(machine.answers("fds"), ["0 1 2"]);
}

pub(crate) fn devices_of_the_machine_cannot_be_used(machine: &mut Machine) {
    let Some(group) = Group::new() else {
        println!("no cgroup v2 on this machine: the device filter is not tested");
        return;
    };
    machine.image().commit();
    // 10:237 is /dev/loop-control: anyone with the node may open it, and no write(2) means anything to it. 1:3 is null.
    let probe = "node /loop 10 237 -- write /loop x -- node /null 1 3 -- write /null x -- \
        write /dev/null x -- write /dev/pts/ptmx x";
    let outcome = machine.launch(probe).in_group(&group).run();
    assert_eq!(outcome.answers(), ["ok", "errno 1", "ok", "ok", "ok", "ok"]);
    let unfiltered = machine.answers("write /loop x");
    assert_ne!(unfiltered, ["errno 1"], "it is the filter that forbids");
}
