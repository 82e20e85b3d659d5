//! What the keys of a unit's life become: every value, every default.

use unit::{
    Concurrency, ContainerUnit, DependsOnCondition, HookFailure, HttpProbe, KillMode, Loaded,
    OnUnhealthy, Probe, Protocol, ReadinessMode, Reload, Restart, ServiceKind, Source, Unit,
    UnitKind, UnitName, UpdateOrder, duration,
};

const FULL: &str = include_str!("full_life.toml");
const SMALLEST: &str = "[container]\nimage = \"x\"\n";

fn load(files: &[(&str, &str)]) -> Loaded {
    let sources = files.iter().map(|(file, text)| Source {
        file: (*file).to_owned(),
        text: (*text).to_owned(),
    });
    let loaded = unit::load_sources(sources.collect());
    let shown: Vec<String> = loaded.diagnostics.iter().map(ToString::to_string).collect();
    assert!(shown.is_empty(), "{}", shown.join("\n"));
    loaded
}

fn find<'a>(loaded: &'a Loaded, name: &str) -> &'a Unit {
    let mut units = loaded.set.units().iter();
    units.find(|unit| unit.name.as_str() == name).expect(name)
}

fn container(text: &str) -> ContainerUnit {
    let loaded = load(&[("web.container.toml", &format!("{SMALLEST}{text}"))]);
    find(&loaded, "web")
        .container()
        .expect("a container")
        .clone()
}

fn texts(names: &[UnitName]) -> Vec<&str> {
    names.iter().map(UnitName::as_str).collect()
}

fn full() -> Loaded {
    let job = "[container]\nimage = \"x\"\n[service]\ntype = \"job\"\n";
    let healthy = "[container]\nimage = \"x\"\n[health]\nexec = [\"true\"]\n";
    load(&[
        ("web@.container.toml", FULL),
        ("db.container.toml", healthy),
        ("cache.container.toml", SMALLEST),
        ("old.container.toml", SMALLEST),
        ("alarm.container.toml", SMALLEST),
        ("next.container.toml", SMALLEST),
        ("migrate.container.toml", job),
        ("app.target.toml", ""),
    ])
}

#[test]
fn every_dependency_reaches_the_unit_and_the_set() {
    let loaded = full();
    let web = find(&loaded, "web@x");
    let dependencies = &web.dependencies;
    assert_eq!(texts(&dependencies.requisite), ["db"]);
    assert_eq!(texts(&dependencies.binds_to), ["cache"]);
    assert_eq!(texts(&dependencies.part_of), ["app.target"]);
    assert_eq!(texts(&dependencies.conflicts), ["old"]);
    assert_eq!(texts(&dependencies.on_failure), ["alarm"]);
    assert_eq!(texts(&dependencies.on_success), ["next"]);
    assert_eq!(texts(&dependencies.requires), ["db", "migrate"]);
    assert_eq!(texts(&dependencies.wants), ["next"]);
    assert_eq!(texts(&dependencies.after), ["db", "migrate", "next"]);

    let set = &loaded.set;
    let index = |name: &str| set.find(&UnitName::new(name).expect("a name")).expect(name);
    let web = index("web@x");
    assert_eq!(set.requisite(web), [index("db")]);
    assert_eq!(set.requisite_of(index("db")), [web]);
    assert_eq!(set.binds_to(web), [index("cache")]);
    assert_eq!(set.bound_by(index("cache")), [web]);
    assert!(set.requires(web).contains(&index("cache")));
    assert!(set.required_by(index("cache")).contains(&web));
    assert!(!set.after(web).contains(&index("cache")));
    assert_eq!(set.part_of(web), [index("app.target")]);
    assert_eq!(set.consists_of(index("app.target")), [web]);
    assert_eq!(set.conflicts(web), [index("old")]);
    assert_eq!(set.conflicts(index("old")), [web]);
    assert_eq!(set.on_failure(web), [index("alarm")]);
    assert_eq!(set.on_failure_of(index("alarm")), [web]);
    assert_eq!(set.on_success(web), [index("next")]);
    assert_eq!(set.on_success_of(index("next")), [web]);
    let edges: Vec<_> = set
        .depends_on(web)
        .iter()
        .map(|edge| (edge.unit, edge.condition, edge.restart, edge.required))
        .collect();
    let expected = [
        (index("db"), DependsOnCondition::Healthy, true, true),
        (
            index("migrate"),
            DependsOnCondition::CompletedSuccessfully,
            false,
            true,
        ),
        (index("next"), DependsOnCondition::Started, false, false),
    ];
    assert_eq!(edges, expected);
}

