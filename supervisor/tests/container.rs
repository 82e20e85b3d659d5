//! While a container runs: readiness, time limits, hooks, watchdog, reload, pause, health.

mod common;

use common::{Machine, health, hook, oneshot, simple};
use supervisor::{Event, Failure, HealthStatus, HookKind, Limit, Notice, State, Timestamp};
use unit::{HealthPlan, HookFailure, OnUnhealthy, ReadinessMode, Reload, Restart};

fn started(unit: common::Declared) -> Machine {
    let mut machine = Machine::new(&[unit]);
    machine.start(&["web"]);
    machine.comes_up("web");
    machine.done();
    machine
}

fn probed(plan: HealthPlan) -> Machine {
    let mut machine = Machine::new(&[simple("web")]);
    machine.start(&["web"]);
    machine.prepared("web");
    machine.health_plan("web", plan);
    machine.started("web");
    machine.done();
    machine
}

// --- readiness ---------------------------------------------------------------------------------------------------------

#[test]
fn a_unit_is_ready_when_its_sign_has_been_seen() {
    let web = simple("web").readiness(ReadinessMode::Notify);
    let mut machine = Machine::new(&[web, simple("front").needs("web")]);
    machine.start(&["front"]);
    machine.comes_up("web");
    assert_eq!(
        (machine.state("web"), machine.state("front")),
        ("started", "waiting")
    );
    assert_eq!(machine.reason("web"), "waits for READY=1");
    machine.ready("web");
    assert_eq!(
        (machine.state("web"), machine.state("front")),
        ("running", "preparing")
    );
}

#[test]
fn a_sign_that_overtakes_the_report_of_the_start_counts() {
    let mut machine = Machine::new(&[simple("web").readiness(ReadinessMode::Notify)]);
    machine.start(&["web"]);
    machine.prepared("web");
    machine.ready("web");
    machine.started("web");
    assert_eq!(machine.state("web"), "running");
}

#[test]
fn a_port_and_a_log_line_are_looked_for_and_nothing_else_is() {
    let pattern = "ready".to_owned();
    let mut machine = Machine::new(&[simple("web").readiness(ReadinessMode::Log { pattern })]);
    machine.start(&["web"]);
    machine.comes_up("web");
    assert_eq!(machine.done(), ["prepare web", "spawn web", "watch web"]);
    let mut machine = Machine::new(&[simple("web").readiness(ReadinessMode::Notify)]);
    machine.start(&["web"]);
    machine.comes_up("web");
    assert_eq!(machine.done(), ["prepare web", "spawn web"]);
}

#[test]
fn what_does_not_get_ready_in_time_is_stopped_and_has_failed() {
    let web = simple("web").readiness(ReadinessMode::Notify);
    let mut machine = started(web.rules(|rules| rules.readiness.timeout_ms = 3_000));
    machine.wait_ms(3_000);
    assert_eq!(machine.done(), ["terminate web"]);
    machine.ends("web", 0);
    assert_eq!(machine.failure("web"), Some(&Failure::ReadinessTimeout));
    let unit = machine.id("web");
    let explained = machine.supervisor.explain(unit).unwrap();
    assert_eq!(explained.limit, Some(Limit::ReadinessTimeout));
}

#[test]
fn a_run_that_never_got_ready_does_not_begin_the_back_off_anew() {
    let web = simple("web").readiness(ReadinessMode::Notify);
    let mut machine = started(web.rules(|rules| rules.readiness.timeout_ms = 20_000));
    for wanted in [100, 200, 400] {
        machine.wait_ms(20_000);
        let ended = machine.now;
        machine.ends("web", 0);
        let until = ended.plus(wanted);
        assert_eq!(*machine.state_of("web"), State::Backoff { until });
        machine.wait_ms(wanted);
        machine.comes_up("web");
    }
}

