//! What the unit file says about a unit's life: the part of `Unit` that decisions need.

use alloc::vec::Vec;
use unit::{Restart, Service, UnitKind, UnitName, UnitSet};

/// Of one unit.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    pub name: UnitName,
    /// `None`: a target, which has no process and is running as soon as it may.
    pub service: Option<Service>,
}

impl Rules {
    /// In index order.
    #[must_use]
    pub fn of(set: &UnitSet) -> Vec<Self> {
        let rules = |unit: &unit::Unit| Self {
            name: unit.name.clone(),
            service: match &unit.kind {
                UnitKind::Container(container) => Some(container.service.clone()),
                UnitKind::Target | UnitKind::Timer { .. } => None,
            },
        };
        set.units().iter().map(rules).collect()
    }

    pub(crate) fn is_target(&self) -> bool {
        self.service.is_none()
    }

    /// It is ready when it has ended with success, not while it runs.
    pub(crate) fn is_oneshot(&self) -> bool {
        self.service
            .as_ref()
            .is_some_and(|service| service.kind.ends())
    }

    /// A stop by the operator outlives a reboot.
    pub(crate) fn is_unless_stopped(&self) -> bool {
        let restart = self.service.as_ref().map(|service| service.restart);
        restart == Some(Restart::UnlessStopped)
    }

    pub(crate) fn remains_after_exit(&self) -> bool {
        self.service
            .as_ref()
            .is_some_and(|service| service.remain_after_exit)
    }
}
