//! Lines for humans.

use crate::adjacency::index;
use crate::life::Lowered;
use crate::{Exit, Failure, Goal, Rules, State, Supervisor, UnitId};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

/// Longest text of a reason that is kept: reasons stay in PID 1's memory for each unit and in the journal.
const REASON_BYTES_MAX: usize = 512;

/// Names listed before "and more".
const NAMES_LISTED_MAX: usize = 5;

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exited with code {code}"),
            Self::Signal {
                signal,
                out_of_memory: false,
            } => write!(f, "killed by {}", unit::signal::display(*signal)),
            Self::Signal {
                signal,
                out_of_memory: true,
            } => {
                write!(
                    f,
                    "killed by {} (out of memory: the limit is resources.memory)",
                    unit::signal::display(*signal)
                )
            }
        }
    }
}

impl Supervisor {
    pub(crate) fn name_of(&self, unit: UnitId) -> String {
        name(&self.rules, unit)
    }

    /// One line without the unit's own name.
    #[must_use]
    pub fn describe(&self, failure: &Failure) -> String {
        match failure {
            Failure::Exited { exit } => exit.to_string(),
            Failure::PrepareFailed { reason, .. } | Failure::SpawnFailed { reason } => {
                reason.clone()
            }
            Failure::Hook { hook, reason } => format!("{hook}: {reason}"),
            Failure::PrepareTimeout => {
                String::from("its image and network were not there within start_timeout")
            }
            Failure::StartTimeout => String::from("did not start within start_timeout"),
            Failure::ReadinessTimeout => String::from("did not get ready within readiness.timeout"),
            Failure::RuntimeLimit => String::from("ran longer than runtime_max"),
            Failure::Watchdog => String::from("did not say WATCHDOG=1 within watchdog"),
            Failure::StopTimeout => {
                String::from("said STOPPING=1 and did not end within stop_timeout")
            }
            Failure::Unhealthy { reason } => format!("unhealthy: {reason}"),
            Failure::Dependency { unit } => {
                format!("{}, which it requires, failed", self.name_of(*unit))
            }
            Failure::Requisite { unit } => {
                format!(
                    "{}, which must be active already, is not",
                    self.name_of(*unit)
                )
            }
            Failure::RestartLimit => String::from("restart_max reached"),
            Failure::StartLimit => String::from("start_limit reached"),
        }
    }

    /// Of the last failure, or empty: what [`crate::Action::RestartsAtOnce`] is told with.
    #[must_use]
    pub fn restart_reason(&self, unit: UnitId) -> String {
        let failure = self.life(unit).and_then(|life| life.last_failure.as_ref());
        let failure = failure.map(|failure| self.describe(failure));
        format!("{}; starts again at once", failure.unwrap_or_default())
    }

    /// Why the unit is in its state; empty when there is nothing to say.
    #[must_use]
    pub fn reason(&self, unit: UnitId) -> String {
        let Some(life) = self.life(unit) else {
            return String::new();
        };
        let failure = life
            .last_failure
            .as_ref()
            .map(|failure| self.describe(failure))
            .unwrap_or_default();
        match &life.state {
            State::Waiting => self.waiting_reason(unit),
            State::Backoff { until } => {
                format!("{failure}; next start in {} ms", until.since(self.now))
            }
            State::Failed {
                reason: Failure::RestartLimit,
            } => {
                format!(
                    "{failure}; restart_max reached after {} restarts",
                    life.restarts
                )
            }
            State::Failed {
                reason: Failure::StartLimit,
            } => format!("{failure}; no more than start_limit allows"),
            State::Failed {
                reason: Failure::Dependency { unit: other },
            } => self.dependency_reason(*other),
            State::Failed { reason } => self.describe(reason),
            State::Finished { exit } => exit.to_string(),
            State::Skipped { reason } => format!("skipped: {reason}"),
            State::Scheduled if life.history.runs().next().is_some() => self.last_run_reason(unit),
            State::Stopping { killed: true, .. } => String::from("killed, not ended yet"),
            State::Started { .. } => self.unready_reason(unit),
            State::Running { .. } if life.is_leaving() && life.stop_blockers > 0 => {
                format!("stops after {}", self.names(&self.waits_for(unit)))
            }
            State::Running { .. } if life.is_leaving() => {
                String::from("restarts when others of its template are ready")
            }
            State::Inactive if life.goal == Goal::Down => self.lowered_reason(unit),
            State::PreStart { step, .. } => format!("pre_start {}", step.index),
            State::PreStop { step, .. } => format!("pre_stop {}", step.index),
            State::PostStop { step, .. } => format!("post_stop {}", step.index),
            State::Inactive
            | State::Scheduled
            | State::Preparing { .. }
            | State::Starting { .. }
            | State::Running { .. }
            | State::Stopping { .. }
            | State::Releasing { .. } => String::new(),
        }
    }

