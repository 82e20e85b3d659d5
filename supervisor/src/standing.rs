//! What units see of each other.
//!
//! ```text
//!   db ──publish──▶ ready ────▶ web.blockers            web starts at 0
//!                   settled ──▶ blockers of units that only come after
//!                   stuck ────▶ web.stuck_requirements  web is stuck too
//!                   failed ───▶ web.failed_requirements web fails
//!   web ─publish──▶ holding ──▶ db.stop_blockers        db stops at 0
//! ```
//!
//! Invariant: every count is the number of neighbours whose published standing has the bit. A unit is touched when one
//! of its counts gets a new meaning, not each time that one changes: this keeps a boot linear in edges.

use crate::graph::index;
use crate::life::Life;
use crate::rules::Rules;
use crate::{Goal, State, Supervisor, UnitId};
use serde::{Deserialize, Serialize};

/// After so many failed runs in a row a unit counts as failed for those that only come after it, and for `Settled`,
/// though it goes on trying. Two failures may be bad luck (a port still in use, a slow disk); three are a pattern.
pub const FAILURES_STUCK: u32 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Standing {
    /// Units that require it may start.
    pub(crate) ready: bool,
    /// Units that merely come after it may start: it is ready, or there is nothing to wait for.
    pub(crate) settled: bool,
    /// It will not get ready by itself.
    pub(crate) failed: bool,
    /// It goes on trying, with little hope.
    pub(crate) stuck: bool,
    /// It is going down and has not ended: the units it came after stay until then.
    pub(crate) holding: bool,
}

impl Standing {
    pub(crate) const INACTIVE: Self = Self {
        ready: false,
        settled: true,
        failed: false,
        stuck: false,
        holding: false,
    };

    fn blocks(self, required: bool) -> bool {
        if required { !self.ready } else { !self.settled }
    }

    pub(crate) fn of(life: &Life, rules: &Rules) -> Self {
        let up = life.goal == Goal::Up;
        let tries = |own: bool| up && (own || life.failures >= FAILURES_STUCK);
        let base = Self {
            settled: !up,
            ..Self::INACTIVE
        };
        let trying = |stuck: bool| Self {
            settled: !up || stuck,
            stuck,
            ..base
        };
        match &life.state {
            State::Inactive | State::Releasing { .. } | State::Backoff { .. } => {
                trying(tries(false))
            }
            State::Waiting => trying(tries(life.stuck_requirements > 0)),
            State::Preparing { .. } | State::Starting { .. } => {
                let holding = life.is_leaving();
                let stuck = tries(false);
                Self {
                    settled: stuck,
                    stuck,
                    holding,
                    ..base
                }
            }
            State::Running { .. } => {
                let holding = life.is_leaving();
                let ready = !holding && !rules.is_oneshot();
                let stuck = !ready && tries(false);
                Self {
                    ready,
                    settled: ready || stuck,
                    stuck,
                    holding,
                    ..base
                }
            }
            State::Stopping { .. } => {
                let holding = life.is_leaving() || life.stop_cause.is_none();
                let stuck = tries(false);
                Self {
                    settled: stuck,
                    stuck,
                    holding,
                    ..base
                }
            }
            State::Finished { .. } => Self {
                ready: up,
                settled: true,
                ..base
            },
            State::Failed { .. } => Self {
                failed: up,
                settled: true,
                ..base
            },
        }
    }
}

impl Supervisor {
    /// Tells the neighbours what has changed, and answers whoever waited for it.
    pub(crate) fn publish(&mut self, unit: UnitId) {
        let place = index(unit.0);
        let (Some(life), Some(rules)) = (self.lives.get_mut(place), self.rules.get(place)) else {
            return;
        };
        let old = life.standing;
        let new = Standing::of(life, rules);
        if old == new {
            return;
        }
        life.standing = new;
        self.tell_later_units(unit, old, new);
        self.tell_dependants(unit, old, new);
        self.tell_earlier_units(unit, old, new);
        self.note_settling(unit);
        if new.ready && !old.ready {
            self.has_got_ready(unit);
        }
        if new.stuck && !old.stuck {
            self.has_got_stuck(unit);
        }
    }

    fn tell_later_units(&mut self, unit: UnitId, old: Standing, new: Standing) {
        let Self {
            graph,
            lives,
            touched,
            steps,
            ..
        } = self;
        for link in graph.before(unit) {
            *steps = steps.saturating_add(1);
            let Some(later) = lives.get_mut(index(link.unit.0)) else {
                continue;
            };
            let blockers = adjust(
                &mut later.blockers,
                old.blocks(link.required),
                new.blocks(link.required),
            );
            let stuck =
                link.required && adjust(&mut later.stuck_requirements, old.stuck, new.stuck);
            if (blockers && later.blockers == 0) || stuck {
                later.touch(link.unit, touched);
            }
        }
    }

    fn tell_dependants(&mut self, unit: UnitId, old: Standing, new: Standing) {
        if old.failed == new.failed {
            return;
        }
        let Self {
            graph,
            lives,
            touched,
            steps,
            ..
        } = self;
        for dependant in graph.required_by(unit) {
            *steps = steps.saturating_add(1);
            let Some(life) = lives.get_mut(index(dependant.0)) else {
                continue;
            };
            if adjust(&mut life.failed_requirements, old.failed, new.failed) {
                life.touch(*dependant, touched);
            }
        }
    }

    fn tell_earlier_units(&mut self, unit: UnitId, old: Standing, new: Standing) {
        if old.holding == new.holding {
            return;
        }
        let Self {
            graph,
            lives,
            touched,
            steps,
            ..
        } = self;
        for link in graph.after(unit) {
            *steps = steps.saturating_add(1);
            let Some(earlier) = lives.get_mut(index(link.unit.0)) else {
                continue;
            };
            adjust(&mut earlier.stop_blockers, old.holding, new.holding);
            if earlier.stop_blockers == 0 {
                earlier.touch(link.unit, touched);
            }
        }
    }
}

/// Counts the change of one neighbour's bit; whether the count got from none to some or back.
fn adjust(count: &mut u32, old: bool, new: bool) -> bool {
    match (old, new) {
        (false, true) => {
            *count = count.saturating_add(1);
            *count == 1
        }
        (true, false) => {
            *count = count.saturating_sub(1);
            *count == 0
        }
        (false, false) | (true, true) => false,
    }
}
