//! The table: what every event does in every state.
//!
//! `web` requires `db` and comes after it; only `web` is put into each state and sent each event.

#[path = "../common/mod.rs"]
mod common;
mod table;

use common::{Declared, Machine, health, hook, plan, simple, target};
use supervisor::{Event, Exit, Goal, Hook, HookKind, Notice, RunId, UnitId};
use table::{EVENTS, In, In as I, On, On as O, STATES, expected};
use unit::{HookFailure, OnUnhealthy, ReadinessMode, Reload, Restart, Timer};

fn state_name(state: In) -> &'static str {
    match state {
        I::Inactive => "inactive",
        I::Scheduled => "scheduled",
        I::Waiting => "waiting",
        I::Preparing => "preparing",
        I::PreStart => "pre-start",
        I::Starting => "starting",
        I::Started => "started",
        I::Running | I::Paused => "running",
        I::PreStop => "pre-stop",
        I::Stopping | I::Killed => "stopping",
        I::PostStop => "post-stop",
        I::Releasing => "releasing",
        I::Backoff => "backoff",
        I::Finished => "finished",
        I::Skipped => "skipped",
        I::Failed => "failed",
    }
}

/// With the keys that the state needs, and a reload.
fn web(state: In) -> Declared {
    let base = simple("web").needs("db");
    let base = base.with(|service| service.reload = Some(Reload::Signal(1)));
    let step = || vec![hook(HookFailure::Fail)];
    match state {
        I::Finished => base.restart(Restart::OnFailure),
        I::Failed => base.restart(Restart::No),
        I::PreStart => base.with(|service| service.pre_start = step()),
        I::PreStop => base.with(|service| service.pre_stop = step()),
        I::PostStop => base.with(|service| service.post_stop = step()),
        I::Started => base.readiness(ReadinessMode::Notify),
        I::Scheduled => base.timer(Timer {
            on_calendar: vec!["@daily".to_owned()],
            ..Timer::default()
        }),
        I::Inactive
        | I::Waiting
        | I::Preparing
        | I::Starting
        | I::Running
        | I::Paused
        | I::Stopping
        | I::Killed
        | I::Releasing
        | I::Backoff
        | I::Skipped => base,
    }
}

fn units(state: In) -> [Declared; 4] {
    let default = target("default.target").wants("web").after("web");
    [simple("db"), web(state), default, simple("other")]
}

/// A machine whose `web` is in that state, with a run of its own behind it.
fn machine_in(state: In) -> Machine {
    let mut machine = Machine::new(&units(state));
    machine.start(&["db", "default.target"]);
    if state == I::Waiting {
        return machine;
    }
    machine.comes_up("db");
    let up_to = |machine: &mut Machine, steps: &[fn(&mut Machine)]| {
        for step in steps {
            step(machine);
        }
    };
    let prepared: fn(&mut Machine) = |machine| machine.prepared("web");
    let started: fn(&mut Machine) = |machine| machine.started("web");
    let stopped: fn(&mut Machine) = |machine| machine.stop(&["web"]);
    match state {
        I::Inactive => {
            up_to(&mut machine, &[prepared, started, stopped]);
            machine.ends("web", 0);
        }
        I::Scheduled | I::Waiting | I::Preparing => {}
        I::PreStart | I::Starting => up_to(&mut machine, &[prepared]),
        I::Started | I::Running => up_to(&mut machine, &[prepared, started]),
        I::Paused => {
            up_to(&mut machine, &[prepared, started]);
            machine.ask(&["web"], |units, ticket| Event::Pause { units, ticket });
            machine.paused("web");
        }
        I::PreStop | I::Stopping => up_to(&mut machine, &[prepared, started, stopped]),
        I::Killed => {
            up_to(&mut machine, &[prepared, started, stopped]);
            machine.wait_ms(500);
        }
        I::PostStop | I::Releasing => {
            up_to(&mut machine, &[prepared, started]);
            machine.exited("web", 1);
        }
        I::Backoff | I::Failed => {
            up_to(&mut machine, &[prepared, started]);
            machine.ends("web", 1);
        }
        I::Finished => {
            up_to(&mut machine, &[prepared, started]);
            machine.ends("web", 0);
        }
        I::Skipped => {
            machine.skipped("web");
            machine.released("web");
        }
    }
    machine
}

