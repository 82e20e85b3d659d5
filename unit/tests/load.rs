//! Loading as a machine does it: directories, precedence, defaults, what happens around bad files.

use proptest::prelude::*;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use unit::{
    ContainerUnit, Loaded, MountKind, NetworkMode, Port, Protocol, Restart, ServiceKind, Source,
    Unit, UnitKind, UnitName,
};

fn source(file: &str, text: &str) -> Source {
    Source {
        file: file.to_owned(),
        text: text.to_owned(),
    }
}

fn load(files: &[(&str, &str)]) -> Loaded {
    let sources = files.iter().map(|(file, text)| source(file, text));
    unit::load_sources(sources.collect())
}

fn good(files: &[(&str, &str)]) -> Loaded {
    let loaded = load(files);
    let shown: Vec<String> = loaded.diagnostics.iter().map(ToString::to_string).collect();
    assert!(shown.is_empty(), "{}", shown.join("\n"));
    loaded
}

fn unit<'a>(loaded: &'a Loaded, name: &str) -> &'a Unit {
    loaded
        .set
        .units()
        .iter()
        .find(|unit| unit.name.as_str() == name)
        .expect("a unit of this name")
}

fn container<'a>(loaded: &'a Loaded, name: &str) -> &'a ContainerUnit {
    match &unit(loaded, name).kind {
        UnitKind::Container(container) => container,
        UnitKind::Target | UnitKind::Timer { .. } => panic!("{name} is a target"),
    }
}

fn names(loaded: &Loaded) -> Vec<&str> {
    loaded
        .set
        .units()
        .iter()
        .map(|unit| unit.name.as_str())
        .collect()
}

/// Every key that works.
const FULL: &str = include_str!("full.toml");
/// Every key of a unit's life.
const FULL_LIFE: &str = include_str!("full_life.toml");

struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(&path, text).expect("written");
        path
    }
}

#[test]
fn the_smallest_unit_gets_every_default() {
    let loaded = good(&[("web@1.container.toml", "[container]\nimage = \"nginx\"\n")]);
    let web = unit(&loaded, "web@1");
    assert_eq!(web.wanted_by, [UnitName::default_target()]);
    let web = container(&loaded, "web@1");
    assert_eq!(web.container.image, "docker.io/library/nginx:latest");
    assert_eq!(web.container.hostname, "web-1");
    assert_eq!(
        (web.service.kind, web.service.restart),
        (ServiceKind::Simple, Restart::Always)
    );
    assert_eq!(
        (
            web.service.restart_delay_ms,
            web.service.restart_delay_max_ms
        ),
        (100, 60_000)
    );
    assert_eq!(
        (
            web.service.restart_backoff_milli,
            web.service.restart_reset_after_ms
        ),
        (2000, 10_000)
    );
    assert_eq!(
        (web.service.start_timeout_ms, web.service.stop_timeout_ms),
        (90_000, 10_000)
    );
    assert_eq!(web.service.success_exit_codes, [0]);
    assert_eq!(
        (
            web.resources.memory,
            web.resources.cpus_milli,
            web.resources.pids
        ),
        (None, None, 4096)
    );
    assert_eq!((web.logging.max_size, web.logging.max_files), (16 << 20, 4));
    assert_eq!(web.network.mode, NetworkMode::Bridge);
}

