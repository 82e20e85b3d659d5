//! Questions to a [`State`].

use crate::{RunId, State, Timestamp};

impl State {
    /// The word that `ps` and `status` show.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Scheduled => "scheduled",
            Self::Waiting => "waiting",
            Self::Preparing { .. } => "preparing",
            Self::PreStart { .. } => "pre-start",
            Self::Starting { .. } => "starting",
            Self::Started { .. } => "started",
            Self::Running { .. } => "running",
            Self::PreStop { .. } => "pre-stop",
            Self::Stopping { .. } => "stopping",
            Self::PostStop { .. } => "post-stop",
            Self::Releasing { .. } => "releasing",
            Self::Backoff { .. } => "backoff",
            Self::Finished { .. } => "finished",
            Self::Skipped { .. } => "skipped",
            Self::Failed { .. } => "failed",
        }
    }

    /// The run that is under way; for a target in `Running` too.
    #[must_use]
    pub const fn run(&self) -> Option<RunId> {
        match self {
            Self::Preparing { run, .. }
            | Self::PreStart { run, .. }
            | Self::Starting { run, .. }
            | Self::Started { run, .. }
            | Self::Running { run, .. }
            | Self::PreStop { run, .. }
            | Self::Stopping { run, .. }
            | Self::PostStop { run, .. }
            | Self::Releasing { run } => Some(*run),
            Self::Inactive
            | Self::Scheduled
            | Self::Waiting
            | Self::Backoff { .. }
            | Self::Finished { .. }
            | Self::Skipped { .. }
            | Self::Failed { .. } => None,
        }
    }

    /// There may be a process (of a container; a target never has one).
    #[must_use]
    pub const fn is_live(&self) -> bool {
        match self {
            Self::PreStart { .. }
            | Self::Starting { .. }
            | Self::Started { .. }
            | Self::Running { .. }
            | Self::PreStop { .. }
            | Self::Stopping { .. }
            | Self::PostStop { .. } => true,
            Self::Preparing { .. }
            | Self::Releasing { .. }
            | Self::Inactive
            | Self::Scheduled
            | Self::Waiting
            | Self::Backoff { .. }
            | Self::Finished { .. }
            | Self::Skipped { .. }
            | Self::Failed { .. } => false,
        }
    }

    /// On the way up or up: a restart has something to take down.
    pub(crate) const fn is_active(&self) -> bool {
        match self {
            Self::Preparing { .. }
            | Self::PreStart { .. }
            | Self::Starting { .. }
            | Self::Started { .. }
            | Self::Running { .. } => true,
            Self::PreStop { .. }
            | Self::Stopping { .. }
            | Self::PostStop { .. }
            | Self::Releasing { .. }
            | Self::Inactive
            | Self::Scheduled
            | Self::Waiting
            | Self::Backoff { .. }
            | Self::Finished { .. }
            | Self::Skipped { .. }
            | Self::Failed { .. } => false,
        }
    }

    /// Nothing happens to it by itself.
    pub(crate) const fn is_at_rest(&self) -> bool {
        match self {
            Self::Inactive
            | Self::Scheduled
            | Self::Finished { .. }
            | Self::Skipped { .. }
            | Self::Failed { .. } => true,
            Self::Waiting
            | Self::Preparing { .. }
            | Self::PreStart { .. }
            | Self::Starting { .. }
            | Self::Started { .. }
            | Self::Running { .. }
            | Self::PreStop { .. }
            | Self::Stopping { .. }
            | Self::PostStop { .. }
            | Self::Releasing { .. }
            | Self::Backoff { .. } => false,
        }
    }

    /// When the unit wants to be looked at because of its state, whatever is reported until then.
    pub(crate) const fn deadline(&self) -> Option<Timestamp> {
        match self {
            Self::Preparing { deadline, .. }
            | Self::Starting { deadline, .. }
            | Self::Started { deadline, .. } => Some(*deadline),
            Self::Stopping {
                kill_at,
                killed: false,
                ..
            } => Some(*kill_at),
            Self::PreStart { step, .. }
            | Self::PreStop { step, .. }
            | Self::PostStop { step, .. }
                if !step.killed =>
            {
                Some(step.deadline)
            }
            Self::Backoff { until } => Some(*until),
            Self::PreStart { .. }
            | Self::PreStop { .. }
            | Self::PostStop { .. }
            | Self::Stopping { killed: true, .. }
            | Self::Inactive
            | Self::Scheduled
            | Self::Waiting
            | Self::Running { .. }
            | Self::Releasing { .. }
            | Self::Finished { .. }
            | Self::Skipped { .. }
            | Self::Failed { .. } => None,
        }
    }
}

impl Timestamp {
    /// `ms` milliseconds later.
    #[must_use]
    pub const fn plus(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds since `earlier`; 0 when that lies ahead.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}
