//! What units see of each other.
//!
//! ```text
//!   db ──publish──▶ ready, active, healthy, completed ─▶ web.blockers            web starts at 0
//!                   hopeless ─────▶ blockers of units that can do without
//!                   stuck ────────▶ web.stuck_requirements  web is stuck too
//!                   failed, ended ▶ web.failed_requirements web fails
//!                   active lost ──▶ units bound to db restart with it
//!                   present ──────▶ rivals of units that conflict
//!   db ──publish──▶ unhealthy ───▶ web.stuck_requirements, if web needs it healthy
//!   web ─publish──▶ holding ──────▶ db.stop_blockers        db stops at 0
//! ```
//!
//! Invariant: every count is the number of neighbours whose published standing has the bit. A unit is touched when one
//! of its counts gets a new meaning, not each time that one changes: this keeps a boot linear in edges.

use crate::adjacency::index;
use crate::graph::Need;
use crate::life::Life;
use crate::mutant::Mutant;
use crate::rules::Rules;
use crate::{Goal, HealthStatus, State, Supervisor, UnitId};
use serde::{Deserialize, Serialize};

/// After so many failed runs in a row a unit counts as failed for those that only come after it, and for `Settled`,
/// though it goes on trying. Two failures may be bad luck (a port still in use, a slow disk); three are a pattern.
pub const FAILURES_STUCK: u32 = 3;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Standing {
    /// Units that require it may start.
    pub(crate) ready: bool,
    /// Ready because it runs, or as a oneshot that has finished.
    pub(crate) active: bool,
    pub(crate) healthy: bool,
    /// It has ended with success.
    pub(crate) completed: bool,
    /// It will not get any further by itself, or nobody wants it: no use to wait for it.
    pub(crate) hopeless: bool,
    /// It will not get ready by itself.
    pub(crate) failed: bool,
    /// It has come to an end that is no failure.
    pub(crate) ended: bool,
    /// It goes on trying, with little hope.
    pub(crate) stuck: bool,
    /// It is ready, and its health check says no: for those that need it healthy that is being stuck.
    #[serde(default)]
    pub(crate) unhealthy: bool,
    /// It is going down and has not ended: the units it came after stay until then.
    pub(crate) holding: bool,
    /// It has a run.
    pub(crate) present: bool,
}

impl Standing {
    pub(crate) const INACTIVE: Self = Self {
        ready: false,
        active: false,
        healthy: false,
        completed: false,
        hopeless: true,
        failed: false,
        ended: false,
        stuck: false,
        unhealthy: false,
        holding: false,
        present: false,
    };

    fn meets(self, need: Need) -> bool {
        match need {
            Need::Ready => self.ready,
            Need::Active => self.active,
            Need::Healthy => self.healthy,
            Need::Completed => self.completed,
            Need::ActiveHealthy => self.active && self.healthy,
            Need::ActiveCompleted => self.active && self.completed,
        }
    }

    pub(crate) fn blocks(self, need: Need, required: bool) -> bool {
        !self.meets(need) && (required || !self.hopeless)
    }

    /// Whoever needs this of it waits with little hope.
    pub(crate) fn is_stuck_for(self, need: Need) -> bool {
        let wants_health = match need {
            Need::Healthy | Need::ActiveHealthy => true,
            Need::Ready | Need::Active | Need::Completed | Need::ActiveCompleted => false,
        };
        self.stuck || (self.unhealthy && wants_health)
    }

    /// Whoever needs this of it cannot start any more.
    pub(crate) fn is_impossible(self, need: Need) -> bool {
        self.failed || (self.ended && !self.meets(need))
    }

    /// One that the clock starts is what others wait for as soon as it is armed, run or no run.
    pub(crate) fn of(life: &Life, rules: &Rules) -> Self {
        let of_state = Self::of_state(life, rules);
        if !rules.is_scheduled() || life.is_leaving() || of_state.failed {
            return of_state;
        }
        Self {
            ready: true,
            active: true,
            healthy: true,
            completed: life.history.has_success(),
            hopeless: false,
            ended: false,
            stuck: false,
            unhealthy: false,
            ..of_state
        }
    }

