//! What those who ask are told, when the boot counts as settled, and how the machine goes down.

mod common;

use common::{Machine, health, hook, oneshot, simple, target};
use supervisor::{Event, Outcome, REQUESTS_MAX, Ticket, UnitId};
use unit::{DependsOnCondition, HookFailure, OnUnhealthy, Restart};

fn web() -> Machine {
    Machine::new(&[simple("web")])
}

#[test]
fn a_start_is_done_when_all_its_units_are_ready() {
    let mut machine = Machine::new(&[simple("a"), simple("b")]);
    machine.start(&["a", "b"]);
    machine.comes_up("a");
    assert_eq!(machine.done(), ["prepare a", "prepare b", "spawn a"]);
    machine.comes_up("b");
    assert_eq!(machine.done(), ["spawn b", "reply 1 done"]);
}

#[test]
fn what_is_the_case_already_is_done_at_once() {
    let mut machine = web();
    machine.stop(&["web"]);
    assert_eq!(machine.done(), ["reply 1 done"]);
    machine.start(&["web"]);
    machine.comes_up("web");
    machine.done();
    machine.start(&["web"]);
    machine.start(&[]);
    assert_eq!(machine.done(), ["reply 3 done", "reply 4 done"]);
}

#[test]
fn what_the_same_turn_undoes_is_not_done() {
    let db = simple("db").with(|it| it.watchdog_ms = Some(1_000));
    let mut machine = Machine::new(&[db, target("all").binds_to("db").after("db")]);
    machine.start(&["all"]);
    machine.comes_up("db");
    machine.stop(&["all"]);
    machine.done();
    // The request comes before the loop has looked at its timers.
    machine.now = machine.now.plus(60_000);
    machine.start(&["all"]);
    assert_eq!(machine.done(), ["terminate db"]);
    machine.ends("db", 0);
    machine.wait_ms(1_000);
    machine.comes_up("db");
    let done = machine.done();
    assert_eq!(done.last().map(String::as_str), Some("reply 3 done"));
}

#[test]
fn a_start_fails_with_the_first_attempt_though_it_is_tried_again() {
    let mut machine = web();
    machine.start(&["web"]);
    machine.done();
    machine.prepare_failed("web");
    assert_eq!(
        machine.done(),
        ["release web", "reply 1 web: no image; next start in 100 ms"]
    );
    machine.released("web");
    assert_eq!(machine.state("web"), "backoff");
}

#[test]
fn a_start_that_waits_for_a_unit_that_fails_again_and_again_is_told() {
    let mut machine = Machine::new(&[simple("db"), simple("web").needs("db")]);
    machine.start(&["web"]);
    for _ in 0..3 {
        machine.prepare_failed("db");
        machine.released("db");
        machine.wait_ms(1_000);
    }
    let told = "reply 1 web: waits for db, which fails again and again: no image";
    assert!(machine.done().contains(&told.to_owned()));
}

#[test]
fn a_failed_start_of_several_has_a_line_for_each_unit() {
    let mut machine = Machine::new(&[oneshot("a"), oneshot("b"), simple("c")]);
    machine.start(&["a", "b", "c"]);
    machine.comes_up("c");
    machine.prepare_failed("a");
    machine.done();
    machine.prepare_failed("b");
    assert_eq!(
        machine.done(),
        ["release b", "reply 1 a: no image\nb: no image"]
    );
}

#[test]
fn a_stop_is_done_when_the_run_is_given_back() {
    let mut machine = web();
    machine.start(&["web"]);
    machine.comes_up("web");
    machine.done();
    machine.stop(&["web"]);
    machine.exited("web", 0);
    assert_eq!(machine.done(), ["terminate web", "release web"]);
    machine.released("web");
    assert_eq!(machine.done(), ["reply 2 done"]);
}

#[test]
fn a_stop_is_repeated_without_harm() {
    let mut machine = web();
    machine.start(&["web"]);
    machine.comes_up("web");
    machine.done();
    machine.stop(&["web"]);
    machine.stop(&["web"]);
    assert_eq!(machine.done(), ["terminate web"]);
    machine.ends("web", 0);
    assert_eq!(
        machine.done(),
        ["release web", "reply 2 done", "reply 3 done"]
    );
}

#[test]
fn a_stop_that_is_overtaken_by_a_start_is_told_so() {
    let mut machine = web();
    machine.start(&["web"]);
    machine.comes_up("web");
    machine.stop(&["web"]);
    machine.done();
    machine.start(&["web"]);
    assert_eq!(
        machine.done(),
        ["reply 2 web: started again by another request"]
    );
    machine.ends("web", 0);
    machine.comes_up("web");
    assert!(machine.done().contains(&"reply 3 done".to_owned()));
}

