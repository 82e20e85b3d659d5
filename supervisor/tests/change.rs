//! Timers, other sets, replacement, re-execution, and the story of how it came.

mod common;

use common::{Declared, Machine, oneshot, simple, target, timer};
use supervisor::{Cause, Event, Failure, Goal, Notice, State};
use unit::{Concurrency, StartLimit, Timer};

fn daily(concurrency: Concurrency) -> Timer {
    Timer {
        on_calendar: vec!["@daily".to_owned()],
        concurrency,
        ..Timer::default()
    }
}

fn scheduled(concurrency: Concurrency) -> Machine {
    let mut machine = Machine::new(&[
        target("default.target").wants("work").after("work"),
        oneshot("work").timer(daily(concurrency)),
    ]);
    machine.start_default();
    machine
}

// --- timers ------------------------------------------------------------------------------------------------------------

#[test]
fn a_scheduled_unit_is_armed_by_its_goal_and_run_by_its_time() {
    let mut machine = scheduled(Concurrency::Forbid);
    assert_eq!(machine.done(), ["arm work", "settled 1 0"]);
    assert_eq!(machine.state("default.target"), "running");
    machine.elapsed("work", 10);
    machine.elapsed("work", 10);
    assert_eq!(machine.done(), ["prepare work"]);
    machine.comes_up("work");
    machine.ends("work", 1);
    assert_eq!(machine.state("work"), "scheduled");
    assert_eq!(machine.reason("work"), "last run: exited with code 1");
    machine.elapsed("work", 10);
    machine.elapsed("work", 20);
    machine.comes_up("work");
    machine.ends("work", 0);
    let unit = machine.id("work");
    let history = machine.supervisor.history(unit);
    let outcomes: Vec<(Option<i64>, bool)> = history
        .iter()
        .map(|run| (run.scheduled_wall_ms, run.failure.is_some()))
        .collect();
    assert_eq!(outcomes, [(Some(10), true), (Some(20), false)]);
    let timers = machine.supervisor.record().timers;
    assert_eq!(timers.values().copied().collect::<Vec<_>>(), [20]);
    machine.done();
    machine.stop(&["work"]);
    assert_eq!(machine.done(), ["reply 1 done", "disarm work"]);
}

#[test]
fn a_time_that_was_told_before_the_clock_was_set_back_far_comes_again() {
    let mut machine = scheduled(Concurrency::Forbid);
    let mut runs = |times: &[i64]| {
        machine.done();
        for at in times {
            machine.elapsed("work", *at);
            if machine.state("work") == "preparing" {
                machine.comes_up("work");
                machine.ends("work", 0);
            }
        }
        let done = machine.done();
        let started = done.iter().filter(|line| *line == "prepare work").count();
        let last = machine.supervisor.last_calendar_ms(machine.id("work"));
        let set_back = |machine: &mut Machine, wall_ms| {
            machine.handle(Event::ClockSetBack { wall_ms });
        };
        set_back(&mut machine, 25);
        let kept = machine.supervisor.last_calendar_ms(machine.id("work"));
        (started, last, kept)
    };
    assert_eq!(runs(&[10, 20, 30, 40]), (4, Some(40), Some(20)));
    // Those before are known still; those after it count once.
    assert_eq!(runs(&[20, 30, 30, 40]), (2, Some(40), Some(20)));
}

#[test]
fn after_the_clock_was_set_back_over_all_times_nothing_is_made_up_for() {
    let mut machine = scheduled(Concurrency::Forbid);
    machine.elapsed("work", 40);
    machine.handle(Event::ClockSetBack { wall_ms: 25 });
    let timers = machine.supervisor.record().timers;
    assert_eq!(timers.values().copied().collect::<Vec<_>>(), [25]);
}

