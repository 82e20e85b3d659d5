//! Restart policies and their back-off.

mod common;

use common::{Machine, hook, oneshot, simple};
use supervisor::{Event, Exit, Failure, HookKind, Limit, Notice, State, Timestamp};
use unit::{HookFailure, Restart};

/// Ends the run and gives the time until the next start, if there is one.
fn next_start_after(machine: &mut Machine, code: i32) -> Option<u64> {
    machine.exited("web", code);
    let ended = machine.now;
    machine.released("web");
    let unit = machine.id("web");
    machine
        .supervisor
        .next_start(unit)
        .map(|at| at.since(ended))
}

fn running(restart: Restart) -> Machine {
    let mut machine = Machine::new(&[simple("web").restart(restart)]);
    machine.start(&["web"]);
    machine.comes_up("web");
    machine
}

#[test]
fn always_restarts_after_success_and_after_failure() {
    for restart in [Restart::Always, Restart::UnlessStopped] {
        for code in [0, 1] {
            let mut machine = running(restart);
            assert_eq!(
                next_start_after(&mut machine, code),
                Some(100),
                "{restart:?} {code}"
            );
        }
    }
}

#[test]
fn on_failure_restarts_after_failure_only() {
    assert_eq!(
        next_start_after(&mut running(Restart::OnFailure), 1),
        Some(100)
    );
    let mut machine = running(Restart::OnFailure);
    assert_eq!(next_start_after(&mut machine, 0), None);
    assert_eq!(
        *machine.state_of("web"),
        State::Finished {
            exit: Exit::Code(0)
        }
    );
}

#[test]
fn no_restarts_never_and_tells_success_from_failure() {
    let mut machine = running(Restart::No);
    machine.ends("web", 0);
    assert_eq!(machine.state("web"), "finished");
    let mut machine = running(Restart::No);
    machine.ends("web", 7);
    let reason = Failure::Exited {
        exit: Exit::Code(7),
    };
    assert_eq!(*machine.state_of("web"), State::Failed { reason });
}

#[test]
fn success_is_what_the_unit_says() {
    let web = simple("web").restart(Restart::OnFailure);
    let mut machine = Machine::new(&[web.with(|it| it.success_exit_codes = vec![0, 143])]);
    machine.start(&["web"]);
    machine.comes_up("web");
    machine.ends("web", 143);
    assert_eq!(machine.state("web"), "finished");
}

#[test]
fn a_signal_is_no_success() {
    let mut machine = running(Restart::OnFailure);
    let (unit, run) = (machine.id("web"), machine.run("web"));
    let exit = Exit::Signal {
        signal: 9,
        out_of_memory: true,
    };
    machine.handle(Event::Exited { unit, run, exit });
    machine.released("web");
    assert_eq!(machine.state("web"), "backoff");
    assert_eq!(
        machine.reason("web"),
        "killed by SIGKILL (out of memory: the limit is resources.memory); next start in 100 ms"
    );
}

#[test]
fn the_delay_grows_by_the_factor_up_to_the_cap() {
    let mut machine = running(Restart::Always);
    let mut delays = Vec::new();
    for _ in 0..6 {
        let delay = next_start_after(&mut machine, 1).unwrap();
        delays.push(delay);
        machine.wait_ms(delay);
        machine.comes_up("web");
    }
    assert_eq!(delays, [100, 200, 400, 800, 1_000, 1_000]);
    assert_eq!(machine.supervisor.restarts(machine.id("web")), 6);
}

#[test]
fn a_run_that_lasted_resets_the_delay() {
    let mut machine = running(Restart::Always);
    for wanted in [100, 200] {
        assert_eq!(next_start_after(&mut machine, 1), Some(wanted));
        machine.wait_ms(wanted);
        machine.comes_up("web");
    }
    machine.wait_ms(10_000);
    assert_eq!(next_start_after(&mut machine, 1), Some(100));
}

#[test]
fn the_clock_of_a_back_off_starts_when_the_run_ends() {
    let mut machine = running(Restart::Always);
    machine.exited("web", 1);
    machine.wait_ms(60);
    machine.released("web");
    assert_eq!(
        *machine.state_of("web"),
        State::Backoff {
            until: Timestamp(1_100)
        }
    );
}

