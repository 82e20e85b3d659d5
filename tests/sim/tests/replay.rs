//! A dump of a machine is lived through again, and a machine that decides otherwise is found out.

use supervisor::{Action, Dump, Event, Exit, RunId, State, Supervisor, Timestamp, UnitId};
use unit::{Source, load_sources};

/// A unit that ends twice, the second time after the dump's base.
fn dump() -> Dump {
    let text = "[container]\nimage = \"x\"\n".to_owned();
    let file = "web.container.toml".to_owned();
    let set = load_sources(vec![Source { file, text }]).set;
    let mut supervisor = Supervisor::new(&set);
    let web = UnitId(1);
    let mut at = 0;
    let mut run = RunId(0);
    let mut tell = |supervisor: &mut Supervisor, event: Option<Event>| {
        at += 50;
        let mut actions = Vec::new();
        match event {
            Some(event) => supervisor.handle(Timestamp(at), event, &mut actions),
            None => {
                at = at.max(supervisor.next_deadline().unwrap().0);
                supervisor.handle_timeout(Timestamp(at), &mut actions);
            }
        }
        for action in actions {
            if let Action::Prepare { run: of, .. } = action {
                run = of;
            }
        }
        run
    };
    let mut base = None;
    tell(&mut supervisor, Some(Event::StartDefault));
    for turn in 0..3 {
        let unit = web;
        if turn == 1 {
            base = Some((supervisor.turns(), supervisor.snapshot(Clone::clone)));
            tell(&mut supervisor, None);
        } else if turn == 2 {
            tell(&mut supervisor, None);
        }
        let run = supervisor.run(web).unwrap();
        let exit = Exit::Code(1);
        tell(&mut supervisor, Some(Event::Prepared { unit, run }));
        tell(&mut supervisor, Some(Event::Started { unit, run }));
        tell(&mut supervisor, Some(Event::Exited { unit, run, exit }));
        tell(&mut supervisor, Some(Event::Released { unit, run }));
        assert!(matches!(supervisor.state(web), State::Backoff { .. }));
    }
    let (turn, base) = base.unwrap();
    Dump {
        release: "test".into(),
        base,
        entries: supervisor.entries_since(turn).unwrap().cloned().collect(),
        present: supervisor.snapshot(Clone::clone),
    }
}

#[test]
fn a_dump_is_lived_through_again() {
    let dump = dump();
    let text = serde_json::to_vec(&dump).unwrap();
    assert_eq!(sim::replay(&text), Ok(dump.entries.len()));
}

#[test]
fn another_decision_is_found_and_named() {
    let mut dump = dump();
    let last = dump
        .entries
        .iter_mut()
        .rev()
        .find(|entry| entry.actions.iter().any(is_prepare))
        .unwrap();
    last.actions.retain(|action| !is_prepare(action));
    let said = sim::replay(&serde_json::to_vec(&dump).unwrap()).unwrap_err();
    assert!(said.contains("not what the machine decided"), "{said}");
}

#[test]
fn another_end_is_found() {
    let mut dump = dump();
    dump.present = dump.base.clone();
    let said = sim::replay(&serde_json::to_vec(&dump).unwrap()).unwrap_err();
    assert!(said.contains("the end is not"), "{said}");
    let said = sim::replay(b"{}").unwrap_err();
    assert!(said.contains("not a dump"), "{said}");
}

fn is_prepare(action: &Action) -> bool {
    matches!(action, Action::Prepare { .. })
}