#[test]
fn a_time_during_a_run_is_missed_ends_it_or_waits_for_its_end() {
    for (concurrency, state, after) in [
        (Concurrency::Forbid, "started", "scheduled"),
        (Concurrency::Replace, "stopping", "preparing"),
        (Concurrency::Allow, "started", "preparing"),
    ] {
        let mut machine = scheduled(concurrency);
        machine.elapsed("work", 10);
        machine.comes_up("work");
        machine.elapsed("work", 20);
        assert_eq!(machine.state("work"), state, "{concurrency:?}");
        machine.ends("work", 0);
        assert_eq!(machine.state("work"), after, "{concurrency:?}");
        let unit = machine.id("work");
        let missed = machine.supervisor.explain(unit).unwrap().missed;
        assert_eq!(missed, u64::from(concurrency == Concurrency::Forbid));
    }
}

fn past(machine: &Machine) -> Vec<(Option<i64>, bool)> {
    let history = machine.supervisor.history(machine.id("work"));
    let runs = history.iter();
    runs.map(|run| (run.scheduled_wall_ms, run.stopped))
        .collect()
}

#[test]
fn a_run_that_was_stopped_is_remembered_with_its_own_time() {
    let mut machine = scheduled(Concurrency::Replace);
    machine.elapsed("work", 10);
    machine.comes_up("work");
    machine.elapsed("work", 20);
    machine.ends("work", 0);
    assert_eq!(past(&machine), [(Some(10), true)]);
    machine.comes_up("work");
    machine.ends("work", 0);
    assert_eq!(past(&machine), [(Some(10), true), (Some(20), false)]);
    machine.elapsed("work", 30);
    machine.comes_up("work");
    machine.stop(&["work"]);
    machine.ends("work", 0);
    assert_eq!(past(&machine).last(), Some(&(Some(30), true)));
    machine.start(&["work"]);
    machine.comes_up("work");
    machine.ends("work", 0);
    assert_eq!(past(&machine).last(), Some(&(None, false)));
}

#[test]
fn a_run_that_an_apply_ends_is_remembered_and_is_no_success() {
    let mut machine = scheduled(Concurrency::Forbid);
    machine.elapsed("work", 10);
    machine.comes_up("work");
    let wanted = target("default.target").wants("work").after("work");
    let other = oneshot("work").timer(daily(Concurrency::Forbid)).version(2);
    machine.apply(&[wanted, other]);
    machine.ends("work", 0);
    assert_eq!(past(&machine), [(Some(10), true)]);
    let history = machine.supervisor.history(machine.id("work"));
    assert!(history.iter().all(|run| !run.succeeded()));
}

#[test]
fn a_time_whose_start_was_refused_is_not_that_of_the_next_start_by_hand() {
    let work = oneshot("work").timer(daily(Concurrency::Forbid));
    let work = work.with(|service| {
        service.start_limit = StartLimit {
            burst: 1,
            interval_ms: 60_000,
        };
    });
    let mut machine = Machine::new(&[work]);
    machine.start(&["work"]);
    machine.comes_up("work");
    machine.ends("work", 0);
    machine.elapsed("work", 10);
    assert_eq!(machine.failure("work"), Some(&Failure::StartLimit));
    machine.start(&["work"]);
    machine.comes_up("work");
    machine.ends("work", 0);
    assert_eq!(past(&machine), [(None, false), (None, false)]);
}

#[test]
fn a_start_by_hand_runs_it_now_and_is_done_when_the_run_is() {
    let mut machine = scheduled(Concurrency::Forbid);
    machine.done();
    machine.start(&["work"]);
    assert_eq!(machine.done(), ["prepare work"]);
    machine.comes_up("work");
    machine.ends("work", 0);
    assert!(machine.done().contains(&"reply 1 done".to_owned()));
}

#[test]
fn after_the_boot_and_after_the_last_start() {
    let both = Timer {
        on_boot_ms: Some(5_000),
        on_unit_active_ms: Some(60_000),
        ..Timer::default()
    };
    let mut machine = Machine::new(&[oneshot("work").timer(both)]);
    machine.start(&["work"]);
    machine.comes_up("work");
    machine.ends("work", 0);
    machine.wait_ms(4_000);
    assert_eq!(machine.state("work"), "preparing");
    machine.comes_up("work");
    machine.ends("work", 0);
    machine.done();
    machine.wait_ms(59_999);
    assert_eq!(machine.done(), Vec::<String>::new());
    machine.wait_ms(1);
    assert_eq!(machine.done(), ["prepare work"]);
}