/// The step that runs in that state; any, where none does.
fn step_of(state: In) -> Hook {
    let kind = match state {
        I::PreStop => HookKind::PreStop,
        I::PostStop => HookKind::PostStop,
        I::Started | I::Running | I::Paused => HookKind::PostStart,
        I::Inactive
        | I::Scheduled
        | I::Waiting
        | I::Preparing
        | I::PreStart
        | I::Starting
        | I::Stopping
        | I::Killed
        | I::Releasing
        | I::Backoff
        | I::Finished
        | I::Skipped
        | I::Failed => HookKind::PreStart,
    };
    Hook { kind, index: 0 }
}

fn send(machine: &mut Machine, state: In, event: On, unit: UnitId, run: RunId) {
    let units = vec![unit];
    let (reason, ticket, hook) = ("broken".to_owned(), None, step_of(state));
    let notified = |notice| Event::Notified { unit, run, notice };
    let sent = match event {
        O::Recall => Event::Recall {
            record: machine.record(&["web"]),
        },
        O::StartDefault => Event::StartDefault,
        O::Start => Event::Start { units, ticket },
        O::Stop => Event::Stop { units, ticket },
        O::Restart => Event::Restart { units, ticket },
        O::Reload => Event::Reload { units, ticket },
        O::Pause => Event::Pause { units, ticket },
        O::Unpause => Event::Unpause { units, ticket },
        O::ResetFailed => Event::ResetFailed { units, ticket },
        O::Shutdown => Event::Shutdown { within_ms: 5_000 },
        O::TimerElapsed => Event::TimerElapsed {
            unit,
            scheduled_wall_ms: 7,
        },
        O::ClockSetBack => Event::ClockSetBack { wall_ms: 0 },
        O::Withdrawn => Event::Withdrawn {
            ticket: supervisor::Ticket(1),
        },
        O::Apply => return apply(machine, state, Some),
        O::ApplyChanged => return apply(machine, state, |web| Some(web.version(2))),
        O::ApplyRemoved => return apply(machine, state, |_| None),
        O::ApplyTimerRemoved => {
            return apply(machine, state, |web| {
                Some(web.rules(|rules| rules.timer = None))
            });
        }
        O::Prepared => Event::Prepared { unit, run },
        O::PrepareFailed => Event::PrepareFailed {
            unit,
            run,
            reason,
            lasting: false,
        },
        O::Skipped => Event::Skipped { unit, run, reason },
        O::HookEnded => Event::HookEnded {
            unit,
            run,
            hook,
            failure: None,
        },
        O::HookFailed => Event::HookEnded {
            unit,
            run,
            hook,
            failure: Some(reason),
        },
        O::HealthPlan => Event::HealthPlan {
            unit,
            run,
            plan: health(OnUnhealthy::Restart),
        },
        O::Started => Event::Started { unit, run },
        O::SpawnFailed => Event::SpawnFailed { unit, run, reason },
        O::Ready => Event::Ready { unit, run },
        O::Status => notified(Notice::Status("serving".to_owned())),
        O::Watchdog => notified(Notice::Watchdog),
        O::ExtendTimeout => notified(Notice::ExtendTimeout(500)),
        O::Reloading => notified(Notice::Reloading),
        O::Leaves => notified(Notice::Stopping),
        O::Probed => Event::Probed {
            unit,
            run,
            probe: 1,
            failure: Some(reason),
        },
        O::Reloaded => Event::Reloaded {
            unit,
            run,
            failure: None,
        },
        O::Paused => Event::Paused {
            unit,
            run,
            failure: None,
        },
        O::Flipped => Event::Flipped {
            unit,
            run,
            failure: None,
        },
        O::Exited => Event::Exited {
            unit,
            run,
            exit: Exit::Code(1),
        },
        O::Released => Event::Released { unit, run },
        O::Deadline => return next_deadline(machine),
    };
    assert_eq!(On::of(&sent), event);
    machine.handle(sent);
}

/// The same set, with `web` as it has become, or without it.
fn apply(machine: &mut Machine, state: In, changed: fn(Declared) -> Option<Declared>) {
    let [db, web, default, other] = units(state);
    let units = match changed(web) {
        Some(web) => vec![db, web, default, other],
        None => vec![db, target("default.target"), other],
    };
    let (mut actions, now, plan) = (Vec::new(), machine.now, plan(&units));
    machine.supervisor.apply(now, &plan, None, &mut actions);
    machine.note(&actions);
}