#[test]
fn a_back_off_that_nobody_could_see_is_told_of_all_the_same() {
    let mut machine = running(Restart::Always);
    machine.exited("web", 1);
    machine.wait_ms(99);
    machine.done();
    machine.released("web");
    assert_eq!(machine.done(), Vec::<String>::new());
    machine.wait_ms(1);
    assert_eq!(machine.done(), ["prepare web"]);
    machine.comes_up("web");
    machine.exited("web", 1);
    // Giving back its network takes longer than the delay.
    machine.wait_ms(5_000);
    machine.done();
    machine.released("web");
    assert_eq!(machine.done(), ["restarts at once web", "prepare web"]);
    let reason = machine.supervisor.restart_reason(machine.id("web"));
    assert_eq!(reason, "exited with code 1; starts again at once");
}

#[test]
fn no_delay_is_shorter_than_the_least() {
    let web = simple("web").with(|it| (it.restart_delay_ms, it.restart_delay_max_ms) = (3, 0));
    let mut machine = Machine::new(&[web]);
    machine.start(&["web"]);
    machine.comes_up("web");
    let least = supervisor::RESTART_DELAY_MS_MIN;
    assert_eq!(next_start_after(&mut machine, 1), Some(least));
}

#[test]
fn without_a_delay_the_first_restart_is_at_once_and_the_others_are_delayed_as_ever() {
    let web = simple("web").with(|it| it.restart_delay_ms = 0);
    let mut machine = Machine::new(&[web]);
    machine.start(&["web"]);
    machine.comes_up("web");
    for delay in [0, 100, 200, 400, 800] {
        assert_eq!(pause_after(&mut machine), delay);
    }
    // A run that has served is a new beginning.
    machine.wait_ms(10_000);
    for delay in [0, 100, 200] {
        assert_eq!(pause_after(&mut machine), delay);
    }
}

#[test]
fn a_command_that_ends_at_once_never_spins_whatever_the_unit_says() {
    let web = simple("web").with(|it| {
        (it.restart_delay_ms, it.restart_delay_max_ms) = (0, 0);
        (it.restart_backoff_milli, it.restart_reset_after_ms) = (1_000, 0);
    });
    let mut machine = Machine::new(&[web]);
    machine.start(&["web"]);
    machine.comes_up("web");
    assert_eq!(pause_after(&mut machine), 0);
    for _ in 0..20 {
        assert_eq!(pause_after(&mut machine), supervisor::RESTART_DELAY_MS_MIN);
    }
}

/// Ends the run, waits for the next one and lets it come up: how long the pause between them was.
fn pause_after(machine: &mut Machine) -> u64 {
    let ended = machine.now;
    machine.exited("web", 1);
    machine.released("web");
    for _ in 0..10_000 {
        if machine.state("web") != "backoff" {
            break;
        }
        machine.wait_ms(1);
    }
    let pause = machine.now.since(ended);
    machine.comes_up("web");
    pause
}

#[test]
fn on_failure_gives_up_after_restart_max_restarts() {
    let web = simple("web")
        .restart(Restart::OnFailure)
        .with(|it| it.restart_max = 2);
    let mut machine = Machine::new(&[web]);
    machine.start(&["web"]);
    for _ in 0..2 {
        machine.comes_up("web");
        machine.ends("web", 1);
        machine.wait_ms(1_000);
    }
    machine.comes_up("web");
    machine.ends("web", 1);
    assert_eq!(
        *machine.state_of("web"),
        State::Failed {
            reason: Failure::RestartLimit
        }
    );
    assert_eq!(
        machine.reason("web"),
        "exited with code 1; restart_max reached after 2 restarts"
    );
    machine.wait_ms(100_000);
    assert_eq!(machine.state("web"), "failed");
}

#[test]
fn a_failed_preparation_and_a_failed_spawn_are_tried_again_for_ever() {
    let mut machine = Machine::new(&[simple("web")]);
    machine.start(&["web"]);
    for _ in 0..20 {
        machine.prepare_failed("web");
        machine.released("web");
        machine.wait_ms(1_000);
        machine.prepared("web");
        machine.spawn_failed("web");
        machine.released("web");
        machine.wait_ms(1_000);
    }
    assert_eq!(machine.state("web"), "preparing");
    assert_eq!(machine.reason("web"), "");
    machine.comes_up("web");
    assert_eq!(machine.state("web"), "running");
}