#[test]
fn a_timer_unit_starts_the_unit_it_names() {
    let nightly = timer("nightly.timer", daily(Concurrency::Forbid), "work");
    let mut machine = Machine::new(&[nightly, oneshot("work")]);
    machine.start(&["nightly.timer"]);
    machine.done();
    machine.elapsed("nightly.timer", 10);
    assert_eq!(machine.done(), ["prepare work"]);
    machine.elapsed("nightly.timer", 20);
    assert_eq!(machine.done(), Vec::<String>::new());
}

#[test]
fn a_timer_unit_counts_from_the_last_start_of_its_unit_however_that_ended() {
    let both = Timer {
        on_boot_ms: Some(5_000),
        on_unit_active_ms: Some(3_000),
        ..Timer::default()
    };
    let sweep = timer("sweep.timer", both, "work");
    let mut machine = Machine::new(&[sweep, oneshot("work")]);
    machine.start(&["sweep.timer"]);
    machine.done();
    machine.wait_ms(4_000);
    for code in [0, 4, 4, 0] {
        assert_eq!(machine.done(), ["prepare work"]);
        machine.comes_up("work");
        machine.ends("work", code);
        machine.done();
        machine.wait_ms(3_000);
    }
    assert_eq!(machine.done(), ["prepare work"]);
}

#[test]
fn a_start_that_was_refused_does_not_end_the_timer() {
    let every = Timer {
        on_unit_active_ms: Some(10_000),
        ..Timer::default()
    };
    let work = oneshot("work").with(|service| {
        service.start_limit = StartLimit {
            burst: 1,
            interval_ms: 15_000,
        };
    });
    let by_timer = timer("sweep.timer", every.clone(), "work");
    for (units, started) in [
        (vec![by_timer, work.clone()], vec!["sweep.timer", "work"]),
        (vec![work.timer(every)], vec!["work"]),
    ] {
        let mut machine = Machine::new(&units);
        machine.start(&started);
        machine.comes_up("work");
        machine.ends("work", 0);
        machine.done();
        machine.wait_ms(10_000);
        assert_eq!(machine.failure("work"), Some(&Failure::StartLimit));
        machine.wait_ms(9_999);
        assert_eq!(machine.done(), Vec::<String>::new());
        machine.wait_ms(1);
        assert_eq!(machine.done(), ["prepare work"]);
    }
}

#[test]
fn a_run_longer_than_its_interval_does_not_end_the_timer() {
    let every = Timer {
        on_boot_ms: Some(1_100),
        on_unit_active_ms: Some(200),
        ..Timer::default()
    };
    let by_timer = timer("sweep.timer", every.clone(), "work");
    for (units, started) in [
        (vec![by_timer, oneshot("work")], "sweep.timer"),
        (vec![oneshot("work").timer(every)], "work"),
    ] {
        let mut machine = Machine::new(&units);
        machine.start(&[started]);
        machine.wait_ms(100);
        machine.comes_up("work");
        machine.wait_ms(750);
        assert_eq!(machine.state("work"), "started");
        machine.ends("work", 0);
        machine.done();
        // Others' times start a unit no more often than once in a second.
        machine.wait_ms(1_000);
        assert_eq!(machine.done(), ["prepare work"]);
    }
}

// --- another timer -----------------------------------------------------------------------------------------------------

fn every(ms: u64) -> Timer {
    Timer {
        on_unit_active_ms: Some(ms),
        ..Timer::default()
    }
}

