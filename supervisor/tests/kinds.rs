//! The kinds of dependency beside requires, wants and after.

mod common;

use common::{Machine, health, job, oneshot, simple, target};
use supervisor::{Failure, Goal, TRIGGER_INTERVAL_MS_MIN};
use unit::{DependsOnCondition, OnUnhealthy, Replica, Restart};

fn up(units: &[common::Declared], order: &[&str]) -> Machine {
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

#[test]
fn of_a_template_no_more_than_max_parallel_are_on_their_way() {
    let instance = |name: &str, index| {
        simple(name).rules(|rules| {
            rules.replica = Some(Replica {
                template: "redis@".to_owned(),
                index,
                max_parallel: 1,
            });
        })
    };
    let units = [
        instance("redis@1", 1),
        instance("redis@2", 2),
        instance("redis@3", 3),
    ];
    let mut machine = Machine::new(&units);
    machine.start(&["redis@1", "redis@2", "redis@3"]);
    assert_eq!(machine.done(), ["prepare redis@1"]);
    assert_eq!(
        machine.reason("redis@2"),
        "waits for others of its template (replicas.max_parallel)"
    );
    for name in ["redis@1", "redis@2", "redis@3"] {
        machine.comes_up(name);
    }
    machine.done();
    machine.restart(&["redis@1", "redis@2", "redis@3"]);
    assert_eq!(machine.done(), ["terminate redis@1"]);
    machine.ends("redis@1", 0);
    machine.comes_up("redis@1");
    assert_eq!(machine.state("redis@2"), "stopping");
    assert_eq!(machine.state("redis@3"), "running");
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