#[test]
fn a_restart_is_done_when_the_new_run_is_ready() {
    let mut machine = web();
    machine.start(&["web"]);
    machine.comes_up("web");
    machine.done();
    machine.restart(&["web"]);
    machine.ends("web", 0);
    assert_eq!(
        machine.done(),
        ["terminate web", "release web", "prepare web"]
    );
    machine.comes_up("web");
    assert_eq!(machine.done(), ["spawn web", "reply 2 done"]);
}

#[test]
fn a_process_that_ignores_the_stop_signal_is_killed_at_stop_timeout() {
    let mut machine = web();
    machine.start(&["web"]);
    machine.comes_up("web");
    machine.stop(&["web"]);
    machine.done();
    machine.wait_ms(499);
    assert_eq!(machine.done(), Vec::<String>::new());
    machine.wait_ms(1);
    assert_eq!(machine.done(), ["kill web"]);
}

#[test]
fn a_stop_while_preparing_does_not_wait_for_the_preparation() {
    let mut machine = web();
    machine.start(&["web"]);
    machine.done();
    machine.stop(&["web"]);
    machine.prepared("web");
    assert_eq!(
        machine.done(),
        ["reply 1 web: stopped by another request", "release web"]
    );
    machine.released("web");
    assert_eq!(machine.done(), ["reply 2 done"]);
}

#[test]
fn an_unknown_unit_refuses_the_whole_request() {
    let mut machine = web();
    let units = vec![machine.id("web"), UnitId(7)];
    machine.handle(Event::Start {
        units,
        ticket: Some(Ticket(9)),
    });
    assert_eq!(machine.done(), ["reply 9 no unit has the number 7"]);
    assert_eq!(machine.state("web"), "inactive");
}

#[test]
fn too_many_requests_at_once_are_refused() {
    let mut machine = web();
    for _ in 0..REQUESTS_MAX {
        machine.start(&["web"]);
    }
    machine.done();
    machine.start(&["web"]);
    let refused = format!("{REQUESTS_MAX} requests are waiting already, try again later");
    let number = REQUESTS_MAX + 1;
    assert_eq!(machine.done(), [format!("reply {number} {refused}")]);
}

#[test]
fn the_boot_is_settled_once_when_every_default_unit_is_ready_or_failed() {
    let all = target("default.target")
        .wants("web")
        .wants("job")
        .wants("broken");
    let units = [
        all,
        simple("web"),
        oneshot("job").restart(Restart::No),
        simple("broken"),
    ];
    let mut machine = Machine::new(&units);
    machine.start_default();
    machine.comes_up("web");
    machine.prepare_failed("job");
    machine.released("job");
    for _ in 0..3 {
        assert!(
            !machine
                .done()
                .iter()
                .any(|line| line.starts_with("settled"))
        );
        machine.prepare_failed("broken");
        machine.released("broken");
        machine.now = machine.now.plus(1_000);
        machine.time_out();
    }
    assert!(machine.done().contains(&"settled 1 2".to_owned()));
    machine.comes_up("broken");
    machine.start_default();
    assert!(
        !machine
            .done()
            .iter()
            .any(|line| line.starts_with("settled"))
    );
}

#[test]
fn a_boot_with_nothing_to_start_is_settled_at_once() {
    let mut machine = Machine::new(&[target("default.target")]);
    machine.start_default();
    assert_eq!(machine.done(), ["settled 0 0"]);
    let mut machine = Machine::new(&[]);
    machine.start_default();
    assert_eq!(machine.done(), ["settled 0 0"]);
}

#[test]
fn a_unit_behind_one_that_fails_again_and_again_counts_as_failed_for_the_boot() {
    let all = target("default.target").wants("web").wants("db");
    let mut machine = Machine::new(&[all, simple("db"), simple("web").needs("db")]);
    machine.start_default();
    for _ in 0..3 {
        machine.prepare_failed("db");
        machine.released("db");
        machine.wait_ms(1_000);
    }
    assert!(machine.done().contains(&"settled 0 2".to_owned()));
}

fn chain() -> Machine {
    let mut machine = Machine::new(&[simple("db"), simple("web").needs("db")]);
    machine.start(&["web"]);
    machine.comes_up("db");
    machine.comes_up("web");
    machine.done();
    machine
}

#[test]
fn a_shutdown_goes_in_reverse_order() {
    let mut machine = chain();
    machine.shutdown(10_000);
    assert_eq!(machine.done(), ["terminate web"]);
    machine.exited("web", 0);
    assert_eq!(machine.done(), ["release web", "terminate db"]);
    machine.ends("db", 0);
    assert_eq!(machine.done(), ["release db"]);
    machine.released("web");
    assert_eq!(machine.done(), ["shutdown complete"]);
    machine.shutdown(10_000);
    assert_eq!(machine.done(), Vec::<String>::new());
}