#[test]
fn every_key_of_a_life_reaches_the_unit() {
    let loaded = full();
    let web = find(&loaded, "web@x");
    assert_eq!(web.profiles, ["debug", "staging-2"]);
    assert_eq!(web.conditions.path_exists, ["/dev/kvm"]);
    assert_eq!(web.conditions.kernel_cmdline, ["role=x"]);
    assert_eq!(web.conditions.memory_min, Some(2 << 30));
    assert_eq!(
        web.conditions.label.get("zone").map(String::as_str),
        Some("a-x")
    );
    let web = web.container().expect("a container");

    let service = &web.service;
    assert_eq!(
        (service.kind, service.restart),
        (ServiceKind::Notify, Restart::OnAbnormal)
    );
    assert_eq!(
        (service.restart_max, service.runtime_max_ms),
        (4, Some(3_600_000))
    );
    assert_eq!(
        (service.start_limit.burst, service.start_limit.interval_ms),
        (5, 60_000)
    );
    assert_eq!(service.restart_prevent_exit_codes, [2, 255]);
    assert_eq!(
        (service.kill_mode, service.watchdog_ms),
        (KillMode::Process, Some(30_000))
    );
    assert_eq!(service.reload, Some(Reload::Signal(1)));
    let before = service.pre_start.first().expect("a step");
    assert_eq!(before.command, ["migrate", "x"]);
    assert_eq!(
        before.image.as_deref(),
        Some("docker.io/library/tools:latest")
    );
    assert_eq!(
        (before.timeout_ms, before.on_failure),
        (60_000, HookFailure::Ignore)
    );
    let after = service.post_stop.first().expect("a step");
    assert_eq!(
        (after.timeout_ms, after.on_failure),
        (30_000, HookFailure::Fail)
    );
    assert_eq!((service.post_start.len(), service.pre_stop.len()), (1, 1));

    let pattern = "ready( to)? accept".to_owned();
    assert_eq!(web.readiness.mode, ReadinessMode::Log { pattern });
    assert_eq!(web.readiness.timeout_ms, 300_000);

    let health = &web.health;
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let probe = Probe::Http(HttpProbe {
        port: 8080,
        path: "/healthz?full=1".to_owned(),
        status: vec![(200, 200), (204, 204), (300, 399)],
        headers: vec![pair("Accept", "*/*"), pair("Host", "web-x")],
    });
    assert_eq!(health.probe, Some(probe));
    assert_eq!(
        (health.interval_ms, health.timeout_ms),
        (Some(10_000), Some(3_000))
    );
    assert_eq!(
        (health.start_period_ms, health.start_interval_ms),
        (Some(60_000), Some(1_000))
    );
    assert_eq!((health.retries, health.success_threshold), (Some(5), 2));
    assert_eq!(
        (health.on_unhealthy, health.pause_aware),
        (Some(OnUnhealthy::Kill), false)
    );

    assert_eq!(
        (web.update.order, web.update.health_wait_ms),
        (UpdateOrder::StartFirst, 120_000)
    );
}

