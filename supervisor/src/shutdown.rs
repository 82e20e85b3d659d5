//! Everything down: in order while there is time, then at once.
//!
//! ```text
//! Shutdown ──────── stop order, stop ladders ────────▶ budget spent ── Kill all ──▶ + grace ──▶ complete, whatever is left
//! ```

use crate::adjacency::index;
use crate::life::Lowered;
use crate::mutant::Mutant;
use crate::{Action, Supervisor, Timestamp, UnitId};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// How long killed processes are waited for before the shutdown is declared complete without them. A process that
/// survives SIGKILL so long sits in the kernel (a dead disk or network file system) and would keep the machine up for ever.
pub const SHUTDOWN_GRACE_MS: u64 = 2_000;

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Shutdown {
    /// When the stage ends by itself.
    until: Timestamp,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Stage {
    Ordered,
    Killing,
    Complete,
}

impl Shutdown {
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        (self.stage != Stage::Complete).then_some(self.until)
    }
}

impl Supervisor {
    /// How long the units that run may take to end one after the other in the stop order, each as long as its unit file
    /// says. The stop order has no cycle: each unit is looked at once, after all that end before it.
    #[must_use]
    pub fn longest_stop_ms(&self) -> u64 {
        let later = |unit: &UnitId| self.graph.before(*unit).len();
        let mut open: Vec<usize> = self.units().map(|unit| later(&unit)).collect();
        let mut begins_ms = alloc::vec![0u64; open.len()];
        let mut free: Vec<UnitId> = self.units().filter(|unit| later(unit) == 0).collect();
        let mut longest_ms = 0;
        while let Some(unit) = free.pop() {
            let begins = begins_ms.get(index(unit.0)).copied().unwrap_or_default();
            let ends_ms = match self.stop_ms(unit) {
                Some(ms) => begins.saturating_add(ms),
                // Nobody waits for it.
                None => 0,
            };
            longest_ms = longest_ms.max(ends_ms);
            for earlier in self.graph.after(unit) {
                let place = index(earlier.unit.0);
                if let (Some(begins), Some(open)) = (begins_ms.get_mut(place), open.get_mut(place))
                {
                    *begins = (*begins).max(ends_ms);
                    *open = open.saturating_sub(1);
                    if *open == 0 {
                        free.push(earlier.unit);
                    }
                }
            }
        }
        longest_ms
    }

    /// The unit's whole ladder; nothing of one that has no run.
    fn stop_ms(&self, unit: UnitId) -> Option<u64> {
        self.life(unit)?.state.run()?;
        let Some(service) = &self.rules_of(unit)?.service else {
            return Some(0);
        };
        let steps = service.pre_stop.iter().chain(&service.post_stop);
        let all = steps.fold(service.stop_timeout_ms, |sum, step| {
            sum.saturating_add(step.timeout_ms)
        });
        Some(all)
    }

    /// Repeated, it can only shorten the budget.
    pub(crate) fn shut_down(&mut self, within_ms: u64) {
        let until = self.now.plus(within_ms);
        if let Some(shutdown) = &mut self.shutdown {
            if shutdown.stage == Stage::Ordered {
                shutdown.until = shutdown.until.min(until);
            }
        } else {
            self.shutdown = Some(Shutdown {
                until,
                stage: Stage::Ordered,
            });
            self.refuse_all_requests();
            let all = self.units();
            self.want_down(all, Lowered::Shutdown);
        }
        self.end_shutdown_budget();
    }

    /// When the budget is spent, everything is looked at again, and what runs is killed.
    pub(crate) fn end_shutdown_budget(&mut self) {
        let ignored = self.planted(Mutant::ShutdownWithoutBudget);
        let Some(shutdown) = &mut self.shutdown else {
            return;
        };
        if shutdown.stage == Stage::Ordered && self.now >= shutdown.until && !ignored {
            shutdown.stage = Stage::Killing;
            shutdown.until = self.now.plus(SHUTDOWN_GRACE_MS);
            for unit in self.units() {
                self.touch(unit);
            }
        }
    }

    pub(crate) fn budget_is_spent(&self) -> bool {
        let stage = self.shutdown.as_ref().map(|shutdown| shutdown.stage);
        matches!(stage, Some(Stage::Killing | Stage::Complete))
    }

    /// Complete when every run is released; once the budget is spent, when no process is left; in the end, anyhow.
    pub(crate) fn tell_shutdown_complete(&mut self) {
        let Some(shutdown) = &mut self.shutdown else {
            return;
        };
        let complete = match shutdown.stage {
            Stage::Ordered => self.busy == 0,
            Stage::Killing => self.live == 0 || self.now >= shutdown.until,
            Stage::Complete => false,
        };
        if complete {
            shutdown.stage = Stage::Complete;
            self.actions.push(Action::ShutdownComplete);
        }
    }
}