#[test]
fn every_key_reaches_the_unit() {
    let other = "[container]\nimage = \"x\"\n";
    let loaded = good(&[
        ("app@.container.toml", FULL),
        ("db.container.toml", other),
        ("cache.container.toml", other),
        ("late.target.toml", ""),
    ]);
    let app = unit(&loaded, "app@x");
    assert_eq!(app.description, "100% of x");
    assert_eq!(app.wanted_by, []);
    assert_eq!(
        app.dependencies.requires.first().map(UnitName::as_str),
        Some("db")
    );
    assert_eq!(
        app.dependencies.wants.first().map(UnitName::as_str),
        Some("cache")
    );
    let app = container(&loaded, "app@x");
    assert_eq!(app.container.image, "registry.example.com:5000/a/b:1");
    assert_eq!(
        app.container.entrypoint.as_deref(),
        Some(["/entry".to_owned()].as_slice())
    );
    assert_eq!(app.container.command.as_deref(), Some([].as_slice()));
    assert_eq!(app.container.working_dir.as_deref(), Some("/srv/app"));
    assert_eq!(app.container.user.as_deref(), Some("app:1000"));
    assert_eq!(app.container.hostname, "h-x");
    assert_eq!(app.container.stop_signal, Some(37));
    assert_eq!(app.container.env.get("ID").map(String::as_str), Some("x"));
    assert!(app.container.init && app.container.read_only);
    let port = Port {
        host_ip: Some("127.0.0.1".parse::<IpAddr>().expect("an address")),
        host_port: Some(8080),
        container_port: 80,
        count: 2,
        protocol: Protocol::Udp,
    };
    assert_eq!(app.ports, [port]);
    assert_eq!(
        app.network.extra_hosts,
        [("host.docker.internal".to_owned(), "host-gateway".to_owned())]
    );
    let mounts: Vec<(&str, bool, &MountKind)> = app
        .mounts
        .iter()
        .map(|mount| (mount.target.as_str(), mount.read_only, &mount.kind))
        .collect();
    let expected = [
        (
            "/data",
            false,
            &MountKind::Volume {
                name: "data-x".to_owned(),
            },
        ),
        (
            "/etc/app",
            true,
            &MountKind::Bind {
                source: "/etc/app".to_owned(),
            },
        ),
        (
            "/run",
            false,
            &MountKind::Tmpfs {
                size: 16 << 20,
                mode: 0o755,
            },
        ),
        (
            "/scratch",
            true,
            &MountKind::Tmpfs {
                size: 64 << 20,
                mode: 0o1777,
            },
        ),
    ];
    assert_eq!(mounts, expected);
    assert_eq!(
        (
            app.resources.memory,
            app.resources.cpus_milli,
            app.resources.pids
        ),
        (Some(64 << 20), Some(1500), 10)
    );
    assert_eq!(
        (
            app.service.kind,
            app.service.restart,
            app.service.restart_max
        ),
        (ServiceKind::Oneshot, Restart::OnFailure, 3)
    );
    assert_eq!(
        (
            app.service.restart_delay_ms,
            app.service.restart_delay_max_ms
        ),
        (1000, 120_000)
    );
    assert_eq!(
        (
            app.service.restart_backoff_milli,
            app.service.restart_reset_after_ms
        ),
        (1250, 3_600_000)
    );
    assert_eq!(
        (app.service.start_timeout_ms, app.service.stop_timeout_ms),
        (60_000, 0)
    );
    assert_eq!(
        (
            app.service.success_exit_codes.as_slice(),
            app.service.remain_after_exit
        ),
        ([0, 3].as_slice(), true)
    );
    assert_eq!((app.logging.max_size, app.logging.max_files), (1 << 20, 2));
}

#[test]
fn a_oneshot_is_not_restarted_unless_told() {
    let loaded = good(&[(
        "job.container.toml",
        "[container]\nimage = \"x\"\n[service]\ntype = \"oneshot\"\n",
    )]);
    assert_eq!(container(&loaded, "job").service.restart, Restart::No);
}

#[test]
fn a_later_directory_stands_in_for_an_earlier_one() {
    let folder = Folder::new("precedence");
    folder.write(
        "release/web.container.toml",
        "[container]\nimage = \"old\"\n",
    );
    folder.write("release/db.container.toml", "[container]\nimage = \"db\"\n");
    folder.write(
        "operator/web.container.toml",
        "[container]\nimage = \"new\"\n",
    );
    let directories = ["release", "operator", "missing"].map(|name| folder.0.join(name));
    let loaded = unit::load(&directories);
    assert_eq!(loaded.diagnostics, []);
    assert_eq!(names(&loaded), ["db", "default.target", "web"]);
    assert_eq!(
        container(&loaded, "web").container.image,
        "docker.io/library/new:latest"
    );
}

