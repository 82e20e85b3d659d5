//! When the loop must wake though nothing has come, and what is due then.

use crate::machine::Machine;
use crate::source::HelperKind;
use supervisor::Timestamp;
use sys::clock::since_boot_ms;

impl Machine {
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        let helpers = self.helpers.iter().filter_map(|helper| helper.start_at);
        let releases = self.runs.values().filter_map(|run| run.retry_at);
        let requests = self
            .connections
            .values()
            .filter_map(|connection| connection.deadline_ms);
        let watchdog = self.hardware.deadline_ms();
        let supervisor = self.supervisor.next_deadline().map(|at| at.0);
        let ending = self.ending.as_ref().and_then(|ending| ending.deadline_ms);
        let freezing = self.freezing.values();
        let freezing = freezing.map(|freezing| freezing.deadline_ms);
        let asides = self.asides.values().map(|aside| aside.until_ms);
        helpers
            .chain(asides)
            .chain(freezing)
            .chain(self.probes.deadline_ms())
            .chain(releases)
            .chain(requests)
            .chain(watchdog)
            .chain(supervisor)
            .chain(ending)
            .chain(self.rest_deadline_ms())
            .chain(self.step_deadline())
            .chain(self.give_up_deadline())
            .chain(self.notify_deadline())
            .chain(self.flip_deadline())
            .chain(self.reexec.deadline())
            .chain(self.past_runs.deadline())
            .chain(self.recorded.retry.deadline())
            .chain(self.timers.retry.deadline())
            .min()
    }

    pub(crate) fn timeouts(&mut self) {
        let now = since_boot_ms();
        self.keep_starts_waiting(now);
        // What has come before a deadline is not late because it waits to be handled.
        if !self.is_behind() {
            let mut actions = Vec::new();
            self.supervisor.handle_timeout(Timestamp(now), &mut actions);
            self.carry_out(actions);
        }
        let due: Vec<HelperKind> = self
            .helpers
            .iter()
            .filter(|helper| helper.start_at.is_some_and(|at| at <= now))
            .map(|helper| helper.kind)
            .collect();
        for kind in due {
            self.start_helper(kind);
        }
        let due: Vec<u64> = self
            .runs
            .iter()
            .filter(|(_, run)| run.retry_at.is_some_and(|at| at <= now))
            .map(|(id, _)| *id)
            .collect();
        for run in due {
            self.retry_release(run);
        }
        let silent: Vec<u64> = self
            .connections
            .iter()
            .filter(|(_, connection)| connection.deadline_ms.is_some_and(|at| at <= now))
            .map(|(id, _)| *id)
            .collect();
        for id in silent {
            self.close(id);
        }
        self.aside_timeouts(now);
        self.step_timeouts(now);
        self.give_up_timeouts(now);
        self.notify_timeouts(now);
        self.flip_timeouts(now);
        self.probe_timeouts(now);
        self.freezing_timeouts(now);
        self.reexec_timeout(now);
        if self.rest_deadline_ms().is_some_and(|at| at <= now) {
            self.load_rest();
        }
        self.feed_watchdog(now);
        self.ending_timeout(now);
    }
}