    fn of_state(life: &Life, rules: &Rules) -> Self {
        let up = life.goal == Goal::Up;
        let leaving = life.is_leaving();
        let stuck = up && life.failures >= FAILURES_STUCK;
        let waiting = Self {
            hopeless: !up || stuck,
            stuck,
            ..Self::default()
        };
        let under_way = Self {
            hopeless: stuck,
            stuck,
            present: true,
            ..Self::default()
        };
        match &life.state {
            State::Inactive | State::Backoff { .. } => waiting,
            State::Releasing { .. } => Self {
                present: true,
                ..waiting
            },
            State::Waiting => {
                let stuck = stuck || (up && life.stuck_requirements > 0);
                Self {
                    hopeless: !up || stuck,
                    stuck,
                    ..Self::default()
                }
            }
            State::Preparing { .. }
            | State::PreStart { .. }
            | State::Starting { .. }
            | State::Started { .. } => Self {
                holding: leaving,
                ..under_way
            },
            State::Running { .. } => {
                let serving = !leaving && life.stop_cause.is_none();
                let ready = serving && !rules.ends();
                let watch = life.present.health.as_ref();
                let healthy = watch.is_none_or(|it| it.status == HealthStatus::Healthy);
                let unhealthy = watch.is_some_and(|it| it.status == HealthStatus::Unhealthy);
                let stuck = !ready && stuck;
                Self {
                    ready,
                    active: ready,
                    healthy: ready && healthy,
                    hopeless: stuck || (ready && unhealthy),
                    stuck,
                    unhealthy: ready && unhealthy,
                    holding: leaving,
                    ..under_way
                }
            }
            State::PreStop { .. } | State::Stopping { .. } => Self {
                holding: leaving || life.stop_cause.is_none(),
                ..under_way
            },
            State::PostStop { .. } => Self {
                hopeless: !up || stuck,
                ..under_way
            },
            State::Scheduled => waiting,
            State::Finished { .. } => {
                let active = up && (rules.ends() || rules.remains_after_exit());
                Self {
                    ready: up,
                    active,
                    healthy: active,
                    completed: up,
                    hopeless: true,
                    ended: up,
                    ..Self::default()
                }
            }
            State::Skipped { .. } => Self {
                ready: up,
                healthy: up,
                completed: up,
                hopeless: true,
                ended: up,
                ..Self::default()
            },
            State::Failed { .. } => Self {
                failed: up,
                hopeless: true,
                ..Self::default()
            },
        }
    }
}