    /// One that has ended well is no failure, but not what those need that are bound to it.
    fn dependency_reason(&self, other: UnitId) -> String {
        let name = self.name_of(other);
        match self.state(other) {
            State::Finished { .. } => format!("{name}, which must be running, has ended"),
            State::Skipped { .. } => format!("{name}, which must be running, is skipped"),
            State::Inactive
            | State::Scheduled
            | State::Waiting
            | State::Preparing { .. }
            | State::PreStart { .. }
            | State::Starting { .. }
            | State::Started { .. }
            | State::Running { .. }
            | State::PreStop { .. }
            | State::Stopping { .. }
            | State::PostStop { .. }
            | State::Releasing { .. }
            | State::Backoff { .. }
            | State::Failed { .. } => self.describe(&Failure::Dependency { unit: other }),
        }
    }

    fn lowered_reason(&self, unit: UnitId) -> String {
        match self.life(unit).and_then(|life| life.lowered) {
            Some(Lowered::Asked) => String::from("stopped by request"),
            Some(Lowered::With(other)) => format!("stopped with {}", self.name_of(other)),
            Some(Lowered::Conflict(other)) => {
                format!("stopped because it conflicts with {}", self.name_of(other))
            }
            Some(Lowered::Excluded) => {
                String::from("stopped because of a conflict with what is wanted before it")
            }
            Some(Lowered::Removed) => String::from("not part of the configuration any more"),
            Some(Lowered::Reset) => String::from("its failure was reset"),
            Some(Lowered::Shutdown) => String::from("the machine goes down"),
            None => String::new(),
        }
    }

    fn unready_reason(&self, unit: UnitId) -> String {
        let Some((life, rules)) = self.life(unit).zip(self.rules_of(unit)) else {
            return String::new();
        };
        if !life.present.post_started {
            return String::from("waits for the steps of post_start");
        }
        use unit::ReadinessMode as Mode;
        match &rules.readiness.mode {
            Mode::Started => String::new(),
            Mode::Notify => String::from("waits for READY=1"),
            Mode::Healthy if life.present.health.is_none() => {
                String::from("waits to be healthy, but has no health check")
            }
            Mode::Healthy => String::from("waits to be healthy"),
            Mode::Port { port, .. } => format!("waits for port {port}"),
            Mode::Log { pattern } => format!("waits for a line that matches `{pattern}`"),
            Mode::Exit => String::from("ready when it has ended with success"),
        }
    }

    fn last_run_reason(&self, unit: UnitId) -> String {
        let life = self.life(unit);
        let Some(last) = life.and_then(|life| life.history.runs().next_back()) else {
            return String::new();
        };
        match &last.failure {
            Some(failure) => format!("last run: {}", self.describe(failure)),
            None if last.stopped => String::from("last run: stopped"),
            None => String::from("last run: success"),
        }
    }

    fn waiting_reason(&self, unit: UnitId) -> String {
        let waits = self.waits_for(unit);
        let stuck = |other: &&UnitId| self.life(**other).is_some_and(|life| life.standing.stuck);
        match waits.iter().find(stuck).copied() {
            Some(other) => {
                let why = self.life(other).and_then(|life| life.last_failure.as_ref());
                let why = why
                    .map(|failure| format!(": {}", self.describe(failure)))
                    .unwrap_or_default();
                format!(
                    "waits for {}, which fails again and again{why}",
                    self.name_of(other)
                )
            }
            None if waits.is_empty() => match self.life(unit) {
                Some(life) if life.rivals > 0 => {
                    String::from("waits for the end of what it conflicts with")
                }
                Some(life) if life.blockers == 0 => {
                    String::from("waits for others of its template (replicas.max_parallel)")
                }
                Some(_) | None => String::new(),
            },
            None => self.patient_reason(unit, &waits),
        }
    }