#[test]
fn a_start_that_takes_too_long_is_killed_and_counts_as_a_failure() {
    let mut machine = Machine::new(&[simple("web")]);
    machine.start(&["web"]);
    machine.prepared("web");
    machine.done();
    machine.wait_ms(1_000);
    assert_eq!(machine.done(), ["kill web"]);
    let (unit, run) = (machine.id("web"), machine.run("web"));
    let exit = Exit::Signal {
        signal: 9,
        out_of_memory: false,
    };
    machine.handle(Event::Exited { unit, run, exit });
    machine.released("web");
    assert_eq!(
        machine.supervisor.last_failure(unit),
        Some(&Failure::StartTimeout)
    );
    assert_eq!(machine.state("web"), "backoff");
}

#[test]
fn a_preparation_that_takes_too_long_has_failed_and_what_it_says_then_is_too_late() {
    let mut machine = Machine::new(&[simple("web")]);
    machine.start(&["web"]);
    machine.done();
    machine.wait_ms(999);
    assert_eq!(machine.state("web"), "preparing");
    machine.wait_ms(1);
    assert_eq!(machine.done()[0], "release web");
    let unit = machine.id("web");
    let failure = machine.supervisor.last_failure(unit);
    assert_eq!(failure, Some(&Failure::PrepareTimeout));
    let explained = machine.supervisor.explain(unit).unwrap();
    assert_eq!(explained.limit, Some(Limit::StartTimeout));
    let run = machine.run("web");
    let reason = "too late".to_owned();
    machine.handle(Event::Prepared { unit, run });
    machine.handle(Event::PrepareFailed {
        unit,
        run,
        reason,
        lasting: false,
    });
    assert_eq!(
        (machine.state("web"), machine.done().len()),
        ("releasing", 0)
    );
    machine.released("web");
    machine.handle(Event::Prepared { unit, run });
    assert_eq!((machine.state("web"), machine.done().len()), ("backoff", 0));
    machine.wait_ms(100);
    machine.comes_up("web");
    assert_eq!(machine.state("web"), "running");
}

#[test]
fn whoever_prepares_can_say_that_it_goes_on() {
    let mut machine = Machine::new(&[simple("web")]);
    machine.start(&["web"]);
    machine.wait_ms(900);
    machine.notified("web", Notice::ExtendTimeout(5_000));
    machine.notified("web", Notice::Status("pulling".to_owned()));
    machine.wait_ms(4_999);
    assert_eq!(machine.state("web"), "preparing");
    machine.wait_ms(1);
    assert_eq!(machine.state("web"), "releasing");
}

#[test]
fn what_is_lost_while_a_step_of_pre_start_runs_ends_the_step_and_the_run() {
    for (policy, ends_well) in [
        (HookFailure::Fail, false),
        (HookFailure::Ignore, false),
        (HookFailure::Fail, true),
    ] {
        let steps = vec![hook(policy), hook(policy)];
        let web = simple("web").with(|service| service.pre_start = steps.clone());
        let mut machine = Machine::new(&[web]);
        machine.start(&["web"]);
        machine.prepared("web");
        machine.done();
        let (unit, run) = (machine.id("web"), machine.run("web"));
        let reason = "launcher: killed by SIGKILL".to_owned();
        machine.handle(Event::PrepareFailed {
            unit,
            run,
            reason,
            lasting: false,
        });
        assert_eq!(machine.done(), ["kill pre_start 0 web"]);
        machine.hook_ended("web", HookKind::PreStart, 0, ends_well);
        assert_eq!(machine.done()[0], "release web", "{policy:?}");
        machine.released("web");
        assert_eq!(machine.state("web"), "backoff");
        assert!(machine.reason("web").contains("killed by SIGKILL"));
    }
}

