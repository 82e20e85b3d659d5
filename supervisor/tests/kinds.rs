//! The kinds of dependency beside requires, wants and after.

mod common;

use common::{Declared, Machine, health, job, oneshot, simple, target};
use supervisor::{Failure, Goal, TRIGGER_INTERVAL_MS_MIN};
use unit::{DependsOnCondition, OnUnhealthy, ReadinessMode, Replica, Restart};

fn up(units: &[Declared], order: &[&str]) -> Machine {
    let mut machine = Machine::new(units);
    for name in order {
        machine.start(&[name]);
        machine.comes_up(name);
    }
    machine.done();
    machine
}

#[test]
fn a_requisite_that_is_not_active_is_not_started_and_the_unit_fails_at_once() {
    let mut machine = Machine::new(&[simple("db"), simple("web").requisite("db").after("db")]);
    machine.start(&["web"]);
    let reason = "web: db, which must be active already, is not";
    assert_eq!(machine.done(), [format!("reply 1 {reason}")]);
    assert_eq!(machine.goal("db"), Goal::Down);
    let unit = machine.id("db");
    assert_eq!(machine.failure("web"), Some(&Failure::Requisite { unit }));
}

#[test]
fn a_requisite_on_its_way_is_waited_for_by_a_unit_that_comes_after_it() {
    let mut machine = Machine::new(&[simple("db"), simple("web").requisite("db").after("db")]);
    machine.start(&["db", "web"]);
    assert_eq!(machine.state("web"), "waiting");
    machine.comes_up("db");
    assert_eq!(machine.state("web"), "preparing");
}

#[test]
fn a_bound_unit_goes_down_with_any_end_of_the_other_and_comes_back_with_it() {
    let units = [simple("db"), simple("web").binds_to("db").after("db")];
    let mut machine = up(&units, &["db", "web"]);
    machine.exited("db", 1);
    assert_eq!(machine.done(), ["release db", "terminate web"]);
    machine.released("db");
    machine.ends("web", 0);
    machine.done();
    machine.wait_ms(100);
    assert_eq!(machine.done(), ["prepare db"]);
    machine.comes_up("db");
    assert_eq!(machine.state("web"), "preparing");
}

#[test]
fn a_bound_unit_whose_stop_is_taken_back_after_the_other_has_ended_restarts_nevertheless() {
    let units = [
        simple("db"),
        simple("web").binds_to("db").after("db"),
        simple("front").needs("web"),
    ];
    let mut machine = up(&units, &["db", "web", "front"]);
    machine.stop(&["db"]);
    machine.ends("db", 1);
    machine.start(&["web"]);
    machine.done();
    machine.ends("front", 0);
    assert!(machine.done().contains(&"terminate web".to_owned()));
}

#[test]
fn a_bound_unit_fails_when_the_other_has_ended_for_good() {
    let db = simple("db").restart(Restart::No);
    let units = [db, simple("web").binds_to("db").after("db")];
    let mut machine = up(&units, &["db", "web"]);
    machine.ends("db", 0);
    machine.ends("web", 0);
    assert_eq!(machine.state("web"), "failed");
    assert_eq!(
        machine.reason("web"),
        "db, which must be running, has ended"
    );
}

#[test]
fn a_part_is_stopped_and_restarted_with_the_whole_but_not_started_by_it() {
    let units = [simple("app"), simple("part").part_of("app").after("app")];
    let mut machine = Machine::new(&units);
    machine.start(&["app"]);
    assert_eq!(machine.state("part"), "inactive");
    machine.comes_up("app");
    machine.start(&["part"]);
    machine.comes_up("part");
    machine.done();
    machine.restart(&["app"]);
    assert_eq!(machine.done(), ["terminate part"]);
    machine.ends("part", 0);
    machine.ends("app", 0);
    machine.comes_up("app");
    machine.comes_up("part");
    machine.stop(&["app"]);
    machine.ends("part", 0);
    assert_eq!(machine.reason("part"), "stopped with app");
}