#[test]
fn a_container_can_ask_for_more_time() {
    let web = simple("web").readiness(ReadinessMode::Notify);
    let mut machine = started(web.rules(|rules| rules.readiness.timeout_ms = 3_000));
    machine.notified("web", Notice::ExtendTimeout(10_000));
    machine.wait_ms(9_999);
    assert_eq!(machine.state("web"), "started");
    machine.wait_ms(1);
    assert_eq!(machine.state("web"), "stopping");
}

// --- time limits -------------------------------------------------------------------------------------------------------

#[test]
fn a_run_longer_than_runtime_max_is_stopped_and_has_failed() {
    let mut machine = started(simple("web").with(|it| it.runtime_max_ms = Some(5_000)));
    machine.wait_ms(5_000);
    assert_eq!(machine.done(), ["terminate web"]);
    machine.ends("web", 0);
    assert_eq!(machine.failure("web"), Some(&Failure::RuntimeLimit));
    assert_eq!(machine.state("web"), "backoff");
}

#[test]
fn a_silent_container_is_ended_by_its_watchdog() {
    let web = simple("web").restart(Restart::OnWatchdog);
    let mut machine = started(web.with(|it| it.watchdog_ms = Some(1_000)));
    for _ in 0..3 {
        machine.wait_ms(900);
        machine.notified("web", Notice::Watchdog);
    }
    assert_eq!(machine.state("web"), "running");
    machine.wait_ms(1_000);
    assert_eq!(machine.done(), ["terminate web"]);
    machine.ends("web", 0);
    assert_eq!(machine.failure("web"), Some(&Failure::Watchdog));
    assert_eq!(machine.state("web"), "backoff");
}

#[test]
fn what_says_that_it_stops_has_its_stop_timeout_to_end() {
    let web = simple("web").restart(Restart::OnFailure);
    let mut machine = started(web.with(|it| it.watchdog_ms = Some(200)));
    machine.notified("web", Notice::Stopping);
    machine.wait_ms(300);
    machine.notified("web", Notice::Stopping);
    machine.wait_ms(199);
    assert_eq!(machine.done(), Vec::<String>::new());
    machine.wait_ms(1);
    assert_eq!(machine.done(), ["kill web"]);
    machine.killed("web");
    assert_eq!(machine.failure("web"), Some(&Failure::StopTimeout));
    machine.released("web");
    assert_eq!(machine.state("web"), "backoff");
}

#[test]
fn what_stops_by_itself_can_ask_for_more_time_and_its_own_end_counts() {
    let mut machine = started(simple("web").restart(Restart::OnFailure));
    machine.notified("web", Notice::Stopping);
    machine.notified("web", Notice::ExtendTimeout(2_000));
    machine.wait_ms(1_999);
    assert_eq!(machine.done(), Vec::<String>::new());
    machine.ends("web", 0);
    assert_eq!(machine.state("web"), "finished");
    machine.done();
    machine.wait_ms(10_000);
    assert_eq!(machine.done(), Vec::<String>::new());
}

#[test]
fn a_stop_that_is_asked_for_after_stopping_was_said_begins_the_ladder() {
    let mut machine = started(simple("web"));
    machine.notified("web", Notice::Stopping);
    machine.wait_ms(400);
    machine.stop(&["web"]);
    assert_eq!(machine.done(), ["terminate web"]);
    machine.wait_ms(499);
    assert_eq!(machine.done(), Vec::<String>::new());
    machine.wait_ms(1);
    assert_eq!(machine.done(), ["kill web"]);
}

#[test]
fn policies_tell_failures_apart() {
    let ends = |restart, code| {
        let mut machine = started(simple("web").restart(restart));
        machine.ends("web", code);
        machine.state("web")
    };
    assert_eq!(ends(Restart::OnAbnormal, 1), "failed");
    assert_eq!(ends(Restart::OnWatchdog, 1), "failed");
    let mut machine = started(simple("web").restart(Restart::OnAbnormal));
    machine.killed("web");
    machine.released("web");
    assert_eq!(machine.state("web"), "backoff");
}