#[test]
fn an_instance_with_a_file_of_its_own_is_not_made_by_the_template() {
    let template = "[container]\nimage = \"redis\"\n[replicas]\ncount = 2\n";
    let loaded = good(&[
        ("redis@.container.toml", template),
        (
            "redis@2.container.toml",
            "[container]\nimage = \"valkey\"\n",
        ),
    ]);
    assert_eq!(names(&loaded), ["default.target", "redis@1", "redis@2"]);
    assert_eq!(
        container(&loaded, "redis@2").container.image,
        "docker.io/library/valkey:latest"
    );
}

#[test]
fn a_range_of_host_ports_is_given_out_in_the_order_of_names() {
    let template = "[container]\nimage = \"redis\"\n[[ports]]\npublish = \"7001-7100:6379\"\n[replicas]\ncount = 50\n";
    let taken = "[container]\nimage = \"x\"\n[[ports]]\npublish = \"7003:1\"\n";
    let loaded = good(&[
        ("redis@.container.toml", template),
        ("web.container.toml", taken),
    ]);
    let port = |name: &str| {
        container(&loaded, name)
            .ports
            .first()
            .and_then(|port| port.host_port)
    };
    assert_eq!(
        (port("redis@1"), port("redis@2"), port("redis@3")),
        (Some(7001), Some(7002), Some(7004))
    );
    assert_eq!(
        (port("redis@10"), port("redis@50")),
        (Some(7011), Some(7051))
    );
}

#[test]
fn the_same_port_on_different_addresses_or_protocols_is_no_conflict() {
    let publish =
        |port: &str| format!("[container]\nimage = \"x\"\n[[ports]]\npublish = \"{port}\"\n");
    let ports = [
        "192.0.2.1:53:53",
        "192.0.2.2:53:53",
        "192.0.2.3:53:53",
        "192.0.2.1:53:53/udp",
        "192.0.2.1::53",
        "53",
    ];
    let files: Vec<(String, String)> = ports
        .iter()
        .zip(b'a'..)
        .map(|(port, name)| {
            (
                format!("{}.container.toml", char::from(name)),
                publish(port),
            )
        })
        .collect();
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(file, text)| (file.as_str(), text.as_str()))
        .collect();
    assert_eq!(good(&files).set.len(), 7);
}

#[test]
fn files_that_cannot_be_read_are_said_and_stop_nothing() {
    let folder = Folder::new("unreadable");
    folder.write("good.container.toml", "[container]\nimage = \"x\"\n");
    folder.write("latin.container.toml", b"[container]\nimage = \"\xe9\"\n");
    folder.write("big.container.toml", "# ".repeat(100_000));
    folder.write(".hidden.container.toml", "nonsense");
    folder.write("notes.txt", "nonsense");
    folder.write(
        "web.container.toml.d/10-memory.toml",
        "[resources]\nmemory = \"1G\"\n",
    );
    std::fs::create_dir_all(folder.0.join("folder.container.toml")).expect("a folder");
    let loaded = unit::load(std::slice::from_ref(&folder.0));
    assert_eq!(names(&loaded), ["default.target", "good"]);
    let bad: Vec<&str> = loaded.bad.iter().map(|bad| bad.name.as_str()).collect();
    assert_eq!(bad, ["big", "folder", "latin"]);
    let said: Vec<String> = loaded.diagnostics.iter().map(ToString::to_string).collect();
    let said = said.join("\n");
    for expected in [
        "not UTF-8 in line 2",
        "larger than 64 KiB",
        "not a file",
        "there is no unit `web.container.toml` for this drop-in to change",
    ] {
        assert!(said.contains(expected), "{expected} is missing in\n{said}");
    }
}