/// Wanted by the default target.
fn work(version: u64, timer: Option<Timer>) -> Vec<Declared> {
    let work = oneshot("work").version(version);
    let work = match timer {
        Some(timer) => work.timer(timer),
        None => work,
    };
    let all = target("default.target").wants("work").after("work");
    vec![all, work]
}

#[test]
fn a_unit_whose_timer_is_removed_is_an_ordinary_one_that_is_wanted() {
    let mut machine = Machine::new(&work(1, Some(daily(Concurrency::Forbid))));
    machine.start_default();
    machine.done();
    machine.apply(&work(2, None));
    assert_eq!(machine.done(), ["disarm work", "prepare work"]);
    machine.comes_up("work");
    machine.ends("work", 0);
    assert_eq!(machine.state("work"), "finished");
    assert!(machine.done().contains(&"reply 1 done".to_owned()));

    let mut machine = Machine::new(&work(1, Some(daily(Concurrency::Forbid))));
    machine.start_default();
    machine.stop(&["work"]);
    machine.done();
    machine.apply(&work(2, None));
    assert_eq!(machine.done(), ["reply 2 done"]);
    assert_eq!(machine.state("work"), "inactive");
}

#[test]
fn a_unit_that_gets_a_timer_waits_for_its_time_and_does_not_run_at_once() {
    let on_boot = Timer {
        on_boot_ms: Some(1_500),
        ..Timer::default()
    };
    for (timer, code) in [
        (daily(Concurrency::Forbid), 0),
        (every(500), 1),
        (on_boot, 0),
    ] {
        let mut machine = Machine::new(&work(1, None));
        machine.start_default();
        machine.comes_up("work");
        machine.ends("work", code);
        machine.wait_ms(1_000);
        machine.done();
        machine.apply(&work(2, Some(timer)));
        assert_eq!(machine.state("work"), "scheduled");
        assert!(!machine.done().contains(&"prepare work".to_owned()));
    }
    let mut machine = Machine::new(&work(1, None));
    machine.start_default();
    machine.stop(&["work"]);
    machine.released("work");
    machine.done();
    machine.apply(&work(2, Some(daily(Concurrency::Forbid))));
    assert_eq!(machine.state("work"), "inactive");
    assert_eq!(machine.done(), ["reply 2 done"]);
}

#[test]
fn another_interval_counts_from_the_same_start_and_none_comes_when_it_is_removed() {
    let sweeper = |timer: Timer| vec![timer_of("sweep.timer", timer), oneshot("work")];
    let own = |timer: Timer| vec![oneshot("work").timer(timer)];
    type Units = fn(Timer) -> Vec<Declared>;
    let sets: [(Units, &str); 2] = [(sweeper, "sweep.timer"), (own, "work")];
    for (units, up) in sets {
        let mut machine = Machine::new(&units(every(60_000)));
        machine.start(&[up]);
        machine.start(&["work"]);
        machine.comes_up("work");
        machine.ends("work", 0);
        machine.wait_ms(10_000);
        machine.done();
        machine.apply(&units(every(30_000)));
        machine.wait_ms(19_999);
        assert_eq!(
            machine.state("work"),
            if up == "work" {
                "scheduled"
            } else {
                "finished"
            }
        );
        machine.wait_ms(1);
        assert_eq!(machine.state("work"), "preparing");
        machine.comes_up("work");
        machine.ends("work", 0);
        machine.done();
        machine.apply(&units(daily(Concurrency::Forbid)));
        machine.wait_ms(100_000);
        assert!(!machine.done().contains(&"prepare work".to_owned()));
    }
}

fn timer_of(name: &str, times: Timer) -> Declared {
    timer(name, times, "work")
}

// --- another set -------------------------------------------------------------------------------------------------------

fn chain(web: u64, db: u64) -> Vec<Declared> {
    let all = target("default.target").wants("web").after("web");
    let web = simple("web").needs("db").version(web);
    vec![all, simple("db").version(db), web, simple("other")]
}