#[test]
fn starting_a_unit_stops_what_it_conflicts_with_first() {
    let units = [simple("a"), simple("b").conflicts("a")];
    let mut machine = up(&units, &["a"]);
    machine.start(&["b"]);
    assert_eq!(machine.done(), ["terminate a"]);
    assert_eq!(machine.reason("b"), "waits for a");
    machine.exited("a", 0);
    assert_eq!(machine.state("b"), "waiting");
    machine.released("a");
    assert_eq!(machine.state("b"), "preparing");
    assert_eq!(machine.reason("a"), "stopped because it conflicts with b");
    machine.comes_up("b");
    machine.start(&["a"]);
    assert_eq!(machine.goal("b"), Goal::Down);
}

/// Simulation, seed 4018239: it was marked for the restart, put down with what it is a part of, and up again.
#[test]
fn who_is_bound_restarts_along_though_its_stop_was_taken_back_meanwhile() {
    let units = [
        simple("db"),
        simple("lost"),
        simple("winner").conflicts("lost"),
        simple("web").binds_to("db").after("db").part_of("lost"),
    ];
    let mut machine = up(&units, &["db", "lost", "web"]);
    machine.restart(&["db", "winner", "lost"]);
    assert_eq!(machine.goal("lost"), Goal::Down);
    assert_eq!(machine.goal("web"), Goal::Up);
    assert_eq!(machine.state("web"), "stopping");
    assert_eq!(machine.state("db"), "running");
    machine.ends("web", 0);
    assert_eq!(machine.state("db"), "stopping");
    machine.ends("db", 0);
    machine.comes_up("db");
    assert_eq!(machine.state("web"), "preparing");
}

#[test]
fn of_two_rivals_in_one_request_the_first_wins() {
    let units = [
        simple("a"),
        simple("b").conflicts("a"),
        simple("c").needs("b"),
    ];
    let mut machine = Machine::new(&units);
    machine.start(&["a", "c"]);
    let done = machine.done();
    assert!(done.contains(&"prepare a".to_owned()), "{done:?}");
    let goals = ["b", "c"].map(|name| machine.goal(name));
    assert_eq!(goals, [Goal::Down, Goal::Down]);
    machine.comes_up("a");
    let told = "reply 1 c: b conflicts with a";
    assert!(machine.done().contains(&told.to_owned()));
}

#[test]
fn the_last_failure_starts_what_on_failure_says_and_success_what_on_success_says() {
    for (code, started) in [(1, "alarm"), (0, "next")] {
        let units = [
            oneshot("work").on_failure("alarm").on_success("next"),
            simple("alarm"),
            simple("next"),
        ];
        let mut machine = up(&units, &["work"]);
        machine.ends("work", code);
        assert_eq!(machine.state(started), "preparing");
    }
}

#[test]
fn a_failure_that_is_tried_again_starts_nothing() {
    let units = [simple("web").on_failure("alarm"), simple("alarm")];
    let mut machine = up(&units, &["web"]);
    machine.ends("web", 1);
    assert_eq!(machine.goal("alarm"), Goal::Down);
}

#[test]
fn two_units_that_start_each_other_do_so_at_a_measured_pace() {
    let units = [oneshot("a").on_failure("b"), oneshot("b").on_failure("a")];
    let mut machine = Machine::new(&units);
    machine.start(&["a"]);
    let mut runs = 0;
    while machine.now.0 < 11_000 {
        for name in ["a", "b"] {
            if machine.state(name) == "preparing" {
                runs += 1;
                machine.prepare_failed(name);
                machine.released(name);
            }
        }
        machine.wait_ms(10);
    }
    let most = 2 * (11_000 - 1_000) / TRIGGER_INTERVAL_MS_MIN + 2;
    assert!((4..=most).contains(&runs), "{runs}");
}