/// Serves the next deadline there is.
fn next_deadline(machine: &mut Machine) {
    if let Some(at) = machine.supervisor.next_deadline() {
        machine.now = machine.now.max(at);
    }
    machine.time_out();
}

fn of_web(machine: &mut Machine) -> Vec<String> {
    machine
        .done()
        .into_iter()
        .filter(|line| line.ends_with(" web"))
        .collect()
}

/// The state of `web`.
fn here(machine: &Machine) -> In {
    let paused = machine.supervisor.is_paused(machine.id("web"));
    match In::of(machine.state_of("web")) {
        I::Running if paused => I::Paused,
        state => state,
    }
}

#[test]
fn the_table_has_a_row_for_each_state_and_a_column_for_each_event() {
    assert_eq!(STATES.len(), I::Failed as usize + 1);
    assert_eq!(EVENTS.len(), O::Deadline as usize + 1);
}

#[test]
fn every_state_answers_every_event() {
    for state in STATES {
        for event in EVENTS {
            let mut machine = machine_in(state);
            assert_eq!(here(&machine), state, "preparing {state:?}");
            machine.done();
            let (unit, run) = (machine.id("web"), machine.run("web"));
            send(&mut machine, state, event, unit, run);
            let (then, actions) = expected(state, event);
            assert_eq!(machine.state("web"), then, "{state:?} on {event:?}");
            assert_eq!(of_web(&mut machine), actions, "{state:?} on {event:?}");
        }
    }
}

#[test]
fn a_report_of_another_run_or_of_no_unit_changes_nothing() {
    let reports = [
        O::Prepared,
        O::PrepareFailed,
        O::Skipped,
        O::HookEnded,
        O::HookFailed,
        O::HealthPlan,
        O::Started,
        O::SpawnFailed,
        O::Ready,
        O::Status,
        O::Watchdog,
        O::ExtendTimeout,
        O::Reloading,
        O::Leaves,
        O::Probed,
        O::Reloaded,
        O::Paused,
        O::Flipped,
        O::Exited,
        O::Released,
    ];
    for state in STATES {
        for report in reports {
            let mut machine = machine_in(state);
            machine.done();
            let (unit, run) = (machine.id("web"), machine.run("web").0);
            for other in [run.wrapping_sub(1), run + 1, 0, u64::MAX] {
                send(&mut machine, state, report, unit, RunId(other));
            }
            for nobody in [UnitId(99), UnitId(u32::MAX)] {
                send(&mut machine, state, report, nobody, RunId(run));
            }
            // A target has no process that could be reported on.
            let target = machine.id("default.target");
            if let Some(run) = machine.supervisor.run(target) {
                send(&mut machine, state, report, target, run);
            }
            assert_eq!(
                machine.state("web"),
                state_name(state),
                "{state:?} on {report:?}"
            );
            assert_eq!(
                machine.done(),
                Vec::<String>::new(),
                "{state:?} on {report:?}"
            );
        }
    }
}

#[test]
fn the_goal_follows_requests_and_nothing_else() {
    for state in STATES {
        for event in EVENTS {
            let mut machine = machine_in(state);
            let before = machine.goal("web");
            let (unit, run) = (machine.id("web"), machine.run("web"));
            send(&mut machine, state, event, unit, run);
            let then = match event {
                O::StartDefault | O::Start | O::Restart => Goal::Up,
                O::Stop | O::Shutdown | O::ApplyRemoved => Goal::Down,
                O::ResetFailed if matches!(state, I::Failed | I::Skipped) => Goal::Down,
                O::Recall | O::Reload | O::Pause | O::Unpause | O::ResetFailed => before,
                O::Withdrawn | O::ClockSetBack | O::ApplyChanged | O::ApplyTimerRemoved => before,
                O::TimerElapsed | O::Apply | O::Prepared | O::PrepareFailed => before,
                O::Skipped | O::HookEnded | O::HookFailed | O::HealthPlan => before,
                O::Started | O::SpawnFailed | O::Ready | O::Probed => before,
                O::Status | O::Watchdog | O::ExtendTimeout | O::Reloading | O::Leaves => before,
                O::Reloaded | O::Paused | O::Flipped | O::Exited | O::Released => before,
                O::Deadline => before,
            };
            assert_eq!(machine.goal("web"), then, "{state:?} on {event:?}");
        }
    }
}