fn running() -> Machine {
    let mut machine = Machine::new(&chain(1, 1));
    machine.start_default();
    machine.start(&["other"]);
    for name in ["db", "web", "other"] {
        machine.comes_up(name);
    }
    machine.done();
    machine
}

#[test]
fn the_same_set_touches_nothing() {
    let mut machine = running();
    machine.apply(&chain(1, 1));
    assert_eq!(machine.done(), ["reply 2 done"]);
}

#[test]
fn a_changed_unit_restarts_once_with_those_that_follow_it() {
    let mut machine = running();
    machine.apply(&chain(2, 1));
    assert_eq!(machine.done(), ["terminate web"]);
    machine.ends("web", 0);
    machine.comes_up("web");
    assert_eq!(
        machine.done(),
        ["release web", "prepare web", "spawn web", "reply 2 done"]
    );
    machine.apply(&chain(2, 2));
    assert_eq!(machine.done(), ["terminate web"]);
    machine.ends("web", 0);
    assert_eq!(machine.done(), ["release web", "terminate db"]);
    machine.ends("db", 0);
    machine.comes_up("db");
    let without_answer = ["release db", "prepare db", "spawn db", "prepare web"];
    assert_eq!(machine.done(), without_answer);
    machine.comes_up("web");
    assert_eq!(machine.done(), ["spawn web", "reply 3 done"]);
}

#[test]
fn a_removed_unit_stops_and_leaves_its_place_to_another() {
    let mut machine = running();
    let place = machine.id("other");
    let mut without = chain(1, 1);
    without.pop();
    machine.apply(&without);
    assert_eq!(machine.done(), ["terminate other"]);
    machine.ends("other", 0);
    assert_eq!(
        machine.done(),
        ["release other", "reply 2 done", "remove other"]
    );
    without.push(simple("late"));
    without[0] = without[0].clone().wants("late");
    machine.apply(&without);
    assert_eq!(machine.done(), ["prepare late"]);
    assert_eq!(machine.id("late"), place);
}

/// With a unit of that version, or without it.
fn with_other(version: Option<u64>) -> Vec<Declared> {
    let all = target("default.target").wants("web").after("web");
    let mut units = vec![all, simple("web")];
    if let Some(version) = version {
        units[0] = units[0].clone().wants("other").after("other");
        units.push(simple("other").version(version));
    }
    units
}

fn without_other() -> Machine {
    let mut machine = Machine::new(&with_other(Some(1)));
    machine.start_default();
    machine.comes_up("web");
    machine.comes_up("other");
    machine.done();
    machine.apply(&with_other(None));
    assert_eq!(machine.done(), ["terminate other"]);
    machine
}

#[test]
fn a_removed_unit_that_is_put_back_starts_when_its_old_run_has_ended() {
    for version in [1, 2] {
        let mut machine = without_other();
        let place = machine.id("other");
        machine.apply(&with_other(Some(version)));
        assert_eq!(
            machine.done(),
            ["reply 1 other: started again by another request"]
        );
        assert_eq!(machine.id("other"), place);
        machine.exited("other", 0);
        assert_eq!(machine.done(), ["release other"]);
        machine.released("other");
        assert_eq!(machine.done(), ["prepare other"]);
        machine.comes_up("other");
        assert_eq!(machine.done(), ["spawn other", "reply 2 done"]);
    }
}

#[test]
fn a_unit_on_its_way_that_gets_bound_to_one_that_is_not_active_starts_again_with_it() {
    for bound in ["preparing", "starting", "running"] {
        let mut machine = Machine::new(&[simple("web")]);
        machine.start(&["web"]);
        if bound != "preparing" {
            machine.prepared("web");
        }
        if bound == "running" {
            machine.started("web");
        }
        assert_eq!(machine.state("web"), bound);
        let web = simple("web").binds_to("db").after("db");
        machine.apply(&[web, simple("db")]);
        assert!(machine.state("web") != bound, "{bound}");
    }
}