#[test]
fn an_exit_code_can_prevent_the_restart() {
    for (code, state) in [(7, "failed"), (1, "backoff")] {
        let web = simple("web").with(|it| it.restart_prevent_exit_codes = vec![7]);
        let mut machine = started(web);
        machine.ends("web", code);
        assert_eq!(machine.state("web"), state);
    }
}

#[test]
fn more_starts_than_the_limit_are_a_failure_until_somebody_starts_it_again() {
    let web = simple("web").with(|it| {
        it.start_limit.burst = 2;
        it.start_limit.interval_ms = 60_000;
    });
    let mut machine = started(web);
    machine.ends("web", 1);
    machine.wait_ms(1_000);
    machine.comes_up("web");
    machine.ends("web", 1);
    machine.wait_ms(1_000);
    assert_eq!(
        *machine.state_of("web"),
        State::Failed {
            reason: Failure::StartLimit
        }
    );
    machine.start(&["web"]);
    assert_eq!(machine.state("web"), "preparing");
}

#[test]
fn reset_failed_forgets_a_failure_that_nothing_runs_on() {
    let web = simple("web").needs("db");
    let mut machine = Machine::new(&[simple("db").restart(Restart::No), web]);
    machine.start(&["web"]);
    machine.comes_up("db");
    machine.comes_up("web");
    machine.ends("db", 1);
    machine.ask(&["db"], |units, ticket| Event::ResetFailed {
        units,
        ticket,
    });
    assert_eq!(
        (machine.state("db"), machine.state("web")),
        ("failed", "running")
    );
    machine.stop(&["web"]);
    machine.ends("web", 0);
    machine.ask(&["db"], |units, ticket| Event::ResetFailed {
        units,
        ticket,
    });
    assert_eq!(machine.state("db"), "inactive");
    assert_eq!(machine.failure("db"), None);
}

// --- hooks -------------------------------------------------------------------------------------------------------------

#[test]
fn steps_run_one_after_the_other_around_the_container() {
    let step = || vec![hook(HookFailure::Fail), hook(HookFailure::Fail)];
    let mut machine = Machine::new(&[simple("web").with(|it| {
        it.pre_start = step();
        it.post_start = step();
        it.pre_stop = step();
        it.post_stop = step();
    })]);
    machine.start(&["web"]);
    machine.prepared("web");
    for index in 0..2 {
        machine.hook_ended("web", HookKind::PreStart, index, true);
    }
    machine.started("web");
    assert_eq!(machine.reason("web"), "waits for the steps of post_start");
    for index in 0..2 {
        machine.hook_ended("web", HookKind::PostStart, index, true);
    }
    assert_eq!(machine.state("web"), "running");
    machine.stop(&["web"]);
    for index in 0..2 {
        machine.hook_ended("web", HookKind::PreStop, index, true);
    }
    machine.exited("web", 0);
    for index in 0..2 {
        machine.hook_ended("web", HookKind::PostStop, index, true);
    }
    machine.released("web");
    let steps: Vec<String> = machine
        .done()
        .into_iter()
        .filter(|line| line.starts_with("run ") || line.ends_with(" web"))
        .collect();
    assert_eq!(
        steps,
        [
            "prepare web",
            "run pre_start 0 web",
            "run pre_start 1 web",
            "spawn web",
            "run post_start 0 web",
            "run post_start 1 web",
            "run pre_stop 0 web",
            "run pre_stop 1 web",
            "terminate web",
            "run post_stop 0 web",
            "run post_stop 1 web",
            "release web"
        ]
    );
}

#[test]
fn a_step_before_the_start_that_fails_is_a_failed_start_unless_it_is_to_be_ignored() {
    for (on_failure, state) in [
        (HookFailure::Fail, "releasing"),
        (HookFailure::Ignore, "starting"),
    ] {
        let mut machine = Machine::new(&[simple("web").with(|it| {
            it.pre_start = vec![hook(on_failure)];
        })]);
        machine.start(&["web"]);
        machine.prepared("web");
        machine.hook_ended("web", HookKind::PreStart, 0, false);
        assert_eq!(machine.state("web"), state);
    }
}

