//! When the first start of `default.target` is over: for the boot chart and for whoever waits for "ready".

use crate::life::Settling;
use crate::{Action, State, Supervisor, UnitId};
use alloc::collections::BTreeSet;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) enum SettleWatch {
    #[default]
    NotStarted,
    /// So many default units are neither ready nor failed.
    Pending(usize),
    Told,
}

impl Supervisor {
    /// From now on these are waited for. Only the first time; targets do not count.
    pub(crate) fn watch_settling(&mut self, units: &BTreeSet<UnitId>) {
        if self.settle != SettleWatch::NotStarted {
            return;
        }
        let containers = units.iter().filter(|unit| {
            self.rules_of(**unit)
                .is_some_and(|rules| !rules.is_target())
        });
        let containers: alloc::vec::Vec<UnitId> = containers.copied().collect();
        self.settle = SettleWatch::Pending(containers.len());
        for unit in containers {
            if let Some(life) = self.life_mut(unit) {
                life.settling = Settling::Pending;
            }
            self.note_settling(unit);
        }
    }

    /// The unit's standing has changed.
    pub(crate) fn note_settling(&mut self, unit: UnitId) {
        let Some(life) = self.life(unit) else { return };
        let standing = life.standing;
        let outcome = if matches!(life.state, State::Skipped { .. }) {
            Settling::Stopped
        } else if standing.ready {
            Settling::Ready
        } else if standing.failed || standing.stuck {
            Settling::Failed
        } else {
            return;
        };
        self.settle(unit, outcome);
    }

    pub(crate) fn note_stopped(&mut self, unit: UnitId) {
        self.settle(unit, Settling::Stopped);
    }

    /// The first outcome counts, except that one that failed may still get ready.
    fn settle(&mut self, unit: UnitId, outcome: Settling) {
        let Some(life) = self.life_mut(unit) else {
            return;
        };
        match life.settling {
            Settling::Pending => life.settling = outcome,
            Settling::Failed => {
                if outcome == Settling::Ready {
                    life.settling = outcome;
                }
                return;
            }
            Settling::No | Settling::Ready | Settling::Stopped => return,
        }
        if let SettleWatch::Pending(open) = &mut self.settle {
            *open = open.saturating_sub(1);
        }
    }

    pub(crate) fn tell_settled(&mut self) {
        if self.settle != SettleWatch::Pending(0) || self.shutdown.is_some() {
            return;
        }
        self.settle = SettleWatch::Told;
        self.count_steps(self.lives.len());
        let count = |wanted: Settling| {
            let units = self
                .lives
                .iter()
                .filter(|life| life.settling == wanted)
                .count();
            u32::try_from(units).unwrap_or(u32::MAX)
        };
        let (ready, failed) = (count(Settling::Ready), count(Settling::Failed));
        self.actions.push(Action::Settled { ready, failed });
    }
}
