//! Runs whose turn to be prepared comes when nothing else is to be done.
//!
//! Of hundreds that start at once each costs PID 1 milliseconds, for its group, its process and what netd is asked for.
//! They wait for each other, and nobody waits for them: reports, requests and stops come first. Their time limits begin
//! when their turn has come.

use crate::limits;
use crate::machine::Machine;
use supervisor::{Event, Notice, RunId, State, Timestamp, UnitId};
use sys::clock::since_boot_ms;

impl Machine {
    /// Prepare the next one, if there is one.
    pub(crate) fn start_next(&mut self) -> bool {
        let Some((unit, run)) = self.starts.pop_front() else {
            return false;
        };
        let decided = self.supervisor.since(unit).0;
        let waited = since_boot_ms().saturating_sub(decided) >= limits::START_WAIT_MS;
        let container = self.container(unit).map(|(_, container)| container);
        let limit = container.map(|container| container.service.start_timeout_ms);
        if let (true, Some(limit)) = (waited, limit) {
            self.give_time(unit, run, limit);
        }
        self.prepare(unit, run);
        true
    }

    /// Those that still wait have not used any of their time.
    pub(crate) fn keep_starts_waiting(&mut self, now: u64) {
        let soon = Timestamp(now.saturating_add(limits::START_WAIT_MS));
        let short_of_time = |(unit, run): &&(UnitId, RunId)| {
            let state = self.supervisor.state(*unit);
            matches!(state, State::Preparing { run: of, deadline } if of == run && *deadline <= soon)
        };
        let short: Vec<_> = self.starts.iter().filter(short_of_time).copied().collect();
        for (unit, run) in short {
            self.give_time(unit, run, 2 * limits::START_WAIT_MS);
        }
    }

    fn give_time(&mut self, unit: UnitId, run: RunId, ms: u64) {
        let notice = Notice::ExtendTimeout(ms);
        self.event(Event::Notified { unit, run, notice });
    }
}
