//! Order and requirement: starting, failing, stopping, restarting along the graph.

mod common;

use common::{Machine, oneshot, simple, target};
use supervisor::Goal;
use unit::Restart;

fn web_and_db() -> Machine {
    Machine::new(&[simple("db"), simple("web").needs("db")])
}

fn both_running() -> Machine {
    let mut machine = web_and_db();
    machine.start(&["web"]);
    machine.comes_up("db");
    machine.comes_up("web");
    machine.done();
    machine
}

#[test]
fn a_unit_starts_what_it_requires_and_waits_for_it() {
    let mut machine = web_and_db();
    machine.start(&["web"]);
    assert_eq!(machine.done(), ["prepare db"]);
    assert_eq!(machine.reason("web"), "waits for db");
    machine.comes_up("db");
    assert_eq!(machine.done(), ["spawn db", "prepare web"]);
}

#[test]
fn a_requirement_without_order_starts_in_parallel() {
    let mut machine = Machine::new(&[simple("db"), simple("web").requires("db")]);
    machine.start(&["web"]);
    assert_eq!(machine.done(), ["prepare web", "prepare db"]);
}

#[test]
fn order_alone_starts_nothing_and_waits_only_for_what_is_wanted() {
    let mut machine = Machine::new(&[simple("db"), simple("web").after("db")]);
    machine.start(&["web"]);
    assert_eq!(machine.done(), ["prepare web"]);
    assert_eq!(machine.goal("db"), Goal::Down);
    let mut machine = Machine::new(&[simple("db"), simple("web").after("db")]);
    machine.start(&["db", "web"]);
    assert_eq!(machine.done(), ["prepare db"]);
}

#[test]
fn a_oneshot_is_ready_when_it_has_finished_not_while_it_runs() {
    let mut machine = Machine::new(&[oneshot("migrate"), simple("web").needs("migrate")]);
    machine.start(&["web"]);
    machine.comes_up("migrate");
    assert_eq!(machine.state("web"), "waiting");
    machine.ends("migrate", 0);
    assert_eq!(machine.state("web"), "preparing");
}

#[test]
fn when_a_required_unit_fails_its_dependants_fail_and_theirs_too() {
    let front = simple("front").needs("web");
    let web = simple("web").needs("migrate");
    let mut machine = Machine::new(&[oneshot("migrate"), web, front]);
    machine.start(&["front"]);
    machine.comes_up("migrate");
    machine.ends("migrate", 1);
    assert_eq!(machine.reason("web"), "migrate, which it requires, failed");
    assert_eq!(machine.reason("front"), "web, which it requires, failed");
    assert!(
        machine
            .done()
            .contains(&"reply 1 front: web, which it requires, failed".to_owned())
    );
}

#[test]
fn when_a_wanted_unit_fails_nobody_minds() {
    let web = simple("web").wants("migrate").after("migrate");
    let mut machine = Machine::new(&[oneshot("migrate"), web]);
    machine.start(&["web"]);
    machine.comes_up("migrate");
    machine.ends("migrate", 1);
    assert_eq!(machine.state("web"), "preparing");
}

#[test]
fn a_required_unit_in_back_off_has_not_failed_yet() {
    let mut machine = web_and_db();
    machine.start(&["web"]);
    for _ in 0..5 {
        machine.prepare_failed("db");
        machine.released("db");
        assert_eq!(machine.state("web"), "waiting");
        machine.wait_ms(1_000);
    }
    assert_eq!(
        machine.reason("web"),
        "waits for db, which fails again and again: no image"
    );
    machine.comes_up("db");
    assert_eq!(machine.state("web"), "preparing");
}

#[test]
fn who_only_comes_after_a_unit_that_fails_again_and_again_does_not_wait_for_ever() {
    let mut machine = Machine::new(&[simple("db"), simple("web").after("db").wants("db")]);
    machine.start(&["web"]);
    for attempt in 1..=3 {
        assert_eq!(machine.state("web"), "waiting", "attempt {attempt}");
        machine.prepare_failed("db");
        machine.released("db");
        machine.wait_ms(500);
    }
    assert_eq!(machine.state("web"), "preparing");
}

#[test]
fn a_failure_after_the_start_does_not_reach_dependants_that_run() {
    let mut machine = both_running();
    machine.ends("db", 1);
    assert_eq!(machine.state("web"), "running");
}

#[test]
fn a_unit_that_restarts_waits_for_its_requirements_again() {
    let mut machine = both_running();
    machine.ends("db", 1);
    machine.exited("web", 1);
    machine.released("web");
    machine.done();
    machine.wait_ms(100);
    assert_eq!(machine.done(), ["prepare db"]);
    assert_eq!(machine.state("web"), "waiting");
    machine.comes_up("db");
    assert_eq!(machine.state("web"), "preparing");
}