#[test]
fn check_of_a_file_knows_its_neighbours_but_does_not_judge_them() {
    let folder = Folder::new("check");
    folder.write("db.container.toml", "[container]\nimage = \"x\"\n");
    folder.write("bad.container.toml", "[container]\nimage = 1\n");
    let web = folder.write(
        "web.container.toml",
        "[unit]\nrequires = [\"db\"]\n[container]\nimage = \"x\"\n",
    );
    assert_eq!(unit::check(&[web]).diagnostics, []);
    let lonely = folder.write(
        "lonely.container.toml",
        "[unit]\nrequires = [\"nobody\"]\n[container]\nimage = \"x\"\n",
    );
    assert_eq!(
        unit::check(std::slice::from_ref(&lonely)).diagnostics.len(),
        1
    );
    assert_eq!(
        unit::check(std::slice::from_ref(&folder.0))
            .diagnostics
            .iter()
            .filter(|d| d.is_error())
            .count(),
        2
    );
    assert!(unit::check(&[folder.0.join("missing.container.toml")]).has_errors());
    let other = folder.write("other.toml", "");
    assert!(unit::check(&[other]).has_errors());
}

#[test]
fn over_commitment_is_said_in_gib() {
    let template =
        "[container]\nimage = \"redis\"\n[resources]\nmemory = \"1G\"\n[replicas]\ncount = 5\n";
    let set = good(&[("redis@.container.toml", template)]).set;
    let said = unit::over_commitment(&set, 4 << 30);
    assert_eq!(
        said.as_deref(),
        Some("memory limits add up to 5.0 GiB on a machine with 4.0 GiB")
    );
    assert_eq!(unit::over_commitment(&set, 5 << 30), None);
}

#[test]
fn what_is_loaded_survives_json() {
    let loaded = load(&[
        ("web.container.toml", "[container]\nimage = \"nginx\"\n"),
        ("bad.container.toml", "[container]\nimage = 5\nx = 1\n"),
    ]);
    let text = serde_json::to_string(&loaded).expect("written");
    assert_eq!(serde_json::from_str::<Loaded>(&text).expect("read"), loaded);
}

const TEMPLATE: &str = "[container]\nimage = \"x\"\n[replicas]\ncount = 2\n";

fn after(loaded: &Loaded, name: &str) -> Vec<String> {
    let after = unit(loaded, name).dependencies.after.iter();
    after.map(ToString::to_string).collect()
}

#[test]
fn a_drop_in_merges_tables_replaces_the_rest_and_adds_where_told() {
    let other = "[container]\nimage = \"x\"\n";
    let loaded = good(&[
        (
            "web.container.toml",
            "[unit]\nafter = [\"a\"]\n[container]\nimage = \"x\"\ncommand = [\"one\"]\n[env]\nA = \"1\"\nB = \"1\"\n[[ports]]\npublish = \"1:1\"\n",
        ),
        (
            "web.container.toml.d/10.toml",
            "[unit]\n\"after+\" = [\"b\"]\n\"wanted_by+\" = [\"app.target\"]\n[container]\ncommand = [\"two\"]\n[service]\n\"success_exit_codes+\" = [3]\n",
        ),
        (
            "web.container.toml.d/20.toml",
            "env.B = \"2\"\n[unit]\n\"after+\" = [\"c\"]\n[[ports]]\npublish = \"2:2\"\n",
        ),
        ("a.container.toml", other),
        ("b.container.toml", other),
        ("c.container.toml", other),
        ("app.target.toml", ""),
    ]);
    assert_eq!(after(&loaded, "web"), ["a", "b", "c"]);
    let web = unit(&loaded, "web");
    let wanted_by: Vec<&str> = web.wanted_by.iter().map(UnitName::as_str).collect();
    assert_eq!(wanted_by, ["default.target", "app.target"]);
    assert_eq!(
        web.drop_ins,
        [
            "web.container.toml.d/10.toml",
            "web.container.toml.d/20.toml"
        ]
    );
    let web = container(&loaded, "web");
    assert_eq!(
        web.container.command.as_deref(),
        Some(["two".to_owned()].as_slice())
    );
    let env: Vec<(&str, &str)> = web
        .container
        .env
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    assert_eq!(env, [("A", "1"), ("B", "2")]);
    let ports: Vec<Option<u16>> = web.ports.iter().map(|port| port.host_port).collect();
    assert_eq!(ports, [Some(2)]);
    assert_eq!(web.service.success_exit_codes, [0, 3]);
}

