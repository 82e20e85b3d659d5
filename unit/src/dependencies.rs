//! What a unit says about other units.

use crate::UnitName;
use serde::{Deserialize, Serialize};

/// As written, by name; [`crate::UnitSet`] has the edges. As systemd.unit(5) has them: none but `after`, `before` and
/// `depends_on` gives an order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependencies {
    /// Ordering only.
    pub after: Vec<UnitName>,
    pub before: Vec<UnitName>,
    /// Start together, fail if it fails.
    pub requires: Vec<UnitName>,
    /// Must be active already; fail at once if it is not. Does not start it.
    pub requisite: Vec<UnitName>,
    /// Start together, best effort.
    pub wants: Vec<UnitName>,
    /// As `requires`, and stop when it stops for whatever reason.
    pub binds_to: Vec<UnitName>,
    /// A stop or restart of it by the operator is one of this unit too.
    pub part_of: Vec<UnitName>,
    /// Never active at the same time: starting one stops the other.
    pub conflicts: Vec<UnitName>,
    /// Started when this unit has failed for good.
    pub on_failure: Vec<UnitName>,
    /// Started when this unit has ended with success.
    pub on_success: Vec<UnitName>,
    /// Compose's way to say it; `requires` or `wants`, and `after`, have these already.
    pub depends_on: Vec<DependsOn>,
}

/// One `[[unit.depends_on]]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DependsOn {
    pub unit: UnitName,
    pub condition: DependsOnCondition,
    /// Restart this unit when the other one is restarted by the operator or by a change.
    pub restart: bool,
    /// In `requires`; otherwise in `wants`.
    pub required: bool,
}

/// What the other unit must have reached before this one is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DependsOnCondition {
    /// It is ready, as its `[readiness]` says.
    Started,
    /// Its health check says so.
    Healthy,
    /// It has ended with success.
    CompletedSuccessfully,
}
