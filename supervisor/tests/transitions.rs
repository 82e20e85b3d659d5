//! The table: what every event does in every state.
//!
//! `web` requires `db` and comes after it; only `web` is put into each state and sent each event. The match has no
//! wildcard, so a new state or event does not compile until its row is here.

mod common;

use common::{Machine, simple, target};
use supervisor::{Event, Exit, Goal, RunId, UnitId};
use unit::Restart;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum In {
    Inactive,
    Waiting,
    Preparing,
    Starting,
    Running,
    Stopping,
    Killed,
    Releasing,
    Backoff,
    Finished,
    Failed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum On {
    Recall,
    StartDefault,
    Start,
    Stop,
    Restart,
    Shutdown,
    Prepared,
    PrepareFailed,
    Started,
    SpawnFailed,
    Exited,
    Released,
    Deadline,
}

use In as I;
use On as O;

const STATES: [In; 11] = [
    I::Inactive,
    I::Waiting,
    I::Preparing,
    I::Starting,
    I::Running,
    I::Stopping,
    I::Killed,
    I::Releasing,
    I::Backoff,
    I::Finished,
    I::Failed,
];

const EVENTS: [On; 13] = [
    O::Recall,
    O::StartDefault,
    O::Start,
    O::Stop,
    O::Restart,
    O::Shutdown,
    O::Prepared,
    O::PrepareFailed,
    O::Started,
    O::SpawnFailed,
    O::Exited,
    O::Released,
    O::Deadline,
];

/// The state afterwards, and what is done to `web`.
fn expected(state: In, event: On) -> (&'static str, &'static [&'static str]) {
    match state {
        I::Inactive => match event {
            O::StartDefault | O::Start | O::Restart => ("preparing", &["prepare web"]),
            O::Recall | O::Stop | O::Shutdown | O::Deadline => ("inactive", &[]),
            O::Prepared | O::PrepareFailed | O::Started => ("inactive", &[]),
            O::SpawnFailed | O::Exited | O::Released => ("inactive", &[]),
        },
        I::Waiting => match event {
            O::Stop | O::Shutdown => ("inactive", &[]),
            O::Recall | O::StartDefault | O::Start | O::Restart => ("waiting", &[]),
            O::Prepared | O::PrepareFailed | O::Started | O::Deadline => ("waiting", &[]),
            O::SpawnFailed | O::Exited | O::Released => ("waiting", &[]),
        },
        I::Preparing => match event {
            O::Prepared => ("starting", &["spawn web"]),
            O::PrepareFailed => ("releasing", &["release web"]),
            O::Stop | O::Restart | O::Shutdown => ("releasing", &["release web"]),
            O::Recall | O::StartDefault | O::Start => ("preparing", &[]),
            O::Started | O::SpawnFailed | O::Exited => ("preparing", &[]),
            O::Released | O::Deadline => ("preparing", &[]),
        },
        I::Starting => match event {
            O::Started => ("running", &[]),
            O::SpawnFailed | O::Exited => ("releasing", &["release web"]),
            O::Stop | O::Restart | O::Shutdown | O::Deadline => ("stopping", &["kill web"]),
            O::Recall | O::StartDefault | O::Start => ("starting", &[]),
            O::Prepared | O::PrepareFailed | O::Released => ("starting", &[]),
        },
        I::Running => match event {
            O::SpawnFailed | O::Exited => ("releasing", &["release web"]),
            O::Stop | O::Restart | O::Shutdown => ("stopping", &["terminate web"]),
            O::Recall | O::StartDefault | O::Start | O::Deadline => ("running", &[]),
            O::Prepared | O::PrepareFailed | O::Started | O::Released => ("running", &[]),
        },
        I::Stopping => match event {
            O::SpawnFailed | O::Exited => ("releasing", &["release web"]),
            O::Deadline => ("stopping", &["kill web"]),
            O::Recall | O::StartDefault | O::Start | O::Stop => ("stopping", &[]),
            O::Restart | O::Shutdown => ("stopping", &[]),
            O::Prepared | O::PrepareFailed | O::Started | O::Released => ("stopping", &[]),
        },
        I::Killed => match event {
            O::SpawnFailed | O::Exited => ("releasing", &["release web"]),
            O::Recall | O::StartDefault | O::Start | O::Stop => ("stopping", &[]),
            O::Restart | O::Shutdown | O::Deadline => ("stopping", &[]),
            O::Prepared | O::PrepareFailed | O::Started | O::Released => ("stopping", &[]),
        },
        I::Releasing => match event {
            O::Released => ("backoff", &[]),
            O::Recall | O::StartDefault | O::Start | O::Stop => ("releasing", &[]),
            O::Restart | O::Shutdown | O::Deadline => ("releasing", &[]),
            O::Prepared | O::PrepareFailed | O::Started => ("releasing", &[]),
            O::SpawnFailed | O::Exited => ("releasing", &[]),
        },
        I::Backoff => match event {
            O::Start | O::Restart | O::Deadline => ("preparing", &["prepare web"]),
            O::Stop | O::Shutdown => ("inactive", &[]),
            O::Recall | O::StartDefault => ("backoff", &[]),
            O::Prepared | O::PrepareFailed | O::Started => ("backoff", &[]),
            O::SpawnFailed | O::Exited | O::Released => ("backoff", &[]),
        },
        I::Finished => match event {
            O::Start | O::Restart => ("preparing", &["prepare web"]),
            O::Stop | O::Shutdown => ("inactive", &[]),
            O::Recall | O::StartDefault | O::Deadline => ("finished", &[]),
            O::Prepared | O::PrepareFailed | O::Started => ("finished", &[]),
            O::SpawnFailed | O::Exited | O::Released => ("finished", &[]),
        },
        I::Failed => match event {
            O::StartDefault | O::Start | O::Restart => ("preparing", &["prepare web"]),
            O::Stop | O::Shutdown => ("inactive", &[]),
            O::Recall | O::Deadline => ("failed", &[]),
            O::Prepared | O::PrepareFailed | O::Started => ("failed", &[]),
            O::SpawnFailed | O::Exited | O::Released => ("failed", &[]),
        },
    }
}

fn state_name(state: In) -> &'static str {
    match state {
        I::Inactive => "inactive",
        I::Waiting => "waiting",
        I::Preparing => "preparing",
        I::Starting => "starting",
        I::Running => "running",
        I::Stopping | I::Killed => "stopping",
        I::Releasing => "releasing",
        I::Backoff => "backoff",
        I::Finished => "finished",
        I::Failed => "failed",
    }
}

/// A machine whose `web` is in that state, with a run of its own behind it.
fn machine_in(state: In) -> Machine {
    let web = simple("web").needs("db").restart(match state {
        I::Finished => Restart::OnFailure,
        I::Failed => Restart::No,
        I::Inactive
        | I::Waiting
        | I::Preparing
        | I::Starting
        | I::Running
        | I::Stopping
        | I::Killed
        | I::Releasing
        | I::Backoff => Restart::Always,
    });
    let default = target("default.target").wants("web").after("web");
    let mut machine = Machine::new(&[simple("db"), web, default, simple("other")]);
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
        I::Waiting | I::Preparing => {}
        I::Starting => up_to(&mut machine, &[prepared]),
        I::Running => up_to(&mut machine, &[prepared, started]),
        I::Stopping => up_to(&mut machine, &[prepared, started, stopped]),
        I::Killed => {
            up_to(&mut machine, &[prepared, started, stopped]);
            machine.wait_ms(500);
        }
        I::Releasing => {
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
    }
    machine
}

fn send(machine: &mut Machine, event: On, unit: UnitId, run: RunId) {
    let units = vec![unit];
    let reason = "broken".to_owned();
    let event = match event {
        O::Recall => Event::Recall {
            record: machine.record(&["web"]),
        },
        O::StartDefault => Event::StartDefault,
        O::Start => Event::Start {
            units,
            ticket: None,
        },
        O::Stop => Event::Stop {
            units,
            ticket: None,
        },
        O::Restart => Event::Restart {
            units,
            ticket: None,
        },
        O::Shutdown => Event::Shutdown { within_ms: 5_000 },
        O::Prepared => Event::Prepared { unit, run },
        O::PrepareFailed => Event::PrepareFailed { unit, run, reason },
        O::Started => Event::Started { unit, run },
        O::SpawnFailed => Event::SpawnFailed { unit, run, reason },
        O::Exited => Event::Exited {
            unit,
            run,
            exit: Exit::Code(1),
        },
        O::Released => Event::Released { unit, run },
        O::Deadline => return next_deadline(machine),
    };
    machine.handle(event);
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

#[test]
fn every_state_answers_every_event() {
    for state in STATES {
        for event in EVENTS {
            let mut machine = machine_in(state);
            assert_eq!(
                machine.state("web"),
                state_name(state),
                "preparing {state:?}"
            );
            machine.done();
            let (unit, run) = (machine.id("web"), machine.run("web"));
            send(&mut machine, event, unit, run);
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
        O::Started,
        O::SpawnFailed,
        O::Exited,
        O::Released,
    ];
    for state in STATES {
        for report in reports {
            let mut machine = machine_in(state);
            machine.done();
            let (unit, run) = (machine.id("web"), machine.run("web").0);
            for other in [run.wrapping_sub(1), run + 1, 0, u64::MAX] {
                send(&mut machine, report, unit, RunId(other));
            }
            for nobody in [UnitId(99), UnitId(u32::MAX)] {
                send(&mut machine, report, nobody, RunId(run));
            }
            // A target has no process that could be reported on.
            let target = machine.id("default.target");
            if let Some(run) = machine.supervisor.run(target) {
                send(&mut machine, report, target, run);
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
            send(&mut machine, event, unit, run);
            let then = match event {
                O::StartDefault | O::Start | O::Restart => Goal::Up,
                O::Stop | O::Shutdown => Goal::Down,
                O::Recall | O::Prepared | O::PrepareFailed | O::Started => before,
                O::SpawnFailed | O::Exited | O::Released | O::Deadline => before,
            };
            assert_eq!(machine.goal("web"), then, "{state:?} on {event:?}");
        }
    }
}
