//! Pause and unpause: the container's group is frozen where it is (cgroup-v2.rst, `cgroup.freeze`).
//!
//! The kernel freezes one process after the other; `cgroup.events` says when all of them stand.

use crate::carried;
use crate::limits;
use crate::machine::Machine;
use crate::source::Source;
use serde::{Deserialize, Serialize};
use supervisor::{Event, RunId, UnitId};
use sys::cgroup::Events;
use sys::clock::since_boot_ms;
use sys::epoll::Interest;

/// A run that is being frozen.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Freezing {
    #[serde(with = "carried")]
    events: Events,
    token: u64,
    pub(crate) deadline_ms: u64,
}

impl Machine {
    pub(crate) fn pause(&mut self, unit: UnitId, run: RunId) {
        // The answer to a probe under way would come late and mean nothing.
        if self
            .supervisor
            .health_view(unit)
            .is_some_and(|view| view.plan.pause_aware)
        {
            self.cancel_probes(run);
        }
        if let Err(reason) = self.begin_freezing(run) {
            self.paused(run, Some(reason));
        }
        self.freezing_ready(run.0);
    }

    fn begin_freezing(&mut self, run: RunId) -> Result<(), String> {
        let entry = self.runs.get(&run.0).filter(|entry| entry.child.is_some());
        let Some(entry) = entry else {
            return Err("its container has ended".into());
        };
        let events = entry.cgroup.events().map_err(|error| error.to_string())?;
        entry.cgroup.freeze().map_err(|error| error.to_string())?;
        let source = Source::Freezing { run: run.0 };
        let token = self
            .registry
            .watch(&events, Interest::Change, source)
            .map_err(|error| format!("cgroup.events: {error}"))?;
        let freezing = Freezing {
            events,
            token,
            deadline_ms: since_boot_ms().saturating_add(limits::FREEZE_TIMEOUT_MS),
        };
        self.freezing.insert(run.0, freezing);
        Ok(())
    }

    /// Something has changed about the group.
    pub(crate) fn freezing_ready(&mut self, run: u64) {
        let Some(freezing) = self.freezing.get_mut(&run) else {
            return;
        };
        let failure = match freezing.events.frozen() {
            Ok(true) => None,
            Ok(false) => return,
            Err(error) => Some(format!("cgroup.events: {error}")),
        };
        self.paused(RunId(run), failure);
    }

    /// The outcome; the supervisor thaws what could not be frozen.
    fn paused(&mut self, run: RunId, failure: Option<String>) {
        self.forget_freezing(run);
        if let Some(entry) = self.runs.get(&run.0) {
            let unit = entry.unit;
            self.event(Event::Paused { unit, run, failure });
        }
    }

    pub(crate) fn freezing_timeouts(&mut self, now: u64) {
        let late = self.freezing.iter();
        let late = late.filter(|(_, freezing)| freezing.deadline_ms <= now);
        let late: Vec<u64> = late.map(|(run, _)| *run).collect();
        for run in late {
            let seconds = limits::FREEZE_TIMEOUT_MS / 1000;
            let reason = format!(
                "not all of its processes could be frozen within {seconds} s: one is busy in the kernel"
            );
            self.paused(RunId(run), Some(reason));
        }
    }

    pub(crate) fn unpause(&mut self, _: UnitId, run: RunId) {
        self.forget_freezing(run);
        if let Some(entry) = self.runs.get(&run.0)
            && let Err(error) = entry.cgroup.thaw()
        {
            log::error!("{error}");
        }
    }

    /// Its end is not waited for any more.
    pub(crate) fn forget_freezing(&mut self, run: RunId) {
        if let Some(freezing) = self.freezing.remove(&run.0) {
            self.registry.unwatch(&freezing.events, freezing.token);
        }
    }
}