impl Supervisor {
    /// Tells the neighbours what has changed, and answers whoever waited for it.
    pub(crate) fn publish(&mut self, unit: UnitId) {
        let Some((life, rules)) = self.both(unit) else {
            return;
        };
        let old = life.standing;
        let new = Standing::of(life, rules);
        if old == new {
            return;
        }
        life.standing = new;
        let arrived = if rules.is_scheduled() {
            !new.present
        } else {
            new.ready || new.hopeless
        };
        let way_over = life.token && !life.bounce && arrived;
        self.tell_later_units(unit, old, new);
        self.tell_dependants(unit, old, new);
        self.tell_bound_units(unit, old, new);
        self.tell_earlier_units(unit, old, new);
        self.tell_rivals(unit, old, new);
        self.note_settling(unit);
        if way_over {
            self.give_token_back(unit);
        }
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
                old.blocks(link.need, link.required),
                new.blocks(link.need, link.required),
            );
            let stuck = link.required
                && adjust(
                    &mut later.stuck_requirements,
                    old.is_stuck_for(link.need),
                    new.is_stuck_for(link.need),
                );
            if (blockers && later.blockers == 0) || stuck {
                later.touch(link.unit, touched);
            }
        }
    }

    fn tell_dependants(&mut self, unit: UnitId, old: Standing, new: Standing) {
        if (old.failed, old.ended) == (new.failed, new.ended) && !old.ended {
            return;
        }
        let Self {
            graph,
            lives,
            touched,
            steps,
            ..
        } = self;
        for dependant in graph.needed_by(unit) {
            *steps = steps.saturating_add(1);
            let Some(life) = lives.get_mut(index(dependant.unit.0)) else {
                continue;
            };
            let need = dependant.need;
            if adjust(
                &mut life.failed_requirements,
                old.is_impossible(need),
                new.is_impossible(need),
            ) {
                life.touch(dependant.unit, touched);
            }
        }
    }

    /// What it had become for those that are bound to it is over: they go down, and come up again with it.
    fn tell_bound_units(&mut self, unit: UnitId, old: Standing, new: Standing) {
        let over = (old.active && !new.active) || (!old.failed && new.failed);
        if !over || self.planted(Mutant::BoundUnitsStay) {
            return;
        }
        let Self {
            graph,
            lives,
            touched,
            steps,
            ..
        } = self;
        for bound in graph.bound_by(unit) {
            *steps = steps.saturating_add(1);
            let Some(life) = lives.get_mut(index(bound.0)) else {
                continue;
            };
            if life.goal == Goal::Up && life.state.is_active() {
                life.bounce = true;
                life.due = true;
                life.touch(*bound, touched);
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

    fn tell_rivals(&mut self, unit: UnitId, old: Standing, new: Standing) {
        if old.present == new.present {
            return;
        }
        let Self {
            graph,
            lives,
            touched,
            steps,
            ..
        } = self;
        for rival in graph.conflicts(unit) {
            *steps = steps.saturating_add(1);
            let Some(life) = lives.get_mut(index(rival.0)) else {
                continue;
            };
            if adjust(&mut life.rivals, old.present, new.present) && life.rivals == 0 {
                life.touch(*rival, touched);
            }
        }
    }

    /// Every count anew, from the standings as they are: after the graph has changed.
    pub(crate) fn recount(&mut self) {
        for life in &mut self.lives {
            life.blockers = 0;
            life.failed_requirements = 0;
            life.stuck_requirements = 0;
            life.stop_blockers = 0;
            life.rivals = 0;
        }
        let Self {
            graph,
            lives,
            steps,
            ..
        } = self;
        let units = u32::try_from(lives.len()).unwrap_or(u32::MAX);
        let more = |count: &mut u32, by: bool| *count = count.saturating_add(u32::from(by));
        for unit in (0..units).map(UnitId) {
            let Some(new) = lives.get(index(unit.0)).map(|life| life.standing) else {
                continue;
            };
            let edges = [
                graph.before(unit).len(),
                graph.needed_by(unit).len(),
                graph.after(unit).len(),
                graph.conflicts(unit).len(),
            ];
            for count in edges {
                *steps = steps.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
            }
            for link in graph.before(unit) {
                if let Some(later) = lives.get_mut(index(link.unit.0)) {
                    more(&mut later.blockers, new.blocks(link.need, link.required));
                    let stuck = new.is_stuck_for(link.need);
                    more(&mut later.stuck_requirements, link.required && stuck);
                }
            }
            for dependant in graph.needed_by(unit) {
                if let Some(life) = lives.get_mut(index(dependant.unit.0)) {
                    let impossible = new.is_impossible(dependant.need);
                    more(&mut life.failed_requirements, impossible);
                }
            }
            for link in graph.after(unit) {
                if let Some(earlier) = lives.get_mut(index(link.unit.0)) {
                    more(&mut earlier.stop_blockers, new.holding);
                }
            }
            for rival in graph.conflicts(unit) {
                if let Some(life) = lives.get_mut(index(rival.0)) {
                    more(&mut life.rivals, new.present);
                }
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