#[test]
fn drop_ins_of_all_directories_are_put_over_the_unit_in_the_order_of_their_names() {
    let folder = Folder::new("drop_ins");
    let write = |path: &str, text: &str| folder.write(path, text);
    write(
        "release/web.container.toml",
        "[container]\nimage = \"x\"\nuser = \"0\"\n",
    );
    write(
        "release/web.container.toml.d/50.toml",
        "[container]\nuser = \"1\"\n",
    );
    write(
        "operator/web.container.toml.d/10.toml",
        "[container]\nuser = \"2\"\nhostname = \"h\"\n",
    );
    write(
        "release/web.container.toml.d/20.toml",
        "[container]\nworking_dir = \"/old\"\n",
    );
    write(
        "operator/web.container.toml.d/20.toml",
        "[env]\nNEW = \"1\"\n",
    );
    write("operator/web.container.toml.d/.hidden.toml", "nonsense");
    write("operator/web.container.toml.d/README", "nonsense");
    let loaded = unit::load(&["release", "operator"].map(|name| folder.0.join(name)));
    let said: Vec<&str> = loaded
        .diagnostics
        .iter()
        .map(|found| found.message.as_str())
        .collect();
    assert_eq!(said, ["`.hidden.toml` is hidden, and is not read"]);
    let web = &container(&loaded, "web").container;
    assert_eq!(
        (web.user.as_deref(), web.hostname.as_str()),
        (Some("1"), "h")
    );
    assert_eq!((web.working_dir.as_deref(), web.env.len()), (None, 1));
}

#[test]
fn drop_ins_of_a_template_change_all_instances_and_those_of_an_instance_only_that_one() {
    let loaded = good(&[
        ("web@.container.toml", TEMPLATE),
        (
            "web@.container.toml.d/10.toml",
            "[container]\nuser = \"1\"\nhostname = \"all-%i\"\n",
        ),
        (
            "web@2.container.toml.d/05.toml",
            "[container]\nuser = \"2\"\n",
        ),
        ("web@3.container.toml", "[container]\nimage = \"own\"\n"),
        ("app.target.toml", ""),
        (
            "app.target.toml.d/10.toml",
            "[unit]\ndescription = \"changed\"\n",
        ),
    ]);
    let shown = |name: &str| {
        let container = &container(&loaded, name).container;
        (
            container.user.clone().unwrap_or_default(),
            container.hostname.clone(),
        )
    };
    assert_eq!(shown("web@1"), ("1".to_owned(), "all-1".to_owned()));
    assert_eq!(shown("web@2"), ("2".to_owned(), "all-2".to_owned()));
    assert_eq!(shown("web@3"), (String::new(), "web-3".to_owned()));
    assert_eq!(unit(&loaded, "app.target").description, "changed");
    let replica = unit(&loaded, "web@2")
        .replica
        .clone()
        .expect("of a template");
    assert_eq!((replica.template.as_str(), replica.index), ("web@", 1));
    assert_eq!(unit(&loaded, "web@3").replica, None);
}

#[test]
fn check_of_a_file_reads_its_drop_ins_and_of_a_drop_in_its_unit() {
    let folder = Folder::new("check_drop_ins");
    let unit = folder.write("web.container.toml", "[container]\nimage = \"x\"\n");
    let drop_in = folder.write("web.container.toml.d/10.toml", "[container]\nuser = 1\n");
    folder.write("db.container.toml", "[container]\nimage = \"x\"\n");
    let other = folder.write("db.container.toml.d/10.toml", "");
    for path in [&unit, &drop_in, &folder.0] {
        let loaded = unit::check(std::slice::from_ref(path));
        let files: Vec<&str> = loaded
            .diagnostics
            .iter()
            .map(|said| said.file.as_str())
            .collect();
        assert_eq!(files, [drop_in.display().to_string()], "{}", path.display());
    }
    assert_eq!(unit::check(&[other]).diagnostics, []);
}