#[test]
fn what_waits_for_others_to_stop_when_it_is_put_back_goes_on_or_restarts_with_its_new_rules() {
    for (version, state) in [(1, "running"), (2, "stopping")] {
        let units = |other: Option<u64>| {
            let mut units = with_other(other);
            if other.is_some() {
                units[0] = units[0].clone().wants("late").after("late");
                units.push(simple("late").needs("other"));
            }
            units
        };
        let mut machine = Machine::new(&units(Some(1)));
        machine.start_default();
        for name in ["web", "other", "late"] {
            machine.comes_up(name);
        }
        machine.apply(&units(None));
        assert_eq!(
            (machine.state("other"), machine.state("late")),
            ("running", "stopping")
        );
        machine.apply(&units(Some(version)));
        machine.done();
        machine.ends("late", 0);
        assert_eq!(machine.state("other"), state, "version {version}");
    }
}

#[test]
fn a_name_that_comes_back_as_another_kind_waits_until_the_old_place_is_given_back() {
    let mut machine = without_other();
    let mut units = with_other(None);
    let every = Timer {
        on_boot_ms: Some(5_000),
        ..Timer::default()
    };
    units.push(timer("other", every, "web"));
    units[0] = units[0].clone().wants("other");
    let old = machine.id("other");
    let run = machine.run("other");
    machine.apply(&units);
    // The one that was put back is the later place.
    let new = machine
        .supervisor
        .find(&machine.supervisor.rules()[old.0 as usize].name);
    let new = new.expect("it is there");
    assert_ne!(new, old);
    assert_eq!(machine.supervisor.state(new).name(), "waiting");
    let exit = supervisor::Exit::Code(0);
    machine.handle(Event::Exited {
        unit: old,
        run,
        exit,
    });
    machine.handle(Event::Released { unit: old, run });
    assert_eq!(machine.supervisor.state(new).name(), "running");
}

#[test]
fn another_kind_of_the_same_name_waits_for_the_present_one_too() {
    let mut machine = Machine::new(&with_other(Some(1)));
    machine.start_default();
    machine.comes_up("web");
    machine.comes_up("other");
    let (old, run) = (machine.id("other"), machine.run("other"));
    let mut units = with_other(None);
    units[0] = units[0].clone().wants("other");
    units.push(timer("other", daily(Concurrency::Forbid), "web"));
    machine.apply(&units);
    let rules = &machine.supervisor.rules()[old.0 as usize];
    let new = machine.supervisor.find(&rules.name).expect("it is there");
    assert_eq!(machine.supervisor.state(new).name(), "waiting");
    let exit = supervisor::Exit::Code(0);
    machine.handle(Event::Exited {
        unit: old,
        run,
        exit,
    });
    machine.handle(Event::Released { unit: old, run });
    assert_eq!(machine.supervisor.state(new).name(), "running");
}

#[test]
fn a_version_that_has_given_way_is_waited_for_when_its_unit_comes_back() {
    let mut machine = replacing();
    machine.comes_up("web'");
    machine.flipped("web", "web'", None);
    // The old version, which takes its time to stop, is the last of the unit.
    let (old, run) = (machine.id("web'"), machine.run("web'"));
    machine.apply(&[simple("late")]);
    machine.ends("client", 0);
    machine.ends("follower", 0);
    machine.ends("web", 0);
    machine.done();
    let units = [
        target("default.target").wants("web"),
        simple("web").version(3),
    ];
    machine.apply(&units);
    machine.start(&["web"]);
    assert_eq!(machine.state("web"), "waiting");
    assert_eq!(machine.reason("web"), "waits for the end of its old run");
    let exit = supervisor::Exit::Code(0);
    machine.handle(Event::Exited {
        unit: old,
        run,
        exit,
    });
    machine.handle(Event::Released { unit: old, run });
    assert_eq!(machine.state("web"), "preparing");
}

#[test]
fn what_an_operator_has_stopped_stays_so() {
    let mut machine = running();
    machine.stop(&["web"]);
    machine.ends("web", 0);
    machine.done();
    machine.apply(&chain(2, 1));
    assert_eq!(machine.done(), ["reply 3 done"]);
    assert_eq!(machine.goal("web"), Goal::Down);
}

