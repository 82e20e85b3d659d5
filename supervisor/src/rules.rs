//! What the unit file says about a unit's life: the part of `Unit` that decisions need.

use crate::fingerprint::fingerprint;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};
use unit::{
    Container, Readiness, ReadinessMode, Replica, Restart, Service, ServiceKind, Timer, Unit,
    UnitKind, UnitName, UnitSet, Update,
};

/// Of one unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rules {
    pub name: UnitName,
    /// `None`: a target or a timer, which has no process and is running as soon as it may.
    pub service: Option<Service>,
    pub readiness: Readiness,
    /// When it is started by the clock; of a unit without `service`: when it starts the unit that it triggers.
    pub timer: Option<Timer>,
    pub update: Update,
    pub replica: Option<Replica>,
    /// Of all that a run is made of; another one means that [`crate::Supervisor::apply`] has to start the unit anew.
    pub fingerprint: u64,
    /// Of what the container executes: a completed job runs again when this is another one.
    pub program: u64,
}

impl Rules {
    /// As an otherwise empty unit file says.
    #[must_use]
    pub fn new(name: UnitName, service: Option<Service>) -> Self {
        let readiness = match &service {
            Some(service) => Readiness::default_of(service.kind, service.start_timeout_ms),
            None => Readiness::default_of(ServiceKind::Simple, Service::START_TIMEOUT_MS),
        };
        Self {
            name,
            service,
            readiness,
            timer: None,
            update: Update::default(),
            replica: None,
            fingerprint: 0,
            program: 0,
        }
    }

    /// In index order.
    #[must_use]
    pub fn of(set: &UnitSet) -> Vec<Self> {
        set.units().iter().map(Self::of_unit).collect()
    }

    pub(crate) fn of_unit(unit: &Unit) -> Self {
        let fingerprint_of_all = fingerprint(&(&unit.kind, &unit.conditions));
        let base = |service| Self {
            replica: unit.replica.clone(),
            fingerprint: fingerprint_of_all,
            ..Self::new(unit.name.clone(), service)
        };
        match &unit.kind {
            UnitKind::Container(container) => Self {
                readiness: container.readiness.clone(),
                timer: container.timer.clone(),
                update: container.update,
                program: program(&container.container),
                ..base(Some(container.service.clone()))
            },
            UnitKind::Target => base(None),
            UnitKind::Timer { timer, .. } => Self {
                timer: Some(timer.clone()),
                ..base(None)
            },
        }
    }

    pub(crate) fn is_target(&self) -> bool {
        self.service.is_none()
    }

    /// Its command is meant to end: it is ready when that has happened, not while it runs.
    pub(crate) fn ends(&self) -> bool {
        self.readiness.mode == ReadinessMode::Exit
            || self
                .service
                .as_ref()
                .is_some_and(|service| service.kind.ends())
    }

    pub(crate) fn is_job(&self) -> bool {
        let kind = self.service.as_ref().map(|service| service.kind);
        kind == Some(ServiceKind::Job)
    }

    /// A container that the clock starts: up, it is armed, and runs when a time comes or somebody starts it.
    pub(crate) fn is_scheduled(&self) -> bool {
        self.service.is_some() && self.timer.is_some()
    }

    /// Its success is remembered over a reboot.
    pub(crate) fn completes_once(&self) -> bool {
        self.is_job() && self.timer.is_none()
    }

    /// A stop by the operator outlives a reboot.
    pub(crate) fn is_unless_stopped(&self) -> bool {
        let restart = self.service.as_ref().map(|service| service.restart);
        restart == Some(Restart::UnlessStopped)
    }

    /// Once it has finished, only a restart by hand runs it again.
    pub(crate) fn remains_after_exit(&self) -> bool {
        self.service
            .as_ref()
            .is_some_and(|service| service.remain_after_exit)
    }

    /// `init` has to look for the sign of readiness.
    pub(crate) fn is_watched_for_readiness(&self) -> bool {
        match &self.readiness.mode {
            ReadinessMode::Port { .. } | ReadinessMode::Log { .. } => true,
            ReadinessMode::Started
            | ReadinessMode::Notify
            | ReadinessMode::Healthy
            | ReadinessMode::Exit => false,
        }
    }
}

/// Only what says what is executed, so that a release of Keelson that adds keys elsewhere does not run old jobs again.
fn program(container: &Container) -> u64 {
    fingerprint(&(
        &container.image,
        &container.entrypoint,
        &container.command,
        &container.env,
        &container.working_dir,
        &container.user,
    ))
}