#[test]
fn a_timer_starts_the_container_of_its_name_unless_it_says_otherwise() {
    let job = "[container]\nimage = \"x\"\n[service]\ntype = \"job\"\n";
    let loaded = good(&[
        ("backup.container.toml", job),
        ("backup.timer.toml", "[timer]\non_calendar = [\"@daily\"]\n"),
        (
            "other.timer.toml",
            "[timer]\nunit = \"backup\"\non_boot = \"1m\"\n",
        ),
        (
            "own.container.toml",
            "[container]\nimage = \"x\"\n[timer]\non_boot = \"1m\"\n",
        ),
    ]);
    let set = &loaded.set;
    let index = |name: &str| {
        set.find(&UnitName::new(name).expect("a name"))
            .expect("a unit")
    };
    assert_eq!(set.triggers(index("backup.timer")), [index("backup")]);
    assert_eq!(
        set.triggered_by(index("backup")),
        [index("backup.timer"), index("other.timer")]
    );
    let own = container(&loaded, "own");
    assert_eq!(
        (own.service.kind, own.service.restart),
        (ServiceKind::Job, Restart::No)
    );
    assert_eq!(
        own.timer.as_ref().and_then(|timer| timer.on_boot_ms),
        Some(60_000)
    );
}

#[test]
fn keys_nested_deeply_are_refused_and_do_not_break_the_reader() {
    let deep = format!("{}x = 1\n", "a.".repeat(20_000));
    let arrays = format!("x = {}\n", "[".repeat(30_000));
    let tables = format!("x = {}\n", "{a=".repeat(15_000));
    let header = format!("[{}b]\n", "a.".repeat(20_000));
    for text in [&deep, &arrays, &tables, &header] {
        let unit = ("web.container.toml", "[container]\nimage = \"x\"\n");
        assert!(load(&[("web.container.toml", text)]).has_errors());
        assert!(load(&[unit, ("web.container.toml.d/1.toml", text)]).has_errors());
    }
}

proptest! {
    #[test]
    fn no_file_makes_the_loader_panic(text in "\\PC*") {
        let unit = "[container]\nimage = \"x\"\n";
        let _ = load(&[("web@.container.toml", &text), ("app.target.toml", &text), ("x.timer.toml", &text)]);
        let _ = load(&[("web.container.toml", unit), ("web.container.toml.d/x.toml", &text)]);
        let _ = load(&[("web.container.toml", &text), ("web.container.toml.d/x.toml", &text)]);
    }

    #[test]
    fn no_bytes_make_the_loader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let _ = load(&[("web.container.toml", FULL_LIFE), ("web.container.toml.d/x.toml", &text)]);
    }

    #[test]
    fn no_damage_to_a_good_file_makes_the_loader_panic(
        life in any::<bool>(),
        drop_in in any::<bool>(),
        at in any::<prop::sample::Index>(),
        length in 0usize..20,
        put in "[a-z0-9\"=\\[\\]\\{\\}.,%@:/+\\n-]{0,12}",
    ) {
        let whole = if life { FULL_LIFE } else { FULL };
        let at = at.index(whole.len());
        let end = (at + length).min(whole.len());
        prop_assume!(whole.is_char_boundary(at) && whole.is_char_boundary(end));
        let text = format!("{}{put}{}", &whole[..at], &whole[end..]);
        let good = ("good.container.toml", "[container]\nimage = \"x\"\n");
        let loaded = if drop_in {
            load(&[("web@.container.toml", whole), ("web@x.container.toml.d/1.toml", &text), good])
        } else {
            load(&[("web@.container.toml", &text), good])
        };
        prop_assert!(loaded.set.find(&UnitName::new("good").expect("a name")).is_some());
        for diagnostic in &loaded.diagnostics {
            let _ = unit::render(diagnostic, unit::Colour::Always);
        }
    }
}