#[test]
fn stopping_a_required_unit_stops_its_dependants_first() {
    let mut machine = both_running();
    machine.stop(&["db"]);
    assert_eq!(machine.done(), ["terminate web"]);
    assert_eq!(machine.reason("db"), "stops after web");
    machine.exited("web", 0);
    assert_eq!(machine.done(), ["release web", "terminate db"]);
    machine.ends("db", 0);
    machine.released("web");
    assert_eq!(machine.done(), ["release db", "reply 2 done"]);
}

#[test]
fn stopping_a_dependant_leaves_what_it_requires() {
    let mut machine = both_running();
    machine.stop(&["web"]);
    machine.ends("web", 0);
    assert_eq!(
        (machine.state("web"), machine.state("db")),
        ("inactive", "running")
    );
}

#[test]
fn a_unit_that_starts_waits_until_what_it_comes_after_has_stopped() {
    let mut machine = Machine::new(&[simple("db"), simple("web").after("db")]);
    machine.start(&["db"]);
    machine.comes_up("db");
    machine.stop(&["db"]);
    machine.start(&["web"]);
    assert_eq!(machine.state("web"), "waiting");
    machine.exited("db", 0);
    assert_eq!(
        (machine.state("db"), machine.state("web")),
        ("releasing", "preparing")
    );
}

#[test]
fn a_restart_takes_running_dependants_along_in_order() {
    let mut machine = both_running();
    machine.restart(&["db"]);
    assert_eq!(machine.done(), ["terminate web"]);
    machine.ends("web", 0);
    assert_eq!(machine.done(), ["release web", "terminate db"]);
    machine.ends("db", 0);
    assert_eq!(machine.done(), ["release db", "prepare db"]);
    machine.comes_up("db");
    assert_eq!(machine.done(), ["spawn db", "reply 2 done", "prepare web"]);
}

#[test]
fn a_restart_leaves_dependants_that_do_not_run() {
    let mut machine = web_and_db();
    machine.start(&["db"]);
    machine.comes_up("db");
    machine.restart(&["db"]);
    machine.ends("db", 0);
    machine.comes_up("db");
    assert_eq!(
        (machine.state("db"), machine.state("web")),
        ("running", "inactive")
    );
}

#[test]
fn a_restart_of_what_is_down_is_a_start() {
    let mut machine = web_and_db();
    machine.restart(&["web"]);
    assert_eq!(machine.done(), ["prepare db"]);
}

#[test]
fn a_stop_while_a_restart_is_under_way_wins() {
    let mut machine = both_running();
    machine.restart(&["web"]);
    machine.stop(&["web"]);
    machine.ends("web", 0);
    assert_eq!(machine.state("web"), "inactive");
    assert!(
        machine
            .done()
            .contains(&"reply 2 web: stopped by another request".to_owned())
    );
}

#[test]
fn a_failed_dependency_is_tried_again_when_its_dependant_is_started_again() {
    let mut machine = Machine::new(&[oneshot("migrate"), simple("web").needs("migrate")]);
    machine.start(&["web"]);
    machine.comes_up("migrate");
    machine.ends("migrate", 1);
    machine.done();
    machine.start(&["web"]);
    assert_eq!(machine.done(), ["prepare migrate"]);
}

#[test]
fn a_finished_oneshot_runs_again_for_a_dependant_that_starts_but_not_for_one_that_runs() {
    let web = simple("web").needs("migrate");
    let mut machine = Machine::new(&[oneshot("migrate"), web]);
    machine.start(&["web"]);
    machine.comes_up("migrate");
    machine.ends("migrate", 0);
    machine.comes_up("web");
    machine.done();
    machine.start(&["web"]);
    assert_eq!(machine.done(), ["reply 2 done"]);
    machine.stop(&["web"]);
    machine.ends("web", 0);
    machine.done();
    machine.start(&["web"]);
    assert_eq!(machine.done(), ["prepare migrate"]);
}

#[test]
fn a_target_runs_when_its_members_are_ready_or_have_failed() {
    let all = target("default.target")
        .wants("web")
        .after("web")
        .wants("job")
        .after("job");
    let mut machine = Machine::new(&[all, simple("web"), oneshot("job").restart(Restart::No)]);
    machine.start_default();
    machine.comes_up("web");
    assert_eq!(machine.state("default.target"), "waiting");
    machine.prepare_failed("job");
    machine.released("job");
    assert_eq!(machine.state("default.target"), "running");
    machine.stop(&["default.target"]);
    assert_eq!(
        (machine.state("default.target"), machine.state("web")),
        ("inactive", "running")
    );
}

#[test]
fn a_dependant_that_is_restarted_along_tries_its_failed_requirements_again() {
    let web = simple("web").needs("db").needs("cache");
    let cache = simple("cache").restart(Restart::No);
    let mut machine = Machine::new(&[simple("db"), cache, web]);
    machine.start(&["web"]);
    for unit in ["db", "cache", "web"] {
        machine.comes_up(unit);
    }
    machine.ends("cache", 1);
    machine.done();
    machine.restart(&["db"]);
    assert_eq!(machine.done(), ["terminate web", "prepare cache"]);
}
