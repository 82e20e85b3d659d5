//! The ring of turns.

mod common;

use common::{Machine, simple};
use supervisor::{Cause, Entry, JOURNAL_ENTRIES_MAX, Supervisor};

#[test]
fn each_turn_is_a_line() {
    let mut machine = Machine::new(&[simple("web")]);
    machine.start(&["web"]);
    machine.prepare_failed("web");
    machine.released("web");
    machine.wait_ms(100);
    assert_eq!(
        machine.supervisor.trace(),
        [
            "1.000 start web -> prepare web run 1, changed web",
            "1.000 prepare failed web run 1: no image -> release web run 1, \
             reply 1 (web: no image; next start in 100 ms), changed web",
            "1.000 released web run 1 -> changed web",
            "1.100 deadline -> prepare web run 2, changed web",
        ]
    );
}

#[test]
fn the_ring_keeps_the_latest_turns_and_counts_the_others() {
    let mut machine = Machine::new(&[simple("web")]);
    for _ in 0..JOURNAL_ENTRIES_MAX + 10 {
        machine.stop(&["web"]);
    }
    assert_eq!(
        machine.supervisor.journal().entries().count(),
        JOURNAL_ENTRIES_MAX
    );
    assert_eq!(machine.supervisor.journal().lost(), 10);
}

#[test]
fn a_journal_replayed_gives_the_same_actions() {
    let machine = || Machine::new(&[simple("db"), simple("web").needs("db")]);
    let mut first = machine();
    first.start(&["web"]);
    first.comes_up("db");
    first.prepare_failed("web");
    first.released("web");
    first.wait_ms(1_000);
    first.comes_up("web");
    first.shutdown(1_000);
    let text = serde_json::to_string(first.supervisor.journal()).unwrap();
    let journal: supervisor::Journal = serde_json::from_str(&text).unwrap();

    let mut second: Supervisor = machine().supervisor;
    for entry in journal.entries() {
        let Entry {
            at, cause, actions, ..
        } = entry;
        let mut again = Vec::new();
        match cause {
            Cause::Event(event) => second.handle(*at, event.clone(), &mut again),
            Cause::Timeout => second.handle_timeout(*at, &mut again),
            Cause::Applied(_) => unreachable!("nothing was applied"),
        }
        assert_eq!(again, *actions, "at {at:?} on {cause:?}");
    }
}
