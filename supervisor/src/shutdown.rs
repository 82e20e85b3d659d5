//! Everything down: in order while there is time, then at once.
//!
//! ```text
//! Shutdown ──────── stop order, stop ladders ────────▶ budget spent ── Kill all ──▶ + grace ──▶ complete, whatever is left
//! ```

use crate::life::Lowered;
use crate::mutant::Mutant;
use crate::{Action, Supervisor, Timestamp};
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