#[test]
fn depends_on_waits_for_what_it_says() {
    let healthy = DependsOnCondition::Healthy;
    let mut machine = Machine::new(&[simple("db"), simple("web").depends_on("db", healthy, false)]);
    machine.start(&["web"]);
    machine.prepared("db");
    machine.health_plan("db", health(OnUnhealthy::None));
    machine.started("db");
    assert_eq!(
        (machine.state("db"), machine.state("web")),
        ("running", "waiting")
    );
    machine.wait_ms(1_000);
    machine.probed("db", true);
    assert_eq!(machine.state("web"), "preparing");

    let completed = DependsOnCondition::CompletedSuccessfully;
    let web = simple("web").depends_on("migrate", completed, false);
    let mut machine = Machine::new(&[oneshot("migrate"), web]);
    machine.start(&["web"]);
    machine.comes_up("migrate");
    assert_eq!(machine.state("web"), "waiting");
    machine.ends("migrate", 1);
    assert_eq!(machine.state("web"), "failed");
}

#[test]
fn depends_on_restarts_along_only_where_it_says_so() {
    for (restart, state) in [(true, "stopping"), (false, "running")] {
        let started = DependsOnCondition::Started;
        let units = [
            simple("db"),
            simple("web").depends_on("db", started, restart),
        ];
        let mut machine = up(&units, &["db", "web"]);
        machine.restart(&["db"]);
        assert_eq!(machine.state("web"), state);
    }
}

#[test]
fn a_skipped_unit_holds_nobody_up_but_those_that_need_it_running() {
    let default = target("default.target").wants("web").after("web");
    let mut machine = Machine::new(&[
        simple("probe"),
        simple("web").needs("probe"),
        default,
        simple("bound").binds_to("probe").after("probe"),
    ]);
    machine.start(&["default.target", "bound"]);
    machine.skipped("probe");
    machine.released("probe");
    assert_eq!(machine.reason("probe"), "skipped: condition: no such path");
    assert_eq!(machine.state("web"), "preparing");
    assert_eq!(machine.state("bound"), "failed");
}

/// Simulation, seed 3058800: bound to a unit that was skipped, it ran, because what it also waited for counts as done.
#[test]
fn who_is_bound_needs_it_running_whatever_else_is_asked() {
    for condition in [
        DependsOnCondition::Healthy,
        DependsOnCondition::CompletedSuccessfully,
    ] {
        let bound = simple("bound").binds_to("probe");
        let mut machine = Machine::new(&[
            simple("probe"),
            bound.depends_on("probe", condition, false),
            simple("other").depends_on("probe", condition, false),
        ]);
        machine.start(&["bound", "other"]);
        machine.skipped("probe");
        machine.released("probe");
        assert_eq!(machine.state("other"), "preparing");
        assert_eq!(machine.state("bound"), "failed");
    }
}

/// Of a template with `max_parallel = 1`.
fn instance(name: &str, index: u32) -> Declared {
    simple(name).rules(|rules| {
        rules.replica = Some(Replica {
            template: "redis@".to_owned(),
            index,
            max_parallel: 1,
        });
    })
}

const INSTANCES: [&str; 3] = ["redis@1", "redis@2", "redis@3"];

fn instances(change: impl Fn(Declared) -> Declared) -> Vec<Declared> {
    let all = INSTANCES.into_iter().zip(1..);
    all.map(|(name, index)| change(instance(name, index)))
        .collect()
}

#[test]
fn instances_start_at_once_and_are_restarted_one_after_the_other() {
    let mut machine = Machine::new(&instances(|it| it));
    machine.start(&INSTANCES);
    let all = ["prepare redis@1", "prepare redis@2", "prepare redis@3"];
    assert_eq!(machine.done(), all);
    for name in INSTANCES {
        machine.comes_up(name);
    }
    machine.done();
    machine.restart(&INSTANCES);
    assert_eq!(machine.done(), ["terminate redis@1"]);
    machine.ends("redis@1", 0);
    machine.comes_up("redis@1");
    assert_eq!(machine.state("redis@2"), "stopping");
    assert_eq!(machine.state("redis@3"), "running");
    assert_eq!(
        machine.reason("redis@3"),
        "restarts when others of its template are ready"
    );
    machine.ends("redis@2", 0);
    assert_eq!(machine.state("redis@3"), "running");
    machine.comes_up("redis@2");
    assert_eq!(machine.state("redis@3"), "stopping");
}