#[test]
fn a_shutdown_without_anything_running_is_complete_at_once() {
    let mut machine = web();
    machine.shutdown(1_000);
    assert_eq!(machine.done(), ["shutdown complete"]);
}

#[test]
fn what_runs_may_take_as_long_as_the_longest_chain_of_its_stop_order() {
    let slow = |name: &str, ms| simple(name).with(|it| it.stop_timeout_ms = ms);
    let mut machine = Machine::new(&[
        slow("db", 300_000).with(|it| it.post_stop = vec![hook(HookFailure::Fail)]),
        slow("cache", 1_000),
        target("ground").after("db").after("cache"),
        slow("web", 20_000).after("ground"),
        slow("front", 7).after("web").after("cache"),
        slow("other", 310_000),
        slow("idle", 900_000).after("front"),
    ]);
    assert_eq!(machine.supervisor.longest_stop_ms(), 0);
    machine.start(&["db", "cache", "ground"]);
    machine.comes_up("db");
    machine.comes_up("cache");
    assert_eq!(machine.supervisor.longest_stop_ms(), 300_200);
    machine.start(&["other"]);
    machine.comes_up("other");
    assert_eq!(machine.supervisor.longest_stop_ms(), 310_000);
    machine.start(&["web", "front"]);
    machine.comes_up("web");
    machine.comes_up("front");
    assert_eq!(machine.supervisor.longest_stop_ms(), 320_207);
    // Without it, nobody waits for the one after it.
    machine.stop(&["ground"]);
    assert_eq!(machine.supervisor.longest_stop_ms(), 310_000);
}

#[test]
fn when_the_budget_of_a_shutdown_is_spent_everything_is_killed_at_once() {
    let mut machine = chain();
    machine.shutdown(100);
    machine.done();
    machine.wait_ms(100);
    assert_eq!(machine.done(), ["kill db", "kill web"]);
    machine.exited("web", 137);
    machine.exited("db", 137);
    assert_eq!(
        machine.done(),
        ["release web", "release db", "shutdown complete"]
    );
}

#[test]
fn a_process_that_survives_its_kill_does_not_keep_the_machine_up() {
    let mut machine = chain();
    machine.shutdown(100);
    machine.wait_ms(100 + supervisor::SHUTDOWN_GRACE_MS);
    assert_eq!(
        machine.done().last().map(String::as_str),
        Some("shutdown complete")
    );
}

#[test]
fn a_second_shutdown_can_only_shorten_the_budget() {
    let mut machine = chain();
    machine.shutdown(10_000);
    machine.shutdown(50_000);
    assert_eq!(
        machine.supervisor.next_deadline(),
        Some(machine.now.plus(500))
    );
    machine.done();
    machine.shutdown(0);
    assert_eq!(machine.done(), ["kill db", "kill web"]);
}

#[test]
fn requests_are_refused_while_the_machine_goes_down() {
    let mut machine = Machine::new(&[simple("web"), simple("slow")]);
    machine.start(&["web"]);
    machine.comes_up("web");
    machine.start(&["slow"]);
    machine.done();
    machine.shutdown(1_000);
    assert_eq!(
        machine.done().first().map(String::as_str),
        Some("reply 2 shutting down")
    );
    machine.start(&["web"]);
    machine.restart(&["web"]);
    machine.start_default();
    assert_eq!(
        machine.done(),
        ["reply 3 shutting down", "reply 4 shutting down"]
    );
}

#[test]
fn a_request_without_a_ticket_gets_no_reply() {
    let mut machine = web();
    let units = vec![machine.id("web")];
    machine.handle(Event::Start {
        units,
        ticket: None,
    });
    machine.comes_up("web");
    assert_eq!(machine.done(), ["prepare web", "spawn web"]);
}

#[test]
fn an_outcome_is_data_that_survives_json() {
    let outcome = Outcome::Failed {
        message: "web: no image".to_owned(),
    };
    let text = serde_json::to_string(&outcome).unwrap();
    assert_eq!(serde_json::from_str::<Outcome>(&text).unwrap(), outcome);
}

#[test]
fn a_unit_that_has_not_started_is_stopped_at_once_whoever_comes_after_it() {
    let mut machine = Machine::new(&[simple("db"), simple("web").after("db")]);
    machine.start(&["db", "web"]);
    machine.comes_up("db");
    machine.comes_up("web");
    machine.ends("db", 1);
    machine.wait_ms(100);
    machine.prepared("db");
    machine.done();
    machine.stop(&["db", "web"]);
    assert_eq!(machine.done(), ["kill db", "terminate web"]);
}