    fn patient_reason(&self, unit: UnitId, waits: &[UnitId]) -> String {
        if let Some(other) = self.unhealthy_requirement(unit) {
            let name = self.name_of(other);
            let health = self.life(other).and_then(|it| it.present.health.as_ref());
            return match health.map(|watch| watch.reason.as_str()) {
                Some("") | None => format!("waits for {name}, which is unhealthy"),
                Some(why) => format!("waits for {name}, which is unhealthy: {why}"),
            };
        }
        if waits.iter().any(|other| self.has_the_name_of(*other, unit)) {
            return String::from("waits for the end of its old run");
        }
        format!("waits for {}", self.names(waits))
    }

    /// One that is ready and that the unit needs healthy, which it is not.
    fn unhealthy_requirement(&self, unit: UnitId) -> Option<UnitId> {
        let unhealthy = |link: &&crate::Link| {
            let other = self.life(link.unit).map(|life| life.standing);
            link.required && other.is_some_and(|it| it.is_stuck_for(link.need) && !it.stuck)
        };
        self.graph
            .after(unit)
            .iter()
            .find(unhealthy)
            .map(|link| link.unit)
    }

    fn has_the_name_of(&self, one: UnitId, other: UnitId) -> bool {
        let name = |unit: UnitId| self.rules_of(unit).map(|rules| &rules.name);
        name(one) == name(other)
    }

    /// `web: exited with code 1; next start in 100 ms`
    pub(crate) fn problem(&self, unit: UnitId) -> String {
        use crate::life::Next;
        let name = self.name_of(unit);
        let Some(life) = self.life(unit) else {
            return name;
        };
        let failure = life
            .last_failure
            .as_ref()
            .map(|failure| self.describe(failure))
            .unwrap_or_default();
        match (&life.state, &life.next) {
            (State::Releasing { .. } | State::PostStop { .. }, Next::Backoff { until }) => {
                format!(
                    "{name}: {failure}; next start in {} ms",
                    until.since(self.now)
                )
            }
            (
                State::Releasing { .. } | State::PostStop { .. },
                Next::Failed {
                    reason: Failure::RestartLimit,
                },
            ) => {
                format!(
                    "{name}: {failure}; restart_max reached after {} restarts",
                    life.restarts
                )
            }
            (State::Waiting, _) => format!("{name}: {}", self.waiting_reason(unit)),
            (_, _) => format!("{name}: {failure}"),
        }
    }

    fn names(&self, units: &[UnitId]) -> String {
        listed(
            &units
                .iter()
                .map(|unit| self.name_of(*unit))
                .collect::<Vec<_>>(),
        )
    }
}

/// `a, b, c, d, e and 3 more`
pub(crate) fn listed(names: &[String]) -> String {
    let more = names.len().saturating_sub(NAMES_LISTED_MAX);
    let first = names.get(..NAMES_LISTED_MAX).unwrap_or(names).join(", ");
    if more == 0 {
        first
    } else {
        format!("{first} and {more} more")
    }
}

pub(crate) fn shortened(reason: &str) -> String {
    if reason.len() <= REASON_BYTES_MAX {
        return String::from(reason);
    }
    let end = (0..=REASON_BYTES_MAX)
        .rev()
        .find(|end| reason.is_char_boundary(*end));
    format!(
        "{}…",
        end.and_then(|end| reason.get(..end)).unwrap_or_default()
    )
}

pub(crate) fn name(rules: &[Rules], unit: UnitId) -> String {
    let known = rules.get(index(unit.0)).map(|rules| rules.name.to_string());
    known.unwrap_or_else(|| format!("unit {}", unit.0))
}