#[test]
fn an_instance_that_starts_or_crashes_keeps_no_other_from_its_restart() {
    let mut machine = Machine::new(&instances(|it| it));
    machine.start(&INSTANCES);
    machine.comes_up("redis@1");
    machine.comes_up("redis@3");
    machine.ends("redis@3", 1);
    machine.restart(&["redis@1"]);
    assert_eq!(machine.state("redis@1"), "stopping");
    machine.wait_ms(100);
    assert_eq!(machine.state("redis@3"), "preparing");
}

#[test]
fn instances_are_replaced_one_after_the_other_and_each_has_the_whole_health_wait() {
    let version = |version| {
        instances(|it| {
            let it = it.start_first().version(version);
            it.rules(|rules| rules.update.health_wait_ms = 1_000)
        })
    };
    let mut machine = Machine::new(&version(1));
    machine.start(&INSTANCES);
    for name in INSTANCES {
        machine.comes_up(name);
    }
    machine.done();
    machine.apply(&version(2));
    assert_eq!(machine.done(), ["prepare redis@1'"]);
    assert_eq!(
        machine.reason("redis@2'"),
        "waits for others of its template (replicas.max_parallel)"
    );
    for name in INSTANCES {
        let beside = format!("{name}'");
        assert_eq!(machine.state(&beside), "preparing", "{beside}");
        machine.wait_ms(900);
        machine.comes_up(&beside);
        machine.flipped(name, &beside, None);
        machine.ends(&beside, 0);
    }
    let done = machine.done();
    assert!(done.contains(&"reply 2 done".to_owned()), "{done:?}");
}

/// Simulation, seed 4106511: each of the two waited for the other.
#[test]
fn who_waits_for_the_end_of_one_of_its_template_leaves_it_the_turn() {
    let when_it_says_so = ReadinessMode::Log {
        pattern: "ready".into(),
    };
    let instance = |name: &str, index| instance(name, index).readiness(when_it_says_so.clone());
    let first = instance("redis@1", 1);
    let second = instance("redis@2", 2).after("redis@1");
    let mut machine = Machine::new(&[first, second]);
    for name in ["redis@1", "redis@2"] {
        machine.start(&[name]);
        machine.comes_up(name);
        machine.ready(name);
    }
    machine.restart(&["redis@1"]);
    machine.ends("redis@1", 0);
    machine.comes_up("redis@1");
    assert_eq!(machine.state("redis@1"), "started");
    machine.restart(&["redis@1", "redis@2"]);
    assert_eq!(machine.state("redis@2"), "stopping");
    machine.ends("redis@2", 0);
    assert_eq!(machine.state("redis@1"), "stopping");
}

#[test]
fn a_completed_job_does_not_run_again_at_the_next_boot_unless_its_program_is_another() {
    let all = || target("default.target").wants("migrate").after("migrate");
    let mut machine = Machine::new(&[all(), job("migrate").version(1)]);
    machine.start_default();
    machine.comes_up("migrate");
    assert_eq!(machine.state("migrate"), "running");
    machine.ends("migrate", 0);
    let record = machine.supervisor.record();

    for (version, state) in [(1, "finished"), (2, "preparing")] {
        let mut machine = Machine::new(&[all(), job("migrate").version(version)]);
        let record = record.clone();
        machine.handle(supervisor::Event::Recall { record });
        machine.start_default();
        assert_eq!(machine.state("migrate"), state);
        if version == 1 {
            machine.start(&["migrate"]);
            assert_eq!(machine.state("migrate"), "preparing");
        }
    }
}