// --- without a gap -----------------------------------------------------------------------------------------------------

fn pair(version: u64) -> Vec<Declared> {
    let follower = simple("follower").part_of("web").after("web");
    let web = simple("web").start_first().version(version);
    vec![web, follower, simple("client").needs("web")]
}

fn replacing() -> Machine {
    let mut machine = Machine::new(&pair(1));
    machine.start(&["client", "follower"]);
    for name in ["web", "client", "follower"] {
        machine.comes_up(name);
    }
    machine.done();
    machine.apply(&pair(2));
    machine
}

#[test]
fn the_new_version_gets_ready_before_the_ports_flip_and_the_old_one_goes() {
    let mut machine = replacing();
    assert_eq!(machine.done(), ["prepare web'"]);
    machine.comes_up("web'");
    assert_eq!(machine.done(), ["spawn web'", "flip 1 to 4 web"]);
    assert_eq!(machine.run("web").0, 1);
    machine.flipped("web", "web'", None);
    let done = machine.done();
    assert_eq!(done[0], "swap web' web");
    assert!(done.contains(&"terminate web'".to_owned()), "{done:?}");
    assert!(done.contains(&"reply 2 done".to_owned()), "{done:?}");
    // It says that it restarts with it; the client does not.
    assert!(done.contains(&"terminate follower".to_owned()), "{done:?}");
    assert_eq!(machine.state("client"), "running");
    assert_eq!(machine.run("web").0, 4);
    machine.ends("web'", 0);
    assert!(machine.done().contains(&"remove web'".to_owned()));
    assert_eq!(machine.state("web"), "running");
}

#[test]
fn a_reload_of_the_old_version_is_answered_when_the_new_one_takes_its_place() {
    let reload = || unit::Reload::Signal(1);
    let web = |version| simple("web").start_first().version(version);
    let web = |version| web(version).with(|service| service.reload = Some(reload()));
    let mut machine = Machine::new(&[web(1)]);
    machine.start(&["web"]);
    machine.comes_up("web");
    machine.ask(&["web"], |units, ticket| Event::Reload { units, ticket });
    machine.apply(&[web(2)]);
    machine.comes_up("web'");
    machine.done();
    machine.flipped("web", "web'", None);
    let told = "reply 2 web: a new version has taken its place";
    assert!(machine.done().contains(&told.to_owned()));
}

#[test]
fn a_report_of_a_run_that_has_changed_its_place_is_understood() {
    let mut machine = replacing();
    machine.comes_up("web'");
    let (place, run) = (machine.id("web'"), machine.run("web'"));
    machine.flipped("web", "web'", None);
    machine.done();
    let exit = supervisor::Exit::Code(1);
    machine.handle(Event::Exited {
        unit: place,
        run,
        exit,
    });
    assert_eq!(machine.state("web"), "releasing");
    assert_eq!(machine.state("web'"), "stopping");
}

#[test]
fn a_new_version_that_does_not_get_ready_leaves_the_old_one_alone() {
    let mut machine = replacing();
    machine.prepared("web'");
    machine.done();
    machine.spawn_failed("web'");
    let reply = "reply 2 web: the new version: exec failed; the old one goes on";
    assert_eq!(machine.done(), ["release web'", reply]);
    machine.released("web'");
    assert_eq!(machine.done(), ["remove web'"]);
    assert_eq!((machine.state("web"), machine.run("web").0), ("running", 1));

    let mut machine = replacing();
    machine.notified("web'", Notice::ExtendTimeout(120_000));
    machine.wait_ms(60_000);
    assert!(machine.done().contains(&"release web'".to_owned()));
    let unit = machine.id("web");
    assert_eq!(
        machine.supervisor.explain(unit).unwrap().replace_problem,
        Some("it did not get ready within update.health_wait".to_owned())
    );
}