/// Simulation, seed 4125033: the next step ran for a run that nothing was prepared for any more.
#[test]
fn what_was_lost_stays_so_when_a_stop_is_taken_back_meanwhile() {
    let steps = vec![hook(HookFailure::Ignore), hook(HookFailure::Ignore)];
    let web = simple("web").with(|service| service.pre_start = steps.clone());
    let mut machine = Machine::new(&[web]);
    machine.start(&["web"]);
    machine.prepared("web");
    let (unit, run) = (machine.id("web"), machine.run("web"));
    let reason = "launcher: killed by SIGKILL".to_owned();
    machine.handle(Event::PrepareFailed {
        unit,
        run,
        reason,
        lasting: false,
    });
    machine.stop(&["web"]);
    machine.start(&["web"]);
    machine.done();
    machine.hook_ended("web", HookKind::PreStart, 0, false);
    assert_eq!(machine.done()[0], "release web");
}

#[test]
fn a_oneshot_is_finished_by_success_and_failed_by_failure() {
    for (code, state) in [(0, "finished"), (3, "failed")] {
        let mut machine = Machine::new(&[oneshot("job")]);
        machine.start(&["job"]);
        machine.comes_up("job");
        machine.ends("job", code);
        assert_eq!(machine.state("job"), state);
    }
}

#[test]
fn a_oneshot_that_ends_before_its_start_is_reported_is_finished_too() {
    let mut machine = Machine::new(&[oneshot("job")]);
    machine.start(&["job"]);
    machine.prepared("job");
    machine.exited("job", 0);
    machine.started("job");
    machine.released("job");
    assert_eq!(machine.state("job"), "finished");
}

#[test]
fn a_oneshot_runs_again_when_asked_unless_it_remains() {
    for (remain, done) in [(false, vec!["prepare job"]), (true, vec!["reply 2 done"])] {
        let mut machine = Machine::new(&[oneshot("job").with(|it| it.remain_after_exit = remain)]);
        machine.start(&["job"]);
        machine.comes_up("job");
        machine.ends("job", 0);
        machine.done();
        machine.start(&["job"]);
        assert_eq!(machine.done(), done);
    }
}

#[test]
fn starting_by_hand_ends_a_back_off_and_begins_it_anew() {
    let mut machine = running(Restart::Always);
    for _ in 0..4 {
        machine.ends("web", 1);
        machine.wait_ms(1_000);
        machine.comes_up("web");
    }
    machine.ends("web", 1);
    machine.done();
    machine.start(&["web"]);
    assert_eq!(machine.done(), ["prepare web"]);
    assert_eq!(machine.supervisor.restarts(machine.id("web")), 0);
    machine.comes_up("web");
    assert_eq!(next_start_after(&mut machine, 1), Some(100));
}

#[test]
fn a_stop_by_hand_is_remembered_over_a_reboot_for_unless_stopped_only() {
    let units = || {
        let all = common::target("default.target")
            .wants("kept")
            .wants("other");
        let [kept, other] = ["kept", "other"].map(simple);
        [all, kept.restart(Restart::UnlessStopped), other]
    };
    let mut machine = Machine::new(&units());
    machine.start_default();
    machine.stop(&["kept", "other"]);
    let stopped = machine.supervisor.stopped_units();
    assert_eq!(stopped, [machine.id("kept")]);

    let mut machine = Machine::new(&units());
    let record = machine.record(&["kept"]);
    machine.handle(Event::Recall { record });
    machine.start_default();
    assert_eq!(
        (machine.state("kept"), machine.state("other")),
        ("inactive", "preparing")
    );
    machine.start(&["kept"]);
    assert_eq!(machine.supervisor.stopped_units(), []);
}

#[test]
fn what_can_never_be_had_is_not_tried_again_whatever_the_policy() {
    for restart in [Restart::Always, Restart::OnFailure, Restart::UnlessStopped] {
        let web = simple("web").with(|service| service.restart = restart);
        let mut machine = Machine::new(&[web]);
        machine.start(&["web"]);
        let (unit, run) = (machine.id("web"), machine.run("web"));
        let reason = "5000 published ports, the limit for one unit is 4096".to_owned();
        machine.handle(Event::PrepareFailed {
            unit,
            run,
            reason,
            lasting: true,
        });
        machine.released("web");
        assert_eq!(machine.state("web"), "failed", "{restart:?}");
        assert!(machine.reason("web").contains("5000 published ports"));
        // Whoever has changed something may ask again.
        machine.start(&["web"]);
        assert_eq!(machine.state("web"), "preparing");
    }
}
