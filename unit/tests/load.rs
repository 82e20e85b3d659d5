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
    unit::load_sources(
        files
            .iter()
            .map(|(file, text)| source(file, text))
            .collect(),
    )
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
    assert!(app.container.read_only);
    let port = Port {
        host_ip: Some("::1".parse::<IpAddr>().expect("an address")),
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
        "[::1]:53:53",
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
        "drop-ins are not supported yet",
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

proptest! {
    #[test]
    fn no_file_makes_the_loader_panic(text in "\\PC*") {
        let _ = load(&[("web@.container.toml", &text), ("app.target.toml", &text)]);
    }

    #[test]
    fn no_damage_to_a_good_file_makes_the_loader_panic(at in 0usize..FULL.len(), length in 0usize..20, put in "[a-z0-9\"=\\[\\]\\{\\}.,%@:/\\n-]{0,12}") {
        let end = (at + length).min(FULL.len());
        prop_assume!(FULL.is_char_boundary(at) && FULL.is_char_boundary(end));
        let text = format!("{}{put}{}", &FULL[..at], &FULL[end..]);
        let loaded = load(&[("web@.container.toml", &text), ("good.container.toml", "[container]\nimage = \"x\"\n")]);
        prop_assert!(loaded.set.find(&UnitName::new("good").expect("a name")).is_some());
        for diagnostic in &loaded.diagnostics {
            let _ = unit::render(diagnostic, unit::Colour::Always);
        }
    }
}