#[test]
fn a_unit_that_is_to_be_replaced_and_cannot_stay_is_answered_for_when_it_is_down() {
    let units = |version| {
        let all = target("default.target").wants("a").wants("web");
        let web = simple("web").start_first().version(version);
        let web = if version == 1 {
            web
        } else {
            web.conflicts("a")
        };
        [all, simple("a"), web]
    };
    let mut machine = Machine::new(&units(1));
    machine.start_default();
    machine.comes_up("a");
    machine.comes_up("web");
    machine.done();
    machine.apply(&units(2));
    assert_eq!(machine.done(), ["terminate web"]);
    machine.ends("web", 0);
    assert_eq!(machine.done(), ["release web", "reply 1 done"]);
}

#[test]
fn ports_that_could_not_be_led_over_stay_with_the_old_version() {
    let mut machine = replacing();
    machine.comes_up("web'");
    machine.done();
    machine.flipped("web", "web'", Some("netlink: busy"));
    let done = machine.done();
    assert!(done.contains(&"flip 4 to 1 web".to_owned()), "{done:?}");
    assert!(done.contains(&"terminate web'".to_owned()), "{done:?}");
    assert_eq!(machine.state("web"), "running");
}

// --- re-execution ------------------------------------------------------------------------------------------------------

#[test]
fn a_state_that_was_handed_over_goes_on_with_the_same_trace() {
    type Step = fn(&mut Machine);
    let steps: [Step; 9] = [
        |machine| machine.start_default(),
        |machine| machine.comes_up("db"),
        |machine| machine.prepare_failed("web"),
        |machine| machine.released("web"),
        |machine| machine.wait_ms(50),
        |machine| machine.wait_ms(50),
        |machine| machine.comes_up("web"),
        |machine| machine.apply(&chain(2, 1)),
        |machine| machine.shutdown(1_000),
    ];
    let mut plain = Machine::new(&chain(1, 1));
    steps.iter().for_each(|step| step(&mut plain));
    for handed_over in 0..steps.len() {
        let mut machine = Machine::new(&chain(1, 1));
        for (place, step) in steps.iter().enumerate() {
            if place == handed_over {
                machine.reexecute();
            }
            step(&mut machine);
        }
        assert_eq!(machine.supervisor.trace(), plain.supervisor.trace());
        assert_eq!(machine.supervisor, plain.supervisor);
    }
}

// --- why ---------------------------------------------------------------------------------------------------------------

#[test]
fn why_leads_from_a_unit_to_the_one_whose_failure_it_was() {
    let mut machine = Machine::new(&[oneshot("migrate"), simple("web").needs("migrate")]);
    machine.start(&["web"]);
    machine.comes_up("migrate");
    machine.ends("migrate", 1);
    let unit = machine.id("web");
    let story: Vec<(u32, &str)> = machine
        .supervisor
        .why(unit)
        .iter()
        .map(|step| (step.unit.0, step.state.name()))
        .collect();
    assert_eq!(
        story,
        [
            (0, "preparing"),
            (0, "starting"),
            (0, "started"),
            (0, "releasing"),
            (0, "failed"),
            (1, "failed"),
        ]
    );
    let last = machine.supervisor.why(unit).pop().unwrap();
    assert!(matches!(last.cause, Cause::Event(Event::Released { .. })));
    assert!(matches!(last.state, State::Failed { .. }));
}

#[test]
fn a_story_is_bounded_and_begins_with_a_request() {
    let mut machine = Machine::new(&[simple("web")]);
    machine.start(&["web"]);
    let unit = machine.id("web");
    let first = machine.supervisor.why(unit).remove(0);
    assert!(matches!(first.cause, Cause::Event(Event::Start { .. })));
    for _ in 0..40 {
        machine.prepare_failed("web");
        machine.released("web");
        machine.wait_ms(1_000);
    }
    assert_eq!(
        machine.supervisor.why(unit).len(),
        supervisor::WHY_STEPS_MAX
    );
}