#[test]
fn a_step_that_takes_too_long_is_killed() {
    let mut machine = Machine::new(&[simple("web").with(|it| {
        it.pre_start = vec![hook(HookFailure::Fail)];
    })]);
    machine.start(&["web"]);
    machine.prepared("web");
    machine.done();
    machine.wait_ms(200);
    assert_eq!(machine.done(), ["kill pre_start 0 web"]);
    machine.hook_ended("web", HookKind::PreStart, 0, false);
    machine.released("web");
    assert_eq!(
        machine.reason("web"),
        "pre_start 0: took longer than its timeout; next start in 100 ms"
    );
}

#[test]
fn a_step_of_post_start_that_ends_with_its_container_starts_no_other() {
    let web = simple("web").with(|it| {
        it.post_start = vec![hook(HookFailure::Ignore), hook(HookFailure::Ignore)];
        it.post_stop = vec![hook(HookFailure::Fail)];
    });
    let mut machine = started(web);
    machine.exited("web", 1);
    machine.done();
    machine.hook_ended("web", HookKind::PostStart, 0, false);
    assert_eq!(machine.done(), Vec::<String>::new());
}

#[test]
fn a_step_after_the_end_that_fails_makes_a_success_a_failure() {
    let mut machine = Machine::new(&[oneshot("web").with(|it| {
        it.post_stop = vec![hook(HookFailure::Fail)];
    })]);
    machine.start(&["web"]);
    machine.comes_up("web");
    machine.exited("web", 0);
    machine.hook_ended("web", HookKind::PostStop, 0, false);
    machine.released("web");
    assert_eq!(machine.state("web"), "failed");
}

// --- reload and pause --------------------------------------------------------------------------------------------------

#[test]
fn a_reload_is_done_when_the_container_says_so() {
    let reload = |units, ticket| Event::Reload { units, ticket };
    let web = simple("web").with(|it| it.reload = Some(Reload::Signal(1)));
    let mut machine = started(web);
    machine.ask(&["web"], reload);
    assert_eq!(machine.done(), ["reload web"]);
    machine.reloaded("web", None);
    assert_eq!(machine.done(), ["reply 2 done"]);
    machine.ask(&["web"], reload);
    machine.reloaded("web", Some("exited with code 1"));
    assert_eq!(
        machine.done(),
        ["reload web", "reply 3 web: exited with code 1"]
    );
    machine.ask(&["web"], reload);
    machine.wait_ms(1_000);
    assert_eq!(
        machine.done(),
        [
            "reload web",
            "reply 4 web: its reload took longer than start_timeout"
        ]
    );
    machine.ask(&["web"], reload);
    machine.exited("web", 1);
    assert!(
        machine
            .done()
            .contains(&"reply 5 web: its run has ended".to_owned())
    );
    let mut machine = started(simple("web"));
    machine.ask(&["web"], reload);
    assert_eq!(machine.done(), ["reply 2 web: it has no `service.reload`"]);
}

#[test]
fn a_paused_container_is_neither_probed_nor_watched_and_is_thawed_before_it_is_stopped() {
    let pause = |units, ticket| Event::Pause { units, ticket };
    let mut machine = Machine::new(&[simple("web").with(|it| it.watchdog_ms = Some(1_000))]);
    machine.start(&["web"]);
    machine.prepared("web");
    machine.health_plan("web", health(OnUnhealthy::Restart));
    machine.started("web");
    machine.done();
    machine.ask(&["web"], pause);
    machine.paused("web");
    assert_eq!(machine.done(), ["pause web", "reply 2 done"]);
    machine.wait_ms(60_000);
    assert_eq!(machine.done(), Vec::<String>::new());
    machine.ask(&["web"], |units, ticket| Event::Unpause { units, ticket });
    assert_eq!(machine.done(), ["unpause web", "reply 3 done"]);
    machine.wait_ms(999);
    assert_eq!(machine.state("web"), "running");
    machine.notified("web", Notice::Watchdog);
    machine.wait_ms(1);
    assert_eq!(machine.done(), ["probe web"]);
    machine.ask(&["web"], pause);
    machine.paused("web");
    machine.done();
    machine.stop(&["web"]);
    assert_eq!(machine.done(), ["unpause web", "terminate web"]);
}