#[test]
fn a_budget_that_passed_while_the_machine_slept_still_leaves_time_to_kill() {
    let mut machine = chain();
    machine.shutdown(100);
    machine.done();
    machine.now = machine.now.plus(60_000);
    machine.time_out();
    assert_eq!(machine.done(), ["kill web", "kill db"]);
    machine.exited("web", 137);
    machine.exited("db", 137);
    assert_eq!(
        machine.done().last().map(String::as_str),
        Some("shutdown complete")
    );
}

// --- whoever needs an unhealthy unit to be healthy ---------------------------------------------------------------------

/// `web` needs `db` healthy; nothing follows from `db` being unhealthy.
fn behind_a_sick_unit() -> Machine {
    let web = simple("web").depends_on("db", DependsOnCondition::Healthy, false);
    let all = target("default.target").wants("web").after("web");
    Machine::new(&[all, simple("db"), web])
}

fn gets_sick(machine: &mut Machine) {
    machine.prepared("db");
    machine.health_plan("db", health(OnUnhealthy::None));
    machine.started("db");
    for _ in 0..3 {
        machine.wait_ms(1_000);
        machine.probed("db", false);
    }
}

#[test]
fn a_start_behind_an_unhealthy_unit_is_answered_and_the_unit_starts_when_that_is_healthy_after_all()
{
    let why = "web: waits for db, which is unhealthy: status 500";
    let mut machine = behind_a_sick_unit();
    machine.start(&["web"]);
    gets_sick(&mut machine);
    assert!(machine.done().contains(&format!("reply 1 {why}")));
    assert_eq!(machine.state("web"), "waiting");
    // It is so already when somebody asks again.
    machine.start(&["web"]);
    assert_eq!(machine.done(), [format!("reply 2 {why}")]);
    machine.stop(&["web"]);
    machine.done();
    machine.start(&["web"]);
    assert_eq!(machine.done(), [format!("reply 4 {why}")]);
    machine.wait_ms(1_000);
    machine.probed("db", true);
    assert_eq!(machine.done(), ["probe db", "prepare web"]);
}

#[test]
fn a_boot_with_a_unit_behind_an_unhealthy_one_settles_as_degraded() {
    let mut machine = behind_a_sick_unit();
    machine.start_default();
    gets_sick(&mut machine);
    assert!(machine.done().contains(&"settled 1 1".to_owned()));
    assert_eq!(machine.state("default.target"), "running");
    machine.wait_ms(1_000);
    machine.probed("db", true);
    machine.comes_up("web");
    assert_eq!(machine.state("web"), "running");
}

// --- whoever asks and goes ---------------------------------------------------------------------------------------------

#[test]
fn a_request_that_is_withdrawn_has_no_answer_and_stays_carried_out() {
    let mut machine = Machine::new(&[simple("web")]);
    machine.start(&["web"]);
    machine.handle(Event::Withdrawn { ticket: Ticket(1) });
    machine.handle(Event::Withdrawn { ticket: Ticket(9) });
    machine.comes_up("web");
    assert_eq!(machine.done(), ["prepare web", "spawn web"]);
    assert_eq!(machine.state("web"), "running");
}

#[test]
fn abandoned_requests_make_room_and_what_frees_is_never_refused() {
    let mut machine = Machine::new(&[simple("web")]);
    for _ in 0..REQUESTS_MAX {
        machine.start(&["web"]);
    }
    machine.done();
    machine.start(&["web"]);
    let refused = "reply 257 256 requests are waiting already, try again later";
    assert_eq!(machine.done(), [refused]);
    machine.ask(&["web"], |units, ticket| Event::Unpause { units, ticket });
    machine.ask(&["web"], |units, ticket| Event::ResetFailed {
        units,
        ticket,
    });
    assert_eq!(machine.done(), ["reply 258 done", "reply 259 done"]);
    for ticket in 1..=256 {
        machine.handle(Event::Withdrawn {
            ticket: Ticket(ticket),
        });
    }
    machine.start(&["web"]);
    assert_eq!(machine.done(), Vec::<String>::new());
    machine.comes_up("web");
    assert_eq!(machine.done(), ["spawn web", "reply 260 done"]);

    let mut machine = Machine::new(&[simple("web")]);
    for _ in 0..REQUESTS_MAX {
        machine.start(&["web"]);
    }
    machine.stop(&["web"]);
    assert_eq!(machine.goal("web"), supervisor::Goal::Down);
}