#[test]
fn readiness_follows_the_type() {
    let readiness = |text: &str| container(text).readiness;
    let of = |text: &str| (readiness(text).mode, readiness(text).timeout_ms);
    assert_eq!(of(""), (ReadinessMode::Started, 60_000));
    assert_eq!(
        of("[service]\ntype = \"notify\"\n"),
        (ReadinessMode::Notify, 60_000)
    );
    let oneshot = "[service]\ntype = \"oneshot\"\nstart_timeout = \"5m\"\n";
    assert_eq!(of(oneshot), (ReadinessMode::Exit, 300_000));
    let job = of("[service]\ntype = \"job\"\n");
    assert_eq!(job, (ReadinessMode::Exit, duration::MILLISECONDS_MAX));
    let early = "[service]\ntype = \"job\"\n[readiness]\nmode = \"port\"\nport = \"80\"\n";
    let port = ReadinessMode::Port {
        protocol: Protocol::Tcp,
        port: 80,
    };
    assert_eq!(of(early), (port, 60_000));
    assert_eq!(
        of("[readiness]\nmode = \"notify\"\n").0,
        ReadinessMode::Notify
    );
}

#[test]
fn a_timer_has_the_defaults_of_the_reference() {
    let web = container("[timer]\non_calendar = [\"@daily\", \"Mon..Fri 03:30\"]\n");
    assert_eq!(
        (web.service.kind, web.service.restart),
        (ServiceKind::Job, Restart::No)
    );
    let timer = web.timer.expect("a timer");
    assert_eq!(timer.on_calendar, ["@daily", "Mon..Fri 03:30"]);
    assert_eq!((timer.on_boot_ms, timer.on_unit_active_ms), (None, None));
    assert_eq!((timer.timezone.as_str(), timer.persistent), ("UTC", true));
    assert_eq!(
        (timer.randomized_delay_ms, timer.concurrency),
        (0, Concurrency::Forbid)
    );
    assert_eq!((timer.history.success, timer.history.failed), (3, 3));
}

#[test]
fn every_key_of_a_timer_reaches_it() {
    let text = "[timer]\non_boot = \"1m\"\non_unit_active = \"1h\"\ntimezone = \"Europe/Berlin\"\npersistent = false\nrandomized_delay = \"20m\"\nconcurrency = \"replace\"\nhistory = { success = 0, failed = 9 }\n";
    let timer = container(text).timer.expect("a timer");
    assert_eq!(
        (timer.on_boot_ms, timer.on_unit_active_ms),
        (Some(60_000), Some(3_600_000))
    );
    assert_eq!(
        (timer.timezone.as_str(), timer.persistent),
        ("Europe/Berlin", false)
    );
    assert_eq!(
        (timer.randomized_delay_ms, timer.concurrency),
        (1_200_000, Concurrency::Replace)
    );
    assert_eq!((timer.history.success, timer.history.failed), (0, 9));
}

#[test]
fn probes_are_read() {
    let probe = |text: &str| container(text).health.probe;
    let words = ["pg_isready", "-q"].map(str::to_owned).to_vec();
    assert_eq!(
        probe("[health]\nexec = [\"pg_isready\", \"-q\"]\n"),
        Some(Probe::Exec(words))
    );
    assert_eq!(
        probe("[health]\ntcp = { port = 6379 }\n"),
        Some(Probe::Tcp { port: 6379 })
    );
    let http = HttpProbe {
        port: 80,
        path: "/".to_owned(),
        status: vec![(200, 399)],
        headers: Vec::new(),
    };
    assert_eq!(
        probe("[health]\nhttp = { port = 80 }\n"),
        Some(Probe::Http(http))
    );
    assert_eq!(probe("[health]\nexec = []\ninterval = \"1s\"\n"), None);
    assert!(container("[health]\ndisable = true\n").health.disable);
}

#[test]
fn the_type_decides_what_a_timer_file_is() {
    let loaded = load(&[
        ("web.container.toml", SMALLEST),
        ("web.timer.toml", "[timer]\non_boot = \"0s\"\n"),
    ]);
    let timer = find(&loaded, "web.timer");
    assert!(matches!(&timer.kind, UnitKind::Timer { unit, .. } if unit.as_str() == "web"));
    assert_eq!(texts(&timer.wanted_by), ["default.target"]);
}