// --- health ------------------------------------------------------------------------------------------------------------

#[test]
fn so_many_failures_in_a_row_have_the_consequence_that_the_plan_says() {
    for (on_unhealthy, action, state) in [
        (OnUnhealthy::Restart, Some("terminate web"), "backoff"),
        (OnUnhealthy::Kill, Some("kill web"), "backoff"),
        (OnUnhealthy::Stop, Some("terminate web"), "failed"),
        (OnUnhealthy::None, None, "running"),
    ] {
        let mut machine = probed(health(on_unhealthy));
        for _ in 0..3 {
            machine.wait_ms(1_000);
            machine.probed("web", false);
        }
        let last = machine.done().pop();
        if let Some(action) = action {
            assert_eq!(last.as_deref(), Some(action));
            machine.ends("web", 0);
        } else {
            let unit = machine.id("web");
            let status = machine.supervisor.health(unit);
            assert_eq!(status, Some(HealthStatus::Unhealthy));
        }
        assert_eq!(machine.state("web"), state, "{on_unhealthy:?}");
    }
}

#[test]
fn on_unhealthy_restart_restarts_whatever_the_policy() {
    let mut machine = Machine::new(&[simple("web").restart(Restart::No)]);
    machine.start(&["web"]);
    machine.prepared("web");
    machine.health_plan("web", health(OnUnhealthy::Restart));
    machine.started("web");
    for _ in 0..3 {
        machine.wait_ms(1_000);
        machine.probed("web", false);
    }
    machine.ends("web", 0);
    assert_eq!(
        machine.reason("web"),
        "unhealthy: status 500; next start in 100 ms"
    );
}

#[test]
fn a_success_between_failures_begins_the_count_anew() {
    let mut machine = probed(health(OnUnhealthy::Restart));
    for healthy in [false, false, true, false, false] {
        machine.wait_ms(1_000);
        machine.probed("web", healthy);
    }
    assert_eq!(machine.state("web"), "running");
}

#[test]
fn failures_in_the_start_period_do_not_count_and_the_first_success_ends_it() {
    let plan = |start_period_ms| HealthPlan {
        start_period_ms,
        ..health(OnUnhealthy::Restart)
    };
    let mut machine = probed(plan(10_000));
    for _ in 0..20 {
        machine.wait_ms(100);
        machine.probed("web", false);
    }
    assert_eq!(machine.state("web"), "running");
    machine.wait_ms(100);
    machine.probed("web", true);
    for _ in 0..3 {
        machine.wait_ms(1_000);
        machine.probed("web", false);
    }
    assert_eq!(machine.state("web"), "stopping");
}

#[test]
fn a_probe_that_is_never_answered_is_a_failure_and_its_late_answer_is_nothing() {
    let mut machine = probed(health(OnUnhealthy::None));
    machine.wait_ms(1_000);
    machine.wait_ms(500 + supervisor::PROBE_GRACE_MS);
    machine.probed("web", true);
    let unit = machine.id("web");
    assert_eq!(
        machine.supervisor.health(unit),
        Some(HealthStatus::Starting)
    );
    assert_eq!(
        machine.supervisor.explain(unit).unwrap().health_reason,
        "no answer in time"
    );
}

#[test]
fn readiness_can_wait_for_health() {
    let mut machine = Machine::new(&[simple("web").readiness(ReadinessMode::Healthy)]);
    machine.start(&["web"]);
    machine.prepared("web");
    machine.health_plan("web", health(OnUnhealthy::Restart));
    machine.started("web");
    assert_eq!(machine.state("web"), "started");
    machine.wait_ms(1_000);
    machine.probed("web", true);
    let since = Timestamp(2_000);
    let run = machine.run("web");
    assert_eq!(*machine.state_of("web"), State::Running { run, since });
}
